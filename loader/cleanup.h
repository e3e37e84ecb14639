/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cleanup of what dies with the process: memory and file descriptors close themselves at the end of their scope.
 * What survives the process (pins, attachments) is undone by hand, in reverse order.
 */
#ifndef STEADYPORT_CLEANUP_H
#define STEADYPORT_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void sp_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void sp_free_ptr(void *ptr)
{
	free(*(void **)ptr);
}

static inline void sp_close_file(FILE **file)
{
	if (*file)
		fclose(*file);
	*file = NULL;
}

/* int fd: closed at the end of its scope; start it with -1 or an open fd */
#define sp_autoclose __attribute__((cleanup(sp_close_fd)))
/* pointer from malloc(): freed at the end of its scope */
#define sp_autofree __attribute__((cleanup(sp_free_ptr)))
#define sp_autofile __attribute__((cleanup(sp_close_file)))

/* Moves the fd out: the variable no longer owns it. */
static inline int sp_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Moves the pointer out: the variable no longer owns it. */
#define sp_take_ptr(p)                    \
	({                                \
		__auto_type taken_ = (p); \
		(p) = NULL;               \
		taken_;                   \
	})

#define SP_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
