// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Loads the steering program. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "kernel.h"
#include "log.h"
#include "state.h"
#include "steer.h"
#include "steer.skel.h"
#include "steer_uncast.skel.h"
#include "tags.h"
#include "value.h"

#define COUNTER_SLOTS_MIN 16

/* A power of two, so that a group that grows one by one is reloaded a few times only. */
static __u32 counter_slots_for(__u32 nslots)
{
	__u32 n = COUNTER_SLOTS_MIN;

	while (n < nslots && n < SP_SLOTS_MAX)
		n *= 2;
	return n;
}

static void destroy_skeleton(struct steer **skel)
{
	if (*skel)
		steer__destroy(*skel);
}

static int duplicate(int fd, int *ret_fd)
{
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *ret_fd < 0 ? -errno : 0;
}

static int take_fds(const struct steer *skel, struct sp_pins *pins)
{
	int err = 0;

	err = err ?: duplicate(bpf_program__fd(skel->progs.sp_steer), &pins->prog);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_slots), &pins->slots);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_views), &pins->views);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_ctl), &pins->ctl);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_info), &pins->info);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_flows), &pins->flows);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_counters), &pins->counters);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_carried), &pins->carried);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_events), &pins->events);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_socks), &pins->socks);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_tags), &pins->tags);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_active), &pins->active);
	err = err ?: duplicate(bpf_map__fd(skel->maps.sp_moved), &pins->moved);
	return err;
}

/* An owner entry of 0 would name slot 0: say "none" in all of them. */
static int write_empty_view(const struct sp_pins *pins)
{
	sp_autofree struct sp_view *view = calloc(1, sizeof(*view));

	if (!view)
		return sp_fail(-ENOMEM, "cannot write the first view of %s", pins->name);
	view->kind = SP_VIEW_TABLE;
	view->prev = SP_VIEW_NONE;
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		view->owner[b] = SP_SLOT_NONE;
	return sp_state_write_view(pins, 0, view);
}

/* Two objects of the same source, with the same maps and knobs; only the program differs (bpf/packet.bpf.h). */
static struct steer *open_skeleton(bool has_cast)
{
	struct steer *skel = calloc(1, sizeof(*skel));
	int err = skel ? steer__create_skeleton(skel) : -ENOMEM;

	if (!err && !has_cast)
		skel->skeleton->data = steer_uncast__elf_bytes(&skel->skeleton->data_sz);
	err = err ?: bpf_object__open_skeleton(skel->skeleton, sp_kernel_open_options());
	if (!err)
		return skel;
	steer__destroy(skel);
	errno = -err;
	return NULL;
}

/* Opens the skeleton for this group and sizes what grows with its slots. */
static int open_for(const char *name, const struct sp_ctl *ctl, __u32 nslots, struct steer **ret_skel)
{
	__u32 rows = counter_slots_for(nslots);
	struct sp_kernel_offer offer;
	struct steer *skel;
	int err;

	sp_kernel_ask(&offer);
	skel = open_skeleton(offer.has_cast);
	if (!skel)
		return sp_fail(-errno, "cannot open the steering program");
	skel->rodata->sp_protocol = ctl->protocol;
	skel->rodata->sp_hash = ctl->hash;
	skel->rodata->sp_track = ctl->track;
	skel->rodata->sp_balance = ctl->balance;
	skel->rodata->sp_counter_slots = rows;
	skel->rodata->sp_has_loop = offer.has_loop;
	err = bpf_map__set_max_entries(skel->maps.sp_counters, rows + 1);
	err = err ?: bpf_map__set_max_entries(skel->maps.sp_carried, rows + 1);
	*ret_skel = skel;
	return err ? sp_fail(err, "cannot size the maps of %s", name) : 0;
}

/* The verifier does not tell why: a helper that may not be used, or anything else. */
static int refuse_balance(const char *name, enum sp_balance balance, int err)
{
	sp_fail(err, "%s: cannot load the steering program with balance %s", name,
		sp_value_balance_name(balance));
	sp_hint("it reads kernel memory (bpf_probe_read_kernel), which takes CAP_PERFMON and a kernel that is not "
		"locked down for confidentiality; balance hash does not");
	return err;
}

