// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What TCP has besides: placement by load, connections that leave a closed listener, and the program that counts
 * connections. As program_test.c, branch by branch.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include "program/world.h"

/* Of vmlinux.h, which cannot be included beside libc's headers: as much as the programs look at. */
struct sock {
	struct {
		__be32 skc_rcv_saddr;
		__u16 skc_num;
		unsigned short skc_family;
		volatile unsigned char skc_state;
	} __sk_common;
};

struct bpf_iter__bpf_sk_storage_map {
	void *meta, *map;
	struct sock *sk;
	void *value;
};

/* bpf/count.bpf.c */
int sp_count(__u64 *args);
int sp_recount(struct bpf_iter__bpf_sk_storage_map *ctx);
void *bpf_sk_storage_get(void *map, void *sk, void *value, __u64 flags);

enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_RECV = 3,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LISTEN = 10,
};

static struct sp_view *const current = &kernel.views[0];

/* --- placement by load --- */

/* Slot 0 is the hash's choice; in front of each slot so many connections wait. */
static void group_with(enum sp_balance balance, const __u32 *waiting, __u32 nslots)
{
	group_of(SP_TCP, nslots);
	kernel.balance = balance;
	for (__u32 s = 0; s < nslots; s++) {
		kernel.waiting[s] = waiting[s];
		kernel.socks[s] = (struct sp_sock){ .address = (1ULL + s) * SP_FUZZ_SOCK, .incarnation = 1 };
	}
}

static void balance__another_has_less__placed(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 5, 4, 2, 3 }, 4);
	expect(2, "placed");
	/* For its weight. */
	kernel.info[0].weight = 10 * SP_WEIGHT_DEFAULT;
	expect(0, "steered");
}

static void balance__nobody_has_less__stays(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 2, 2, 3 }, 3);
	expect(0, "steered");
}

static void balance__own_choice_has_nothing_to_do__nobody_is_looked_at(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 0, 0, 0 }, 3);
	expect(0, "steered");
}

static void balance__udp_group__goes_by_the_hash(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 5, 0, 0 }, 3);
	kernel.protocol = SP_UDP;
	expect(0, "steered");
}

static void balance__owner_is_dead__its_heir_is_compared(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 0, 5, 4 }, 3);
	own_all(current, 1);
	current->owner[bucket()] = 0;
	close_slot(0);
	expect(2, "empty, placed");
	kernel.waiting[2] = 6;
	expect(1, "rerouted, empty");
}

static void balance__nothing_lives__kernel_decides(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 5, 1, 1 }, 3);
	close_all();
	expect(-1, "unselected, empty*20");
}

static void balance__load_is_not_known__left_out(void **state)
{
	(void)state;
	/* Of others */
	for (int why = 0; why < 4; why++) {
		group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 5, 1 }, 2);
		if (why == 0)
			kernel.socks[1].address = 0;
		else if (why == 1)
			kernel.socks[1].incarnation = 2;
		else if (why == 2)
			kernel.info[1].empty_seen = 1;
		else
			kernel.info[1].weight = 0;
		expect(0, "steered");
	}
	/* Of the own choice */
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 5, 1 }, 2);
	kernel.socks[0].address = 0;
	expect(0, "steered");
}

static void balance__slot_is_drained__it_gets_nothing(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 5, 1, 2 }, 3);
	current->kind = SP_VIEW_TABLE;
	set_usable(current, 1, false);
	expect(2, "placed");
	/* The last resort is not compared: whoever takes new connections is dead. */
	set_usable(current, 0, false);
	set_usable(current, 2, false);
	expect(0, "scanned");
}

static void balance__least_loaded_has_just_died__the_next_one(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 5, 0, 2 }, 3);
	close_slot(1);
	expect(2, "empty, placed");
	/* From now on its end is known. */
	expect(2, "placed");
}

static void balance__two_have_just_died__stays(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 5, 0, 1, 2 }, 4);
	close_slot(1);
	close_slot(2);
	expect(0, "steered, empty*2");
}

