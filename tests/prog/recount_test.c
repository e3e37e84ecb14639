// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections that are counted wrong, because nobody counted for a while or somebody wrote, and are counted again. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "active.h"
#include "fixture.h"
#include "kernel.h"
#include "knock.h"
#include "recount.h"
#include "steered.h"
#include "tags.h"
#include "uncount.h"

#define WORKERS 4
#define EACH 10
#define PER_S 1000
#define ROUNDS 20

static struct sp_knocker knocker;

/* As `steadyport sync` does it. */
static void sync_group(struct sp_fixture *fx)
{
	const struct sp_reconcile_options options = { .may_be_partial = true, .counts_again = true };

	require_ok(sp_steered_reconcile(SP_FIXTURE_BPFFS, &fx->pins, &options, &fx->result));
	require_ok(fx->result.count_err);
	sp_fixture_look(fx);
}

static void require_each(struct sp_fixture *fx, __u32 expected)
{
	for (__u32 id = 0; id < WORKERS; id++)
		sp_active_require(fx, id, expected);
}

static void write_active(struct sp_fixture *fx, __u32 slot, __u32 tally, __u32 connections)
{
	struct sp_active active;

	assert_int_equal(bpf_map_lookup_elem(fx->pins.active, &slot, &active), 0);
	active.tally[tally] = connections;
	assert_int_equal(bpf_map_update_elem(fx->pins.active, &slot, &active, BPF_ANY), 0);
}

static void remove_pin(const char *pin)
{
	char path[128];

	snprintf(path, sizeof(path), SP_FIXTURE_BPFFS "/steadyport/" SP_FIXTURE_NAME "/%s", pin);
	assert_int_equal(unlink(path), 0);
}

/* The fixture holds what it has loaded. */
static void remove_links(struct sp_fixture *fx)
{
	sp_close_fd(&fx->pins.count);
	sp_close_fd(&fx->pins.recount);
	sp_uncount(SP_FIXTURE_BPFFS "/steadyport/" SP_FIXTURE_NAME "/" SP_PIN_COUNT);
}

static __u32 count_moved(const struct sp_fixture *fx)
{
	__u64 cookie, *at = NULL;
	__u32 count = 0;

	for (; !bpf_map_get_next_key(fx->pins.moved, at, &cookie); at = &cookie)
		count++;
	return count;
}

static void recount__nothing_is_wrong__nothing_changes(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	sp_active_open(fx, WORKERS * EACH);
	for (int i = 0; i < 3; i++) {
		sync_group(fx);
		assert_int_equal(fx->result.corrected, 0);
		assert_false(fx->result.did_restart);
		require_each(fx, EACH);
	}
}

static void recount__counts_are_falsified__they_are_right_again(struct sp_fixture *fx)
{
	static const struct {
		__u32 slot, connections, wrong_by;
	} cases[] = { { 0, EACH + 5, 5 }, { 1, 0, EACH }, { 2, ~0U - 6, EACH + 7 }, { WORKERS, 3, 3 } };
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	set = sp_active_open(fx, WORKERS * EACH);
	/* A client is ahead of its last ACK, and what counts then comes on top of what is written. */
	require_each(fx, EACH);
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		write_active(fx, cases[i].slot, fx->state->ctl.tally, cases[i].connections);
		sync_group(fx);
		assert_int_equal(fx->result.corrected, cases[i].wrong_by);
		require_each(fx, EACH);
		/* That in which nothing is counted now. */
		write_active(fx, cases[i].slot, !fx->state->ctl.tally, cases[i].connections);
		sync_group(fx);
		assert_int_equal(fx->result.corrected, (__u32)abs((__s32)cases[i].connections));
		require_each(fx, EACH);
	}
	assert_int_equal(sp_tags_active(&fx->pins, WORKERS), 0);
	sp_active_end(fx, set);
	require_each(fx, 0);
}

/* Some end meanwhile, some come, and some are there all the time. */
static void recount__nobody_counted_for_a_while__it_goes_on_with_what_is_there(struct sp_fixture *fx)
{
	struct sp_flow_set *ended, *kept, *late;
	__u32 has[WORKERS];

	sp_fixture_attach(fx);
	ended = sp_active_open(fx, WORKERS * EACH);
	kept = sp_active_open(fx, WORKERS * EACH);
	require_each(fx, 2 * EACH);
	remove_links(fx);
	late = sp_active_open(fx, WORKERS * EACH);
	sp_active_end(fx, ended);
	require_each(fx, 2 * EACH);

	sync_group(fx);
	assert_true(fx->result.did_restart);
	assert_int_equal(fx->result.corrected, WORKERS * EACH);
	for (__u32 id = 0; id < WORKERS; id++)
		has[id] = sp_tags_active(&fx->pins, sp_fixture_slot(fx, id));
	sp_active_end(fx, late);
	for (__u32 id = 0; id < WORKERS; id++)
		assert_int_equal(has[id], EACH + sp_fixture_count(late, id));
	require_each(fx, EACH);
	sp_active_end(fx, kept);
	require_each(fx, 0);
	sync_group(fx);
	assert_int_equal(fx->result.corrected, 0);
	assert_false(fx->result.did_restart);
}

