// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* upgrade: replace the program of a steered group by this binary's own. */
#include <errno.h>
#include <stdio.h>
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "pin.h"
#include "render.h"
#include "steer.h"
#include "swap.h"

static int upgrade(const char *bpffs, struct sp_pins *pins)
{
	__u32 abi = pins->abi, before, after;
	char from[32] = "";
	bool was_attached;
	int err;

	err = sp_steer_program_id(pins, &before);
	err = err ?: sp_swap(bpffs, pins, 0, &was_attached);
	err = err ?: sp_steer_program_id(pins, &after);
	if (err)
		return err;
	if (abi != SP_ABI_VERSION)
		snprintf(from, sizeof(from), " (ABI %u to %d)", abi, SP_ABI_VERSION);
	sp_render_line("%s: program %u replaced by %u%s; no flow has moved", pins->name, before, after, from);
	if (!was_attached)
		sp_render_line("    it is attached to no visible group: steadyport sync %s", pins->name);
	return 0;
}

enum sp_exit sp_cmd_upgrade(const struct sp_args *args)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autoclose int lock = -1;
	int err;

	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	err = sp_pin_lock_group(args->bpffs, args->args[0], &lock);
	err = err ?: sp_pin_open_any(args->bpffs, args->args[0], &pins);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	return upgrade(args->bpffs, &pins) ? SP_EXIT_FAILED : SP_EXIT_OK;
}
