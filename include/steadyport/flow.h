/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flow hash: the four numbers of a flow in, 64 bits out. Pure; compiled into the program and the loader.
 *
 * SipHash-c-d, Aumasson and Bernstein, https://131002.net/siphash/: the message is the bytes of source address,
 * destination address, source port and destination port as they stand in the packet (12 bytes for IPv4, 36 for
 * IPv6), so an attacker without the key can neither aim at one worker nor make flows collide.
 */
#ifndef STEADYPORT_FLOW_H
#define STEADYPORT_FLOW_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* A flow seen from the packet that arrives: src is the peer, dst is the address it was sent to. */
struct sp_tuple4 {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
};

struct sp_tuple6 {
	__be32 src[4];
	__be32 dst[4];
	__be16 sport;
	__be16 dport;
};

struct sp_siphash {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 sp_rotl64(__u64 x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static __always_inline void sp_siphash_rounds(struct sp_siphash *s, const int rounds)
{
	for (int i = 0; i < rounds; i++) {
		s->v0 += s->v1;
		s->v1 = sp_rotl64(s->v1, 13) ^ s->v0;
		s->v0 = sp_rotl64(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = sp_rotl64(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = sp_rotl64(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = sp_rotl64(s->v1, 17) ^ s->v2;
		s->v2 = sp_rotl64(s->v2, 32);
	}
}

/**
 * sp_siphash - SipHash-c-d of a message that was loaded into words
 * @c, @d:  compression and finalization rounds, compile-time constants
 * @key:    128-bit key
 * @words:  whole 8-byte words of the message, little-endian
 * @nwords: their number
 * @tail:   the last 0..7 bytes, little-endian, zero-filled
 * @len:    length of the message in bytes
 */
static __always_inline __u64 sp_siphash(const int c, const int d, const __u64 key[2], const __u64 *words,
					const int nwords, __u64 tail, const int len)
{
	struct sp_siphash s = {
		.v0 = key[0] ^ 0x736f6d6570736575ULL,
		.v1 = key[1] ^ 0x646f72616e646f6dULL,
		.v2 = key[0] ^ 0x6c7967656e657261ULL,
		.v3 = key[1] ^ 0x7465646279746573ULL,
	};

	for (int i = 0; i < nwords; i++) {
		s.v3 ^= words[i];
		sp_siphash_rounds(&s, c);
		s.v0 ^= words[i];
	}
	tail |= (__u64)len << 56;
	s.v3 ^= tail;
	sp_siphash_rounds(&s, c);
	s.v0 ^= tail;
	s.v2 ^= 0xff;
	sp_siphash_rounds(&s, d);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/*
 * Words are put together from fields in host order. On a big-endian machine the hash is therefore not the one of
 * the byte string, but the same on both sides of the kernel boundary, which is all that is asked of it.
 */
static __always_inline __u64 sp_word(__u32 low, __u32 high)
{
	return (__u64)high << 32 | low;
}

static __always_inline __u64 sp_flow_hash4(const __u64 key[2], const struct sp_tuple4 *t)
{
	const __u64 words[1] = { sp_word(t->src, t->dst) };

	return sp_siphash(1, 3, key, words, 1, (__u32)t->dport << 16 | t->sport, 12);
}

static __always_inline __u64 sp_flow_hash6(const __u64 key[2], const struct sp_tuple6 *t)
{
	const __u64 words[4] = {
		sp_word(t->src[0], t->src[1]),
		sp_word(t->src[2], t->src[3]),
		sp_word(t->dst[0], t->dst[1]),
		sp_word(t->dst[2], t->dst[3]),
	};

	return sp_siphash(1, 3, key, words, 4, (__u32)t->dport << 16 | t->sport, 36);
}

/* --hash kernel: spread the kernel's 32 bits over 64; odd multiplier, so the low 32 bits stay a permutation. */
static __always_inline __u64 sp_flow_hash_kernel(__u32 hash)
{
	return hash * 0x9e3779b97f4a7c15ULL;
}

#endif
