// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The daemon, with every system call and every allocation failing in turn while it does its work, and killed after
 * each call that changes something. It says what went wrong and goes on: in the end the work is done, no flow has
 * moved, and it holds nothing that it did not hold before (DESIGN I1, I5, I6).
 */
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "fault.h"
#include "keeper.h"
#include "pin.h"
#include "scene.h"

#define POLL_MS 5
#define REST_MS 3000
#define GUESTS 8 /* connections that come while no worker is there */

static struct sp_scene scene;
static struct sp_keeper keeper;
static char config[512];
static unsigned int files; /* of the daemon at rest */
static size_t said; /* by it before the work */
static bool was_restarted; /* since then */
static struct sp_crowd guests;

/* Some work. */
struct job {
	const char *name;
	void (*provoke)(void *ctx);
	bool (*is_done)(void *ctx);
	void (*check)(void);
};

/* Work that is done and undone, both with faults. */
struct pair {
	const char *name;
	void (*open)(void);
	struct job jobs[2];
	bool is_fragile; /* what waits in the daemon's own socket dies with it, so it is not killed */
};

/* --- the daemon --- */

static const char *config_of(const char *more)
{
	snprintf(config, sizeof(config),
		 "[daemon]\non-exit = detach\n[group idle]\nendpoint = tcp:127.0.0.1:9\n"
		 "[group " SP_SCENE_NAME "]\nendpoint = %s\nlearn = 1h\n%s",
		 scene.crew.endpoint, more);
	return config;
}

static const char *config_without(void)
{
	return "[daemon]\non-exit = detach\n[group idle]\nendpoint = tcp:127.0.0.1:9\n";
}

static void start(const char *text)
{
	sp_fault_prepare_begin();
	sp_keeper_start(&keeper, text);
	sp_fault_prepare_end();
}

/* Its manager would do the same: it has been killed, or libbpf has ended it. */
static void start_again(const struct sp_fault *fault)
{
	sp_keeper_bury(&keeper, SP_RUN_SIGNALLED + (fault->is_killed ? SIGKILL : SIGSEGV));
	start(NULL);
	said = 0;
	was_restarted = true;
}

static void wait_for(const char *what, bool (*is_so)(void *ctx), void *ctx)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	while (!is_so(ctx)) {
		sp_run_drain(&keeper.run);
		if (!sp_lab_left_ms(deadline) || sp_run_has_ended(&keeper.run))
			fail_msg("%s: the daemon has not done it; it said:\n%s", what, keeper.run.err ?: "");
		poll(NULL, 0, POLL_MS);
	}
}

/* Since the work began. */
static bool has_said(const char *text)
{
	sp_run_drain(&keeper.run);
	return keeper.run.err_len > said && strstr(keeper.run.err + said, text);
}

static bool is_at_rest(void *ctx)
{
	(void)ctx;
	return sp_scene_count_files(keeper.run.pid) == files;
}

/* For longer than a pass takes. */
static bool holds_none(void *ctx)
{
	(void)ctx;
	return sp_scene_holds_none(&scene, keeper.run.pid);
}

/* The least in the time of a few sweeps: a pass opens some, and a busy machine may leave it in the middle for long. */
static void note_files(void)
{
	__u64 deadline = sp_lab_now_ms() + REST_MS;

	files = UINT_MAX;
	while (sp_lab_left_ms(deadline)) {
		unsigned int now = sp_scene_count_files(keeper.run.pid);

		files = now < files ? now : files;
		poll(NULL, 0, POLL_MS);
	}
}

/* --- work --- */

static bool is_steered(void *ctx)
{
	(void)ctx;
	return sp_scene_is_steered(&scene, SP_SCENE_WORKERS);
}

static bool is_steered_with_extra(void *ctx)
{
	(void)ctx;
	return sp_scene_is_steered(&scene, SP_SCENE_WORKERS + 1);
}

static bool is_gone(void *ctx)
{
	(void)ctx;
	/* In this order: they may be just about to go. */
	return !sp_pin_exists(SP_KILL_BPFFS, SP_SCENE_NAME) && !sp_left_staging(SP_SCENE_NAME) &&
	       !sp_scene_is_attached(&scene);
}

static void add_extra(void *ctx)
{
	(void)ctx;
	sp_crew_add(&scene.crew, SP_SCENE_EXTRA);
}

static void kill_extra(void *ctx)
{
	(void)ctx;
	sp_crew_kill(&scene.crew, SP_SCENE_EXTRA);
}

