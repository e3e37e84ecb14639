// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * steadyport demo: in a laboratory, first the tour if it was asked for, then the measuring and the picture; or a rolling
 * restart.
 */

#include <errno.h>

#include "cleanup.h"
#include "cmd.h"
#include "demo.h"
#include "lab.h"
#include "log.h"
#include "render.h"
#include "rolling.h"
#include "tour.h"

/* Opened before anything is measured: a name that cannot be written is told at once. */
static int open_svg(const char *path, FILE **ret_file)
{
	*ret_file = path ? fopen(path, "we") : NULL;
	return path && !*ret_file ? sp_fail(-errno, "cannot write %s", path) : 0;
}

static int fail_svg(int err, const char *path)
{
	return err ? sp_fail(err, "cannot write %s", path) : 0;
}

/* --- a kill --- */

static int show_kill(const struct sp_args *args, FILE *svg, const struct sp_demo_result *result)
{
	if (svg && fail_svg(sp_demo_svg(svg, result), args->svg))
		return -EIO;
	if (args->json)
		return sp_render_json_print(sp_demo_json(result));
	sp_demo_render(stdout, result, sp_render_has_colour());
	return 0;
}

static enum sp_exit demonstrate_kill(const struct sp_args *args, const struct sp_demo_setup *setup)
{
	sp_autofree struct sp_demo_result *result = malloc(sizeof(*result));
	sp_autofile FILE *svg = NULL;

	if (!result) {
		sp_fail(-ENOMEM, "cannot remember a result");
		return SP_EXIT_FAILED;
	}
	if (open_svg(args->svg, &svg) || sp_lab_enter(setup->bpffs))
		return SP_EXIT_FAILED;
	if (args->is_tour && sp_tour_run(stdout, setup, sp_render_has_colour()))
		return SP_EXIT_FAILED;
	if (sp_demo_measure(setup, result) || show_kill(args, svg, result))
		return SP_EXIT_FAILED;
	return sp_demo_holds(result) ? SP_EXIT_OK : SP_EXIT_FAILED;
}

/* --- a rolling restart --- */

static int show_rolling(const struct sp_args *args, FILE *svg, const struct sp_rolling_result *result)
{
	if (svg && fail_svg(sp_rolling_svg(svg, result), args->svg))
		return -EIO;
	if (args->json)
		return sp_render_json_print(sp_rolling_json(result));
	sp_rolling_render(stdout, result, sp_render_has_colour());
	return 0;
}

static enum sp_exit demonstrate_rolling(const struct sp_args *args, const struct sp_demo_setup *demo)
{
	const struct sp_rolling_setup setup = { .workers = args->workers,
						.rate = args->flows,
						.demo = *demo };
	sp_autofree struct sp_rolling_result *result = malloc(sizeof(*result));
	sp_autofile FILE *svg = NULL;

	if (!result) {
		sp_fail(-ENOMEM, "cannot remember a result");
		return SP_EXIT_FAILED;
	}
	if (open_svg(args->svg, &svg) || sp_lab_enter(demo->bpffs))
		return SP_EXIT_FAILED;
	if (sp_rolling_measure(&setup, result) || show_rolling(args, svg, result))
		return SP_EXIT_FAILED;
	return sp_rolling_holds(result) ? SP_EXIT_OK : SP_EXIT_FAILED;
}

/* --- what cannot be shown --- */

static int refuse(const struct sp_args *args)
{
	if (args->is_tour && args->json) {
		sp_refuse(-EINVAL, "the tour is a text and has no JSON form");
		sp_hint("leave out --tour or --json");
		return -EINVAL;
	}
	if (args->svg && !args->is_rolling && !args->do_udp) {
		sp_refuse(-EINVAL, "the picture is of UDP flows, and there are none with --proto tcp");
		sp_hint("leave out --proto; or draw connections: steadyport demo --rolling --svg %s",
			args->svg);
		return -EINVAL;
	}
	if (args->is_rolling && (args->is_tour || !args->do_tcp)) {
		sp_refuse(-EINVAL, "the rolling restart is of TCP connections alone and has no tour");
		sp_hint("leave out %s", args->is_tour ? "--tour" : "--proto");
		return -EINVAL;
	}
	if (args->is_rolling &&
	    (args->workers > SP_ROLLING_WORKERS_MAX || args->flows > SP_ROLLING_RATE_MAX)) {
		sp_refuse(-EINVAL,
			  "the rolling restart is of %d workers at most, and %d connections a second",
			  SP_ROLLING_WORKERS_MAX, SP_ROLLING_RATE_MAX);
		return -EINVAL;
	}
	return 0;
}

enum sp_exit sp_cmd_demo(const struct sp_args *args)
{
	/* 400 connections to the 1,000 flows of the default */
	const struct sp_demo_setup setup = {
		.workers = args->workers,
		.killed = args->kill,
		.flows = args->flows,
		.connections = args->flows < 3 ? 1 : args->flows / 5 * 2 + args->flows % 5 * 2 / 5,
		.has_udp = args->do_udp,
		.has_tcp = args->do_tcp,
		.bpffs = args->bpffs,
		.program = "/proc/self/exe",
	};

	if (refuse(args))
		return SP_EXIT_USAGE;
	return args->is_rolling ? demonstrate_rolling(args, &setup) : demonstrate_kill(args, &setup);
}
