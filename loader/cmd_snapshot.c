// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* snapshot: the whole state of a steered group as JSON; restore: a steered group from it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "cmd.h"
#include "dump.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "netns.h"
#include "pin.h"
#include "reconcile.h"
#include "render.h"
#include "socks.h"
#include "steer.h"
#include "tags.h"

#define RELEASE_PATIENCE_MS 2000
#define RELEASE_POLL_MS 10

enum sp_exit sp_cmd_snapshot(const struct sp_args *args)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autodump struct sp_dump *dump = NULL;
	sp_autoclose int lock = -1;
	int err;

	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	/* Under the lock: views and slots that fit each other. */
	err = sp_pin_open_locked(args->bpffs, args->args[0], &pins, &lock);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	err = sp_dump_take(&pins, &dump);
	err = err ?: sp_render_json_print(sp_dump_json(dump, !args->no_key));
	return err ? SP_EXIT_FAILED : SP_EXIT_OK;
}

/* --- restore --- */

static int read_file(const char *path, struct sp_dump **ret_dump)
{
	json_auto_t *document = NULL;
	char why[SP_DUMP_WHY_LEN];
	json_error_t error;
	int err;

	document = strcmp(path, "-") ? json_load_file(path, JSON_REJECT_DUPLICATES, &error) :
				       json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
	if (!document) {
		if (error.line > 0)
			sp_refuse(0, "%s:%d: %s", path, error.line, error.text);
		else
			sp_refuse(0, "%s: %s", path, error.text);
		return -EINVAL;
	}
	err = sp_dump_parse(document, ret_dump, why);
	if (err == -EINVAL) {
		sp_refuse(0, "%s is no snapshot of steadyport's: %s", path, why);
		sp_hint("make one: steadyport snapshot NAME > FILE");
	} else if (err) {
		sp_fail(err, "cannot read %s", path);
	}
	return err;
}

/* Cookies and network namespaces are known by numbers that the next boot gives to others. */
static int find_place(const struct sp_args *args, struct sp_dump *dump)
{
	char boot_id[SP_BOOT_ID_STRLEN];
	bool is_this_boot;

	sp_dump_boot_id(boot_id);
	is_this_boot = *boot_id && !strcmp(boot_id, dump->boot_id);
	if (!is_this_boot)
		for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
			dump->info[s].cookie = 0;
	if (is_this_boot && !args->netns)
		return 0;
	return sp_netns_resolve(args->netns, &dump->ctl.netns_cookie, &dump->ctl.netns_inode);
}

static const struct sp_member *find_member(const struct sp_group *group, __u64 cookie)
{
	for (size_t i = 0; group && cookie && i < group->nmembers; i++)
		if (group->members[i].cookie == cookie)
			return &group->members[i];
	return NULL;
}

/*
 * A socket fits one sockarray. What a killed restore has staged was removed, but lets its sockets go only when the
 * kernel has freed its maps, which takes a grace period or two.
 */
static int put_in_slot(const struct sp_pins *pins, __u32 slot, int socket)
{
	const struct timespec tick = { .tv_nsec = RELEASE_POLL_MS * 1000000L };
	__u64 value = socket;
	int err = bpf_map_update_elem(pins->slots, &slot, &value, BPF_ANY);

	for (int waited_ms = 0; err == -EBUSY && waited_ms < RELEASE_PATIENCE_MS;
	     waited_ms += RELEASE_POLL_MS) {
		nanosleep(&tick, NULL);
		err = bpf_map_update_elem(pins->slots, &slot, &value, BPF_ANY);
	}
	return err;
}

/* A slot whose very member still lives gets it back, as the worker it is; the others are dead. */
static int restore_slot(const struct sp_pins *pins, const struct sp_group *group, enum sp_balance balance,
			struct sp_info *info, __u32 slot)
{
	const struct sp_member *member = find_member(group, info->cookie);
	sp_autoclose int socket = -1;
	int err = -ESTALE;

	if (info->state == SP_SLOT_PARKED)
		info->state = SP_SLOT_FREE;
	if (info->state != SP_SLOT_FREE && member && !member->is_connected)
		err = sp_group_socket(member, &socket);
	if (!err && balance == SP_BALANCE_LEAST_CONN) {
		err = sp_tags_put(pins, slot, info->cookie, socket);
		if (err)
			return err;
	}
	if (!err) {
		err = put_in_slot(pins, slot, socket);
		if (err)
			return sp_fail(err, "cannot put the socket with cookie %llu into slot %u",
				       info->cookie, slot);
		if (info->state == SP_SLOT_DEAD)
			info->state = SP_SLOT_LIVE;
		info->died_at = 0;
		err = sp_socks_write(pins, slot, info, member);
		if (err)
			return err;
	} else if (err != -ESTALE) {
		return sp_fail(err, "cannot take the socket with cookie %llu", info->cookie);
	} else if (info->state != SP_SLOT_FREE) {
		info->state = SP_SLOT_DEAD;
		info->died_at = info->died_at ?: sp_wall_ns();
	}
	return sp_state_write_info(pins, slot, info);
}

static int restore_views(const struct sp_pins *pins, struct sp_dump *dump)
{
	const __u32 previous = 1, current = 2; /* 0 is in force */
	int err = 0;

	dump->current.prev = SP_VIEW_NONE;
	dump->current.learn_until_ns = 0;
	if (dump->has_previous && dump->learn_remaining_ns) {
		err = sp_state_write_view(pins, previous, &dump->previous);
		dump->current.prev = previous;
		dump->current.learn_until_ns = sp_now_ns() + dump->learn_remaining_ns;
	}
	err = err ?: sp_state_write_view(pins, current, &dump->current);
	return err ?: sp_state_publish(pins, current);
}

