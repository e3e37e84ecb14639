// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For the runner's self-test: never ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

static void runner__pause__fails(void **state)
{
	(void)state;
	for (;;)
		pause();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runner__pause__fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
