/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The service manager's end of NOTIFY_SOCKET. Each function fails the test that calls it when the thing cannot be done. */
#ifndef STEADYPORT_TESTS_MANAGER_H
#define STEADYPORT_TESTS_MANAGER_H

#include <stddef.h>
#include <sys/types.h>

/* Opens it, and sets NOTIFY_SOCKET for whoever is started from now on. */
int sp_manager_open(void);

/*
 * One message, if there is one: its length, NUL-terminated in @text; else -1. @ret_fd: the descriptor that came with
 * it, which is the caller's; -1: none
 */
ssize_t sp_manager_receive(int manager, char *text, size_t size, int *ret_fd);

#endif
