// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The kernel's counters of a network namespace: found by name, wherever they stand. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "netstat.h"

#define UNTOUCHED 77

static struct sp_netstat netstat;

static int setup(void **state)
{
	(void)state;
	netstat = (struct sp_netstat){ UNTOUCHED, UNTOUCHED };
	return 0;
}

static void netstat__both_counters__by_name(void **state)
{
	(void)state;
	assert_int_equal(sp_netstat_parse("TcpExt: A TCPMigrateReqFailure B TCPMigrateReqSuccess\n"
					  "TcpExt: 1 22 3 44\n"
					  "IpExt: TCPMigrateReqFailure\n"
					  "IpExt: 5\n",
					  &netstat),
			 0);
	assert_int_equal(netstat.migrated, 44);
	assert_int_equal(netstat.migrate_failed, 22);
}

static void netstat__section_is_not_the_first__found(void **state)
{
	(void)state;
	assert_int_equal(sp_netstat_parse("IpExt: X\nIpExt: 5\n"
					  "TcpExt: TCPMigrateReqSuccess TCPMigrateReqFailure\n"
					  "TcpExt: 18446744073709551615 0",
					  &netstat),
			 0);
	assert_true(netstat.migrated == UINT64_MAX);
	assert_int_equal(netstat.migrate_failed, 0);
}

static void netstat__kernel_without_them_or_nonsense__refused(void **state)
{
	static const char *const texts[] = {
		"",
		"TcpExt:",
		"TcpExt: \n",
		"TcpExt: \nTcpExt: \n",
		"TcpExt: A B\nTcpExt: 1 2\n",
		"TcpExt: TCPMigrateReqSuccess\nTcpExt: 1\n",
		"TcpExt: TCPMigrateReqSuccess TCPMigrateReqFailure\n",
		"TcpExt: TCPMigrateReqSuccess TCPMigrateReqFailure\nIpExt: 1 2\n",
		"TcpExt: TCPMigrateReqSuccess TCPMigrateReqFailure\nTcpExt: 1\n",
		"TcpExt: XTCPMigrateReqSuccess TCPMigrateReqFailureX\nTcpExt: 1 2\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(sp_netstat_parse(texts[i], &netstat), -ENOENT);
		assert_int_equal(netstat.migrated, UNTOUCHED);
	}
}

static __u32 own_netns(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	return st.st_ino;
}

static void netstat__own_netns__directly_and_through_a_process(void **state)
{
	(void)state;
	assert_int_equal(sp_netstat_read(own_netns(), 0, &netstat), 0);
	assert_true(netstat.migrated != UNTOUCHED || netstat.migrate_failed != UNTOUCHED);
	assert_int_equal(sp_netstat_read(own_netns(), getpid(), &netstat), 0);
}

/* A pid may be given to another process at any time. */
static void netstat__process_is_elsewhere_or_gone__nothing(void **state)
{
	(void)state;
	assert_int_equal(sp_netstat_read(own_netns() + 1, 0, &netstat), -ESRCH);
	assert_int_equal(sp_netstat_read(own_netns() + 1, getpid(), &netstat), -ESRCH);
	assert_int_equal(sp_netstat_read(own_netns(), 0x7fffffff, &netstat), -ENOENT);
	assert_int_equal(netstat.migrated, UNTOUCHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(netstat__both_counters__by_name, setup),
		cmocka_unit_test_setup(netstat__section_is_not_the_first__found, setup),
		cmocka_unit_test_setup(netstat__kernel_without_them_or_nonsense__refused, setup),
		cmocka_unit_test_setup(netstat__own_netns__directly_and_through_a_process, setup),
		cmocka_unit_test_setup(netstat__process_is_elsewhere_or_gone__nothing, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