static void balance__more_than_any_queue_holds__counts_as_the_most(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_QUEUE, (__u32[]){ 0x40000000, 0x20000000, 0x30000000 }, 3);
	expect(0, "steered");
	kernel.waiting[1] = 7;
	expect(1, "placed");
}

/* A group of more slots than are looked at: what the probes name. */
static void balance__large_group__a_sample_is_compared(void **state)
{
	static __u32 waiting[100];

	(void)state;
	for (__u32 s = 0; s < 100; s++)
		waiting[s] = 5;
	waiting[99] = 1;
	group_with(SP_BALANCE_LEAST_QUEUE, waiting, 100);
	expect(0, "steered");
	own_all(current, 99);
	current->owner[bucket()] = 0;
	expect(99, "placed");
}

static void balance__least_conn__by_what_is_open(void **state)
{
	(void)state;
	group_with(SP_BALANCE_LEAST_CONN, (__u32[]){ 0, 0, 1 }, 3);
	kernel.active[0].tally[0] = 9;
	kernel.active[1].tally[0] = 8;
	kernel.active[2].tally[0] = 6;
	expect(2, "placed");
	/* One below nothing for a moment. */
	kernel.active[0].tally[0] = -1;
	expect(0, "steered");
}

/* --- a connection that leaves a closed listener --- */

static struct bpf_sock moving;

static void group_without_listener(enum sp_balance balance)
{
	group_with(balance, (__u32[]){ 2, 1, 0 }, 3);
	moving = (struct bpf_sock){ .family = AF_INET, .state = TCP_ESTABLISHED };
	packet.migrating = &moving;
}

static void migration__a_listener_lives__migrated(void **state)
{
	(void)state;
	group_without_listener(SP_BALANCE_HASH);
	assert_int_equal(expect(0, "migrated").events, 1);
	kernel.is_ring_full = true;
	expect(0, "migrated, events_lost");
}

static void migration__none_lives__kernel_decides(void **state)
{
	(void)state;
	group_without_listener(SP_BALANCE_HASH);
	close_all();
	expect(-1, "unselected, empty*20");
}

static void migration__least_queue__goes_where_less_waits(void **state)
{
	(void)state;
	group_without_listener(SP_BALANCE_LEAST_QUEUE);
	expect(2, "migrated");
	assert_false(kernel.has_moved);
}

static void migration__least_conn__counted_where_it_goes(void **state)
{
	static const __u32 states[] = { TCP_ESTABLISHED, TCP_CLOSE_WAIT };

	(void)state;
	for (int i = 0; i < 2; i++) {
		group_without_listener(SP_BALANCE_LEAST_CONN);
		moving.state = states[i];
		expect(2, "migrated");
		assert_true(kernel.has_moved);
		assert_int_equal(kernel.moved.slot, 2);
		assert_int_equal(kernel.moved.worker, kernel.info[2].cookie);
		assert_int_equal(kernel.active[2].tally[0], 1);
	}
}

/* It becomes a connection only at its new listener. */
static void migration__half_open__not_counted_yet(void **state)
{
	(void)state;
	group_without_listener(SP_BALANCE_LEAST_CONN);
	moving.state = TCP_SYN_RECV;
	expect(2, "migrated");
	assert_false(kernel.has_moved);
	assert_int_equal(kernel.active[2].tally[0], 0);
}

/* Or its end would be taken from somebody who never had it. */
static void migration__cannot_be_remembered__not_counted(void **state)
{
	(void)state;
	group_without_listener(SP_BALANCE_LEAST_CONN);
	kernel.cannot_keep = true;
	expect(2, "migrated");
	assert_int_equal(kernel.active[2].tally[0], 0);
}

/* --- the count of connections --- */

static struct sp_tag tag, *tag_of_socket;

void *bpf_sk_storage_get(void *map, void *sk, void *value, __u64 flags)
{
	(void)map;
	(void)sk;
	assert_null(value);
	assert_int_equal(flags, 0);
	return tag_of_socket;
}

