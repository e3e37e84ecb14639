/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The directory of all groups, for pin.c: sp_pin_root() and the locks are declared in pin.h. */
#ifndef STEADYPORT_PIN_ROOT_H
#define STEADYPORT_PIN_ROOT_H

#include <limits.h>

void sp_pin_root_path(const char *bpffs, char path[PATH_MAX]);
/* @prefix: "" for what is published */
void sp_pin_group_path(const char *bpffs, const char *prefix, const char *name, char path[PATH_MAX]);

/*
 * Returns 0; -ENOENT (not logged) when there is none; -EPERM (logged) when somebody else than root and the caller could
 * have put it there or could rename in it; other -errno (logged).
 */
int sp_pin_open_root(const char *bpffs, int *ret_fd);

#endif
