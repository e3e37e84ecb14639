// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For the runner's self-test: cmocka's summary names a failed case, the exit status does not. */
#include <stdio.h>

int main(void)
{
	puts("[  PASSED  ] 1 test(s).");
	puts("[  FAILED  ] 1 test(s), listed below:");
	return 0;
}
