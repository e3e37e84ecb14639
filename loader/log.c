// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What steadyport says about itself: on stderr, one thing a line. */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MESSAGE_MAX 4096 /* the longest lists the groups that an endpoint fits; the rest of it is cut off */

static int verbosity;

void sp_log_set_verbosity(int level)
{
	verbosity = level;
}

int sp_log_verbosity(void)
{
	return verbosity;
}

static bool has_colour(void)
{
	const char *no_color = getenv("NO_COLOR");

	return !(no_color && *no_color) && isatty(STDERR_FILENO);
}

/* Messages quote what others chose (names of processes, arguments): none of it may steer the terminal. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if (((unsigned char)*text < ' ' && *text != '\n' && *text != '\t') || *text == 0x7f)
			*text = '?';
	}
}

/* The levels of syslog(3). */
enum level {
	ERROR = 3,
	WARNING = 4,
	INFO = 6,
	DEBUG = 7,
};

/* $JOURNAL_STREAM is DEVICE:INODE of the stream that the service manager connected; ours may be another one. */
static bool is_journal(void)
{
	static int known = -1;
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (known < 0) {
		known = 0;
		if (stream && fstat(STDERR_FILENO, &st) == 0) {
			snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
			known = !strcmp(stream, own);
		}
	}
	return known;
}

/* One call of stdio for each line, so that those of several processes do not mix. */
static void say(enum level level, const char *prefix, const char *code, int err, const char *fmt, va_list ap)
{
	bool is_coloured = code && has_colour();
	char message[MESSAGE_MAX], mark[8] = "";

	vsnprintf(message, sizeof(message), fmt, ap);
	make_printable(message);
	if (is_journal())
		snprintf(mark, sizeof(mark), "<%d>", level);
	fprintf(stderr, "%s%s%s%s%s%s%s%s\n", mark, is_coloured ? code : "", prefix,
		is_coloured ? "\033[0m" : "", *prefix ? " " : "", message, err ? ": " : "",
		err ? strerror(abs(err)) : "");
}

int sp_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(ERROR, "error:", "\033[31m", err, fmt, ap);
	va_end(ap);
	return err;
}

int sp_refuse(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(ERROR, "error:", "\033[31m", 0, fmt, ap);
	va_end(ap);
	return err;
}

void sp_hint(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(INFO, "      ", NULL, 0, fmt, ap); /* as wide as "error:" */
	va_end(ap);
}

void sp_tell(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(INFO, "", NULL, 0, fmt, ap);
	va_end(ap);
}

void sp_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(WARNING, "warning:", "\033[33m", 0, fmt, ap);
	va_end(ap);
}

void sp_note(const char *fmt, ...)
{
	va_list ap;

	if (verbosity < 1)
		return;
	va_start(ap, fmt);
	say(DEBUG, "note:", "\033[2m", 0, fmt, ap);
	va_end(ap);
}
