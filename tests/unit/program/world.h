/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A group for the steering program to be asked about, on the kernel of the fuzz targets: every table is at the test's
 * hand, so any branch can be taken, also those for which sockets would have to be killed at the right instant.
 */
#ifndef STEADYPORT_TESTS_PROGRAM_WORLD_H
#define STEADYPORT_TESTS_PROGRAM_WORLD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <steadyport/choose.h>
#include "fuzz/steer/kernel.h"

#define SECOND 1000000000ULL

extern struct sp_fuzz_kernel kernel;
extern struct sp_fuzz_packet packet;

/*
 * A group of so many live slots in a PLAIN view, all buckets slot 0's, hashed by the kernel's hash; the time is 50 s. The
 * packet is of a flow whose scan begins with slot 0.
 */
void group_of(enum sp_protocol protocol, __u32 nslots);

/* The packet is of another flow: its scan begins with that slot. */
void scan_from(__u32 slot);

void own_all(struct sp_view *view, __u32 slot);
void close_slot(__u32 slot);
void close_all(void);
void set_usable(struct sp_view *view, __u32 slot, bool is_usable);

/* The bucket of the packet's flow. */
__u32 bucket(void);

/*
 * Asks the program and asserts which slot it selected, -1 for none, and all that it counted: names in the order of
 * counters.def, `steered, empty*3`.
 */
struct sp_fuzz_run expect(int slot, const char *counted);

#endif
