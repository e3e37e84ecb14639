// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For the runner's self-test: one case passes, one fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void runner__true__passes(void **state)
{
	(void)state;
	assert_true(1);
}

static void runner__false__fails(void **state)
{
	(void)state;
	assert_int_equal(1, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runner__true__passes),
		cmocka_unit_test(runner__false__fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
