/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Somebody else's program for a reuseport group. */
#ifndef STEADYPORT_TESTS_FOREIGN_H
#define STEADYPORT_TESTS_FOREIGN_H

/* Loads one that leaves the choice to the kernel's hash. Its fd, for the caller to close; fails the test otherwise. */
int sp_foreign_load(const char *name);

#endif
