// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Flow hash: SipHash against published vectors, and the tuples against the bytes of a packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <steadyport/abi.h>
#include <steadyport/choose.h>
#include <steadyport/flow.h>

#define MESSAGE_MAX 64

/* Key bytes 00 01 .. 0f, as the authors' vectors use them. */
static const __u64 key_counting[2] = { 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL };
static const __u64 key_zero[2] = { 0, 0 };

static __u64 load_le(const __u8 *bytes, int len)
{
	__u64 word = 0;

	for (int i = 0; i < len; i++)
		word |= (__u64)bytes[i] << (8 * i);
	return word;
}

static __u64 siphash(int c, int d, const __u64 key[2], const __u8 *message, int len)
{
	__u64 words[MESSAGE_MAX / 8];

	for (int i = 0; i < len / 8; i++)
		words[i] = load_le(message + 8 * i, 8);
	return sp_siphash(c, d, key, words, len / 8, load_le(message + len / 8 * 8, len % 8), len);
}

/* Message bytes 00 01 .. len-1, as in all vectors below. */
static __u64 siphash_counting(int c, int d, const __u64 key[2], int len)
{
	__u8 message[MESSAGE_MAX];

	for (int i = 0; i < len; i++)
		message[i] = i;
	return siphash(c, d, key, message, len);
}

struct vector {
	int len;
	__u64 hash;
};

