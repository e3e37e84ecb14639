// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* attach: steer a running group from outside. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "cmd.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "netns.h"
#include "render.h"
#include "steer.h"
#include "steered.h"
#include "swap.h"

static int ctl_for(const struct sp_args *args, const struct sp_group *group, struct sp_ctl *ret_ctl)
{
	struct sp_ctl ctl = {
		.netns_cookie = group->netns_cookie,
		.netns_inode = group->netns_inode,
		.ifindex = group->ifindex,
		.protocol = group->protocol,
		.family = group->address.family,
		.port = group->port,
		.uid = group->uid,
		.hash = args->hash,
		.track = args->track,
		.learn_ns = args->learn_ns,
		.flow_idle_s = args->flow_idle_ns / 1000000000,
		.key = { args->seed[0], args->seed[1] },
	};

	memcpy(ctl.addr, group->address.bytes, sizeof(ctl.addr));
	if (!args->has_seed && getrandom(ctl.key, sizeof(ctl.key), 0) != sizeof(ctl.key))
		return sp_fail(-errno, "cannot get a random hash key");
	*ret_ctl = ctl;
	return 0;
}

static bool has_member(const struct sp_group *group, __u64 cookie)
{
	for (size_t i = 0; i < group->nmembers; i++)
		if (group->members[i].cookie == cookie)
			return true;
	return false;
}

/* NAME has the group's sockets in its slots, whatever program is attached now. */
static bool holds_members(const char *bpffs, const char *name, const struct sp_group *group)
{
	sp_autoclose int slots = sp_pin_open_slots(bpffs, name);
	__u64 cookie;

	for (__u32 slot = 0; slots >= 0 && slot < SP_SLOTS_MAX; slot++)
		if (!bpf_map_lookup_elem(slots, &slot, &cookie) && has_member(group, cookie))
			return true;
	return false;
}

/*
 * A group that already has a NAME of ours is not foreign, and --replace must not steal it from that name. Nor could it
 * when its program was taken off or replaced: a socket fits one sockarray.
 */
static int refuse_steered(const struct sp_args *args, const struct sp_group *group)
{
	char endpoint[SP_ENDPOINT_STRLEN];
	sp_autofree char(*names)[SP_NAME_MAX + 1] = NULL;
	size_t count;
	int err;

	err = sp_pin_list(args->bpffs, &names, &count);
	for (size_t i = 0; !err && i < count; i++) {
		__u32 ids[2];

		sp_pin_program_ids(args->bpffs, names[i], ids);
		if (group->prog_id && (ids[0] == group->prog_id || ids[1] == group->prog_id)) {
			sp_refuse(0, "%s is steered already, as %s", sp_group_endpoint(group, endpoint),
				  names[i]);
			sp_hint("enrol its new members: steadyport sync %s", names[i]);
			return -EEXIST;
		}
		if (holds_members(args->bpffs, names[i], group)) {
			sp_refuse(0,
				  "the members of %s are in the slots of %s, whose program is not attached",
				  sp_group_endpoint(group, endpoint), names[i]);
			sp_hint("attach it again: steadyport sync %s%s; or forget it: steadyport detach %s",
				names[i], group->prog_type ? " --replace" : "", names[i]);
			return -EEXIST;
		}
	}
	return err;
}

static bool is_for(const struct sp_state *state, const struct sp_group *group)
{
	struct sp_address address;

	sp_state_address(state, &address);
	return state->ctl.netns_cookie == group->netns_cookie && state->ctl.protocol == group->protocol &&
	       state->ctl.port == group->port && state->ctl.ifindex == group->ifindex &&
	       !memcmp(&address, &group->address, sizeof(address));
}

static int refuse_name(const struct sp_pins *pins, const struct sp_state *state)
{
	char endpoint[SP_ENDPOINT_STRLEN];
	struct sp_address address;

	sp_state_address(state, &address);
	sp_refuse(0, "%s is the name of a steered group already: %s:%s", pins->name,
		  sp_protocol_name(state->ctl.protocol),
		  sp_address_format(&address, state->ctl.ifindex, state->ctl.port, endpoint));
	sp_hint("look at it: steadyport status %s; enrol its new members: steadyport sync %s", pins->name,
		pins->name);
	return -EEXIST;
}

/*
 * NAME has pins. If they were published for this very group and never attached, a killed attach is completed; if they
 * are an older steadyport's, they are brought up to date where that was asked for.
 */
