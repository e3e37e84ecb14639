// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Every command that changes something, with every system call and every allocation of it failing in turn, under
 * traffic. After each: no flow has moved, pins are complete or absent, a command that says that it is done has done it
 * all, one that failed says why, and the next command completes (DESIGN I1, I5).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "fault.h"
#include "scene.h"

#define DRAINED "1"

static struct sp_scene scene;
static char snapshot[] = "/tmp/sp-faults-XXXXXX";
static __u32 old_program;
static __u32 extra_slot; /* of the worker that comes and goes */

/* A command under test. */
struct job {
	const char *name;
	const char *words[8];
	const char *next; /* that completes what has left pins; NULL: the same again */
	void (*prepare)(void);
	bool (*is_done)(void);
	bool is_repeatable; /* else it fails when there is nothing left to do */
	void (*undo)(void);
	enum sp_fault_reach reach;
	bool is_killed; /* kill_test.c and kill_upgrade_test.c have the others */
};

/* --- what is asked for --- */

static bool is_steered(void)
{
	return sp_scene_is_steered(&scene, SP_SCENE_WORKERS);
}

static bool is_steered_with_extra(void)
{
	return sp_scene_is_steered(&scene, SP_SCENE_WORKERS + 1);
}

static bool is_gone(void)
{
	return !sp_left_pins(SP_SCENE_NAME) && !sp_left_staging(SP_SCENE_NAME) &&
	       !sp_scene_is_attached(&scene);
}

static void attach(void)
{
	sp_run("attach", SP_SCENE_NAME, scene.crew.endpoint, "--learn", "1h");
	sp_scene_check_flows(&scene);
}

static void detach(void)
{
	sp_run("detach", SP_SCENE_NAME);
	assert_true(is_gone());
}

static void attach_once(void)
{
	if (!sp_left_pins(SP_SCENE_NAME))
		attach();
}

static void join(void)
{
	attach_once();
	if (!scene.crew.workers[SP_SCENE_EXTRA].pid)
		sp_crew_add(&scene.crew, SP_SCENE_EXTRA);
}

static void leave(void)
{
	sp_crew_kill(&scene.crew, SP_SCENE_EXTRA);
}

static void join_and_sync(void)
{
	join();
	sp_run("sync", SP_SCENE_NAME);
	assert_int_equal(sp_scene_slot_of(&scene, SP_SCENE_EXTRA), extra_slot);
}

static void join_and_die(void)
{
	join_and_sync();
	leave();
}

static enum sp_slot_state state_of_extra(void)
{
	return sp_scene_slot(extra_slot).state;
}

static bool is_dead(void)
{
	return is_steered() && state_of_extra() == SP_SLOT_DEAD;
}

static bool is_retired(void)
{
	return is_steered() && state_of_extra() == SP_SLOT_FREE;
}

static void drain(void)
{
	attach_once();
	sp_run("drain", SP_SCENE_NAME, DRAINED);
}

static void undrain(void)
{
	sp_run("undrain", SP_SCENE_NAME, DRAINED);
}

static bool is_drained(void)
{
	return is_steered() && sp_scene_slot(atoi(DRAINED)).state == SP_SLOT_DRAINING;
}

static bool is_undrained(void)
{
	return is_steered() && sp_scene_slot(atoi(DRAINED)).state == SP_SLOT_LIVE;
}

static bool is_ejected(void)
{
	return is_steered_with_extra() && state_of_extra() == SP_SLOT_EJECTED;
}

static bool is_weighted(void)
{
	return is_steered() && sp_scene_slot(0).weight == 50;
}

static void unweight(void)
{
	sp_run("weight", SP_SCENE_NAME, "0=100");
}

static void note_program(void)
{
	attach_once();
	old_program = sp_scene_program();
}

static bool is_upgraded(void)
{
	return is_steered() && sp_scene_program() != old_program;
}

/* The new program is published, the one before it still attached and staged. */
static void half_upgrade(void)
{
	static const char *const words[] = { "steadyport", "upgrade", SP_SCENE_NAME, NULL };
	static unsigned int nth = 1;

	note_program();
	while (sp_scene_program() == old_program) {
		struct sp_run run;
		bool was_killed = sp_kill_run(&run, nth, words);

		sp_run_free(&run);
		assert_true(was_killed);
		nth += sp_scene_program() == old_program;
	}
	assert_true(sp_left_staging(SP_SCENE_NAME));
}

static void detach_at_last(void)
{
	if (sp_left_pins(SP_SCENE_NAME))
		detach();
}

#define NAME SP_SCENE_NAME

