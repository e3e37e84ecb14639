// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The steering program, compiled for this machine, branch by branch: for each one a case that takes it, and all that is
 * counted on the way. scripts/branches.py has the compiler count which branches that are: docs/branches.md.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include "program/world.h"

#define IPV4_LEN 20
#define IPV6_LEN 40

static struct sp_view *const current = &kernel.views[0];
static struct sp_view *const previous = &kernel.views[1];

/* A kernel without bpf_loop(), and one that has it. */
static const bool loops[] = { false, true };

/* --- the way to a slot --- */

static void program__owner_lives__steered(void **state)
{
	(void)state;
	group_of(SP_TCP, 3);
	own_all(current, 2);
	expect(2, "steered");
	kernel.protocol = SP_UDP;
	assert_false(expect(2, "steered").has_asked_flow);
}

static void program__owner_of_a_plain_view_is_dead__next_probe(void **state)
{
	(void)state;
	group_of(SP_TCP, 3);
	own_all(current, 1);
	current->owner[bucket()] = 2;
	close_slot(2);
	assert_int_equal(expect(1, "rerouted, empty").events, 1);
	kernel.protocol = SP_UDP;
	/* Once in each life of a slot. */
	assert_int_equal(expect(1, "rerouted, empty").events, 0);
	kernel.info[2].incarnation++;
	assert_int_equal(expect(1, "rerouted, empty").events, 1);
}

static void program__owner_names_no_slot__next_probe(void **state)
{
	(void)state;
	group_of(SP_TCP, 3);
	own_all(current, 1);
	current->owner[bucket()] = SP_SLOT_NONE;
	expect(1, "rerouted");
	current->kind = SP_VIEW_TABLE;
	expect(1, "rerouted");
}

static void program__owner_is_drained__next_probe(void **state)
{
	(void)state;
	group_of(SP_TCP, 3);
	current->kind = SP_VIEW_TABLE;
	own_all(current, 1);
	current->owner[bucket()] = 2;
	set_usable(current, 2, false);
	expect(1, "rerouted");
	set_usable(current, 2, true);
	expect(2, "steered");
}

static void program__all_probes_fail__scan_for_a_usable_slot(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		group_of(SP_TCP, 4);
		kernel.has_loop = loops[i];
		close_slot(0);
		close_slot(1);
		set_usable(current, 2, false);
		/* Sixteen times slot 0, then slots 0 and 1; slot 2 is not asked. */
		expect(3, "scanned, empty*18");
	}
}

static void program__no_usable_slot_lives__scan_for_any(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		group_of(SP_UDP, 4);
		kernel.has_loop = loops[i];
		current->kind = SP_VIEW_TABLE;
		close_slot(0);
		close_slot(1);
		set_usable(current, 1, false);
		set_usable(current, 2, false);
		set_usable(current, 3, false);
		/* Slots 0 and 3 are usable and dead; of the others slot 1 is, too. */
		close_slot(3);
		set_usable(current, 3, true);
		expect(2, "scanned, empty*19");
	}
}

static void program__nothing_lives__kernel_decides(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		group_of(SP_UDP, 3);
		kernel.has_loop = loops[i];
		close_all();
		kernel.select_err[SP_SLOT_PARK] = 0;
		expect(-1, "unselected, empty*19");
	}
	/* The longest way: a view of all slots. */
	group_of(SP_UDP, SP_SLOTS_MAX);
	close_all();
	expect(-1, "unselected, empty*1040");
}

static void program__view_has_no_slots__kernel_decides(void **state)
{
	(void)state;
	group_of(SP_UDP, 0);
	own_all(current, SP_SLOT_NONE);
	expect(-1, "unselected");
}

static void program__view_is_not_there__kernel_decides(void **state)
{
	(void)state;
	group_of(SP_UDP, 3);
	kernel.ctl.current = SP_VIEWS;
	expect(-1, "unselected");
}

static void program__nothing_of_a_tcp_group_lives__parked(void **state)
{
	(void)state;
	group_of(SP_TCP, 3);
	close_all();
	expect(-1, "unselected, empty*20");
	kernel.select_err[SP_SLOT_PARK] = 0;
	expect(SP_SLOT_PARK, "empty*19, parked");
}

static void program__a_worker_has_the_parking_slot__nothing_is_parked(void **state)
{
	(void)state;
	group_of(SP_TCP, SP_SLOTS_MAX);
	close_all();
	expect(-1, "unselected, empty*1040");
}

