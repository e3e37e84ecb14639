// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The packet reader: packets of any length and kind are read within their bounds or counted as unreadable. A packet
 * that is whole has the hash that `where` computes, wherever the kernel holds its bytes, and so has the connection that
 * it began when that must leave a closed listener.
 */
#include <arpa/inet.h>
#include <steadyport/choose.h>
#include <steadyport/flow.h>
#include "input.h"
#include "steer/kernel.h"
#include "tuple.h"

#define IPV4_LEN 20
#define IPV6_LEN 40
#define PORTS_LEN 4
#define PACKET_MAX 128

static struct sp_fuzz_kernel kernel;

/* The hash of a run, which the flow table is asked for. */
static __u64 hash_of(const struct sp_fuzz_packet *packet)
{
	struct sp_fuzz_run run = sp_fuzz_steer(&kernel, packet);

	sp_must(run.has_asked_flow, "the flow table is not asked");
	sp_must(kernel.counters[kernel.counter_slots].unreadable <= 1, "unreadable twice");
	return run.flow_hash;
}

static bool was_unreadable(void)
{
	return kernel.counters[kernel.counter_slots].unreadable;
}

static struct sp_tuple tuple_of(const struct sp_fuzz_packet *packet, bool is_v4)
{
	struct sp_tuple tuple = { .src.family = is_v4 ? AF_INET : AF_INET6 };
	__be16 ports[2];

	tuple.dst.family = tuple.src.family;
	memcpy(tuple.src.bytes, packet->network + (is_v4 ? 12 : 8), is_v4 ? 4 : 16);
	memcpy(tuple.dst.bytes, packet->network + (is_v4 ? 16 : 24), is_v4 ? 4 : 16);
	memcpy(ports, packet->network + packet->header_len, sizeof(ports));
	tuple.sport = ntohs(ports[0]);
	tuple.dport = ntohs(ports[1]);
	return tuple;
}

/* The connection as its closing listener's kernel shows it: `src` is our side. */
static struct bpf_sock socket_of(const struct sp_tuple *tuple, bool is_mapped)
{
	bool is_v4 = tuple->src.family == AF_INET;
	struct bpf_sock sk = {
		.family = is_v4 && !is_mapped ? AF_INET : AF_INET6,
		.src_port = tuple->dport,
		.dst_port = htons(tuple->sport),
	};

	if (is_v4) {
		memcpy(&sk.src_ip4, tuple->dst.bytes, 4);
		memcpy(&sk.dst_ip4, tuple->src.bytes, 4);
	}
	if (is_mapped) {
		sk.src_ip6[2] = sk.dst_ip6[2] = htonl(0xffff);
		sk.src_ip6[3] = sk.src_ip4;
		sk.dst_ip6[3] = sk.dst_ip4;
	} else if (!is_v4) {
		memcpy(sk.src_ip6, tuple->dst.bytes, 16);
		memcpy(sk.dst_ip6, tuple->src.bytes, 16);
	}
	return sk;
}

#define DIGITS 7 /* of a bucket's number, told by the slot */

/* The bucket of a migrating connection: TCP asks no flow table, so two owner tables tell it, a half each. */
static __u32 bucket_of(const struct sp_fuzz_packet *packet)
{
	struct sp_view *view = &kernel.views[0];
	__u32 bucket = 0;

	kernel.protocol = SP_TCP;
	view->kind = SP_VIEW_PLAIN;
	view->nslots = 1 << DIGITS;
	for (int shift = 0; shift <= DIGITS; shift += DIGITS) {
		struct sp_fuzz_run run;

		for (__u32 b = 0; b < SP_BUCKETS; b++)
			view->owner[b] = b >> shift & ((1 << DIGITS) - 1);
		run = sp_fuzz_steer(&kernel, packet);
		sp_must(run.selected >= 0, "a migrating connection is not placed");
		bucket |= (__u32)run.selected << shift;
	}
	kernel.protocol = SP_UDP;
	return bucket;
}

