// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which capabilities a configuration needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "privilege.h"

static void fail_on(void *ctx, unsigned int line, const char *text)
{
	(void)ctx;
	fail_msg("line %u: %s", line, text);
}

/* A bit for each that some group of the text needs. */
static unsigned int needed_by(const char *text)
{
	sp_autoconfig struct sp_config *config = NULL;
	unsigned int needed = 0;

	assert_int_equal(sp_config_parse(text, strlen(text), fail_on, NULL, &config), 0);
	for (int i = 0; i < SP_PRIVILEGES; i++)
		if (sp_privilege_needed_by(i, config))
			needed |= 1U << i;
	return needed;
}

#define ALWAYS (1U << SP_PRIVILEGE_BPF | 1U << SP_PRIVILEGE_PERFMON | 1U << SP_PRIVILEGE_SYS_PTRACE)

static void privilege__no_group__none_is_needed(void **state)
{
	(void)state;
	assert_int_equal(needed_by("[daemon]\non-exit = keep\n"), 0);
}

static void privilege__group_that_asks_for_nothing_more__needs_what_all_need(void **state)
{
	(void)state;
	assert_int_equal(needed_by("[group g]\nendpoint = tcp:127.0.0.1:80\n"), ALWAYS);
}

static void privilege__udp__needs_the_right_to_hear_of_binds(void **state)
{
	(void)state;
	assert_int_equal(needed_by("[group g]\nendpoint = udp:127.0.0.1:80\n"),
			 ALWAYS | 1U << SP_PRIVILEGE_NET_ADMIN);
}

static void privilege__parking__needs_the_right_to_be_others_and_to_bind_low_ports(void **state)
{
	unsigned int high = ALWAYS | 1U << SP_PRIVILEGE_SETUID;

	(void)state;
	assert_int_equal(needed_by("[group g]\nendpoint = tcp:127.0.0.1:1024\npark = 1s\n"), high);
	assert_int_equal(needed_by("[group g]\nendpoint = tcp:127.0.0.1:1023\npark = 1s\n"),
			 high | 1U << SP_PRIVILEGE_NET_BIND_SERVICE);
}

static void privilege__one_of_two_groups_in_another_netns__needs_the_right_to_enter(void **state)
{
	(void)state;
	assert_int_equal(needed_by("[group a]\nendpoint = tcp:80\n"
				   "[group b]\nendpoint = tcp:80\nnetns = /run/netns/edge\n"),
			 ALWAYS | 1U << SP_PRIVILEGE_SYS_ADMIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(privilege__no_group__none_is_needed),
		cmocka_unit_test(privilege__group_that_asks_for_nothing_more__needs_what_all_need),
		cmocka_unit_test(privilege__udp__needs_the_right_to_hear_of_binds),
		cmocka_unit_test(privilege__parking__needs_the_right_to_be_others_and_to_bind_low_ports),
		cmocka_unit_test(privilege__one_of_two_groups_in_another_netns__needs_the_right_to_enter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