static bool is_extra_dead(void *ctx)
{
	return is_steered(ctx) && sp_scene_slot(SP_SCENE_WORKERS).state == SP_SLOT_DEAD;
}

static void order_weight(void *ctx)
{
	(void)ctx;
	sp_keeper_order(&keeper, config_of("weights = 1=50\nflow-idle = 77s\n"));
}

static bool is_weighted(void *ctx)
{
	return is_steered(ctx) && sp_scene_slot(1).weight == 50 && sp_scene_idle_s() == 77;
}

static void order_no_weight(void *ctx)
{
	(void)ctx;
	sp_keeper_order(&keeper, config_of("weights = 1=100\nflow-idle = 88s\n"));
}

static bool is_not_weighted(void *ctx)
{
	return is_steered(ctx) && sp_scene_slot(1).weight == SP_WEIGHT_DEFAULT && sp_scene_idle_s() == 88;
}

static void order_group(void *ctx)
{
	(void)ctx;
	sp_keeper_order(&keeper, config_of(""));
}

static void order_no_group(void *ctx)
{
	(void)ctx;
	sp_keeper_order(&keeper, config_without());
}

/* It does not look after the group any more, and says so if it could not detach it. One that starts knows none. */
static bool is_told_or_gone(void *ctx)
{
	return is_gone(ctx) || was_restarted || has_said("nobody looks after " SP_SCENE_NAME " any more");
}

static void detach_by_hand(void)
{
	if (sp_pin_exists(SP_KILL_BPFFS, SP_SCENE_NAME) || sp_left_staging(SP_SCENE_NAME))
		sp_run("detach", SP_SCENE_NAME);
	assert_true(is_gone(NULL));
}

static void check_flows(void)
{
	sp_scene_check_flows(&scene);
}

static void open_steered(void)
{
	sp_scene_open(&scene);
	start(config_of(""));
	wait_for("attach", is_steered, NULL);
}

/* --- parking --- */

static bool is_parking(void *ctx)
{
	(void)ctx;
	return sp_scene_parking() != 0;
}

static bool is_served(void *ctx)
{
	return sp_scene_is_steered(&scene, 1) && is_parking(ctx);
}

static __u64 parking_before;

static bool is_handed_over(void *ctx)
{
	return is_served(ctx) && sp_scene_parking() != parking_before;
}

static bool is_alone(void *ctx)
{
	return is_parking(ctx) && sp_scene_slot(0).state == SP_SLOT_DEAD;
}

static void kill_worker(void *ctx)
{
	(void)ctx;
	parking_before = sp_scene_parking();
	sp_crew_kill(&scene.crew, 0);
}

static void add_worker(void *ctx)
{
	(void)ctx;
	sp_crew_add(&scene.crew, 0);
}

static void open_guests(void)
{
	sp_crowd_open(&guests, &scene.crew, "127.0.0.1", NULL, 0, GUESTS);
}

static void check_guests(void)
{
	int owners[GUESTS];

	sp_crowd_answers(&guests, owners);
	for (int i = 0; i < GUESTS; i++)
		assert_int_equal(owners[i], 0);
	sp_crowd_close(&guests);
}

static void open_parking(void)
{
	sp_crew_start(&scene.crew, SP_TCP, "127.0.0.1", 0, 1, NULL);
	start(config_of("park = 10m\n"));
	wait_for("parking", is_served, NULL);
}

/* --- all of it --- */

static const struct pair pairs[] = {
	{
		"membership",
		open_steered,
		{
			{ "a worker joins", add_extra, is_steered_with_extra, check_flows },
			{ "a worker dies", kill_extra, is_extra_dead, check_flows },
		},
		false,
	},
	{
		"reload",
		open_steered,
		{
			{ "reload with other weights", order_weight, is_weighted, check_flows },
			{ "reload with the weights of before", order_no_weight, is_not_weighted, check_flows },
		},
		false,
	},
	{
		"attach",
		open_steered,
		{
			{ "reload with one group less", order_no_group, is_told_or_gone, detach_by_hand },
			{ "reload with one more group", order_group, is_steered, check_flows },
		},
		false,
	},
	{
		"parking",
		open_parking,
		{
			{ "parking takes over", kill_worker, is_alone, open_guests },
			{ "parking hands over", add_worker, is_handed_over, check_guests },
		},
		true,
	},
};

/* --- one fault --- */

/* As part of a test's name; NULL: not for the daemon. */
static const char *const kind_names[SP_FAULT_KINDS] = {
	[SP_FAULT_CALL] = "while_any_call_fails",
	[SP_FAULT_MEMORY] = "while_any_allocation_fails",
	[SP_FAULT_KILL] = "killed_after_any_call",
};

