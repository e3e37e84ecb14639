// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counting the connections of each worker. */
#include <errno.h>
#include <fcntl.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "count.skel.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "tags.h"

static void destroy_skeleton(struct count **skel)
{
	if (*skel)
		count__destroy(*skel);
}

static int refuse(const struct sp_pins *pins, int err)
{
	sp_fail(err, "%s: cannot count connections", pins->name);
	sp_hint("that takes a program at a tracepoint (tp_btf/inet_sock_set_state), which needs CAP_PERFMON; balance "
		"hash and least-queue do without");
	return err;
}

static int keep(const struct bpf_link *link, int *ret_fd)
{
	int fd = link ? fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 0) : -1;

	if (fd < 0)
		return -errno;
	sp_close_fd(ret_fd);
	*ret_fd = fd;
	return 0;
}

int sp_tags_start(struct sp_pins *pins)
{
	union bpf_iter_link_info all = { .map.map_fd = pins->tags };
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &all, .link_info_len = sizeof(all));
	__attribute__((cleanup(destroy_skeleton))) struct count *skel =
		count__open_opts(sp_kernel_open_options());
	int err;

	if (!skel)
		return refuse(pins, -errno);
	err = bpf_map__reuse_fd(skel->maps.sp_info, pins->info);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_ctl, pins->ctl);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_tags, pins->tags);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_active, pins->active);
	err = err ?: bpf_map__reuse_fd(skel->maps.sp_moved, pins->moved);
	/* The others are the steering program's alone. */
	bpf_map__set_autocreate(skel->maps.sp_slots, false);
	bpf_map__set_autocreate(skel->maps.sp_views, false);
	bpf_map__set_autocreate(skel->maps.sp_flows, false);
	bpf_map__set_autocreate(skel->maps.sp_counters, false);
	bpf_map__set_autocreate(skel->maps.sp_carried, false);
	bpf_map__set_autocreate(skel->maps.sp_events, false);
	bpf_map__set_autocreate(skel->maps.sp_socks, false);
	err = err ?: count__load(skel);
	if (err)
		return refuse(pins, err);
	skel->links.sp_count = bpf_program__attach(skel->progs.sp_count);
	err = keep(skel->links.sp_count, &pins->count);
	skel->links.sp_recount = bpf_program__attach_iter(skel->progs.sp_recount, &options);
	err = err ?: keep(skel->links.sp_recount, &pins->recount);
	return err ? refuse(pins, err) : 0;
}

int sp_tags_put(const struct sp_pins *pins, __u32 slot, __u64 cookie, int socket)
{
	const struct sp_tag tag = { .worker = cookie, .slot = slot };
	const struct sp_active none = { 0 };
	int err = bpf_map_update_elem(pins->active, &slot, &none, BPF_ANY);

	err = err ?: bpf_map_update_elem(pins->tags, &socket, &tag, BPF_ANY);
	return err ? sp_fail(err, "%s: cannot count the connections of slot %u", pins->name, slot) : 0;
}

/* Each worker's listener, open for as long as @each takes. */
static int each_worker(const struct sp_pins *pins, const struct sp_state *state, const struct sp_group *group,
		       int (*each)(const struct sp_pins *pins, __u32 slot, __u64 cookie, int socket))
{
	int err = 0;

	for (size_t i = 0; !err && group && i < group->nmembers; i++) {
		const struct sp_member *member = &group->members[i];
		int slot = sp_state_slot_of(state, member->cookie);
		sp_autoclose int socket = -1;

		if (slot >= 0 && state->info[slot].state != SP_SLOT_PARKED &&
		    !sp_group_socket(member, &socket))
			err = each(pins, slot, member->cookie, socket);
	}
	return err;
}

static int take(const struct sp_pins *pins, __u32 slot, __u64 cookie, int socket)
{
	(void)slot, (void)cookie;
	bpf_map_delete_elem(pins->tags, &socket);
	return 0;
}

int sp_tags_put_all(const struct sp_pins *pins, const struct sp_state *state, const struct sp_group *group)
{
	return each_worker(pins, state, group, sp_tags_put);
}

void sp_tags_take_all(const struct sp_pins *pins, const struct sp_state *state, const struct sp_group *group)
{
	each_worker(pins, state, group, take);
}

__u32 sp_tags_active(const struct sp_pins *pins, __u32 slot)
{
	struct sp_active active;

	if (pins->active < 0 || bpf_map_lookup_elem(pins->active, &slot, &active) ||
	    (__s32)(active.tally[0] + active.tally[1]) < 0)
		return 0;
	return active.tally[0] + active.tally[1];
}

const __u32 *sp_tags_active_all(const struct sp_pins *pins, const struct sp_state *state, __u32 *active)
{
	if (state->ctl.balance != SP_BALANCE_LEAST_CONN)
		return NULL;
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		active[slot] = state->info[slot].state == SP_SLOT_FREE ? 0 : sp_tags_active(pins, slot);
	return active;
}
