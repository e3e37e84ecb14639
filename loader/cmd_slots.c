// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* drain, undrain, eject, retire, weight: planned changes of a group's slots. */
#include <errno.h>
#include <stdio.h>
#include "change.h"
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "leftover.h"
#include "log.h"
#include "render.h"
#include "state.h"
#include "steered.h"

static void report(const char *name, enum sp_change_kind kind, const struct sp_reconcile_result *result)
{
	char left[SP_RENDER_STRLEN];
	bool is_changed = false;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		if (!result->is_changed[s])
			continue;
		sp_render_line("%s: slot %u is %s", name, s, sp_change_did(kind));
		is_changed = true;
	}
	if (!is_changed)
		sp_render_line("%s: nothing to do, it is so already", name);
	else if (kind == SP_CHANGE_RETIRE || kind == SP_CHANGE_WEIGHT)
		sp_render_line("    %u of %d buckets moved", result->moved_buckets, SP_BUCKETS);
	if (result->is_learning)
		sp_render_line("    existing flows are being learned for %s; none has moved",
			       sp_render_remaining(result->learn_remaining_ns, left));
}

/* Without the lock: others may work on, and what they change is seen. */
static int wait_drained(const struct sp_args *args, const struct sp_pins *pins, const bool *is_asked)
{
	__u64 deadline = sp_now_ns() + args->wait_ns;
	sp_autostate struct sp_state *state = NULL;
	char text[SP_LEFTOVER_STRLEN], waited[SP_RENDER_STRLEN];
	struct sp_leftover left;
	__u32 slot;
	int err;

	err = sp_state_read(pins, &state);
	err = err ?: sp_leftover_wait(pins, is_asked, deadline, &slot, &left);
	if (!err)
		sp_render_line("    nothing is left there: it is safe to stop now");
	if (err != -ETIMEDOUT)
		return err;
	/* Only sp_leftover_wait() returns -ETIMEDOUT, and it says what is left. NOLINTNEXTLINE(clang-analyzer-core.*) */
	sp_refuse(0, "%s: after %s slot %u still has %s", pins->name,
		  sp_render_duration(args->wait_ns, waited), slot,
		  sp_leftover_text(&left, state->ctl.protocol, text));
	sp_hint("wait for them: repeat the command with a longer --wait; or stop the worker: %s",
		state->ctl.protocol == SP_TCP ? "its connections end, those that wait go to the others" :
						"its flows go to the others");
	return err;
}

static enum sp_exit change_slots(const struct sp_args *args, enum sp_change_kind kind)
{
	sp_autofree struct sp_reconcile_result *result = calloc(1, sizeof(*result));
	sp_autofree struct sp_change *change = calloc(1, sizeof(*change));
	const struct sp_reconcile_options options = { .may_be_partial = true, .change = change };
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	char why[SP_CHANGE_WHY_LEN];
	sp_autoclose int lock = -1;
	int err;

	if (!result || !change) {
		sp_fail(-ENOMEM, "cannot change %s", args->args[0]);
		return SP_EXIT_FAILED;
	}
	if (sp_change_parse(kind, args->args + 1, args->nargs - 1, change, why)) {
		sp_refuse(0, "%s", why);
		return SP_EXIT_USAGE;
	}
	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	err = sp_pin_open_locked(args->bpffs, args->args[0], &pins, &lock);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	err = sp_steered_reconcile(args->bpffs, &pins, &options, result);
	if (err)
		return SP_EXIT_FAILED;
	report(pins.name, kind, result);
	if (!args->has_wait)
		return SP_EXIT_OK;
	sp_close_fd(&lock);
	fflush(stdout);
	return wait_drained(args, &pins, change->is_asked) ? SP_EXIT_FAILED : SP_EXIT_OK;
}

enum sp_exit sp_cmd_drain(const struct sp_args *args)
{
	return change_slots(args, SP_CHANGE_DRAIN);
}

enum sp_exit sp_cmd_undrain(const struct sp_args *args)
{
	return change_slots(args, SP_CHANGE_UNDRAIN);
}

enum sp_exit sp_cmd_eject(const struct sp_args *args)
{
	return change_slots(args, SP_CHANGE_EJECT);
}

enum sp_exit sp_cmd_retire(const struct sp_args *args)
{
	return change_slots(args, SP_CHANGE_RETIRE);
}

enum sp_exit sp_cmd_weight(const struct sp_args *args)
{
	return change_slots(args, SP_CHANGE_WEIGHT);
}
