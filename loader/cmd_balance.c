// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* balance: place new connections by load, or by the hash again. */
#include <errno.h>
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "render.h"
#include "state.h"
#include "steered.h"
#include "value.h"

/* What it goes by must be known first: the members' addresses, which an older steadyport has not noted. */
static int change(const char *bpffs, struct sp_pins *pins, enum sp_balance balance)
{
	const struct sp_reconcile_options options = { .may_be_partial = true };
	sp_autofree struct sp_reconcile_result *result = calloc(1, sizeof(*result));
	sp_autogroups struct sp_groups *groups = NULL;
	struct sp_ctl before;
	int err;

	if (!result)
		return sp_fail(-ENOMEM, "cannot change %s", pins->name);
	err = sp_steered_reconcile(bpffs, pins, &options, result);
	err = err ?: sp_state_read_ctl(pins, &before);
	err = err ?: sp_members_scan(0, &groups);
	err = err ?: sp_steered_balance(bpffs, pins, balance, groups);
	if (err)
		return err;
	if (before.balance == balance)
		sp_render_line("%s: nothing to do, it is so already", pins->name);
	else
		sp_render_line("%s: new connections are placed by %s now; none has moved", pins->name,
			       sp_value_balance_name(balance));
	return 0;
}

enum sp_exit sp_cmd_balance(const struct sp_args *args)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autoclose int lock = -1;
	enum sp_balance balance;
	const char *why = sp_value_balance(args->args[1], &balance);
	int err;

	if (why) {
		sp_refuse(0, "%s is no balance: %s", args->args[1], why);
		sp_hint("see: steadyport balance --help");
		return SP_EXIT_USAGE;
	}
	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	err = sp_pin_open_locked(args->bpffs, args->args[0], &pins, &lock);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	return change(args->bpffs, &pins, balance) ? SP_EXIT_FAILED : SP_EXIT_OK;
}
