/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The binary at a terminal of the test's own: a pseudo-terminal on which it draws, with keys that the test presses. As
 * much of an xterm as curses needs. Every function fails the test that calls it when the thing cannot be done.
 */
#ifndef STEADYPORT_TESTS_SCREEN_H
#define STEADYPORT_TESTS_SCREEN_H

#include <termios.h>
#include "run.h"

#define SP_SCREEN_WIDTH_MAX 200
#define SP_SCREEN_HEIGHT_MAX 100

struct sp_screen {
	struct sp_run run;
	int terminal; /* its other end; -1: closed */
	int slave; /* the program's end, held open so that its settings can still be read */
	struct termios before; /* settings before the program was started */
	int width, height, x, y;
	__u32 cells[SP_SCREEN_HEIGHT_MAX][SP_SCREEN_WIDTH_MAX]; /* code points */
	bool is_alternate; /* the program has the screen for itself */
	bool has_cursor;
	__u32 last; /* sign */
	char pending[64]; /* a sequence that is not complete */
	size_t npending;
	char text[SP_SCREEN_HEIGHT_MAX * (SP_SCREEN_WIDTH_MAX * 4 + 1) + 1];
};

/* @words: as those of sp_run_start() */
void sp_screen_start(struct sp_screen *screen, int width, int height, const char *const *words);
/* After a failure, too; ends the program if it runs. */
void sp_screen_close(struct sp_screen *screen);

/* Characters as they are; arrows and so on as an xterm sends them. */
void sp_screen_press(struct sp_screen *screen, const char *keys);
void sp_screen_resize(struct sp_screen *screen, int width, int height);

/* The lines as they are now, UTF-8, without blanks at their ends. Valid until the next call. */
const char *sp_screen_text(struct sp_screen *screen);
/* The same of one line, from 0. */
const char *sp_screen_line(struct sp_screen *screen, int y);

/* Reads what is drawn until the text is there, or is not. */
void sp_screen_wait(struct sp_screen *screen, const char *text);
void sp_screen_wait_without(struct sp_screen *screen, const char *text);

/* Takes what is drawn in so many milliseconds. */
void sp_screen_read(struct sp_screen *screen, int ms);

/* Waits until it has ended by itself: with that status, and the terminal as it was before. */
void sp_screen_wait_end(struct sp_screen *screen, int status);

#endif
