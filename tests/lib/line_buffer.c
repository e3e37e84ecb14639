// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Linked into every test program: its stdout is written line by line even when it is a file, so that a program that
 * hangs or crashes has named the case, and a forked worker does not print its parent's unwritten lines again.
 */
#include <stdio.h>

__attribute__((constructor)) static void line_buffer_stdout(void)
{
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
}
