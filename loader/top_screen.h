/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The terminal as `top` has it: frames onto it, keys from it, and as it was before when it ends. */
#ifndef STEADYPORT_TOP_SCREEN_H
#define STEADYPORT_TOP_SCREEN_H

#include <steadyport/abi.h>
#include "top_frame.h"

struct sp_top_screen;

enum sp_top_event {
	SP_TOP_KEY, /* enum sp_top_key or a character */
	SP_TOP_TIME, /* the deadline is over */
	SP_TOP_RESIZED,
	SP_TOP_ENDED, /* a signal, or the terminal is gone */
};

/* 0, or -ENOTTY (logged) when stdin or stdout is no terminal. */
int sp_top_screen_check(void);

/**
 * sp_top_screen_open - take the terminal, which sp_top_screen_check() has found
 * From now on what goes to stderr is kept, for sp_top_screen_said(), and SIGINT, SIGTERM and SIGHUP are events.
 * Returns 0, or -errno (logged); nothing is changed then.
 */
int sp_top_screen_open(struct sp_top_screen **ret_screen);

/* Gives the terminal back. What was said last, and not asked for, is on stderr afterwards. */
void sp_top_screen_close(struct sp_top_screen **screen);
#define sp_autotopscreen __attribute__((cleanup(sp_top_screen_close)))

void sp_top_screen_size(const struct sp_top_screen *screen, int *ret_width, int *ret_height);
bool sp_top_screen_has_blocks(const struct sp_top_screen *screen);
void sp_top_screen_draw(struct sp_top_screen *screen, const struct sp_top_frame *frame);

/* Waits for a key until a time of CLOCK_MONOTONIC. */
enum sp_top_event sp_top_screen_wait(struct sp_top_screen *screen, __u64 until_ns, int *ret_key);

/* What was said on stderr since the last call, in one line. */
void sp_top_screen_said(struct sp_top_screen *screen, char *ret_text, size_t size);

#endif
