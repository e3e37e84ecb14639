// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The verifier of the running kernel takes every program that the loader can ask for. Quick: for many kernels. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "kernel.h"
#include "members.h"
#include "steer.h"
#include "watch.h"

static void load__every_protocol_hash_and_track__is_verified(void **state)
{
	static const enum sp_protocol protocols[] = { SP_TCP, SP_UDP };
	static const enum sp_hash hashes[] = { SP_HASH_SIPHASH, SP_HASH_KERNEL };
	static const enum sp_track tracks[] = { SP_TRACK_TRANSITION, SP_TRACK_ALWAYS, SP_TRACK_OFF };

	(void)state;
	assert_int_equal(sp_kernel_check(), 0);
	for (size_t p = 0; p < 2; p++) {
		for (size_t h = 0; h < 2; h++) {
			for (size_t t = 0; t < 3; t++) {
				const struct sp_ctl ctl = {
					.protocol = protocols[p],
					.hash = hashes[h],
					.track = tracks[t],
				};
				struct sp_pins pins = SP_PINS_NONE;
				__u32 id = 0;

				assert_int_equal(sp_steer_load("all", &ctl, 4, 1024, &pins), 0);
				assert_int_equal(sp_steer_program_id(&pins, &id), 0);
				assert_int_not_equal(id, 0);
				sp_pins_close(&pins);
			}
		}
	}
}

static void load__members_iterator__is_verified_and_runs(void **state)
{
	struct sp_groups *groups = NULL;

	(void)state;
	assert_int_equal(sp_members_scan(0, &groups), 0);
	assert_non_null(groups);
	sp_groups_free(&groups);
	assert_int_equal(sp_members_scan(53, &groups), 0);
	sp_groups_free(&groups);
}

static void load__watch__is_verified_and_attached(void **state)
{
	struct sp_watch *watch = NULL;

	(void)state;
	assert_int_equal(sp_watch_open(&watch), 0);
	assert_true(sp_watch_hears(watch, SP_TCP));
	assert_true(sp_watch_hears(watch, SP_UDP));
	sp_watch_free(&watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load__every_protocol_hash_and_track__is_verified),
		cmocka_unit_test(load__members_iterator__is_verified_and_runs),
		cmocka_unit_test(load__watch__is_verified_and_attached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