static int restore_flows(const struct sp_pins *pins, const struct sp_dump *dump)
{
	__u32 now_s = sp_now_ns() / 1000000000;

	for (size_t i = 0; i < dump->nflows; i++) {
		const struct sp_dump_flow *f = &dump->flows[i];
		struct sp_flow flow = { .slot = f->slot,
					.incarnation = f->incarnation,
					.last_seen_s = now_s - f->idle_s };
		int err = bpf_map_update_elem(pins->flows, &f->hash, &flow, BPF_ANY);

		if (err)
			return sp_fail(err, "cannot write " SP_PIN_FLOWS " of %s", pins->name);
	}
	return 0;
}

static int restore_counters(const struct sp_pins *pins, const struct sp_dump *dump)
{
	__u32 nslots = sp_state_counter_slots(pins);

	if (!nslots)
		return -EIO;
	for (__u32 row = 0; row < dump->nrows; row++) {
		__u32 to = row + 1 == dump->nrows ? nslots : row;
		int err = to > nslots ? -E2BIG :
					bpf_map_update_elem(pins->carried, &to, &dump->rows[row], BPF_ANY);

		if (err)
			return sp_fail(err, "cannot write " SP_PIN_CARRIED " of %s", pins->name);
	}
	return 0;
}

static int fill(const struct sp_pins *pins, const struct sp_group *group, struct sp_dump *dump)
{
	int err = 0;

	for (__u32 s = 0; !err && s < SP_SLOTS_MAX; s++)
		if (dump->info[s].incarnation || dump->info[s].state != SP_SLOT_FREE)
			err = restore_slot(pins, group, dump->ctl.balance, &dump->info[s], s);
	err = err ?: restore_views(pins, dump);
	err = err ?: restore_flows(pins, dump);
	return err ?: restore_counters(pins, dump);
}

static int refuse_taken(const struct sp_args *args, const struct sp_dump *dump)
{
	if (!sp_pin_exists(args->bpffs, dump->name))
		return 0;
	sp_refuse(0, "%s is the name of a steered group already", dump->name);
	sp_hint("restore it under another one: steadyport restore %s NAME", args->args[0]);
	return -EEXIST;
}

static int refuse_keyless(const struct sp_dump *dump)
{
	if (dump->has_key || dump->ctl.hash == SP_HASH_KERNEL)
		return 0;
	sp_refuse(0, "the snapshot of %s was taken without its hash key: it is for reading only", dump->name);
	sp_hint("take one with the key: steadyport snapshot %s", dump->name);
	return -EINVAL;
}

static int attach(const struct sp_pins *pins, const struct sp_group *group, bool *ret_did_attach)
{
	const struct sp_reconcile_options options = { .may_be_partial = true };
	sp_autofree struct sp_reconcile_result *result = calloc(1, sizeof(*result));
	char endpoint[SP_ENDPOINT_STRLEN];
	int err;

	if (!result)
		return sp_fail(-ENOMEM, "cannot attach %s", pins->name);
	err = sp_reconcile(pins, &options, result);
	*ret_did_attach = result->did_attach;
	if (err)
		return err;
	sp_render_line("%s: restored, and attached program %u to %u member%s of %s, %u of them new",
		       pins->name, result->program_id, result->live, result->live == 1 ? "" : "s",
		       sp_group_endpoint(group, endpoint), result->nenrolled);
	return 0;
}

static int restore(const struct sp_args *args, struct sp_dump *dump)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;
	sp_autoclose int lock = -1;
	bool did_attach = false;
	int err;

	err = refuse_keyless(dump);
	err = err ?: find_place(args, dump);
	err = err ?: sp_pin_root(args->bpffs);
	err = err ?: sp_pin_lock(args->bpffs, &lock);
	err = err ?: refuse_taken(args, dump);
	err = err ?: sp_members_scan(0, &groups);
	if (err)
		return err;
	dump->ctl.attached_at = 0;
	group = sp_group_at(groups, &dump->ctl, 0);
	if (group && group->prog_type) {
		sp_refuse(0, "the group of %s has a program already", dump->name);
		sp_hint("see which: steadyport groups");
		return -EBUSY;
	}
	err = sp_pin_unstage(args->bpffs, dump->name);
	err = err ?: sp_steer_load(dump->name, &dump->ctl, dump->nrows - 1, dump->flows_room ?: 1, &pins);
	err = err ?: fill(&pins, group, dump);
	err = err ?: sp_pin_publish(args->bpffs, &pins);
	if (!err && group)
		err = attach(&pins, group, &did_attach);
	else if (!err)
		sp_render_line("%s: restored; nobody listens there now. When they do: steadyport sync %s",
			       pins.name, pins.name);
	/* Once it is attached the slots are needed. */
	if (err && did_attach) {
		sp_hint("it is attached all the same; to do what is left to do: steadyport sync %s",
			dump->name);
	} else if (err && pins.slots >= 0) {
		sp_state_empty_slots(pins.slots);
		sp_pin_remove(args->bpffs, dump->name);
	}
	return err;
}

enum sp_exit sp_cmd_restore(const struct sp_args *args)
{
	sp_autodump struct sp_dump *dump = NULL;

	if (args->nargs > 1 && !sp_name_is_valid(args->args[1])) {
		sp_refuse(0, "%s cannot be a group's name: letters, digits, '_' and '-', at most %d",
			  args->args[1], SP_NAME_MAX);
		return SP_EXIT_USAGE;
	}
	if (read_file(args->args[0], &dump) || sp_kernel_check())
		return SP_EXIT_FAILED;
	if (args->nargs > 1)
		snprintf(dump->name, sizeof(dump->name), "%s", args->args[1]);
	return restore(args, dump) ? SP_EXIT_FAILED : SP_EXIT_OK;
}
