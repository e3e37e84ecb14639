// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* sync: enrol newcomers and mark the dead. */
#include <errno.h>
#include <stdio.h>
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "log.h"
#include "render.h"
#include "steered.h"

static const char *list_members(const struct sp_reconcile_result *result, char *buf, size_t size)
{
	if (result->out_of_reach || result->taken)
		snprintf(buf, size, "%u of %u members enrolled", result->live, result->size);
	else
		snprintf(buf, size, "%u members, all enrolled", result->live);
	return buf;
}

static void report(const char *name, const struct sp_reconcile_result *result)
{
	char members[64], left[SP_RENDER_STRLEN];
	bool is_told = sp_steered_tell(name, result, sp_render_line);

	if (result->size == 0)
		sp_render_line("%s: the group has no members now; run sync when its workers are back", name);
	else if (!is_told)
		sp_render_line("%s: %s; %s", name, list_members(result, members, sizeof(members)),
			       result->did_publish ? "what was learned is settled" : "nothing to do");
	if (!is_told && result->is_learning)
		sp_render_line("    existing flows are being learned for %s; none has moved",
			       sp_render_remaining(result->learn_remaining_ns, left));
	sp_steered_warn(name, result);
}

static int sync_group(const struct sp_args *args, struct sp_pins *pins)
{
	/* The group is ours already: members that cannot be reached must not keep the others from being enrolled. */
	const struct sp_reconcile_options options = {
		.may_replace = args->replace,
		.may_be_partial = true,
		.counts_again = true,
	};
	sp_autofree struct sp_reconcile_result *result = calloc(1, sizeof(*result));
	int err;

	if (!result)
		return sp_fail(-ENOMEM, "cannot sync");
	err = sp_steered_reconcile(args->bpffs, pins, &options, result);
	if (!err)
		report(pins->name, result);
	return err ?: result->count_err;
}

enum sp_exit sp_cmd_sync(const struct sp_args *args)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autoclose int lock = -1;
	int err;

	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	err = sp_pin_open_locked(args->bpffs, args->args[0], &pins, &lock);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	return sync_group(args, &pins) ? SP_EXIT_FAILED : SP_EXIT_OK;
}
