// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The loader is killed after its first system call, after its second, and so on until it gets through (DESIGN
 * I5). After each death no flow of a living worker has moved, the pins are absent or complete, and the next
 * command completes or removes what was left.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "run.h"

#define ROOT "/sys/fs/bpf/steadyport"
#define NAME "dns"
#define WORKERS 4
#define NEWCOMER WORKERS
#define FLOWS 64

/*
 * The loader is killed once after each call that changes what outlives it. Of the others, which leave nothing
 * behind that the one before did not, after every STRIDEth; reads do not count, there are thousands.
 */
#define STRIDE 50

static const char *const pins[] = { SP_PIN_PROG, SP_PIN_SLOTS, SP_PIN_VIEWS,	SP_PIN_CTL,
				    SP_PIN_INFO, SP_PIN_FLOWS, SP_PIN_COUNTERS, SP_PIN_EVENTS };

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];

/* --- a harness that kills --- */

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

/* Runs it up to and with the nth call that counts and kills it there. False: it came to its end before. */
static bool run_and_kill(struct sp_run *run, unsigned int nth, const char *const *words)
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

/* --- what is left --- */

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Absent or complete. */
static bool has_pins(void)
{
	char path[128];

	if (!exists(ROOT "/" NAME))
		return false;
	for (size_t i = 0; i < SP_ARRAY_SIZE(pins); i++) {
		snprintf(path, sizeof(path), ROOT "/" NAME "/%s", pins[i]);
		assert_true(exists(path));
	}
	return true;
}

static bool is_attached(void)
{
	json_t *groups = sp_groups_here();
	const char *kind =
		sp_json_text(sp_json_object(sp_json_find(groups, "port", crew.port), "program"), "kind");
	bool is_ours = !strcmp(kind, "steadyport");

	assert_true(is_ours || !strcmp(kind, "none"));
	json_decref(groups);
	return is_ours;
}

static void expect_nothing_left(void)
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
	assert_false(is_attached());
}

static void check_flows(void)
{
	sp_crowd_stays(&crowd, &crew, before, after);
}

/* The exit status of a command that may find its work done or to do. */
static int try(const char *first, const char *second, const char *third, const char *fourth,
	       const char *fifth)
{
	const char *words[] = { "steadyport", first, second, third, fourth, fifth, NULL };
	struct sp_run run;
	int status;

	sp_run_start(&run, NULL, words);
	sp_run_wait(&run);
	status = run.status;
	sp_run_free(&run);
	return status;
}

/* --- the three commands that change something --- */

static void complete_by_attach(void)
{
	json_t *status;

	/* It refuses when the one before was killed after its last step: nothing is left to do then. */
	try("attach", NAME, crew.endpoint, "--learn", "1h");
	assert_true(has_pins());
	status = sp_run_json("status", NAME);
	assert_true(sp_json_bool(status, "attached"));
	assert_int_equal(sp_json_int(status, "enrolled"), WORKERS);
	json_decref(status);
	check_flows();
	sp_run("detach", NAME);
	expect_nothing_left();
}

/* Published pins or only the staging of a killed command: detach removes either, and finds no NAME without both. */
static void complete_by_detach(bool had_pins)
{
	bool had_staging = exists(ROOT "/~" NAME);

	assert_int_equal(try("detach", NAME, NULL, NULL, NULL),
			 had_pins || had_staging ? SP_EXIT_OK : SP_EXIT_NO_GROUP);
	expect_nothing_left();
}

static void e2e__attach_killed_at_any_call__no_flow_moves(void **state)
{
	const char *const words[] = { "steadyport", "attach", NAME, crew.endpoint, "--learn", "1h", NULL };
	bool was_killed = true, was_absent = false, was_complete = false;
	struct sp_run run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	for (unsigned int nth = 1; was_killed; nth++) {
		bool has;

		was_killed = run_and_kill(&run, nth, words);
		has = has_pins();
		if (!was_killed)
			assert_int_equal(run.status, SP_EXIT_OK);
		sp_run_free(&run);
		check_flows();
		was_absent |= !has;
		was_complete |= has;
		if (is_attached())
			assert_true(has);
		if (nth % 2)
			complete_by_attach();
		else
			complete_by_detach(has);
	}
	assert_true(was_absent && was_complete);
	check_flows();
	sp_crowd_close(&crowd);
}

/* Set after the attach, so that learning starts with the sync: its previous view is a table, then. */
static void set_learn_time(__u64 ns)
{
	sp_autoclose int fd = bpf_obj_get(ROOT "/" NAME "/" SP_PIN_CTL);
	struct sp_ctl ctl;
	__u32 zero = 0;

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &ctl), 0);
	ctl.learn_ns = ns;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &ctl, BPF_ANY), 0);
}

static void e2e__sync_killed_at_any_call__no_flow_moves(void **state)
{
	const char *const words[] = { "steadyport", "sync", NAME, NULL };
	bool was_killed = true;
	struct sp_run run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	set_learn_time(3600ULL * 1000000000);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	for (unsigned int nth = 1; was_killed; nth++) {
		sp_crew_add(&crew, NEWCOMER);
		was_killed = run_and_kill(&run, nth, words);
		if (!was_killed)
			assert_int_equal(run.status, SP_EXIT_OK);
		sp_run_free(&run);
		check_flows();
		assert_true(has_pins());
		sp_run("sync", NAME);
		check_flows();
		assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS + 1);
		sp_crew_kill(&crew, NEWCOMER);
		check_flows();
	}
	sp_crowd_close(&crowd);
}

static void e2e__detach_killed_at_any_call__flows_stay_while_attached(void **state)
{
	const char *const words[] = { "steadyport", "detach", NAME, NULL };
	bool was_killed = true, was_attached = false, was_detached = false;
	struct sp_run run;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	for (unsigned int nth = 1; was_killed; nth++) {
		bool has;

		sp_run("attach", NAME, crew.endpoint, "--learn", "1h");
		check_flows();
		was_killed = run_and_kill(&run, nth, words);
		has = has_pins();
		if (!was_killed)
			assert_int_equal(run.status, SP_EXIT_OK);
		sp_run_free(&run);
		if (is_attached()) {
			was_attached = true;
			assert_true(has);
			check_flows();
		} else {
			was_detached = true;
		}
		complete_by_detach(has);
	}
	assert_true(was_attached && was_detached);
	sp_run("attach", NAME, crew.endpoint);
	sp_run("detach", NAME);
	expect_nothing_left();
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__attach_killed_at_any_call__no_flow_moves, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__sync_killed_at_any_call__no_flow_moves, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__detach_killed_at_any_call__flows_stay_while_attached,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