static int adopt(const struct sp_args *args, const struct sp_group *group, struct sp_pins *ret_pins)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autostate struct sp_state *state = NULL;
	bool was_attached;
	int err;

	err = (args->upgrade ? sp_pin_open_any : sp_pin_open)(args->bpffs, args->args[0], &pins);
	err = err ?: sp_state_read(&pins, &state);
	if (err)
		return err;
	if (!is_for(state, group) || (state->ctl.attached_at && pins.abi == SP_ABI_VERSION))
		return refuse_name(&pins, state);
	if (pins.abi != SP_ABI_VERSION) {
		err = sp_swap(args->bpffs, &pins, 0, &was_attached);
		if (err)
			return err;
	} else {
		sp_note("%s was published but not attached: completing it", pins.name);
	}
	*ret_pins = pins;
	pins = (struct sp_pins)SP_PINS_NONE;
	return 0;
}

static int create(const struct sp_args *args, const struct sp_group *group, struct sp_pins *ret_pins)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct sp_ctl ctl;
	int err;

	err = ctl_for(args, group, &ctl);
	err = err   ?:
		      sp_steer_load(args->args[0], &ctl,
				    args->slots > group->size ? args->slots : group->size, args->flows,
				    &pins);
	err = err ?: sp_pin_publish(args->bpffs, &pins);
	if (err)
		return err;
	*ret_pins = pins;
	pins = (struct sp_pins)SP_PINS_NONE;
	return 0;
}

static void report(const struct sp_pins *pins, const struct sp_group *group,
		   const struct sp_reconcile_result *result)
{
	char address[SP_ENDPOINT_STRLEN], left[SP_RENDER_STRLEN];

	sp_render_line("%s: attached program %u to %u member%s of %s %s", pins->name, result->program_id,
		       result->live, result->live == 1 ? "" : "s", sp_protocol_name(group->protocol),
		       sp_address_format(&group->address, group->ifindex, group->port, address));
	if (result->is_learning)
		sp_render_line("    existing flows are being learned for %s; %s",
			       sp_render_remaining(result->learn_remaining_ns, left),
			       result->out_of_reach || result->taken ?
				       "those of the members out of reach move" :
				       "none has moved");
	if (result->did_replace && group->protocol == SP_UDP)
		sp_render_line(
			"    the choices of the program that was attached before are unknown: flows may have moved");
	sp_steered_warn(pins->name, result);
}

static int attach(const struct sp_args *args, const struct sp_endpoint *endpoint)
{
	struct sp_reconcile_options options = { .may_replace = args->replace,
						.may_be_partial = args->partial };
	sp_autofree struct sp_reconcile_result *result = calloc(1, sizeof(*result));
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	const struct sp_group *group;
	sp_autoclose int lock = -1;
	__u64 netns_cookie;
	__u32 netns_inode;
	bool is_new;
	int err;

	if (!result)
		return sp_fail(-ENOMEM, "cannot attach");
	err = sp_netns_resolve(args->netns, &netns_cookie, &netns_inode);
	err = err ?: sp_pin_root(args->bpffs);
	err = err ?: sp_pin_lock(args->bpffs, &lock);
	err = err ?: sp_members_scan(endpoint->port, &groups);
	err = err ?: sp_group_find(groups, endpoint, netns_cookie, &group);
	if (err)
		return err;

	is_new = !sp_pin_exists(args->bpffs, args->args[0]);
	err = is_new ? refuse_steered(args, group) : 0;
	err = err ?: (is_new ? create : adopt)(args, group, &pins);
	if (err)
		return err;
	err = sp_steered_reconcile(args->bpffs, &pins, &options, result);
	if (!err && !result->size) {
		/* Between our two looks the last member was closed. */
		sp_refuse(0, "the members of %s went away while it was being attached", pins.name);
		err = -ENOENT;
	}
	if (err) {
		if (is_new) {
			sp_state_empty_slots(pins.slots);
			sp_pin_remove(args->bpffs, pins.name);
		}
		return err;
	}
	report(&pins, group, result);
	return 0;
}

enum sp_exit sp_cmd_attach(const struct sp_args *args)
{
	struct sp_endpoint endpoint;
	const char *why;

	if (!sp_name_is_valid(args->args[0])) {
		sp_refuse(0, "%s cannot be a group's name: letters, digits, '_' and '-', at most %d",
			  args->args[0], SP_NAME_MAX);
		return SP_EXIT_USAGE;
	}
	if (sp_endpoint_parse(args->args[1], &endpoint, &why)) {
		sp_refuse(0, "%s is not an endpoint: %s", args->args[1], why);
		sp_hint("write it like tcp:127.0.0.1:8080, udp:[::]:443 or tcp:8080");
		return SP_EXIT_USAGE;
	}
	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	return attach(args, &endpoint) ? SP_EXIT_FAILED : SP_EXIT_OK;
}
