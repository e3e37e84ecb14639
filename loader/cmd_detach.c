// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * detach: give a group back to the kernel's own hash and forget it.
 *
 * It looks for the groups that run the pinned program by its id and reads none of the maps, so that it also ends
 * what another version or a killed attach has left.
 */
#include <errno.h>
#include <string.h>
#include "cleanup.h"
#include "cmd.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "pin.h"
#include "render.h"
#include "state.h"
#include "steer.h"

static int detach_group(const struct sp_group *group, const char *name)
{
	sp_autoclose int socket = -1;
	char endpoint[SP_ENDPOINT_STRLEN];
	int err = sp_group_any_socket(group, &socket);

	if (err == -ESTALE)
		return 0; /* its last member was closed meanwhile */
	err = err ?: sp_group_detach(socket);
	if (err && err != -ENOENT) {
		sp_fail(err, "cannot detach the program from %s", sp_group_endpoint(group, endpoint));
		sp_hint("run it as root in the host's pid namespace (needs CAP_SYS_PTRACE)");
		return err;
	}
	sp_render_line("%s: detached from %s", name, sp_group_endpoint(group, endpoint));
	if (group->protocol == SP_UDP)
		sp_render_line("    the kernel's hash decides again: UDP flows may change worker");
	return 0;
}

/* Detaches one program wherever it is attached; *found counts these places. */
static int detach_everywhere(const struct sp_pins *pins, size_t *found)
{
	sp_autogroups struct sp_groups *groups = NULL;
	__u32 id;
	int err;

	err = sp_steer_program_id(pins, &id);
	err = err ?: sp_members_scan(0, &groups);
	for (size_t i = 0; !err && i < groups->ngroups; i++) {
		if (groups->groups[i].prog_id != id)
			continue;
		err = detach_group(&groups->groups[i], pins->name);
		(*found)++;
	}
	return err;
}

/* What is staged may be the program before this one, still attached where its replacement was killed. */
static int detach_name(const char *bpffs, const char *name)
{
	sp_autopins struct sp_pins staged = SP_PINS_NONE;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autoclose int slots = -1;
	bool is_staged, is_published;
	size_t found = 0;
	int err;

	err = sp_pin_open_staged_program(bpffs, name, &staged);
	is_staged = !err;
	if (!err)
		err = detach_everywhere(&staged, &found);
	if (err && err != -ENOENT)
		return err;
	err = sp_pin_open_program(bpffs, name, &pins);
	is_published = !err;
	if (!err)
		err = detach_everywhere(&pins, &found);
	if (err && err != -ENOENT)
		return err;
	slots = sp_pin_open_slots(bpffs, name);
	sp_state_empty_slots(slots);
	/* Without a program it was removed by half: there is nothing to look for. */
	if ((is_staged || is_published) && !found)
		sp_render_line("%s: its program was attached to no visible group", name);
	return 0;
}

enum sp_exit sp_cmd_detach(const struct sp_args *args)
{
	const char *name = args->args[0];
	sp_autoclose int lock = -1;

	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	if (!sp_name_is_valid(name) ||
	    (!sp_pin_exists(args->bpffs, name) && !sp_pin_is_staged(args->bpffs, name))) {
		sp_refuse(0, "no steered group is called %s", name);
		sp_hint("see those there are: steadyport list");
		return SP_EXIT_NO_GROUP;
	}
	if (sp_pin_lock(args->bpffs, &lock) || detach_name(args->bpffs, name) ||
	    sp_pin_remove(args->bpffs, name))
		return SP_EXIT_FAILED;
	return SP_EXIT_OK;
}