static const struct job attach_jobs[] = {
	{
		.name = "attach",
		.words = { "attach", NAME, scene.crew.endpoint, "--learn", "1h" },
		.is_done = is_steered,
		.undo = detach,
		.reach = SP_FAULT_FAR,
	},
	{
		.name = "detach",
		.words = { "detach", NAME },
		.prepare = attach_once,
		.is_done = is_gone,
		.reach = SP_FAULT_NEAR,
	},
	{
		.name = "sync with a newcomer",
		.words = { "sync", NAME },
		.prepare = join,
		.is_done = is_steered_with_extra,
		.is_repeatable = true,
		.undo = leave,
		.reach = SP_FAULT_NEAR,
	},
	{ .name = NULL },
};

/* They have all their code in common but for the change itself. */
static const struct job change_jobs[] = {
	{
		.name = "drain",
		.words = { "drain", NAME, DRAINED },
		.prepare = attach_once,
		.is_done = is_drained,
		.is_repeatable = true,
		.undo = undrain,
		.reach = SP_FAULT_NEAR,
		.is_killed = true,
	},
	{
		.name = "undrain",
		.words = { "undrain", NAME, DRAINED },
		.prepare = drain,
		.is_done = is_undrained,
		.is_repeatable = true,
		.reach = SP_FAULT_CHANGES,
	},
	{
		.name = "weight",
		.words = { "weight", NAME, "0=50" },
		.prepare = attach_once,
		.is_done = is_weighted,
		.is_repeatable = true,
		.undo = unweight,
		.reach = SP_FAULT_CHANGES,
	},
	{
		.name = "eject",
		.words = { "eject", NAME, "4" },
		.prepare = join_and_sync,
		.is_done = is_ejected,
		.is_repeatable = true,
		.undo = leave,
		.reach = SP_FAULT_CHANGES,
	},
	{
		.name = "retire",
		.words = { "retire", NAME, "4" },
		.prepare = join_and_die,
		.is_done = is_retired,
		.reach = SP_FAULT_CHANGES,
	},
	{
		.name = "sync after a death",
		.words = { "sync", NAME },
		.prepare = join_and_die,
		.is_done = is_dead,
		.is_repeatable = true,
		.reach = SP_FAULT_CHANGES,
	},
	{ .name = NULL },
};

static const struct job upgrade_jobs[] = {
	{
		.name = "upgrade",
		.words = { "upgrade", NAME },
		.prepare = note_program,
		.is_done = is_upgraded,
		.is_repeatable = true,
		.reach = SP_FAULT_NEAR,
	},
	{
		.name = "sync after half an upgrade",
		.words = { "sync", NAME },
		.prepare = half_upgrade,
		.is_done = is_upgraded,
		.is_repeatable = true,
		.reach = SP_FAULT_NEAR,
	},
	{
		.name = "restore",
		.words = { "restore", snapshot },
		.next = "sync",
		.prepare = detach_at_last,
		.is_done = is_steered,
		.reach = SP_FAULT_NEAR,
		.is_killed = true,
	},
	{ .name = NULL },
};

/* --- one fault --- */

static void take_words(const struct job *job, const char *words[])
{
	size_t n = 0;

	words[n++] = "steadyport";
	for (size_t i = 0; i < SP_ARRAY_SIZE(job->words) && job->words[i]; i++)
		words[n++] = job->words[i];
	words[n] = NULL;
}

static void blame(const struct job *job, const struct sp_fault *fault, const struct sp_run *run,
		  const char *what)
{
	fail_msg("%s, %s: %s; exit status %d:\n%s%s", job->name, sp_fault_text(fault), what, run->status,
		 run->out, run->err);
}

/* Nothing can be said where nothing can be written. */
static bool may_be_silent(const struct sp_fault *fault)
{
	return fault->number == SYS_write;
}

/* What it says, and whether it is true. */
static void judge(const struct job *job, const struct sp_fault *fault, const struct sp_run *run)
{
	bool is_done = job->is_done();

	if (fault->is_libbpf_dead && run->status == SP_RUN_SIGNALLED + SIGSEGV)
		return;
	if (fault->is_killed && run->status == SP_RUN_SIGNALLED + SIGKILL)
		return;
	switch (run->status) {
	case SP_EXIT_OK:
		/* `sync` does what it can, and tells what it cannot. */
		if (!is_done && !strstr(run->err, "cannot be reached"))
			blame(job, fault, run, "it says that it is done, and it is not");
		break;
	case SP_EXIT_FAILED:
		if (!fault->is_injected)
			blame(job, fault, run, "it failed without a reason");
		if (!strstr(run->err, "error: ") && !may_be_silent(fault))
			blame(job, fault, run, "it does not say why it failed");
		break;
	default:
		blame(job, fault, run, "it should be done, or have failed");
	}
}

