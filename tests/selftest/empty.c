// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For the runner's self-test: ends well, but runs no case. */

int main(void)
{
	return 0;
}
