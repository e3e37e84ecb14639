// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* detach: give a group back to the kernel's own hash and forget it. */
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "pin.h"
#include "render.h"
#include "steered.h"

enum sp_exit sp_cmd_detach(const struct sp_args *args)
{
	const char *name = args->args[0];
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autoclose int lock = -1;

	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	if (!sp_name_is_valid(name) ||
	    (!sp_pin_exists(args->bpffs, name) && !sp_pin_is_staged(args->bpffs, name))) {
		sp_refuse(0, "no steered group is called %s", name);
		sp_hint("see those there are: steadyport list");
		return SP_EXIT_NO_GROUP;
	}
	if (sp_pin_lock(args->bpffs, &lock) || sp_members_scan(0, &groups) ||
	    sp_steered_detach(args->bpffs, name, groups, sp_render_line))
		return SP_EXIT_FAILED;
	return SP_EXIT_OK;
}