static void log_daemon(const struct job *job, const struct sp_fault *fault)
{
	const char *path = getenv("FAULTS_LOG");
	sp_autofile FILE *file = path ? fopen(path, "a") : NULL;

	sp_run_drain(&keeper.run);
	if (file)
		fprintf(file, "%s | %s | %s\n", job->name, sp_fault_text(fault),
			keeper.run.err && keeper.run.err_len > said ? keeper.run.err + said : "");
}

static bool is_refused_or_done(void *ctx)
{
	const struct job *job = ctx;

	return has_said("nothing was changed") || job->is_done(NULL);
}

/* A file that could not be read is read when it is told to the next time. */
static void insist(const struct job *job, const struct sp_fault *fault)
{
	wait_for(sp_fault_text(fault), is_refused_or_done, (void *)job);
	if (!has_said("nothing was changed"))
		return;
	job->provoke(NULL);
	wait_for(sp_fault_text(fault), job->is_done, NULL);
}

static void try(const struct job *job, struct sp_fault *fault)
{

	sp_run_drain(&keeper.run);
	said = keeper.run.err_len;
	was_restarted = false;
	sp_fault_provoke(fault, keeper.run.pid, job->provoke, job->is_done, NULL);
	if (fault->is_killed || fault->is_libbpf_dead)
		start_again(fault);
	insist(job, fault);
	job->check();
	sp_scene_check_pins(&scene);
	wait_for("letting the members go", holds_none, NULL);
	log_daemon(job, fault);
}

/* One kind of fault in one pair. */
struct lane {
	const struct pair *pair;
	enum sp_fault_kind kind;
	char name[128]; /* of the test */
};

static void enumerate(const struct lane *lane, unsigned int variant, unsigned int *count)
{
	struct sp_fault faults[2];
	bool is_any = true;

	for (unsigned int nth = 1; is_any; nth++) {
		is_any = false;
		for (int i = 0; i < 2; i++) {
			faults[i] = (struct sp_fault){
				.kind = lane->kind, .variant = variant, .reach = SP_FAULT_NEAR, .nth = nth
			};
			try(&lane->pair->jobs[i], &faults[i]);
			count[i] += faults[i].is_injected;
			is_any |= faults[i].is_injected;
		}
		wait_for("the files of before", is_at_rest, NULL);
	}
}

static void run_lane(void **state)
{
	const struct lane *lane = *state;
	unsigned int variants = sp_fault_variants(lane->kind, SP_FAULT_NEAR) ?: 1;
	struct sp_fault none = { .kind = SP_FAULT_MEMORY };
	__u64 since = sp_lab_now_ms();
	unsigned int count[2] = { 0 };

	lane->pair->open();
	for (int i = 0; i < 2; i++)
		try(&lane->pair->jobs[i], &none);
	note_files();
	for (unsigned int variant = 0; variant < variants; variant++)
		enumerate(lane, variant, count);
	for (int i = 0; i < 2; i++) {
		print_message("%s, %s: %u\n", lane->pair->jobs[i].name, kind_names[lane->kind], count[i]);
		assert_true(count[i] > 0);
	}
	print_message("%llu s\n", (sp_lab_now_ms() - since) / 1000);
	sp_keeper_stop(&keeper);
}

/* After what failed the daemon waits for a second, so most of the time there is nothing to do but to wait. */
int main(void)
{
	static struct lane lanes[SP_ARRAY_SIZE(pairs) * SP_FAULT_KINDS];
	struct CMUnitTest tests[SP_ARRAY_SIZE(lanes)];
	size_t count = 0;

	for (size_t i = 0; i < SP_ARRAY_SIZE(pairs); i++) {
		for (enum sp_fault_kind kind = 0; kind < SP_FAULT_KINDS; kind++) {
			struct lane *lane = &lanes[count];

			if (!kind_names[kind] || (kind == SP_FAULT_KILL && pairs[i].is_fragile))
				continue;
			lane->pair = &pairs[i];
			lane->kind = kind;
			snprintf(lane->name, sizeof(lane->name),
				 "faults__%s_%s__daemon_goes_on_and_no_flow_moves", lane->pair->name,
				 kind_names[kind]);
			tests[count++] =
				(struct CMUnitTest){ lane->name, run_lane, NULL, sp_keeper_teardown, lane };
		}
	}
	return sp_scene_run_side_by_side(tests, count);
}
