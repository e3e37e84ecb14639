/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The system calls of a process, one by one: where it is stopped, what the call does, and another answer to it. */
#ifndef STEADYPORT_TESTS_TRACE_H
#define STEADYPORT_TESTS_TRACE_H

#include <sys/ptrace.h>
#include "run.h"

enum sp_trace_stop {
	SP_TRACE_ENTRY,
	SP_TRACE_EXIT,
	SP_TRACE_END, /* it is about to end, of its own accord */
};

struct sp_trace {
	pid_t pid;
	struct __ptrace_syscall_info call; /* of the last stop */
};

/* What a call leaves behind. */
enum sp_trace_effect {
	SP_TRACE_READS,
	SP_TRACE_PASSES_AWAY, /* memory, fds, BPF objects that nothing holds but the process */
	SP_TRACE_STAYS, /* pins, elements of pinned maps, attachments, locks that others wait for */
};

/* Starts the words, and stops where main() begins. */
void sp_trace_start(struct sp_trace *trace, struct sp_run *run, const char *const *words);
/* Stops a process that runs already, which goes on when it is let go. */
void sp_trace_seize(struct sp_trace *trace, pid_t pid);
/* On to the next entry or exit of a system call, or to the end; signals reach it. */
enum sp_trace_stop sp_trace_next(struct sp_trace *trace);
/* It goes on alone. */
void sp_trace_end(struct sp_trace *trace);
/* SIGKILL. Waiting for it is left to whoever started it. */
void sp_trace_kill(struct sp_trace *trace);

/* Of the call that is entered. */
enum sp_trace_effect sp_trace_effect(const struct sp_trace *trace);

/* At the entry: the kernel is not asked. */
void sp_trace_skip(struct sp_trace *trace);
/* At the exit: what it is told instead. */
void sp_trace_answer(struct sp_trace *trace, long result);

#endif
