/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What counts connections, removed by hand. */
#ifndef STEADYPORT_TESTS_UNCOUNT_H
#define STEADYPORT_TESTS_UNCOUNT_H

/*
 * Removes the pin of the link and waits until its program has ended, which the kernel does some time later. Nobody else
 * may have the link open.
 */
void sp_uncount(const char *pin);

#endif
