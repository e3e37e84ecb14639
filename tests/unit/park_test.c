// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* When a parking socket is opened, renewed and closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "park.h"

#define S 1000000000ULL
#define T0 (100 * S)
#define PATIENCE (30 * S)

static struct sp_park_memory memory;

/* A steered group with one worker, and parking not open yet; each case says what is different. */
static struct sp_park_look look;

static int set_up(void **state)
{
	(void)state;
	memory = (struct sp_park_memory){ .patience_ns = PATIENCE };
	look = (struct sp_park_look){ .is_attached = true, .has_room = true, .live = 1, .now_ns = T0 };
	return 0;
}

static void open_it(void)
{
	look.is_open = true;
	look.has_room = false;
}

static enum sp_park_action decide(void)
{
	return sp_park_decide(&memory, &look);
}

static __u64 deadline(void)
{
	return sp_park_deadline_ns(&memory, &look);
}

static void park__worker_is_live_and_program_attached__opens(void **state)
{
	(void)state;
	assert_int_equal(decide(), SP_PARK_OPEN);
	assert_int_equal(deadline(), 0);
}

static void park__something_is_missing__does_not_open(void **state)
{
	(void)state;
	look.is_attached = false;
	assert_int_equal(decide(), SP_PARK_KEEP);
	set_up(NULL);
	look.has_room = false;
	assert_int_equal(decide(), SP_PARK_KEEP);
	set_up(NULL);
	memory.patience_ns = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
	/* Without a worker there is no socket to be like. */
	set_up(NULL);
	look.live = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
}

static void park__open_and_worker_is_live__is_kept(void **state)
{
	(void)state;
	open_it();
	for (int i = 0; i < 100; i++, look.now_ns += PATIENCE)
		assert_int_equal(decide(), SP_PARK_KEEP);
	assert_int_equal(deadline(), 0);
}

static void park__worker_comes_back_in_time__is_renewed_once(void **state)
{
	(void)state;
	open_it();
	look.live = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
	assert_int_equal(deadline(), T0 + PATIENCE);
	look.now_ns += PATIENCE - 1;
	look.waiting = 7;
	assert_int_equal(decide(), SP_PARK_KEEP);
	assert_int_equal(deadline(), T0 + PATIENCE);
	look.live = 1;
	assert_int_equal(decide(), SP_PARK_RENEW);
	look.waiting = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
	assert_int_equal(deadline(), 0);
}

/* Half-open ones are in no queue. */
static void park__worker_comes_back_and_nothing_is_seen_to_wait__is_renewed(void **state)
{
	(void)state;
	open_it();
	look.live = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.live = 1;
	assert_int_equal(decide(), SP_PARK_RENEW);
}

static void park__nobody_comes__expires_and_stays_closed(void **state)
{
	(void)state;
	open_it();
	look.live = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.now_ns += PATIENCE;
	assert_int_equal(decide(), SP_PARK_EXPIRE);
	look.is_open = false;
	look.has_room = true;
	assert_int_equal(decide(), SP_PARK_KEEP);
	assert_int_equal(deadline(), 0);
	look.live = 1;
	assert_int_equal(decide(), SP_PARK_OPEN);
}

static void park__each_gap__has_the_whole_patience(void **state)
{
	(void)state;
	open_it();
	look.live = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.now_ns += PATIENCE - 1;
	look.live = 1;
	assert_int_equal(decide(), SP_PARK_RENEW);
	look.live = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.now_ns += PATIENCE - 1;
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.now_ns++;
	assert_int_equal(decide(), SP_PARK_EXPIRE);
}

/* Stopped by a command in a gap, and opened again: the gap before is forgotten. */
static void park__lost_in_a_gap__the_next_one_begins_anew(void **state)
{
	(void)state;
	open_it();
	look.live = 0;
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.is_open = false;
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.now_ns += 2 * PATIENCE;
	open_it();
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.live = 1;
	assert_int_equal(decide(), SP_PARK_RENEW);
}

static void park__program_is_gone__is_left_whatever_else(void **state)
{
	(void)state;
	open_it();
	look.is_attached = false;
	assert_int_equal(decide(), SP_PARK_LEAVE);
	look.live = 0;
	assert_int_equal(decide(), SP_PARK_LEAVE);
	memory.patience_ns = 0;
	assert_int_equal(decide(), SP_PARK_LEAVE);
}

static void park__no_longer_wanted__is_closed(void **state)
{
	(void)state;
	open_it();
	memory.patience_ns = 0;
	assert_int_equal(decide(), SP_PARK_CLOSE);
}

/* Should a connection be parked though somebody is live, it is handed over, but not in a busy loop. */
static void park__connection_waits_though_a_worker_is_live__is_renewed_at_most_each_second(void **state)
{
	(void)state;
	open_it();
	look.waiting = 1;
	assert_int_equal(decide(), SP_PARK_RENEW);
	assert_int_equal(decide(), SP_PARK_KEEP);
	assert_int_equal(deadline(), T0 + S);
	look.now_ns += S - 1;
	assert_int_equal(decide(), SP_PARK_KEEP);
	look.now_ns++;
	assert_int_equal(decide(), SP_PARK_RENEW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(park__worker_is_live_and_program_attached__opens, set_up),
		cmocka_unit_test_setup(park__something_is_missing__does_not_open, set_up),
		cmocka_unit_test_setup(park__open_and_worker_is_live__is_kept, set_up),
		cmocka_unit_test_setup(park__worker_comes_back_in_time__is_renewed_once, set_up),
		cmocka_unit_test_setup(park__worker_comes_back_and_nothing_is_seen_to_wait__is_renewed,
				       set_up),
		cmocka_unit_test_setup(park__nobody_comes__expires_and_stays_closed, set_up),
		cmocka_unit_test_setup(park__each_gap__has_the_whole_patience, set_up),
		cmocka_unit_test_setup(park__lost_in_a_gap__the_next_one_begins_anew, set_up),
		cmocka_unit_test_setup(park__program_is_gone__is_left_whatever_else, set_up),
		cmocka_unit_test_setup(park__no_longer_wanted__is_closed, set_up),
		cmocka_unit_test_setup(
			park__connection_waits_though_a_worker_is_live__is_renewed_at_most_each_second,
			set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
