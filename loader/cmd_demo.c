// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * steadyport demo: in a laboratory, first the tour if it was asked for, then the measuring and the picture.
 */

#include <errno.h>

#include "cleanup.h"
#include "cmd.h"
#include "demo.h"
#include "lab.h"
#include "log.h"
#include "render.h"
#include "tour.h"

enum sp_exit sp_cmd_demo(const struct sp_args *args)
{
	sp_autofree struct sp_demo_result *result = malloc(sizeof(*result));
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

	if (!result) {
		sp_fail(-ENOMEM, "cannot remember a result");
		return SP_EXIT_FAILED;
	}
	if (args->is_tour && args->json) {
		sp_refuse(-EINVAL, "the tour is a text and has no JSON form");
		sp_hint("leave out --tour or --json");
		return SP_EXIT_USAGE;
	}
	if (setup.workers < 2 || setup.workers > SP_DEMO_WORKERS_MAX || setup.killed < 1 ||
	    setup.killed >= setup.workers) {
		sp_refuse(-EINVAL, "%u of %u workers cannot be killed: 2 to %u workers, and one has to live",
			  setup.killed, setup.workers, SP_DEMO_WORKERS_MAX);
		return SP_EXIT_USAGE;
	}
	if (sp_lab_enter(setup.bpffs))
		return SP_EXIT_FAILED;
	if (args->is_tour && sp_tour_run(stdout, &setup, sp_render_has_colour()))
		return SP_EXIT_FAILED;
	if (sp_demo_measure(&setup, result))
		return SP_EXIT_FAILED;
	if (args->json) {
		if (sp_render_json_print(sp_demo_json(result)))
			return SP_EXIT_FAILED;
	} else {
		sp_demo_render(stdout, result, sp_render_has_colour());
	}
	return sp_demo_holds(result) ? SP_EXIT_OK : SP_EXIT_FAILED;
}
