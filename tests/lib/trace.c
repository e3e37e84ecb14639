// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The system calls of a process, by ptrace. */
#include "trace.h"

#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <linux/bpf.h>
#include "cleanup.h"

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)
/* The daemon's death would be taken for a finding by whoever looks for it next. */
#define SEIZE_OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT)

static void let_trace(void *ctx)
{
	(void)ctx;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
		_exit(126);
}

static int wait_stop(struct sp_trace *trace)
{
	int status;

	assert_int_equal(waitpid(trace->pid, &status, __WALL), trace->pid);
	assert_true(WIFSTOPPED(status));
	return status;
}

static void resume(struct sp_trace *trace, int signal)
{
	assert_int_equal(ptrace(PTRACE_SYSCALL, trace->pid, NULL, (long)signal), 0);
}

/* The first thing that main() does is to ignore SIGPIPE; before that the call is the loader's of shared libraries. */
static bool is_in_main(const struct sp_trace *trace)
{
	const __u64 *args = (const void *)trace->call.entry.args;

	return trace->call.op == PTRACE_SYSCALL_INFO_ENTRY && trace->call.entry.nr == SYS_rt_sigaction &&
	       args[0] == SIGPIPE;
}

void sp_trace_start(struct sp_trace *trace, struct sp_run *run, const char *const *words)
{
	const struct sp_run_setup setup = { .prepare = let_trace };
	int status;

	sp_run_start(run, &setup, words);
	trace->pid = run->pid;
	status = wait_stop(trace);
	assert_int_equal(WSTOPSIG(status), SIGSTOP);
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, trace->pid, NULL, OPTIONS), 0);
	/* The process that was forked did not ask for it. */
	do {
		resume(trace, 0);
		status = wait_stop(trace);
	} while (status >> 8 != (SIGTRAP | PTRACE_EVENT_EXEC << 8));
	do
		assert_int_not_equal(sp_trace_next(trace), SP_TRACE_END);
	while (!is_in_main(trace));
}

void sp_trace_seize(struct sp_trace *trace, pid_t pid)
{
	trace->pid = pid;
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, SEIZE_OPTIONS), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
	wait_stop(trace);
}

enum sp_trace_stop sp_trace_next(struct sp_trace *trace)
{
	int signal = 0;

	for (;;) {
		int status;

		resume(trace, signal);
		status = wait_stop(trace);
		signal = 0;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
			return SP_TRACE_END;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			break;
		if (!(status >> 16))
			signal = WSTOPSIG(status);
	}
	assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, trace->pid, sizeof(trace->call), &trace->call) > 0);
	return trace->call.op == PTRACE_SYSCALL_INFO_ENTRY ? SP_TRACE_ENTRY : SP_TRACE_EXIT;
}

void sp_trace_end(struct sp_trace *trace)
{
	assert_int_equal(ptrace(PTRACE_DETACH, trace->pid, NULL, NULL), 0);
}

void sp_trace_kill(struct sp_trace *trace)
{
	/* Else it would stop once more on its way out. */
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, trace->pid, NULL, OPTIONS & ~PTRACE_O_TRACEEXIT), 0);
	assert_int_equal(kill(trace->pid, SIGKILL), 0);
}

static enum sp_trace_effect effect_of_bpf(__u64 command)
{
	switch (command) {
	case BPF_MAP_LOOKUP_ELEM:
	case BPF_MAP_GET_NEXT_KEY:
		return SP_TRACE_READS;
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_ELEM:
	case BPF_OBJ_PIN:
		return SP_TRACE_STAYS;
	default:
		return SP_TRACE_PASSES_AWAY;
	}
}

enum sp_trace_effect sp_trace_effect(const struct sp_trace *trace)
{
	const __u64 *args = (const void *)trace->call.entry.args;

	switch (trace->call.entry.nr) {
	case SYS_read:
		return SP_TRACE_READS;
	case SYS_bpf:
		return effect_of_bpf(args[0]);
#ifdef SYS_rename
	case SYS_rename:
	case SYS_mkdir:
	case SYS_rmdir:
	case SYS_unlink:
#endif
	case SYS_renameat2:
	case SYS_mkdirat:
	case SYS_unlinkat:
	case SYS_mount:
	case SYS_flock:
	case SYS_setsockopt:
	case SYS_membarrier:
		return SP_TRACE_STAYS;
	case SYS_mmap:
		/* The next thing is a store into a pinned map. */
		return args[3] & MAP_SHARED && (int)args[4] >= 0 ? SP_TRACE_STAYS : SP_TRACE_PASSES_AWAY;
	default:
		return SP_TRACE_PASSES_AWAY;
	}
}

#ifdef __x86_64__

static void poke(struct sp_trace *trace, size_t offset, long value)
{
	assert_int_equal(ptrace(PTRACE_POKEUSER, trace->pid, offset, value), 0);
}

void sp_trace_skip(struct sp_trace *trace)
{
	poke(trace, offsetof(struct user_regs_struct, orig_rax), -1);
}

void sp_trace_answer(struct sp_trace *trace, long result)
{
	poke(trace, offsetof(struct user_regs_struct, rax), result);
}

#else

void sp_trace_skip(struct sp_trace *trace)
{
	(void)trace;
	skip(); /* which register has the number and the result is known for x86-64 only */
}

void sp_trace_answer(struct sp_trace *trace, long result)
{
	(void)trace, (void)result;
	skip();
}

#endif