/* --- what the kernel says of a slot --- */

static void program__slot_is_refused__counted_by_the_reason(void **state)
{
	static const struct {
		int err;
		const char *counted;
	} refusals[] = {
		{ -ENOENT, "rerouted, empty" },		 { -EBADFD, "rerouted, other_group" },
		{ -EPROTOTYPE, "rerouted, wrong_type" }, { -EAFNOSUPPORT, "rerouted, wrong_type" },
		{ -EINVAL, "rerouted, refused" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		group_of(SP_TCP, 3);
		own_all(current, 1);
		current->owner[bucket()] = 2;
		kernel.select_err[2] = refusals[i].err;
		expect(1, refusals[i].counted);
	}
}

static void program__slot_beyond_the_counters__counted_for_the_group(void **state)
{
	(void)state;
	group_of(SP_TCP, 3);
	kernel.counter_slots = 2;
	own_all(current, 1);
	expect(1, "steered");
	assert_int_equal(kernel.counters[1].steered, 1);
	own_all(current, 2);
	expect(2, "steered");
	assert_int_equal(kernel.counters[2].steered, 1);
}

/* A view of more slots than there are is not published; it would not do harm. */
static void program__slot_beyond_all_is_asked__counted_as_empty(void **state)
{
	(void)state;
	group_of(SP_UDP, 1);
	close_all();
	current->nslots = 2 * SP_SLOTS_MAX;
	scan_from(SP_SLOTS_MAX);
	assert_int_equal(expect(-1, "unselected, empty*1040").events, 1);
}

static void program__event_finds_the_ring_full__counted(void **state)
{
	(void)state;
	group_of(SP_TCP, 3);
	own_all(current, 1);
	current->owner[bucket()] = 2;
	close_slot(2);
	kernel.is_ring_full = true;
	expect(1, "rerouted, empty, events_lost");
}

/* --- UDP flows in moving buckets --- */

/* Slot 0 owns all, slot 1 did before; all buckets are moving and the window is open for 50 more seconds. */
static void learning(void)
{
	group_of(SP_UDP, 3);
	current->kind = previous->kind = SP_VIEW_TABLE;
	current->prev = 1;
	current->learn_until_ns = 100 * SECOND;
	memset(current->moving, 0xff, sizeof(current->moving));
	own_all(previous, 1);
}

static void window_is_over(void)
{
	kernel.now_ns = current->learn_until_ns;
}

static void keep_in(__u32 slot)
{
	kernel.has_flow = true;
	kernel.flow = (struct sp_flow){ .slot = slot, .incarnation = 1, .last_seen_s = 50 };
}

static void program__unknown_flow_in_the_window__learned(void **state)
{
	(void)state;
	learning();
	expect(1, "learned, stored");
	assert_int_equal(kernel.flow.slot, 1);
	expect(1, "kept");
	window_is_over();
	expect(1, "kept");
}

static void program__unknown_flow_after_the_window__goes_by_the_view(void **state)
{
	(void)state;
	learning();
	window_is_over();
	expect(0, "steered");
	assert_false(kernel.has_flow);
}

static void program__both_views_agree__nothing_to_keep(void **state)
{
	(void)state;
	learning();
	own_all(previous, 0);
	expect(0, "steered");
	assert_false(kernel.has_flow);
}

static void program__bucket_is_not_moving__table_is_not_asked(void **state)
{
	(void)state;
	learning();
	memset(current->moving, 0, sizeof(current->moving));
	assert_false(expect(0, "steered").has_asked_flow);
	kernel.protocol = SP_TCP;
	memset(current->moving, 0xff, sizeof(current->moving));
	assert_false(expect(0, "steered").has_asked_flow);
}

/* The probes of the two views may differ. */
static void program__owner_dies_in_the_window__its_flows_are_learned(void **state)
{
	(void)state;
	learning();
	memset(current->moving, 0, sizeof(current->moving));
	own_all(current, 2);
	current->owner[bucket()] = 0;
	close_slot(0);
	expect(1, "learned, empty*2, stored");
	expect(1, "kept, empty");
}

static void program__owner_dies_when_settled__its_flows_are_rerouted(void **state)
{
	(void)state;
	learning();
	memset(current->moving, 0, sizeof(current->moving));
	current->learn_until_ns = 0;
	own_all(current, 2);
	current->owner[bucket()] = 0;
	close_slot(0);
	assert_false(expect(2, "rerouted, empty").has_asked_flow);
}

static void program__owner_before_is_dead__its_heir_before_is_learned(void **state)
{
	(void)state;
	learning();
	own_all(previous, 2);
	previous->owner[bucket()] = 1;
	close_slot(1);
	expect(2, "learned, empty, stored");
}

/* It finds its usable slots only: the others may have joined since. Only the table knows the flow if the view changes. */
static void program__nothing_of_the_view_before_lives__kept_where_it_is(void **state)
{
	(void)state;
	learning();
	set_usable(previous, 0, false);
	set_usable(previous, 2, false);
	close_slot(1);
	expect(0, "steered, empty*17, stored");
	assert_int_equal(kernel.flow.slot, 0);
}

static void program__no_view_before__kept_where_it_is(void **state)
{
	(void)state;
	learning();
	current->prev = SP_VIEW_NONE;
	expect(0, "steered, stored");
}

static void program__attach_in_the_window__flow_stays_where_the_kernel_had_it(void **state)
{
	(void)state;
	learning();
	previous->kind = SP_VIEW_KERNEL;
	previous->owner[(__u64)packet.kernel_hash * previous->nslots >> 32] = 2;
	expect(2, "learned, stored");
	kernel.has_flow = false;
	close_slot(2);
	expect(0, "steered, empty, stored");
	kernel.has_flow = false;
	own_all(previous, SP_SLOT_NONE);
	expect(0, "steered, stored");
}

static void program__table_takes_no_flow__counted(void **state)
{
	(void)state;
	learning();
	kernel.cannot_keep = true;
	expect(1, "learned, keep_failed");
}

static void program__kept_flow_is_heard_again__last_seen_once_a_second(void **state)
{
	(void)state;
	learning();
	keep_in(2);
	expect(2, "kept");
	assert_int_equal(kernel.flow.last_seen_s, 50);
	kernel.now_ns += SECOND;
	expect(2, "kept");
	assert_int_equal(kernel.flow.last_seen_s, 51);
}

static void program__kept_flow_was_silent_for_too_long__placed_anew(void **state)
{
	(void)state;
	learning();
	window_is_over();
	keep_in(2);
	kernel.ctl.flow_idle_s = 50;
	expect(2, "kept");
	keep_in(2);
	kernel.ctl.flow_idle_s = 49;
	expect(0, "steered, expired");
	assert_false(kernel.has_flow);
}

static void program__kept_flows_worker_is_gone__placed_anew(void **state)
{
	(void)state;
	learning();
	window_is_over();
	keep_in(2);
	kernel.info[2].incarnation++;
	expect(0, "steered, stale");
	assert_false(kernel.has_flow);
	keep_in(2);
	kernel.flow.incarnation++;
	kernel.info[2].state = SP_SLOT_EJECTED;
	expect(0, "steered, stale");
	keep_in(1);
	close_slot(1);
	expect(0, "steered, stale, empty");
	keep_in(SP_SLOTS_MAX);
	expect(0, "steered, stale");
}

static void program__orphan_in_the_window__not_led_by_the_view_before(void **state)
{
	(void)state;
	learning();
	keep_in(2);
	close_slot(2);
	expect(0, "steered, stale, empty, stored");
	assert_int_equal(kernel.flow.slot, 0);
}

static void program__orphan_and_nothing_lives__forgotten(void **state)
{
	(void)state;
	learning();
	keep_in(2);
	close_all();
	expect(-1, "unselected, stale, empty*20");
	assert_false(kernel.has_flow);
}

static void program__unknown_flow_and_nothing_lives__kernel_decides(void **state)
{
	(void)state;
	learning();
	window_is_over();
	close_all();
	expect(-1, "unselected, empty*19");
}

static void program__every_flow_is_remembered__also_in_a_plain_view(void **state)
{
	(void)state;
	group_of(SP_UDP, 3);
	kernel.track = SP_TRACK_ALWAYS;
	expect(0, "steered, stored");
	own_all(current, 1);
	expect(0, "kept");
	/* A TCP group has no table, whatever it is loaded with. */
	kernel.protocol = SP_TCP;
	expect(1, "steered");
}

/* --- the flow's four numbers --- */

static const __u8 ipv4_packet[] = {
	[0] = 0x45, [12] = 192, 0, 2, 1, [16] = 198, 51, 100, 7, [20] = 0x12, 0x34, 0x56, 0x78,
};
static const __u8 ipv6_packet[] = {
	[0] = 0x60, [8] = 0x20, 0x01, [23] = 1, [24] = 0x20, 0x02, [39] = 2, [40] = 0x12, 0x34, 0x56, 0x78,
};

/* Every packet asks the flow table, which shows the hash. */
static void group_by_packet(const __u8 *bytes, __u32 header_len)
{
	group_of(SP_UDP, 3);
	kernel.hash = SP_HASH_SIPHASH;
	kernel.track = SP_TRACK_ALWAYS;
	kernel.ctl.key[0] = 1;
	kernel.ctl.key[1] = 2;
	packet.network = bytes;
	packet.header_len = header_len;
	packet.len = packet.linear_len = header_len + 4;
	packet.eth_protocol = htons(header_len == IPV4_LEN ? ETH_P_IP : ETH_P_IPV6);
}

static __u64 hash_of(const __u8 *bytes, __u32 header_len)
{
	struct sp_tuple4 t4;
	struct sp_tuple6 t6;

	if (header_len == IPV4_LEN) {
		memcpy(&t4.src, bytes + 12, sizeof(t4));
		return sp_flow_hash4(kernel.ctl.key, &t4);
	}
	memcpy(&t6.src, bytes + 8, sizeof(t6));
	return sp_flow_hash6(kernel.ctl.key, &t6);
}

static void expect_hashes(const __u8 *bytes, __u32 header_len)
{
	group_by_packet(bytes, header_len);
	assert_true(expect(0, "steered, stored").flow_hash == hash_of(bytes, header_len));
	/* Its ports are in another piece of memory. */
	packet.linear_len = header_len;
	assert_true(expect(0, "kept").flow_hash == hash_of(bytes, header_len));
	/* It ends before its ports. */
	kernel.has_flow = false;
	packet.len = header_len;
	assert_true(expect(0, "steered, unreadable, stored").flow_hash ==
		    sp_flow_hash_kernel(packet.kernel_hash));
	/* It is all ports. */
	kernel.has_flow = false;
	packet.header_len = 0;
	packet.len = packet.linear_len = 4;
	assert_true(expect(0, "steered, unreadable, stored").flow_hash ==
		    sp_flow_hash_kernel(packet.kernel_hash));
}

static void program__ipv4_packet__hashed_as_far_as_it_can_be_read(void **state)
{
	(void)state;
	expect_hashes(ipv4_packet, IPV4_LEN);
}

static void program__ipv6_packet__hashed_as_far_as_it_can_be_read(void **state)
{
	(void)state;
	expect_hashes(ipv6_packet, IPV6_LEN);
}

/* The owner of the bucket of the packet's hash takes it, and nobody else's. */
static void expect_migration_as(const __u8 *bytes, __u32 header_len, struct bpf_sock *moving)
{
	group_by_packet(bytes, header_len);
	kernel.protocol = SP_TCP;
	own_all(current, 1);
	current->owner[sp_bucket(hash_of(bytes, header_len))] = 2;
	moving->src_port = ntohs(*(const __be16 *)(bytes + header_len + 2));
	moving->dst_port = *(const __be16 *)(bytes + header_len);
	packet.migrating = moving;
	expect(2, "migrated");
	packet.migrating = NULL;
	expect(2, "steered");
}

static void program__migration_over_ipv4__hashed_as_its_syn(void **state)
{
	struct bpf_sock moving = { .family = AF_INET };

	(void)state;
	memcpy(&moving.dst_ip4, ipv4_packet + 12, 4);
	memcpy(&moving.src_ip4, ipv4_packet + 16, 4);
	expect_migration_as(ipv4_packet, IPV4_LEN, &moving);
}

static void program__migration_over_ipv6__hashed_as_its_syn(void **state)
{
	static __u8 with_zeros[sizeof(ipv6_packet)];
	struct bpf_sock moving = { .family = AF_INET6 };

	(void)state;
	memcpy(with_zeros, ipv6_packet, sizeof(with_zeros));
	/* Addresses that begin more and more like an IPv4 one. */
	for (int zeros = 0; zeros <= 8; zeros += 4) {
		if (zeros)
			memset(with_zeros + 8 + zeros - 4, 0, 4);
		with_zeros[8 + zeros + 3] = 1;
		memcpy(moving.dst_ip6, with_zeros + 8, 16);
		memcpy(moving.src_ip6, with_zeros + 24, 16);
		expect_migration_as(with_zeros, IPV6_LEN, &moving);
	}
}

static void program__migration_over_ipv4_of_a_dual_stack_listener__hashed_as_its_syn(void **state)
{
	struct bpf_sock moving = { .family = AF_INET6 };

	(void)state;
	moving.dst_ip6[2] = moving.src_ip6[2] = htonl(0xffff);
	memcpy(&moving.dst_ip6[3], ipv4_packet + 12, 4);
	memcpy(&moving.src_ip6[3], ipv4_packet + 16, 4);
	expect_migration_as(ipv4_packet, IPV4_LEN, &moving);
}

static void program__migration_by_the_kernels_hash__hashed_as_its_syn(void **state)
{
	struct bpf_sock moving = { .family = AF_INET };

	(void)state;
	group_of(SP_TCP, 3);
	own_all(current, 1);
	current->owner[bucket()] = 2;
	packet.migrating = &moving;
	expect(2, "migrated");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(program__owner_lives__steered),
		cmocka_unit_test(program__owner_of_a_plain_view_is_dead__next_probe),
		cmocka_unit_test(program__owner_names_no_slot__next_probe),
		cmocka_unit_test(program__owner_is_drained__next_probe),
		cmocka_unit_test(program__all_probes_fail__scan_for_a_usable_slot),
		cmocka_unit_test(program__no_usable_slot_lives__scan_for_any),
		cmocka_unit_test(program__nothing_lives__kernel_decides),
		cmocka_unit_test(program__view_has_no_slots__kernel_decides),
		cmocka_unit_test(program__view_is_not_there__kernel_decides),
		cmocka_unit_test(program__nothing_of_a_tcp_group_lives__parked),
		cmocka_unit_test(program__a_worker_has_the_parking_slot__nothing_is_parked),
		cmocka_unit_test(program__slot_is_refused__counted_by_the_reason),
		cmocka_unit_test(program__slot_beyond_the_counters__counted_for_the_group),
		cmocka_unit_test(program__slot_beyond_all_is_asked__counted_as_empty),
		cmocka_unit_test(program__event_finds_the_ring_full__counted),
		cmocka_unit_test(program__unknown_flow_in_the_window__learned),
		cmocka_unit_test(program__unknown_flow_after_the_window__goes_by_the_view),
		cmocka_unit_test(program__both_views_agree__nothing_to_keep),
		cmocka_unit_test(program__bucket_is_not_moving__table_is_not_asked),
		cmocka_unit_test(program__owner_dies_in_the_window__its_flows_are_learned),
		cmocka_unit_test(program__owner_dies_when_settled__its_flows_are_rerouted),
		cmocka_unit_test(program__owner_before_is_dead__its_heir_before_is_learned),
		cmocka_unit_test(program__nothing_of_the_view_before_lives__kept_where_it_is),
		cmocka_unit_test(program__no_view_before__kept_where_it_is),
		cmocka_unit_test(program__attach_in_the_window__flow_stays_where_the_kernel_had_it),
		cmocka_unit_test(program__table_takes_no_flow__counted),
		cmocka_unit_test(program__kept_flow_is_heard_again__last_seen_once_a_second),
		cmocka_unit_test(program__kept_flow_was_silent_for_too_long__placed_anew),
		cmocka_unit_test(program__kept_flows_worker_is_gone__placed_anew),
		cmocka_unit_test(program__orphan_in_the_window__not_led_by_the_view_before),
		cmocka_unit_test(program__orphan_and_nothing_lives__forgotten),
		cmocka_unit_test(program__unknown_flow_and_nothing_lives__kernel_decides),
		cmocka_unit_test(program__every_flow_is_remembered__also_in_a_plain_view),
		cmocka_unit_test(program__ipv4_packet__hashed_as_far_as_it_can_be_read),
		cmocka_unit_test(program__ipv6_packet__hashed_as_far_as_it_can_be_read),
		cmocka_unit_test(program__migration_over_ipv4__hashed_as_its_syn),
		cmocka_unit_test(program__migration_over_ipv6__hashed_as_its_syn),
		cmocka_unit_test(program__migration_over_ipv4_of_a_dual_stack_listener__hashed_as_its_syn),
		cmocka_unit_test(program__migration_by_the_kernels_hash__hashed_as_its_syn),
	};

	/* One case by itself. */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