static int load(const char *name, struct steer *skel, struct sp_pins *pins)
{
	enum sp_balance balance = skel->rodata->sp_balance;
	int err = steer__load(skel);

	if (err && balance != SP_BALANCE_HASH)
		return refuse_balance(name, balance, err);
	if (err)
		return sp_fail(err, "cannot load the steering program");
	err = take_fds(skel, pins);
	if (err)
		return sp_fail(err, "cannot keep the maps of %s open", name);
	snprintf(pins->name, sizeof(pins->name), "%s", name);
	pins->abi = SP_ABI_VERSION;
	return balance == SP_BALANCE_LEAST_CONN ? sp_tags_start(pins) : 0;
}

static int load_new(const char *name, const struct sp_ctl *ctl, __u32 nslots, __u32 nflows,
		    struct sp_pins *ret_pins)
{
	__attribute__((cleanup(destroy_skeleton))) struct steer *skel = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct sp_ctl filled = *ctl;
	__u32 zero = 0;
	int err;

	filled.abi = SP_ABI_VERSION;
	filled.current = 0;
	filled.balance_next = ctl->balance;
	err = open_for(name, ctl, nslots, &skel);
	if (err)
		return err;
	if (ctl->protocol == SP_UDP) {
		err = bpf_map__set_max_entries(skel->maps.sp_flows, nflows);
		if (err)
			return sp_fail(err, "cannot size the flow table of %s", name);
	}
	err = load(name, skel, &pins);
	err = err ?: write_empty_view(&pins);
	if (err)
		return err;
	err = bpf_map_update_elem(pins.ctl, &zero, &filled, BPF_ANY);
	if (err)
		return sp_fail(err, "cannot write " SP_PIN_CTL " of %s", name);

	*ret_pins = pins;
	pins = (struct sp_pins)SP_PINS_NONE;
	return 0;
}

int sp_steer_load(const char *name, const struct sp_ctl *ctl, __u32 nslots, __u32 nflows,
		  struct sp_pins *ret_pins)
{
	struct sp_ctl by_hash = *ctl;
	int err = load_new(name, ctl, nslots, nflows, ret_pins);

	if (!err || ctl->balance == SP_BALANCE_HASH)
		return err;
	by_hash.balance = SP_BALANCE_HASH;
	err = load_new(name, &by_hash, nslots, nflows, ret_pins);
	if (!err)
		sp_warn("%s: steered with balance hash instead", name);
	return err;
}

int sp_steer_reload(const struct sp_pins *old, const struct sp_ctl *ctl, __u32 nslots,
		    struct sp_pins *ret_pins)
{
	__attribute__((cleanup(destroy_skeleton))) struct steer *skel = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	int err;

	err = open_for(old->name, ctl, nslots, &skel);
	if (err)
		return err;
	err = bpf_map__reuse_fd(skel->maps.sp_slots, old->slots);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_views, old->views);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_ctl, old->ctl);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_info, old->info);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_flows, old->flows);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_events, old->events);
	/* Those that ABI 3 has added come all together. */
	if (!err && old->abi >= 3) {
		err = bpf_map__reuse_fd(skel->maps.sp_socks, old->socks);
		err = err ?: bpf_map__reuse_fd(skel->maps.sp_tags, old->tags);
		err = err ?: bpf_map__reuse_fd(skel->maps.sp_active, old->active);
		err = err ?: bpf_map__reuse_fd(skel->maps.sp_moved, old->moved);
	}
	if (err)
		return sp_fail(err, "cannot take the maps of %s over", old->name);
	err = load(old->name, skel, &pins);
	if (err)
		return err;
	*ret_pins = pins;
	pins = (struct sp_pins)SP_PINS_NONE;
	return 0;
}

int sp_steer_program_id(const struct sp_pins *pins, __u32 *ret_id)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(pins->prog, &info, &len);

	if (err)
		return sp_fail(err, "cannot read the program of %s", pins->name);
	*ret_id = info.id;
	return 0;
}
