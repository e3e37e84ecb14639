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

#define LISTED_SLOTS_MAX 16

/* "slot 3", "slots 1, 3 and 4", "slots 0, 1, ... (1000 in all)" */
static const char *list_slots(const __u32 *slots, __u32 count, char *buf, size_t size)
{
	size_t len = snprintf(buf, size, "%s", count == 1 ? "slot" : "slots");

	for (__u32 i = 0; i < count && i < LISTED_SLOTS_MAX && len < size; i++)
		len += snprintf(buf + len, size - len, "%s %u",
				i == 0	       ? "" :
				i + 1 == count ? " and" :
						 ",",
				slots[i]);
	if (count > LISTED_SLOTS_MAX && len < size)
		snprintf(buf + len, size - len, ", ... (%u in all)", count);
	return buf;
}

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
	char slots[256], left[SP_RENDER_STRLEN];

	if (result->nenrolled)
		sp_render_line("%s: enrolled %u new member%s in %s", name, result->nenrolled,
			       result->nenrolled == 1 ? "" : "s",
			       list_slots(result->enrolled, result->nenrolled, slots, sizeof(slots)));
	if (result->ndied)
		sp_render_line("%s: %s died; the flows are on the others, a new worker will take the place",
			       name, list_slots(result->died, result->ndied, slots, sizeof(slots)));
	if (result->did_attach)
		sp_render_line("%s: attached program %u again: the group had been without it", name,
			       result->program_id);
	if (result->did_replace)
		sp_render_line(
			"    the choices of the program that was attached instead are unknown: UDP flows may have "
			"moved");
	if (result->size == 0)
		sp_render_line("%s: the group has no members now; run sync when its workers are back", name);
	else if (!result->nenrolled && !result->ndied && !result->did_attach)
		sp_render_line("%s: %s; %s", name, list_members(result, slots, sizeof(slots)),
			       result->did_publish ? "what was learned is settled" : "nothing to do");
	if (result->is_learning)
		sp_render_line("    existing flows are being learned for %s; none has moved",
			       sp_render_remaining(result->learn_remaining_ns, left));
	sp_steered_warn(name, result);
}

static int sync_group(const struct sp_args *args, struct sp_pins *pins)
{
	/* The group is ours already: members that cannot be reached must not keep the others from being enrolled. */
	const struct sp_reconcile_options options = { .may_replace = args->replace, .may_be_partial = true };
	sp_autofree struct sp_reconcile_result *result = calloc(1, sizeof(*result));
	int err;

	if (!result)
		return sp_fail(-ENOMEM, "cannot sync");
	err = sp_steered_reconcile(args->bpffs, pins, &options, result);
	if (!err)
		report(pins->name, result);
	return err;
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