static void flow__siphash_2_4__gives_the_official_vectors(void **state)
{
	static const struct vector vectors[] = {
		{ 0, 0x726fdb47dd0e0e31ULL }, { 1, 0x74f839c593dc67fdULL }, { 2, 0x0d6c8009d9a94f5aULL },
		{ 3, 0x85676696d7fb7e2dULL }, { 8, 0x93f5f5799a932462ULL }, { 15, 0xa129ca6149be45e5ULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(siphash_counting(2, 4, key_counting, vectors[i].len), vectors[i].hash);
}

/* The reference implementation, compiled for 1 and 3 rounds, prints the hash as bytes. */
static void flow__siphash_1_3__gives_the_reference_vectors(void **state)
{
	static const struct {
		int len;
		__u8 hash[8];
	} vectors[] = {
		{ 0, { 0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab } },
		{ 1, { 0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9 } },
		{ 2, { 0x4d, 0xd4, 0xc7, 0x4d, 0x02, 0x9b, 0xcb, 0x82 } },
		{ 3, { 0xfb, 0xf7, 0xdd, 0xe7, 0xb8, 0x0a, 0xf8, 0x8b } },
		{ 4, { 0x28, 0x83, 0xd3, 0x88, 0x60, 0x57, 0x75, 0xcf } },
		{ 5, { 0x67, 0x3b, 0x53, 0x49, 0x2f, 0xd5, 0xf9, 0xde } },
		{ 6, { 0xa7, 0x22, 0x9f, 0xc5, 0x50, 0x2b, 0x0d, 0xc5 } },
		{ 7, { 0x40, 0x11, 0xb1, 0x9b, 0x98, 0x7d, 0x92, 0xd3 } },
		{ 8, { 0x8e, 0x9a, 0x29, 0x8d, 0x11, 0x95, 0x90, 0x36 } },
		{ 12, { 0xa2, 0xd9, 0xb4, 0x57, 0xb1, 0x84, 0xa3, 0x78 } },
		{ 15, { 0x56, 0x99, 0x51, 0x2a, 0x6d, 0xd8, 0x20, 0xd3 } },
		{ 16, { 0x66, 0x8b, 0x90, 0x7d, 0x1a, 0xdd, 0x4f, 0xcc } },
		{ 24, { 0x8c, 0x9c, 0x34, 0x67, 0xb2, 0xae, 0x64, 0xf4 } },
		{ 36, { 0x06, 0x62, 0xa2, 0xad, 0xd3, 0x08, 0xf5, 0x2c } },
		{ 40, { 0x31, 0x15, 0xe4, 0x99, 0x32, 0x36, 0xd2, 0xc1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(siphash_counting(1, 3, key_counting, vectors[i].len),
				 load_le(vectors[i].hash, 8));
}

/* What CPython 3.11 and later hash bytes with when PYTHONHASHSEED is 0. */
static void flow__siphash_1_3_under_zero_key__gives_the_vectors_of_cpython(void **state)
{
	static const struct vector vectors[] = {
		{ 1, 0x68a914128e01e473ULL },
		{ 8, 0xead411e67ebe2eeaULL },
		{ 12, 0xa6baf4fb0f9fe1c2ULL },
		{ 36, 0xac77921fcc642bd3ULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(siphash_counting(1, 3, key_zero, vectors[i].len), vectors[i].hash);
}

/* 192.0.2.7:50123 -> 198.51.100.9:443 */
static const __u8 packet4[12] = { 192, 0, 2, 7, 198, 51, 100, 9, 0xc3, 0xcb, 0x01, 0xbb };

/* [2001:db8::7]:50123 -> [2001:db8:1:2:3:4:5:9]:443 */
static const __u8 packet6[36] = {
	0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    7,	  0x20, 0x01,
	0x0d, 0xb8, 0,	  1,	0, 2, 0, 3, 0, 4, 0, 5, 0, 9, 0xc3, 0xcb, 0x01, 0xbb,
};

static __u64 hash4(const __u8 bytes[12])
{
	struct sp_tuple4 t;

	memcpy(&t, bytes, sizeof(t));
	return sp_flow_hash4(key_counting, &t);
}

static __u64 hash6(const __u8 bytes[36])
{
	struct sp_tuple6 t;

	memcpy(&t, bytes, sizeof(t));
	return sp_flow_hash6(key_counting, &t);
}

static void flow__tuple__has_the_layout_of_the_packet(void **state)
{
	struct sp_tuple4 t4 = { .sport = htons(50123), .dport = htons(443) };
	struct sp_tuple6 t6 = { .sport = htons(50123), .dport = htons(443) };

	(void)state;
	assert_int_equal(sizeof(t4), sizeof(packet4));
	assert_int_equal(sizeof(t6), sizeof(packet6));
	inet_pton(AF_INET, "192.0.2.7", &t4.src);
	inet_pton(AF_INET, "198.51.100.9", &t4.dst);
	assert_memory_equal(&t4, packet4, sizeof(t4));
	inet_pton(AF_INET6, "2001:db8::7", t6.src);
	inet_pton(AF_INET6, "2001:db8:1:2:3:4:5:9", t6.dst);
	assert_memory_equal(&t6, packet6, sizeof(t6));
}

static void flow__tuple__hashes_as_the_bytes_of_the_packet(void **state)
{
	(void)state;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	assert_int_equal(hash4(packet4), siphash(1, 3, key_counting, packet4, sizeof(packet4)));
	assert_int_equal(hash6(packet6), siphash(1, 3, key_counting, packet6, sizeof(packet6)));
#else
	/* There the hash is another one; see flow.h. */
	skip();
#endif
}

static void flow__any_bit_of_the_tuple_flips__hash_and_bucket_bits_change(void **state)
{
	__u8 bytes[36];
	int flipped = 0;

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(packet4); bit++) {
		memcpy(bytes, packet4, sizeof(packet4));
		bytes[bit / 8] ^= 1 << (bit % 8);
		assert_int_not_equal(hash4(bytes), hash4(packet4));
		flipped += __builtin_popcountll(hash4(bytes) ^ hash4(packet4));
	}
	for (size_t bit = 0; bit < 8 * sizeof(packet6); bit++) {
		memcpy(bytes, packet6, sizeof(packet6));
		bytes[bit / 8] ^= 1 << (bit % 8);
		assert_int_not_equal(hash6(bytes), hash6(packet6));
		flipped += __builtin_popcountll(hash6(bytes) ^ hash6(packet6));
	}
	/* 384 flips of 32 expected changes each, standard deviation 78. */
	assert_in_range(flipped, 384 * 32 - 400, 384 * 32 + 400);
}

static void flow__any_bit_of_the_key_flips__hash_changes(void **state)
{
	struct sp_tuple4 t;

	(void)state;
	memcpy(&t, packet4, sizeof(t));
	for (int bit = 0; bit < 128; bit++) {
		__u64 key[2] = { key_counting[0], key_counting[1] };

		key[bit / 64] ^= 1ULL << (bit % 64);
		assert_int_not_equal(sp_flow_hash4(key, &t), sp_flow_hash4(key_counting, &t));
	}
}

#define CELLS 256
#define DRAWS (CELLS * 64)

/* Chi-square of 255 degrees of freedom: mean 255, standard deviation 22.6; +-6 of these. */
static void assert_uniform(const unsigned int cell[CELLS])
{
	double sum = 0;

	for (int i = 0; i < CELLS; i++) {
		double off = (double)cell[i] - DRAWS / CELLS;

		sum += off * off / (DRAWS / CELLS);
	}
	if (sum < 120 || sum > 391)
		fail_msg("chi-square %.1f is out of [120, 391]", sum);
}

static void flow__sequential_ports__spread_evenly_over_buckets_and_probe_steps(void **state)
{
	unsigned int low[CELLS] = { 0 }, high[CELLS] = { 0 }, step[CELLS] = { 0 };
	struct sp_tuple4 t;

	(void)state;
	memcpy(&t, packet4, sizeof(t));
	for (int port = 1024; port < 1024 + DRAWS; port++) {
		__u64 hash;

		t.sport = htons(port);
		hash = sp_flow_hash4(key_counting, &t);
		low[sp_bucket(hash) % CELLS]++;
		high[sp_bucket(hash) / (SP_BUCKETS / CELLS)]++;
		step[(hash >> 33) % CELLS]++;
	}
	assert_uniform(low);
	assert_uniform(high);
	assert_uniform(step);
}

static void flow__kernel_hash__fills_every_bucket_equally(void **state)
{
	static __u8 seen[SP_BUCKETS];

	(void)state;
	/* A permutation of the low bits: as many hashes as buckets meet each bucket once. */
	for (__u32 hash = 0; hash < SP_BUCKETS; hash++)
		seen[sp_bucket(sp_flow_hash_kernel(hash))]++;
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		assert_int_equal(seen[b], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flow__siphash_2_4__gives_the_official_vectors),
		cmocka_unit_test(flow__siphash_1_3__gives_the_reference_vectors),
		cmocka_unit_test(flow__siphash_1_3_under_zero_key__gives_the_vectors_of_cpython),
		cmocka_unit_test(flow__tuple__has_the_layout_of_the_packet),
		cmocka_unit_test(flow__tuple__hashes_as_the_bytes_of_the_packet),
		cmocka_unit_test(flow__any_bit_of_the_tuple_flips__hash_and_bucket_bits_change),
		cmocka_unit_test(flow__any_bit_of_the_key_flips__hash_changes),
		cmocka_unit_test(flow__sequential_ports__spread_evenly_over_buckets_and_probe_steps),
		cmocka_unit_test(flow__kernel_hash__fills_every_bucket_equally),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