/* For whoever reads what is said in each case: FAULTS_LOG names a file. */
static void log_run(const struct job *job, const struct sp_fault *fault, const struct sp_run *run)
{
	const char *path = getenv("FAULTS_LOG");
	sp_autofile FILE *file = path ? fopen(path, "a") : NULL;

	if (file)
		fprintf(file, "%s | %s | %d | %s\n", job->name, sp_fault_text(fault), run->status, run->err);
}

static void complete(const struct job *job, const struct sp_fault *fault, const char *const *words)
{
	const char *const next[] = { "steadyport", job->next, SP_SCENE_NAME, NULL };
	bool was_done = job->is_done();
	struct sp_run run;

	sp_run_start(&run, NULL, job->next && sp_left_pins(SP_SCENE_NAME) ? next : words);
	sp_run_wait(&run);
	if (run.status != SP_EXIT_OK && (job->is_repeatable || !was_done))
		blame(job, fault, &run, "the next command failed");
	if (!job->is_done())
		blame(job, fault, &run, "the next command did not complete it");
	sp_run_free(&run);
}

/* Whether it has changed anything is @ret_is_changed; a command that did not will not hinder the next one. */
static void try(const struct job *job, struct sp_fault *fault, bool *ret_is_changed)
{
	__u64 before = sp_scene_fingerprint(&scene);
	const char *words[SP_RUN_WORDS_MAX];
	struct sp_run run;

	take_words(job, words);
	sp_fault_run(fault, &run, words);
	log_run(job, fault, &run);
	sp_scene_check_flows(&scene);
	sp_scene_check_pins(&scene);
	judge(job, fault, &run);
	*ret_is_changed = sp_fault_is_all() || !fault->is_injected || run.status == SP_EXIT_OK ||
			  sp_scene_fingerprint(&scene) != before;
	sp_run_free(&run);
	if (!*ret_is_changed)
		return;
	complete(job, fault, words);
	sp_scene_check_flows(&scene);
}

static unsigned int enumerate(const struct job *job, struct sp_fault fault)
{
	bool is_changed = true;
	unsigned int count = 0;

	fault.reach = job->reach;
	for (fault.nth = 1; fault.nth == 1 || fault.is_injected; fault.nth++) {
		if (is_changed && job->prepare)
			job->prepare();
		try(job, &fault, &is_changed);
		count += fault.is_injected;
		if (is_changed && job->undo)
			job->undo();
	}
	return count;
}

static void enumerate_all(const struct job *job)
{
	unsigned int count[SP_FAULT_KINDS] = { 0 };
	__u64 since = sp_lab_now_ms();

	for (enum sp_fault_kind kind = 0; kind < SP_FAULT_KINDS; kind++) {
		unsigned int variants = sp_fault_variants(kind, job->reach);

		if (kind == SP_FAULT_KILL && job->is_killed)
			variants = 1;
		for (unsigned int variant = 0; variant < variants; variant++)
			count[kind] += enumerate(job, (struct sp_fault){ .kind = kind, .variant = variant });
	}
	print_message("%s: %u calls failed, %u from then on, %u allocations, %u kills: %llu s\n", job->name,
		      count[SP_FAULT_CALL], count[SP_FAULT_CALLS], count[SP_FAULT_MEMORY],
		      count[SP_FAULT_KILL], (sp_lab_now_ms() - since) / 1000);
	assert_true(count[SP_FAULT_CALL] > 0);
}

static void take_snapshot(void)
{
	int fd = mkstemp(snapshot);

	assert_true(fd >= 0);
	attach();
	extra_slot = SP_SCENE_EXTRA;
	{
		const struct sp_run *run = sp_run("snapshot", SP_SCENE_NAME);

		assert_int_equal(write(fd, run->out, run->out_len), run->out_len);
	}
	close(fd);
	detach();
}

static int tear_down(void **state)
{
	unlink(snapshot);
	return sp_run_teardown(state);
}

static void run_lane(void **state)
{
	const struct job *job = *state;

	sp_scene_open(&scene);
	sp_scene_check_pins(&scene);
	take_snapshot();
	for (; job->name; job++)
		enumerate_all(job);
}

#define LANE(name, jobs)                                                                                    \
	{                                                                                                   \
		"faults__" name "_fails_at_any_call__no_flow_moves_and_the_next_completes", run_lane, NULL, \
			tear_down, (void *)jobs                                                             \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LANE("attach", attach_jobs),
		LANE("change", change_jobs),
		LANE("upgrade", upgrade_jobs),
	};

	return sp_scene_run_side_by_side(tests, SP_ARRAY_SIZE(tests));
}
