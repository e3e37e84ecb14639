/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What steadyport says about itself: on stderr, one thing a line. Answers go to stdout and are render's. Where stderr
 * is the journal, each line begins with its level ("<4>", sd-daemon(3)), which the journal takes off.
 */
#ifndef STEADYPORT_LOG_H
#define STEADYPORT_LOG_H

/* 0: errors, warnings and notes; 1 (-v): what is being done; 2 (-vv): libbpf's debug output too. */
void sp_log_set_verbosity(int level);
int sp_log_verbosity(void);

/*
 * Both log "error: ..." once, at the layer that knows the name of the thing, and return err (0 or -errno) unchanged,
 * so that `return sp_fail(-errno, ...)` reads well. sp_fail() appends ": " and the text of the errno; sp_refuse()
 * does not: the message says it all.
 */
int sp_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int sp_refuse(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The next step, on a line of its own under the error or warning before it. */
void sp_hint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What a daemon did, for whoever reads its log. */
void sp_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void sp_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Shown with -v only. */
void sp_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
