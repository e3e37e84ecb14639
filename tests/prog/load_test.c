// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The verifier of the running kernel takes every program that the loader can ask for. Quick: for many kernels. */
#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "connections.h"
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

static void keep_capabilities(__u64 caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ .effective = caps, .permitted = caps },
		{ .effective = caps >> 32, .permitted = caps >> 32 },
	};

	if (syscall(SYS_capset, &header, data))
		_exit(126);
}

/* Returns the number of what cannot be loaded, 0 when all can. */
static int load_all(void)
{
	const struct sp_ctl ctl = { .protocol = SP_UDP };
	struct sp_connections connections = { 0 };
	struct sp_pins pins = SP_PINS_NONE;
	struct sp_groups *groups = NULL;
	struct sp_watch *watch = NULL;

	if (sp_steer_load("few", &ctl, 4, 1024, &pins))
		return 1;
	if (sp_members_scan(0, &groups))
		return 2;
	if (sp_connections_scan(53, 1, &connections))
		return 3;
	if (sp_watch_open(&watch) || !sp_watch_hears(watch, SP_TCP) || !sp_watch_hears(watch, SP_UDP))
		return 4;
	return 0;
}

/* What the daemon's unit has: libbpf may not look into modules then, which it does on kernels that lack a type. */
static void load__without_cap_sys_admin__all_is_loaded(void **state)
{
	int status;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		keep_capabilities(1ULL << CAP_BPF | 1ULL << CAP_PERFMON | 1ULL << CAP_NET_ADMIN);
		_exit(load_all());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load__every_protocol_hash_and_track__is_verified),
		cmocka_unit_test(load__members_iterator__is_verified_and_runs),
		cmocka_unit_test(load__watch__is_verified_and_attached),
		cmocka_unit_test(load__without_cap_sys_admin__all_is_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
