// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where a flow goes, as `where` tells it: kept, learned, or by the current view alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "decide.h"

#define NOW 1000000000000ULL
#define HASH 0x0000000200000001ULL /* bucket 1; the second probe asks bucket 4 */

static struct sp_view views[SP_VIEWS];
static struct sp_info info[SP_SLOTS_MAX];
static __u64 cookie[SP_SLOTS_MAX];
static struct sp_state state;

/* UDP, three live slots. View 0 is in force and gives every bucket to slot 0; view 1 was before it, with slot 1. */
static int setup(void **unused)
{
	(void)unused;
	memset(views, 0, sizeof(views));
	memset(info, 0, sizeof(info));
	memset(cookie, 0, sizeof(cookie));
	state = (struct sp_state){ .ctl = { .protocol = SP_UDP, .flow_idle_s = 180 },
				   .views = views,
				   .info = info,
				   .cookie = cookie };
	for (__u32 v = 0; v < 2; v++) {
		views[v] = (struct sp_view){ .nslots = 3, .prev = SP_VIEW_NONE, .usable = { 7 } };
		for (__u32 b = 0; b < SP_BUCKETS; b++)
			views[v].owner[b] = v;
	}
	views[0].prev = 1;
	for (__u32 s = 0; s < 3; s++) {
		info[s] = (struct sp_info){ .state = SP_SLOT_LIVE, .incarnation = 1 };
		cookie[s] = 100 + s;
	}
	return 0;
}

static void begin_learning(void)
{
	views[0].learn_until_ns = NOW + 1;
	views[0].moving[0] = 2;
}

static void expect(const struct sp_flow *kept, int slot, enum sp_reason reason)
{
	struct sp_decision decision = sp_decide(&state, NOW, kept, HASH, -1);

	assert_int_equal(decision.slot, slot);
	if (slot >= 0)
		assert_int_equal(decision.reason, reason);
	assert_false(decision.follows_kernel);
}

static void decide__settled_bucket__owner_whatever_the_table_says(void **unused)
{
	const struct sp_flow kept = { .slot = 2, .incarnation = 1, .last_seen_s = NOW / 1000000000 };

	(void)unused;
	expect(&kept, 0, SP_REASON_OWNER);
}

static void decide__dead_owner__probe_then_scan_then_nobody(void **unused)
{
	(void)unused;
	cookie[0] = 0;
	views[0].owner[4] = 1;
	expect(NULL, 1, SP_REASON_PROBE);
	cookie[1] = 0;
	expect(NULL, 2, SP_REASON_SCAN);
	cookie[2] = 0;
	expect(NULL, -1, 0);
}

static void decide__no_worker_tcp__waits_in_the_parking_slot(void **unused)
{
	(void)unused;
	state.ctl.protocol = SP_TCP;
	memset(cookie, 0, sizeof(cookie));
	cookie[SP_SLOT_PARK] = 1;
	expect(NULL, SP_SLOT_PARK, SP_REASON_PARK);
	state.ctl.protocol = SP_UDP;
	expect(NULL, -1, 0);
}

static void decide__moving_bucket__kept_flow_stays(void **unused)
{
	const struct sp_flow kept = { .slot = 2, .incarnation = 1, .last_seen_s = NOW / 1000000000 };

	(void)unused;
	begin_learning();
	expect(&kept, 2, SP_REASON_KEPT);
}

static void decide__kept_flow_was_silent_for_too_long__counts_as_unknown(void **unused)
{
	const struct sp_flow kept = { .slot = 2, .incarnation = 1, .last_seen_s = NOW / 1000000000 - 181 };

	(void)unused;
	begin_learning();
	expect(&kept, 1, SP_REASON_PREVIOUS);
}

static void decide__kept_flow_without_its_worker__goes_where_new_flows_go(void **unused)
{
	const struct sp_flow kept = { .slot = 2, .incarnation = 1, .last_seen_s = NOW / 1000000000 };
	const struct sp_flow nowhere = { .slot = SP_SLOTS_MAX, .last_seen_s = NOW / 1000000000 };

	(void)unused;
	begin_learning();
	info[2].incarnation = 2;
	expect(&kept, 0, SP_REASON_OWNER);
	info[2].incarnation = 1;
	cookie[2] = 0;
	expect(&kept, 0, SP_REASON_OWNER);
	cookie[2] = 102;
	info[2].state = SP_SLOT_EJECTED;
	expect(&kept, 0, SP_REASON_OWNER);
	expect(&nowhere, 0, SP_REASON_OWNER);
}

static void decide__unknown_flow_in_a_learn_window__previous_view(void **unused)
{
	(void)unused;
	begin_learning();
	expect(NULL, 1, SP_REASON_PREVIOUS);
	views[0].learn_until_ns = NOW;
	expect(NULL, 0, SP_REASON_OWNER);
}

static void decide__previous_view_is_the_kernels__says_so(void **unused)
{
	struct sp_decision decision;

	(void)unused;
	begin_learning();
	views[1].kind = SP_VIEW_KERNEL;
	decision = sp_decide(&state, NOW, NULL, HASH, -1);
	assert_true(decision.follows_kernel);
	assert_int_equal(decision.slot, 0);
}

static void decide__slot_is_taken_for_dead__its_heir(void **unused)
{
	(void)unused;
	views[0].owner[4] = 2;
	assert_int_equal(sp_decide(&state, NOW, NULL, HASH, 0).slot, 2);
}

static void decide__view_of_more_slots_than_there_are__looks_at_none_of_them(void **unused)
{
	(void)unused;
	memset(cookie, 0, sizeof(cookie));
	views[0].nslots = 5000;
	expect(NULL, -1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(decide__settled_bucket__owner_whatever_the_table_says, setup),
		cmocka_unit_test_setup(decide__dead_owner__probe_then_scan_then_nobody, setup),
		cmocka_unit_test_setup(decide__no_worker_tcp__waits_in_the_parking_slot, setup),
		cmocka_unit_test_setup(decide__moving_bucket__kept_flow_stays, setup),
		cmocka_unit_test_setup(decide__kept_flow_was_silent_for_too_long__counts_as_unknown, setup),
		cmocka_unit_test_setup(decide__kept_flow_without_its_worker__goes_where_new_flows_go, setup),
		cmocka_unit_test_setup(decide__unknown_flow_in_a_learn_window__previous_view, setup),
		cmocka_unit_test_setup(decide__previous_view_is_the_kernels__says_so, setup),
		cmocka_unit_test_setup(decide__slot_is_taken_for_dead__its_heir, setup),
		cmocka_unit_test_setup(decide__view_of_more_slots_than_there_are__looks_at_none_of_them,
				       setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