/* A connection made from the listener of slot 1, which has 5 of them; slot 2 has as many. */
static void connection(void)
{
	group_of(SP_TCP, 3);
	sp_fuzz_set(&kernel);
	kernel.active[1].tally[0] = kernel.active[2].tally[0] = 5;
	tag = (struct sp_tag){ .worker = kernel.info[1].cookie, .slot = 1 };
	tag_of_socket = &tag;
}

static void expect_active_from(__u32 before, __u32 state, __u32 of_1, __u32 of_2)
{
	__u64 args[] = { 0x1000, before, state };

	assert_int_equal(sp_count(args), 0);
	assert_int_equal(kernel.active[1].tally[0], of_1);
	assert_int_equal(kernel.active[2].tally[0], of_2);
}

static void expect_active(__u32 state, __u32 of_1, __u32 of_2)
{
	expect_active_from(0, state, of_1, of_2);
}

static void count__connection_opens_and_closes__up_and_down_once(void **state)
{
	(void)state;
	connection();
	expect_active(TCP_SYN_RECV, 5, 5);
	expect_active(TCP_ESTABLISHED, 6, 5);
	expect_active(TCP_CLOSE_WAIT, 6, 5);
	expect_active(TCP_CLOSE, 5, 5);
	expect_active(TCP_CLOSE, 5, 5);
}

/* The program was not there when it opened. And it comes into no tally any more. */
static void count__opened_unseen__its_end_takes_nothing_away(void **state)
{
	(void)state;
	connection();
	expect_active_from(TCP_ESTABLISHED, TCP_CLOSE, 5, 5);
	assert_int_equal(tag.counted, SP_TAG_ENDED);
}

static void count__socket_of_others__not_counted(void **state)
{
	(void)state;
	connection();
	tag_of_socket = NULL;
	expect_active(TCP_ESTABLISHED, 5, 5);
}

static void count__worker_has_left_its_slot__its_successor_starts_at_0(void **state)
{
	(void)state;
	connection();
	expect_active(TCP_ESTABLISHED, 6, 5);
	kernel.info[1].cookie++;
	kernel.active[1].tally[0] = 0;
	expect_active(TCP_CLOSE, 0, 5);
}

static void count__connection_was_moved__taken_from_where_it_went(void **state)
{
	(void)state;
	connection();
	tag.counted = SP_TAG_IN(0);
	kernel.info[1].cookie++; /* its listener was closed */
	kernel.has_moved = true;
	kernel.moved = (struct sp_tag){ .worker = kernel.info[2].cookie, .slot = 2, .counted = SP_TAG_IN(0) };
	expect_active(TCP_CLOSE, 5, 4);
	assert_false(kernel.has_moved);
}

/* --- counted again --- */

/* What the iterator says of the connection, with the other tally in force. */
static void expect_recount(__u32 state, __u32 in_old, __u32 in_new)
{
	struct sock sk = { .__sk_common.skc_state = state };
	struct bpf_iter__bpf_sk_storage_map ctx = { .sk = &sk, .value = tag_of_socket };

	kernel.ctl.tally = 1;
	assert_int_equal(sp_recount(&ctx), 0);
	assert_int_equal(kernel.active[1].tally[0], in_old);
	assert_int_equal(kernel.active[1].tally[1], in_new);
}

static void recount__open_and_counted__taken_over_once(void **state)
{
	(void)state;
	connection();
	tag.counted = SP_TAG_IN(0);
	expect_recount(TCP_ESTABLISHED, 4, 1);
	expect_recount(TCP_ESTABLISHED, 4, 1);
	assert_int_equal(tag.counted, SP_TAG_IN(1));
}

static void recount__open_and_never_seen__counted(void **state)
{
	(void)state;
	connection();
	expect_recount(TCP_CLOSE_WAIT, 5, 1);
}

/* The tracepoint comes before the state is stored. */
static void recount__about_to_open__only_if_it_was_counted(void **state)
{
	(void)state;
	connection();
	expect_recount(TCP_SYN_RECV, 5, 0);
	tag.counted = SP_TAG_IN(0);
	expect_recount(TCP_SYN_RECV, 4, 1);
}

