/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A loader that is killed after its first system call, after its second, and so on until it gets through (I5). */
#ifndef STEADYPORT_TESTS_KILL_H
#define STEADYPORT_TESTS_KILL_H

#include "run.h"

#define SP_KILL_BPFFS "/sys/fs/bpf"

/**
 * sp_kill_run - run the words up to and with the nth call that counts, and kill the process there
 * Counted are the calls that change what outlives the process, and some of the others.
 * False: it came to its end before; its exit status is in @run. @run is to be freed in either case.
 */
bool sp_kill_run(struct sp_run *run, unsigned int nth, const char *const *words);

/* From one nth to the next: @calls, or thrice as many on a machine that is slow, where all would be half an hour. */
unsigned int sp_kill_stride(unsigned int calls);

/* What it left: NAME's pins, complete or absent, which is asserted; its staging directory; our program attached. */
bool sp_left_pins(const char *name);
bool sp_left_staging(const char *name);
bool sp_left_attached(__u16 port);
/* Fails the test if there is any of that. */
void sp_left_nothing(__u16 port);

#endif
