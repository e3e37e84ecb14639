// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The steering program over any views, slots, flow table and time. It must end, select a live slot whenever there is
 * one that it may take (I3), count one outcome (I8), agree with what `where` computes (I7), and put the flow's next
 * packet to the same place.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <steadyport/balance.h>
#include "decide.h"
#include "input.h"
#include "steer/kernel.h"
#include "tuple.h"

/* Both views: the owner, fifteen probes, the scans for usable slots and for others; the kept slot and the parked. */
#define SELECTS_MAX (2 * SP_PROBES + 3 * SP_SLOTS_MAX + 2)

static struct sp_fuzz_kernel kernel;

struct ipv4_packet {
	struct iphdr ip;
	__be16 sport, dport;
};

static void take_view(struct sp_input *in, struct sp_view *view)
{
	static const __u16 masks[] = { 0xffff, SP_SLOTS_MAX - 1, 7, 0 };

	view->kind = sp_input_value(in, __u8) % 4;
	view->prev = sp_input_value(in, __s8);
	view->learn_until_ns = sp_input_value(in, __u64);
	view->nslots = sp_input_value(in, __u8) & 1 ? sp_input_value(in, __u32) :
						      sp_input_value(in, __u16) % (SP_SLOTS_MAX + 2);
	sp_input_fill(in, view->usable, sizeof(view->usable), 0xffff);
	sp_input_fill(in, view->moving, sizeof(view->moving), 0xffff);
	sp_input_fill(in, view->owner, sizeof(view->owner), masks[sp_input_value(in, __u8) % 4]);
}

static void take_slots(struct sp_input *in)
{
	static const int errors[] = { 0, -ENOENT, -EBADFD, -EPROTOTYPE, -EAFNOSUPPORT, -EINVAL, 0, -ENOENT };
	__u8 select[SP_SLOTS_MAX], state[SP_SLOTS_MAX], life[SP_SLOTS_MAX];

	sp_input_fill(in, select, sizeof(select), 0xffff);
	sp_input_fill(in, state, sizeof(state), 0xffff);
	sp_input_fill(in, life, sizeof(life), 0xffff);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		kernel.select_err[s] = errors[select[s] % 8];
		kernel.info[s] = (struct sp_info){ .state = state[s] % 8,
						   .incarnation = life[s],
						   .empty_seen = life[s] / 2 };
	}
}

static void take_kernel(struct sp_input *in)
{
	kernel.protocol = sp_input_value(in, __u8) & 1 ? SP_UDP : SP_TCP;
	kernel.hash = sp_input_value(in, __u8) % 2;
	kernel.track = sp_input_value(in, __u8) % 3;
	kernel.counter_slots = sp_input_value(in, __u16) % (SP_SLOTS_MAX + 1);
	kernel.ctl = (struct sp_ctl){ .current = sp_input_value(in, __u8),
				      .protocol = kernel.protocol,
				      .hash = kernel.hash,
				      .track = kernel.track };
	/* Rarely a view that is not there: the loader cannot publish one. */
	if (kernel.ctl.current < 250)
		kernel.ctl.current %= SP_VIEWS;
	sp_input_take(in, kernel.ctl.key, sizeof(kernel.ctl.key));
	kernel.ctl.flow_idle_s = sp_input_value(in, __u16);
	kernel.now_ns = sp_input_value(in, __u64);
	kernel.is_ring_full = sp_input_value(in, __u8) & 1;
	kernel.cannot_keep = sp_input_value(in, __u8) % 8 == 1;
	kernel.has_flow = sp_input_value(in, __u8) & 1;
	sp_input_take(in, &kernel.flow, sizeof(kernel.flow));
	take_slots(in);
	for (__u32 v = 0; v < SP_VIEWS; v++)
		take_view(in, &kernel.views[v]);
}

/* What is left of the input. Without any the group is steered by the hash. */
static void take_loads(struct sp_input *in)
{
	__u8 waiting[SP_SLOTS_MAX];

	kernel.balance = sp_input_value(in, __u8) & 1;
	sp_input_fill(in, waiting, sizeof(waiting), 0xffff);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		kernel.info[s].weight = 1 + s % 3;
		kernel.waiting[s] = waiting[s] >> 4;
		kernel.socks[s] = (struct sp_sock){ .address = waiting[s] & 1 ? (1 + s) * SP_FUZZ_SOCK : 0,
						    .incarnation = kernel.info[s].incarnation };
	}
}

static bool is_live(__u32 slot)
{
	return !kernel.select_err[slot];
}

/* A slot that every packet may be given to, or -1. A view of more slots than there are is not scanned to its end. */
static int find_live(void)
{
	const struct sp_view *view = &kernel.views[kernel.ctl.current];

	for (__u32 s = 0; s < view->nslots && view->nslots <= SP_SLOTS_MAX; s++)
		if (is_live(s))
			return s;
	return kernel.protocol == SP_TCP && view->nslots <= SP_SLOT_PARK && is_live(SP_SLOT_PARK) ?
		       SP_SLOT_PARK :
		       -1;
}