static void recount__ended_unseen__taken_away_once(void **state)
{
	(void)state;
	connection();
	tag.counted = SP_TAG_IN(0);
	expect_recount(TCP_CLOSE, 4, 0);
	expect_recount(TCP_CLOSE, 4, 0);
	assert_int_equal(tag.counted, SP_TAG_ENDED);
	/* About to end: its state is not stored yet. */
	expect_recount(TCP_ESTABLISHED, 4, 0);
}

static void recount__listener_and_no_tag__left_alone(void **state)
{
	struct bpf_iter__bpf_sk_storage_map end = { .sk = NULL };

	(void)state;
	connection();
	expect_recount(TCP_LISTEN, 5, 0);
	tag_of_socket = NULL;
	expect_recount(TCP_ESTABLISHED, 5, 0);
	/* After the last one. */
	assert_int_equal(sp_recount(&end), 0);
}

static void recount__connection_was_moved__taken_over_where_it_went(void **state)
{
	(void)state;
	connection();
	tag.counted = SP_TAG_IN(0);
	kernel.info[1].cookie++;
	kernel.has_moved = true;
	kernel.moved = (struct sp_tag){ .worker = kernel.info[2].cookie, .slot = 2, .counted = SP_TAG_IN(0) };
	expect_recount(TCP_ESTABLISHED, 5, 0);
	assert_int_equal(kernel.active[2].tally[0], 4);
	assert_int_equal(kernel.active[2].tally[1], 1);
	assert_int_equal(tag.counted, SP_TAG_ENDED);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(balance__another_has_less__placed),
		cmocka_unit_test(balance__nobody_has_less__stays),
		cmocka_unit_test(balance__own_choice_has_nothing_to_do__nobody_is_looked_at),
		cmocka_unit_test(balance__udp_group__goes_by_the_hash),
		cmocka_unit_test(balance__owner_is_dead__its_heir_is_compared),
		cmocka_unit_test(balance__nothing_lives__kernel_decides),
		cmocka_unit_test(balance__load_is_not_known__left_out),
		cmocka_unit_test(balance__slot_is_drained__it_gets_nothing),
		cmocka_unit_test(balance__least_loaded_has_just_died__the_next_one),
		cmocka_unit_test(balance__two_have_just_died__stays),
		cmocka_unit_test(balance__more_than_any_queue_holds__counts_as_the_most),
		cmocka_unit_test(balance__large_group__a_sample_is_compared),
		cmocka_unit_test(balance__least_conn__by_what_is_open),
		cmocka_unit_test(migration__a_listener_lives__migrated),
		cmocka_unit_test(migration__none_lives__kernel_decides),
		cmocka_unit_test(migration__least_queue__goes_where_less_waits),
		cmocka_unit_test(migration__least_conn__counted_where_it_goes),
		cmocka_unit_test(migration__half_open__not_counted_yet),
		cmocka_unit_test(migration__cannot_be_remembered__not_counted),
		cmocka_unit_test(count__connection_opens_and_closes__up_and_down_once),
		cmocka_unit_test(count__opened_unseen__its_end_takes_nothing_away),
		cmocka_unit_test(count__socket_of_others__not_counted),
		cmocka_unit_test(count__worker_has_left_its_slot__its_successor_starts_at_0),
		cmocka_unit_test(count__connection_was_moved__taken_from_where_it_went),
		cmocka_unit_test(recount__open_and_counted__taken_over_once),
		cmocka_unit_test(recount__open_and_never_seen__counted),
		cmocka_unit_test(recount__about_to_open__only_if_it_was_counted),
		cmocka_unit_test(recount__ended_unseen__taken_away_once),
		cmocka_unit_test(recount__listener_and_no_tag__left_alone),
		cmocka_unit_test(recount__connection_was_moved__taken_over_where_it_went),
	};

	/* One case by itself. */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
