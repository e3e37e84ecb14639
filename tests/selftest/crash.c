// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For the runner's self-test: dies by a signal that cmocka does not catch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void runner__abort__fails(void **state)
{
	(void)state;
	abort();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runner__abort__fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
