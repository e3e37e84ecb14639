/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Maps and packets with anything in them, for bpf/steer.bpf.c compiled for this machine. The helpers keep the kernel's
 * promises and no more: an index beyond a map finds nothing, bytes beyond a packet cannot be read.
 *
 * The storm's kernel (tests/chaos/pure/kernel.h) is one whose tables a loader has written; this one has no loader.
 */
#ifndef STEADYPORT_TESTS_FUZZ_KERNEL_H
#define STEADYPORT_TESTS_FUZZ_KERNEL_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <steadyport/abi.h>

struct sp_fuzz_packet {
	const __u8 *network; /* the IP header; the transport header follows it */
	__u32 header_len;
	__u32 len; /* of both */
	__u32 linear_len; /* what md->data shows of both; the rest must be asked for. At least header_len */
	__u16 eth_protocol; /* network byte order */
	__u32 kernel_hash;
	struct bpf_sock *migrating; /* NULL: none */
};

#define SP_FUZZ_SOCK 0x10000 /* bytes from one socket to the next; there is none at 0 */

/* The whole state of the world: a run of the program changes it. */
struct sp_fuzz_kernel {
	/* the program's knobs */
	__u32 protocol, hash, track, counter_slots, balance;
	bool has_loop;

	struct sp_ctl ctl;
	struct sp_view views[SP_VIEWS];
	struct sp_info info[SP_SLOTS_MAX];
	struct sp_sock socks[SP_SLOTS_MAX];
	__u32 waiting[SP_SLOTS_MAX]; /* at socket 1 + slot */
	struct sp_active active[SP_SLOTS_MAX];
	bool has_moved; /* the one entry of sp_moved: for the connection that is asked about */
	struct sp_tag moved;
	struct sp_counters counters[SP_SLOTS_MAX + 1];
	int select_err[SP_SLOTS_MAX]; /* what bpf_sk_select_reuseport() says of it; 0: live */
	bool has_flow; /* the one entry of the flow table: for the flow that is asked about, whichever it is */
	struct sp_flow flow;
	__u64 now_ns;
	bool is_ring_full;
	bool cannot_keep; /* neither a flow nor what was moved */
};

struct sp_fuzz_run {
	int selected; /* the slot; -1: none */
	__u32 nselects; /* how often the kernel was asked for a slot */
	bool has_asked_flow, has_stored_flow;
	__u64 flow_hash; /* the key that it was asked for */
	__u32 events;
};

/* Whose maps the helpers look into; a run of the program sets it. */
void sp_fuzz_set(struct sp_fuzz_kernel *kernel);

/* Runs the program for a packet. Its return value must be SK_PASS, and one outcome must have been counted (I8). */
struct sp_fuzz_run sp_fuzz_steer(struct sp_fuzz_kernel *kernel, const struct sp_fuzz_packet *packet);

#endif
