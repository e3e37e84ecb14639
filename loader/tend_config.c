// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A group that is steered, and how it is configured: what of it can change, and what cannot. */
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "log.h"
#include "netns.h"
#include "park.h"
#include "state.h"
#include "tend_config.h"
#include "value.h"

static void refuse_change(const struct sp_tended *t, const char *key, const char *is, const char *asked)
{
	sp_refuse(0, "%s is steered with %s = %s: %s = %s has no effect", t->config.name, key, is, key,
		  asked);
	sp_hint("to change it: steadyport detach %s, then reload; UDP flows may move then", t->config.name);
}

/* What the program was loaded with stays as long as it does. */
static void check_fixed(const struct sp_tended *t)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	char is[32], asked[32];

	if (t->ctl->hash != t->config.hash)
		refuse_change(t, "hash", sp_value_hash_name(t->ctl->hash),
			      sp_value_hash_name(t->config.hash));
	if (t->ctl->protocol != SP_UDP)
		return;
	if (t->ctl->track != t->config.track)
		refuse_change(t, "track", sp_value_track_name(t->ctl->track),
			      sp_value_track_name(t->config.track));
	if (!bpf_obj_get_info_by_fd(t->pins.flows, &info, &len) && info.max_entries != t->config.flows) {
		snprintf(is, sizeof(is), "%u", info.max_entries);
		snprintf(asked, sizeof(asked), "%u", t->config.flows);
		refuse_change(t, "flows", is, asked);
	}
}

/* The change that gives the slots in use their configured weights; NULL: they have them. */
static int change_weights(const struct sp_tended *t, struct sp_change **ret_change)
{
	sp_autofree struct sp_change *change = calloc(1, sizeof(*change));
	bool is_any = false;

	if (!change)
		return sp_fail(-ENOMEM, "cannot weight the slots of %s", t->config.name);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		struct sp_info info;
		int err;

		if (t->config.weight[s] == SP_CONFIG_NO_WEIGHT)
			continue;
		err = bpf_map_lookup_elem(t->pins.info, &s, &info);
		if (err)
			return sp_fail(err, "cannot read slot %u of %s", s, t->config.name);
		if (info.state == SP_SLOT_FREE || info.state == SP_SLOT_PARKED ||
		    info.weight == t->config.weight[s])
			continue;
		change->kind = SP_CHANGE_WEIGHT;
		change->is_asked[s] = true;
		change->weight[s] = t->config.weight[s];
		is_any = true;
	}
	*ret_change = is_any ? sp_take_ptr(change) : NULL;
	return 0;
}

int sp_tend_config_apply(struct sp_tended *t)
{
	__u32 flow_idle_s = t->config.flow_idle_ns / SP_NS_PER_S;
	struct sp_change *change = NULL;
	int err = 0;

	check_fixed(t);
	if (t->ctl->learn_ns != t->config.learn_ns || t->ctl->flow_idle_s != flow_idle_s)
		err = sp_state_set_times(&t->pins, t->config.learn_ns, flow_idle_s);
	/* The program may be another one than this daemon left because a command changed just this. */
	if (t->is_new)
		t->is_balance_due = t->ctl->balance != t->config.balance;
	err = err ?: change_weights(t, &change);
	/* Still to be applied, then. */
	t->is_new = err;
	if (err)
		return err;
	free(t->change);
	t->change = change;
	return 0;
}

void sp_tend_config_format_place(const struct sp_ctl *ctl, char buf[SP_ENDPOINT_STRLEN])
{
	struct sp_address address = { .family = ctl->family };
	char text[SP_ENDPOINT_STRLEN];

	memcpy(address.bytes, ctl->addr, sizeof(address.bytes));
	snprintf(buf, SP_ENDPOINT_STRLEN, "%s:%.*s", sp_protocol_name(ctl->protocol), SP_ENDPOINT_STRLEN - 5,
		 sp_address_format(&address, ctl->ifindex, ctl->port, text));
}

static bool has_workers(const struct sp_group *group, __u64 parking)
{
	return group && (group->size > 1 || group->nmembers != 1 || group->members[0].cookie != parking);
}

bool sp_tend_config_is_place(const struct sp_tended *t, const struct sp_ctl *ctl)
{
	struct sp_address address = { .family = ctl->family };

	memcpy(address.bytes, ctl->addr, sizeof(address.bytes));
	return sp_endpoint_matches(&t->config.endpoint, ctl->protocol, &address, ctl->ifindex, ctl->port);
}

/*
 * The place where the name is steered must be the configured one. A network namespace that was made anew under the
 * same path is, once the old one has no worker left: the slots go with it. What waits there in the parking socket waits
 * in vain.
 */
int sp_tend_config_check_place(struct sp_tended *t, const struct sp_groups *groups)
{
	char place[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN];
	/* NOLINTNEXTLINE(clang-analyzer-core.*): it is mapped, or mapping it has failed and this is not called */
	bool is_same_netns = t->ctl->netns_cookie == t->netns_cookie;

	if (sp_tend_config_is_place(t, t->ctl)) {
		if (is_same_netns)
			return 0;
		if (!has_workers(sp_group_at(groups, t->ctl, t->program_id),
				 sp_park_cookie(t->pins.slots, t->pins.info))) {
			if (t->netns_cookie) {
				sp_cared_end_parking(t->cared, &t->pins);
				t->ctl->netns_inode = t->netns_inode;
				__atomic_store_n(&t->ctl->netns_cookie, t->netns_cookie, __ATOMIC_RELEASE);
			}
			return 0;
		}
	}
	sp_tend_config_format_place(t->ctl, place);
	sp_refuse(0, "%s is steered at %s in network namespace %s, but %s%s%s is configured", t->config.name,
		  place, sp_netns_name(t->ctl->netns_inode, netns), t->config.endpoint_text,
		  *t->config.netns ? " in " : "", t->config.netns);
	sp_hint("to move it: steadyport detach %s; it is attached again then", t->config.name);
	return -EEXIST;
}

void sp_tend_config_keep_place(struct sp_tended *t, const struct sp_config_group *before, const char *path)
{
	if (!strcmp(before->endpoint_text, t->config.endpoint_text) &&
	    !strcmp(before->netns, t->config.netns))
		return;
	sp_refuse(0, "%s:%u: %s is steered at %s%s%s: it stays there", path, t->config.line, before->name,
		  before->endpoint_text, *before->netns ? " in " : "", before->netns);
	sp_hint("to move it: steadyport detach %s, then reload; or give the other one a name of its own",
		before->name);
	t->config.endpoint = before->endpoint;
	strcpy(t->config.endpoint_text, before->endpoint_text);
	strcpy(t->config.netns, before->netns);
}
