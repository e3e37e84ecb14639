/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Included before each file that clang-tidy reads, and by no compiler: what the analyzer cannot see. After a failure
 * errno is not 0, and sp_fail() returns what it is given. Without this it follows callers on as if nothing had failed.
 */
#include <errno.h>
#include "log.h"

int sp_any(void);

/* Numbers that callers ask for, and one that they do not. */
#undef errno
#define errno (*(int[]){ sp_any() ? EIO : sp_any() ? ENOENT : EAGAIN })

#define sp_fail(err, ...)                        \
	({                                       \
		int err_ = (err);                \
		if (err_ >= 0)                   \
			__builtin_unreachable(); \
		sp_fail(err_, __VA_ARGS__);      \
		err_;                            \
	})