/* What waited in a listener that was closed, and ended when nobody counted. */
static void recount__moved_connections_end_unseen__nothing_of_them_is_left(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, WORKERS * EACH);
	sp_fixture_kill(fx, WORKERS - 1);
	assert_int_equal(count_moved(fx), EACH);
	sync_group(fx);
	assert_int_equal(count_moved(fx), EACH);
	assert_int_equal(fx->result.corrected, 0);
	remove_links(fx);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	sync_group(fx);
	assert_true(fx->result.did_restart);
	/* The dead worker's went with it. */
	assert_in_range(fx->result.corrected, WORKERS * EACH, WORKERS * EACH + EACH);
	assert_int_equal(count_moved(fx), 0);
	for (__u32 id = 0; id < WORKERS - 1; id++)
		sp_active_require(fx, id, 0);
}

/* Both links, or one of them, as a hand or a command that was killed has left them. */
static void recount__one_link_is_missing__both_are_there_again(struct sp_fixture *fx)
{
	static const char *const pins[] = { SP_PIN_COUNT, SP_PIN_RECOUNT };

	sp_fixture_attach(fx);
	sp_active_open(fx, WORKERS * EACH);
	for (size_t i = 0; i < SP_ARRAY_SIZE(pins); i++) {
		remove_pin(pins[i]);
		assert_false(sp_pin_has_links(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
		sync_group(fx);
		assert_true(fx->result.did_restart);
		assert_true(sp_pin_has_links(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
		require_each(fx, EACH);
	}
}

/* Killed when it had turned to the other tally and taken some over: here, all, by one who reads the link. */
static void
recount__killed_before_it_was_done__the_sum_holds_and_the_next_one_completes_it(struct sp_fixture *fx)
{
	struct sp_flow_set *first, *second;
	struct sp_ctl *ctl;

	sp_fixture_attach(fx);
	first = sp_active_open(fx, WORKERS * EACH);
	require_ok(sp_state_map_ctl(&fx->pins, &ctl));
	ctl->tally = !ctl->tally;
	sp_state_unmap_ctl(ctl);
	second = sp_active_open(fx, WORKERS * EACH);
	require_each(fx, 2 * EACH);
	sp_fixture_look(fx);
	write_active(fx, 0, !fx->state->ctl.tally, 2 * EACH);
	sync_group(fx);
	assert_int_equal(fx->result.corrected, EACH);
	require_each(fx, 2 * EACH);
	sp_active_end(fx, first);
	sp_active_end(fx, second);
	require_each(fx, 0);
}

/* By `least-conn`, another balance, and `least-conn` again: those that are open since the first time count. */
static void recount__balance_was_another_meanwhile__those_from_before_count(struct sp_fixture *fx)
{
	static const enum sp_balance balances[] = { SP_BALANCE_HASH, SP_BALANCE_LEAST_CONN };
	struct sp_flow_set *ended, *kept;

	sp_fixture_attach(fx);
	ended = sp_active_open(fx, WORKERS * EACH);
	kept = sp_active_open(fx, WORKERS * EACH);
	for (size_t i = 0; i < SP_ARRAY_SIZE(balances); i++) {
		sp_autogroups struct sp_groups *groups = NULL;

		require_ok(sp_members_scan(0, &groups));
		require_ok(sp_steered_balance(SP_FIXTURE_BPFFS, &fx->pins, balances[i], groups));
		if (balances[i] == SP_BALANCE_HASH)
			sp_active_end(fx, ended);
		sp_fixture_look(fx);
	}
	require_each(fx, EACH);
	sp_active_end(fx, kept);
	require_each(fx, 0);
	/* The meter of the fixture has the runs of the last program only. */
	sp_pins_close(&fx->pins);
}

/*
 * Connections open and end all the time, and some are open all the time. What is wrong is found to the last one, and where
 * nothing is, nothing is found: no connection was counted twice or not at all because it was counted again just then.
 */
static void recount__under_traffic__exactly_what_is_wrong_is_corrected(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	struct sp_active *active;

	sp_fixture_attach(fx);
	active = mmap(NULL, SP_SLOTS_MAX * sizeof(*active), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fx->pins.active, 0);
	assert_true(active != MAP_FAILED);
	set = sp_active_open(fx, WORKERS * EACH);
	sp_knock_start(&knocker, &fx->target, fx->port, PER_S);
	for (__u32 i = 0; i < ROUNDS; i++) {
		__u32 wrong = i % 2 * (i + 1), corrected;

		sp_knock_wait(&knocker, PER_S / 20);
		sp_fixture_look(fx);
		__atomic_fetch_add(&active[i % WORKERS].tally[fx->state->ctl.tally], wrong, __ATOMIC_RELAXED);
		require_ok(sp_recount(SP_FIXTURE_BPFFS, &fx->pins, &corrected));
		assert_int_equal(corrected, wrong);
	}
	munmap(active, SP_SLOTS_MAX * sizeof(*active));
	sp_knock_stop(&knocker);
	assert_int_equal(knocker.seen->answered, knocker.seen->asked);
	sp_knock_free(&knocker);
	require_each(fx, EACH);
	sp_active_end(fx, set);
	require_each(fx, 0);
}

/* --- a program under way on another CPU, which takes as long as the grace period that waits for it --- */

static struct {
	unsigned int nwaits; /* that many grace periods, and it does the rest of its work in the last one */
	void (*do_rest)(void);
	struct sp_fixture *fx;
	int socket; /* an end of a connection, with a tag of worker 0 */
	__u32 tally; /* in force when it began */
} late;

int __wrap_sp_kernel_wait_readers(void);
int __real_sp_kernel_wait_readers(void);

int __wrap_sp_kernel_wait_readers(void)
{
	if (late.nwaits && --late.nwaits == 0)
		late.do_rest();
	return __real_sp_kernel_wait_readers();
}

static void late_tag(__u32 counted)
{
	const struct sp_tag tag = {
		.worker = late.fx->workers[0].cookie,
		.slot = sp_fixture_slot(late.fx, 0),
		.counted = counted,
	};

	assert_int_equal(bpf_map_update_elem(late.fx->pins.tags, &late.socket, &tag, BPF_ANY), 0);
}

static void late_change(__s32 change)
{
	__u32 slot = sp_fixture_slot(late.fx, 0);
	struct sp_active active;

	assert_int_equal(bpf_map_lookup_elem(late.fx->pins.active, &slot, &active), 0);
	write_active(late.fx, slot, late.tally, active.tally[late.tally] + change);
}

static void late_begin(struct sp_fixture *fx, const struct sp_flow_set *set)
{
	late.fx = fx;
	late.socket = set->lab.fds[0];
	late.tally = fx->state->ctl.tally;
}

static void late_recount(unsigned int nwaits, void (*do_rest)(void))
{
	__u32 corrected;

	late.nwaits = nwaits;
	late.do_rest = do_rest;
	require_ok(sp_recount(SP_FIXTURE_BPFFS, &late.fx->pins, &corrected));
	assert_int_equal(late.nwaits, 0);
	assert_int_equal(corrected, 0);
}

static void count_opened(void)
{
	late_tag(SP_TAG_IN(late.tally));
	late_change(1);
}

/* Its state was not stored yet, so nobody but this program would count it. */
static void recount__opens_for_one_who_read_the_tally_before__is_taken_over(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	late_begin(fx, sp_active_open(fx, WORKERS * EACH));
	late_recount(1, count_opened);
	sp_active_require(fx, 0, EACH + 1);
}

static void count_down(void)
{
	late_change(-1);
}

static void recount__ended_and_not_yet_counted_down__is_no_drift(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	late_begin(fx, sp_active_open(fx, WORKERS * EACH));
	late_change(1);
	late_tag(SP_TAG_ENDED);
	late_recount(2, count_down);
	require_each(fx, EACH);
}

int main(int argc, char **argv)
{
#define COUNTED(function, ...)                                                                 \
	SP_CASE(function, .protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = WORKERS, \
		.balance = SP_BALANCE_LEAST_CONN, __VA_ARGS__)
	static const struct sp_case cases[] = {
		COUNTED(recount__nothing_is_wrong__nothing_changes),
		COUNTED(recount__counts_are_falsified__they_are_right_again),
		COUNTED(recount__nobody_counted_for_a_while__it_goes_on_with_what_is_there),
		COUNTED(recount__moved_connections_end_unseen__nothing_of_them_is_left, .is_paused = true),
		COUNTED(recount__one_link_is_missing__both_are_there_again),
		COUNTED(recount__killed_before_it_was_done__the_sum_holds_and_the_next_one_completes_it),
		COUNTED(recount__balance_was_another_meanwhile__those_from_before_count),
		COUNTED(recount__under_traffic__exactly_what_is_wrong_is_corrected),
		COUNTED(recount__opens_for_one_who_read_the_tally_before__is_taken_over),
		COUNTED(recount__ended_and_not_yet_counted_down__is_no_drift),
	};

	return sp_fixture_main("recount", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
