// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For the runner's self-test: passes, and leaves a worker behind that never ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

static void runner__fork__passes(void **state)
{
	pid_t worker = fork();

	(void)state;
	if (worker == 0)
		for (;;)
			pause();
	assert_true(worker > 0);
	printf("worker %d\n", (int)worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runner__fork__passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