_Static_assert(SP_BUCKETS == 1 << 2 * DIGITS, "two halves are a bucket");

/* No packet comes with a migration: whatever the kernel leaves there must not be read. */
static void check_migration(const struct sp_fuzz_packet *whole, const struct sp_tuple *tuple, __u64 hash)
{
	struct sp_fuzz_packet packet = *whole;
	struct bpf_sock sk;

	packet.len = packet.linear_len = packet.header_len;
	packet.migrating = &sk;
	for (int is_mapped = 0; is_mapped <= (tuple->src.family == AF_INET); is_mapped++) {
		sk = socket_of(tuple, is_mapped);
		sp_must(bucket_of(&packet) == sp_bucket(hash),
			"a migrating connection and its packets have two hashes");
		sp_must(!was_unreadable(), "a migrating connection is unreadable");
	}
}

static void check(struct sp_fuzz_packet *packet)
{
	bool is_v4 = packet->eth_protocol == htons(0x0800);
	__u32 addresses_end = is_v4 ? IPV4_LEN : IPV6_LEN;
	bool is_whole = packet->len >= packet->header_len + PORTS_LEN && packet->len >= addresses_end;
	__u64 hash = hash_of(packet);
	struct sp_tuple tuple;

	sp_must(was_unreadable() == !is_whole, "%u bytes, a header of %u: %s", packet->len,
		packet->header_len, is_whole ? "not read" : "read");
	if (!is_whole) {
		sp_must(hash == sp_flow_hash_kernel(packet->kernel_hash), "not the kernel's hash");
		return;
	}
	tuple = tuple_of(packet, is_v4);
	sp_must(hash == sp_tuple_hash(&tuple, kernel.ctl.key), "`where` has another hash");
	packet->linear_len = packet->header_len;
	sp_must(hash_of(packet) == hash, "another hash when the packet is not linear");
	packet->linear_len = packet->len;
	sp_must(hash_of(packet) == hash, "another hash when the packet is linear");
	/* A dual-stack listener gets no IPv6 packet with a mapped address: it would be an IPv4 one. */
	if (is_v4 || memcmp(tuple.src.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12))
		check_migration(packet, &tuple, hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_input in = { .next = data, .end = data + size };
	struct sp_fuzz_packet packet = { 0 };
	__u8 bytes[PACKET_MAX], kind = sp_input_value(&in, __u8);

	/* Every packet asks the flow table, which shows the hash. */
	kernel.protocol = SP_UDP;
	kernel.track = SP_TRACK_ALWAYS;
	kernel.hash = SP_HASH_SIPHASH;
	kernel.counter_slots = 1;
	kernel.has_flow = false;
	sp_input_take(&in, kernel.ctl.key, sizeof(kernel.ctl.key));
	packet.kernel_hash = sp_input_value(&in, __u32);
	packet.eth_protocol = kind & 1 ? htons(0x0800) :
			      kind & 2 ? htons(0x86dd) :
					 sp_input_value(&in, __u16);
	/* An IPv4 header may have options, an IPv6 one extensions; or it is cut short. Its length is even, as any is. */
	packet.header_len = kind & 4 ? sp_input_value(&in, __u8) % (PACKET_MAX / 2) & ~1U :
			    kind & 1 ? IPV4_LEN :
				       IPV6_LEN;
	packet.len = packet.header_len + sp_input_value(&in, __u8) % (PACKET_MAX / 2);
	packet.linear_len =
		packet.header_len + sp_input_value(&in, __u8) % (packet.len - packet.header_len + 1);
	sp_input_take(&in, bytes, sizeof(bytes));
	/* Of its very size, so that a byte behind it is seen. */
	packet.network = (const __u8 *)sp_fuzz_bytes(bytes, packet.len);
	check(&packet);
	free((void *)packet.network);
	return 0;
}
