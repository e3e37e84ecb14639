// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* NAME|ENDPOINT. */
#include "target.h"

#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "endpoint.h"
#include "group.h"
#include "log.h"
#include "netns.h"
#include "steered.h"

void sp_target_free(struct sp_target *target)
{
	sp_groups_free(&target->groups);
	target->group = NULL;
}

int sp_target_place(const char *bpffs, const char *name, struct sp_ctl *ret_ctl, __u32 *ret_abi)
{
	sp_autoclose int fd = sp_pin_open_ctl(bpffs, name);
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info), zero = 0;
	struct sp_ctl ctl;

	if (fd < 0)
		return sp_pin_exists(bpffs, name) ? -EPROTO : -ENOENT;
	/* Every version until now has the place where this one has it, and its own number at the front. */
	if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.value_size != sizeof(ctl) ||
	    bpf_map_lookup_elem(fd, &zero, &ctl))
		return -EPROTO;
	*ret_ctl = ctl;
	*ret_abi = ctl.abi;
	return 0;
}

static bool runs_program_of(const struct sp_group *group, const char *bpffs, const char *name)
{
	__u32 ids[2];

	return group->prog_id && !sp_pin_program_ids(bpffs, name, ids) &&
	       (ids[0] == group->prog_id || ids[1] == group->prog_id);
}

static bool is_place_of(const struct sp_group *group, const char *bpffs, const char *name)
{
	struct sp_ctl ctl;
	__u32 abi;

	return !sp_target_place(bpffs, name, &ctl, &abi) && sp_steered_is_at(&ctl, group);
}

int sp_target_name_of(const char *bpffs, const struct sp_group *group, char ret_name[SP_NAME_MAX + 1])
{
	sp_autofree char(*names)[SP_NAME_MAX + 1] = NULL;
	const char *found = NULL;
	size_t count;
	int err = sp_pin_list(bpffs, &names, &count);

	if (err)
		return err;
	for (size_t i = 0; !found && i < count; i++)
		found = runs_program_of(group, bpffs, names[i]) ? names[i] : NULL;
	for (size_t i = 0; !found && i < count; i++)
		found = is_place_of(group, bpffs, names[i]) ? names[i] : NULL;
	strcpy(ret_name, found ?: "");
	return 0;
}

/* The only NAME that was made for this endpoint; an empty one when there is none, or there are several. */
static int name_at(const char *bpffs, const struct sp_endpoint *endpoint, __u64 netns_cookie,
		   char ret_name[SP_NAME_MAX + 1])
{
	sp_autofree char(*names)[SP_NAME_MAX + 1] = NULL;
	struct sp_address address = { 0 };
	size_t count, found = 0;
	struct sp_ctl ctl;
	__u32 abi;
	int err = sp_pin_list(bpffs, &names, &count);

	if (err)
		return err;
	*ret_name = '\0';
	for (size_t i = 0; i < count; i++) {
		if (sp_target_place(bpffs, names[i], &ctl, &abi) || ctl.netns_cookie != netns_cookie)
			continue;
		address.family = ctl.family;
		memcpy(address.bytes, ctl.addr, sizeof(ctl.addr));
		if (!sp_endpoint_matches(endpoint, ctl.protocol, &address, ctl.ifindex, ctl.port))
			continue;
		found++;
		strcpy(ret_name, names[i]);
	}
	if (found > 1)
		*ret_name = '\0';
	return 0;
}

static int find_endpoint(const char *bpffs, const char *netns, const struct sp_endpoint *endpoint,
			 struct sp_target *t)
{
	__u64 netns_cookie;
	__u32 netns_inode;
	int err;

	err = sp_netns_resolve(netns, &netns_cookie, &netns_inode);
	err = err ?: sp_members_scan(endpoint->port, &t->groups);
	if (err)
		return err;
	if (sp_group_lookup(t->groups, endpoint, netns_cookie, &t->group) == 0)
		return sp_target_name_of(bpffs, t->group, t->name);
	t->group = NULL;
	/* All its workers may be dead. */
	err = name_at(bpffs, endpoint, netns_cookie, t->name);
	if (err || *t->name)
		return err;
	return sp_group_find(t->groups, endpoint, netns_cookie, &t->group);
}

static int find_name(const char *bpffs, const char *name, struct sp_target *t)
{
	struct sp_ctl ctl = {};
	bool is_readable;
	__u32 abi, ids[2];
	int err;

	err = sp_target_place(bpffs, name, &ctl, &abi);
	if (err == -ENOENT) {
		sp_refuse(err, "no steered group is called %s", name);
		sp_hint("see those there are: steadyport list");
		return err;
	}
	/* Whoever opens such pins says what is wrong with them. */
	is_readable = !err;
	err = sp_members_scan(is_readable ? ctl.port : 0, &t->groups);
	err = err ?: sp_pin_program_ids(bpffs, name, ids);
	if (err)
		return err;
	strcpy(t->name, name);
	if (is_readable)
		t->group = sp_group_at(t->groups, &ctl, ids[0]);
	return 0;
}

int sp_target_find(const char *bpffs, const char *netns, const char *word, struct sp_target *ret)
{
	struct sp_endpoint endpoint;
	const char *why;

	if (!strchr(word, ':')) {
		if (!sp_name_is_valid(word)) {
			sp_refuse(0, "%s is neither a group's name nor an endpoint", word);
			sp_hint("write an endpoint like tcp:127.0.0.1:8080, udp:[::]:443 or tcp:8080");
			return -EINVAL;
		}
		return find_name(bpffs, word, ret);
	}
	if (sp_endpoint_parse(word, &endpoint, &why)) {
		sp_refuse(0, "%s is not an endpoint: %s", word, why);
		sp_hint("write it like tcp:127.0.0.1:8080, udp:[::]:443 or tcp:8080");
		return -EINVAL;
	}
	return find_endpoint(bpffs, netns, &endpoint, ret);
}
