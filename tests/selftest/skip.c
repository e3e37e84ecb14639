// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For the runner's self-test: cannot run here. */
#include <stdio.h>

int main(void)
{
	puts("no such capability");
	return 77;
}