/* What `where` computes of the same tables. */
static int decide(__u64 hash, __u32 kernel_hash)
{
	static __u64 cookie[SP_SLOTS_MAX];
	struct sp_state state = {
		.ctl = kernel.ctl, .views = kernel.views, .info = kernel.info, .cookie = cookie
	};
	const struct sp_view *previous;
	struct sp_decision decision;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		cookie[s] = is_live(s);
	decision = sp_decide(&state, kernel.now_ns, kernel.has_flow ? &kernel.flow : NULL, hash, -1);
	previous = sp_state_previous(&state, kernel.now_ns);
	if (decision.follows_kernel) {
		__u32 owner = previous->owner[((__u64)kernel_hash * previous->nslots >> 32) & SP_BUCKET_MASK];

		if (owner < SP_SLOTS_MAX && is_live(owner))
			return owner;
	}
	return decision.slot;
}

static void check_stored(const struct sp_fuzz_run *run)
{
	if (!run->has_stored_flow)
		return;
	sp_must(kernel.flow.slot == run->selected, "slot %d was selected, slot %u is kept", run->selected,
		kernel.flow.slot);
	sp_must(kernel.flow.incarnation == kernel.info[run->selected].incarnation, "kept for another worker");
}

/* Half of what the program adds up. */
static __u64 load_of(__u32 slot)
{
	return sp_load(kernel.waiting[slot], kernel.info[slot].weight);
}

/* Elsewhere than the hash says only where less waits, and only by those that take what is new. */
static void check_placed(const struct sp_fuzz_run *run, int expected)
{
	const struct sp_view *view;

	if (run->selected == expected)
		return;
	sp_must(expected >= 0 && run->selected >= 0, "slot %d was selected, `where` says %d", run->selected,
		expected);
	view = &kernel.views[kernel.ctl.current];
	sp_must(sp_is_usable(view, run->selected) && sp_is_usable(view, expected),
		"slot %d was preferred to slot %d, and not both take what is new", run->selected, expected);
	sp_must(load_of(run->selected) < load_of(expected),
		"slot %d was preferred to slot %d, which has no more", run->selected, expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_input in = { .next = data, .end = data + size };
	struct ipv4_packet bytes = { .ip.ihl = 5, .ip.version = 4 };
	struct sp_fuzz_packet packet = {
		.network = (const __u8 *)&bytes,
		.header_len = sizeof(bytes.ip),
		.len = sizeof(bytes),
		.linear_len = sizeof(bytes),
		.eth_protocol = htons(0x0800),
	};
	struct sp_tuple tuple = { .src.family = AF_INET, .dst.family = AF_INET };
	bool is_published;
	struct sp_fuzz_run run, next;
	int expected = -1;
	__u64 hash;

	sp_input_take(&in, &bytes.sport, 4);
	sp_input_take(&in, &bytes.ip.saddr, 4);
	packet.kernel_hash = sp_input_value(&in, __u32);
	take_kernel(&in);
	take_loads(&in);
	tuple.sport = ntohs(bytes.sport);
	tuple.dport = ntohs(bytes.dport);
	memcpy(tuple.src.bytes, &bytes.ip.saddr, 4);
	hash = kernel.hash == SP_HASH_KERNEL ? sp_flow_hash_kernel(packet.kernel_hash) :
					       sp_tuple_hash(&tuple, kernel.ctl.key);
	is_published = kernel.ctl.current < SP_VIEWS;
	if (is_published)
		expected = decide(hash, packet.kernel_hash);

	run = sp_fuzz_steer(&kernel, &packet);
	sp_must(run.nselects <= SELECTS_MAX, "the kernel was asked %u times", run.nselects);
	sp_must(!run.has_asked_flow || run.flow_hash == hash, "the flow table is asked for another flow");
	if (kernel.balance == SP_BALANCE_HASH || kernel.protocol == SP_UDP)
		sp_must(run.selected == expected, "I7: slot %d was selected, `where` says %d", run.selected,
			expected);
	else
		check_placed(&run, expected);
	sp_must(run.selected >= 0 || !is_published || find_live() < 0,
		"I3: nothing selected, slot %d is live", find_live());
	check_stored(&run);

	next = sp_fuzz_steer(&kernel, &packet);
	/* What cannot be remembered, and who is to be left, may move; who found nobody may find somebody. */
	if (run.selected >= 0 && kernel.balance == SP_BALANCE_HASH && !kernel.cannot_keep &&
	    kernel.info[run.selected].state != SP_SLOT_EJECTED)
		sp_must(next.selected == run.selected, "I1: slot %d, and slot %d for the next packet",
			run.selected, next.selected);
	check_stored(&next);
	return 0;
}
