// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Runs the binary under ptrace and kills it after one of its system calls. */
#include "kill.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/bpf.h>
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
#include "cleanup.h"

#define ROOT SP_KILL_BPFFS "/steadyport"

/*
 * The loader is killed once after each call that changes what outlives it. Of the others, which leave nothing
 * behind that the one before did not, after every STRIDEth; reads do not count, there are thousands.
 */
#define STRIDE 50

static void let_trace(void *ctx)
{
	(void)ctx;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
		_exit(126);
}

enum effect {
	READS,
	PASSES_AWAY, /* memory, fds, BPF objects that nothing holds but the process */
	STAYS, /* pins, elements of pinned maps, attachments, locks that others wait for */
};

static enum effect effect_of_bpf(__u64 command)
{
	switch (command) {
	case BPF_MAP_LOOKUP_ELEM:
	case BPF_MAP_GET_NEXT_KEY:
		return READS;
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_ELEM:
	case BPF_OBJ_PIN:
		return STAYS;
	default:
		return PASSES_AWAY;
	}
}

static enum effect effect_of(const struct __ptrace_syscall_info *call)
{
	const __u64 *args = (const void *)call->entry.args;

	switch (call->entry.nr) {
	case SYS_read:
		return READS;
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
		return STAYS;
	case SYS_mmap:
		/* The next thing is a store into a pinned map. */
		return args[3] & MAP_SHARED && (int)args[4] >= 0 ? STAYS : PASSES_AWAY;
	default:
		return PASSES_AWAY;
	}
}

static void resume(pid_t pid)
{
	assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
}

bool sp_kill_run(struct sp_run *run, unsigned int nth, const char *const *words)
{
	const struct sp_run_setup setup = { .prepare = let_trace };
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC |
			     PTRACE_O_EXITKILL;
	unsigned int counted = 0, others = 0;
	enum effect effect = READS;
	bool is_program = false;
	int status;

	sp_run_start(run, &setup, words);
	assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, run->pid, NULL, options), 0);
	for (;;) {
		struct __ptrace_syscall_info call;

		resume(run->pid);
		assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
		assert_true(WIFSTOPPED(status));
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8))
			is_program = true;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
			break;
		if (!is_program || WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, run->pid, sizeof(call), &call) > 0);
		if (call.op == PTRACE_SYSCALL_INFO_ENTRY) {
			effect = effect_of(&call);
			continue;
		}
		/* One that failed has changed nothing. */
		if (effect == READS || call.exit.is_error)
			continue;
		if (effect == PASSES_AWAY && ++others % STRIDE)
			continue;
		if (++counted < nth)
			continue;
		/* Else it would stop once more on its way out. */
		assert_int_equal(ptrace(PTRACE_SETOPTIONS, run->pid, NULL, options & ~PTRACE_O_TRACEEXIT), 0);
		assert_int_equal(kill(run->pid, SIGKILL), 0);
		sp_run_wait(run);
		assert_int_equal(run->status, SP_RUN_SIGNALLED + SIGKILL);
		return true;
	}
	assert_int_equal(ptrace(PTRACE_DETACH, run->pid, NULL, NULL), 0);
	sp_run_wait(run);
	return false;
}

static const char *const pins[] = { SP_PIN_PROG,  SP_PIN_SLOTS,	   SP_PIN_VIEWS,   SP_PIN_CTL,	 SP_PIN_INFO,
				    SP_PIN_FLOWS, SP_PIN_COUNTERS, SP_PIN_CARRIED, SP_PIN_EVENTS };

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

bool sp_left_pins(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), ROOT "/%s", name);
	if (!exists(path))
		return false;
	for (size_t i = 0; i < SP_ARRAY_SIZE(pins); i++) {
		snprintf(path, sizeof(path), ROOT "/%s/%s", name, pins[i]);
		assert_true(exists(path));
	}
	return true;
}

bool sp_left_staging(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), ROOT "/~%s", name);
	return exists(path);
}

bool sp_left_attached(__u16 port)
{
	json_t *groups = sp_groups_here();
	const char *kind =
		sp_json_text(sp_json_object(sp_json_find(groups, "port", port), "program"), "kind");
	bool is_ours = !strcmp(kind, "steadyport");

	assert_true(is_ours || !strcmp(kind, "none"));
	json_decref(groups);
	return is_ours;
}

void sp_left_nothing(__u16 port)
{
	DIR *dir = opendir(ROOT);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		print_error("%s/%s is left\n", ROOT, entry->d_name);
		fail();
	}
	closedir(dir);
	assert_false(sp_left_attached(port));
}
