// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The facts that findings are made from. */
#include "checkup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "kept.h"
#include "kernel.h"
#include "log.h"
#include "netns.h"
#include "netstat.h"
#include "pin_root.h"
#include "report.h"
#include "value.h"

/* --- The machine --- */

struct sysctl {
	const char *path;
	int value; /* -1: it cannot be read */
};

static int read_sysctl(void *ctx)
{
	struct sysctl *sysctl = ctx;
	sp_autofile FILE *file = fopen(sysctl->path, "re");

	if (!file || fscanf(file, "%d", &sysctl->value) != 1)
		sysctl->value = -1;
	return 0;
}

/* What a process in that network namespace reads. */
static int sysctl_at(const char *path, __u32 pid)
{
	sp_autoclose int fd = -1;
	struct sysctl sysctl = { path, -1 };
	char netns[64];

	snprintf(netns, sizeof(netns), "/proc/%u/ns/net", pid);
	fd = open(netns, O_RDONLY | O_CLOEXEC);
	return fd < 0 || sp_netns_call(fd, read_sysctl, &sysctl) ? -1 : sysctl.value;
}

static int read_jit(void)
{
	struct sysctl jit = { "/proc/sys/net/core/bpf_jit_enable", -1 };

	read_sysctl(&jit);
	/* It is there in the machine's first network namespace only. */
	return jit.value >= 0 ? jit.value : sysctl_at(jit.path, 1);
}

static enum sp_bpffs_state look_at_bpffs(const char *bpffs)
{
	sp_autoclose int root = -1;

	if (!sp_pin_is_bpffs(bpffs))
		return SP_BPFFS_MISSING;
	return sp_pin_open_root(bpffs, &root) == -EPERM ? SP_BPFFS_UNTRUSTED : SP_BPFFS_MOUNTED;
}

void sp_checkup_machine(const char *bpffs, struct sp_machine_facts *ret)
{
	struct sp_machine_facts m = { .bpffs = bpffs };
	struct sp_kernel_facts kernel;

	sp_kernel_look(&kernel);
	strcpy(m.release, kernel.release);
	m.is_too_old = kernel.is_too_old;
	m.has_btf = !kernel.btf_err;
	for (int i = 0; i < SP_PRIVILEGES; i++)
		m.lacks[i] = !sp_privilege_has(i);
	/* See bpf_capable() and perfmon_capable(). */
	if (!m.lacks[SP_PRIVILEGE_SYS_ADMIN])
		m.lacks[SP_PRIVILEGE_BPF] = m.lacks[SP_PRIVILEGE_PERFMON] = false;
	m.bpffs_state = look_at_bpffs(bpffs);
	m.sees_all_processes = sp_kernel_shows_all_processes();
	m.jit = read_jit();
	m.has_daemon = sp_pin_has_daemon(bpffs);
	m.wake = sp_wake_probe(m.wake_why);
	*ret = m;
}

/* --- The first look --- */

void sp_checkup_free(struct sp_checkup *c)
{
	sp_target_free(&c->before);
	free(c->rows);
	c->rows = NULL;
	c->nrows = 0;
}

/* Whether these pins can be read by this steadyport. */
static enum sp_pins_state look_at_pins(const char *bpffs, const char *name, struct sp_ctl *ret_ctl,
				       __u32 *ret_abi)
{
	*ret_abi = 0;
	if (sp_target_place(bpffs, name, ret_ctl, ret_abi))
		return SP_PINS_BROKEN;
	if (*ret_abi > SP_ABI_VERSION)
		return SP_PINS_NEW;
	if (*ret_abi == SP_ABI_VERSION)
		return SP_PINS_OURS;
	return *ret_abi >= SP_ABI_OLDEST ? SP_PINS_OLD : SP_PINS_BROKEN;
}

int sp_checkup_start(const char *bpffs, const char *netns, const char *word, struct sp_checkup *ret)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct sp_ctl ctl;
	__u32 abi;
	int err;

	*ret = (struct sp_checkup){ .bpffs = bpffs, .netns = netns, .word = word };
	err = sp_target_find(bpffs, netns, word, &ret->before);
	if (err)
		return err;
	ret->started_ns = sp_now_ns();
	if (!*ret->before.name || look_at_pins(bpffs, ret->before.name, &ctl, &abi) != SP_PINS_OURS)
		return 0;
	err = sp_pin_open(bpffs, ret->before.name, &pins);
	return err ?: sp_state_counters(&pins, &ret->rows, &ret->nrows);
}

/* --- The second look --- */

static __u64 outcomes(const struct sp_counters *c)
{
	__u64 sum = 0;

#define OUTCOME(name) sum += c->name;
#define DETAIL(name)
#define SP_COUNTER(name, kind, text) kind(name)
#include <steadyport/counters.def>
#undef SP_COUNTER
#undef DETAIL
#undef OUTCOME
	return sum;
}

static const char *program_name(const struct sp_group *group, char buf[64])
{
	if (!group->prog_type)
		buf[0] = '\0';
	else if (!group->prog_id)
		snprintf(buf, 64, "a classic BPF program");
	else
		snprintf(buf, 64, "program %u (%.*s)", group->prog_id, SP_COMM_LEN, group->prog_name);
	return buf;
}

/* What is true of a member whether it is steered or not. */
static void describe_member(const struct sp_checkup *c, const struct sp_member *member,
			    struct sp_member_facts *ret)
{
	const struct sp_member *before =
		c->before.groups ? sp_groups_member(c->before.groups, member->cookie) : NULL;

	*ret = (struct sp_member_facts){
		.cookie = member->cookie,
		.position = member->position,
		.slot = -1,
		.is_connected = member->is_connected,
		.is_taken = member->is_taken,
		.backlog = member->backlog,
		.backlog_max = member->backlog_max,
		.drops = member->drops,
		.new_drops = before ? member->drops - before->drops : 0,
	};
	sp_snapshot_member_owner(member, ret->who);
	for (size_t i = 0; i < member->nowners; i++)
		ret->nprocesses += i == 0 || member->owners[i].pid != member->owners[i - 1].pid;
}

/* At the group's place: a connected socket may have left the group. */
static bool is_there(const struct sp_group *g, const struct sp_group *group)
{
	return g == group || (g->netns_cookie == group->netns_cookie && g->protocol == group->protocol &&
			      g->port == group->port && g->ifindex == group->ifindex &&
			      !memcmp(&g->address, &group->address, sizeof(g->address)));
}

static int describe_members(const struct sp_checkup *c, const struct sp_target *t, struct sp_group_facts *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < t->groups->ngroups; i++)
		count += t->groups->groups[i].nmembers;
	ret->members = calloc(count + 1, sizeof(*ret->members));
	if (!ret->members)
		return sp_fail(-ENOMEM, "cannot look at the members");
	for (size_t i = 0; i < t->groups->ngroups; i++) {
		const struct sp_group *g = &t->groups->groups[i];

		for (size_t m = 0; is_there(g, t->group) && m < g->nmembers; m++) {
			if (g != t->group && !g->members[m].is_connected)
				continue;
			describe_member(c, &g->members[m], &ret->members[ret->nmembers++]);
		}
	}
	return 0;
}

/* A process that holds a member; 0: none is visible. */
static __u32 pid_of(const struct sp_group *group)
{
	for (size_t m = 0; m < group->nmembers; m++)
		if (group->members[m].nowners)
			return group->members[m].owners[0].pid;
	return 0;
}

static void describe_group(const struct sp_checkup *c, const struct sp_target *t, struct sp_group_facts *ret)
{
	const struct sp_group *group = t->group;
	__u32 pid = pid_of(group), inode;
	struct sp_netstat netstat;
	__u64 cookie;

	ret->has_group = true;
	ret->protocol = group->protocol;
	sp_group_endpoint(group, ret->endpoint);
	program_name(group, ret->program);
	ret->is_our_program = group->prog_id &&
			      !strncmp(group->prog_name, SP_PROG_NAME, sizeof(group->prog_name));
	ret->uid = group->uid;
	ret->size = group->size;
	ret->nhidden = group->size > group->nmembers ? group->size - group->nmembers : 0;
	ret->had_connected = group->has_conns;
	if (c->netns)
		snprintf(ret->netns_option, sizeof(ret->netns_option), "--netns %u", pid);
	else if (!sp_netns_resolve(NULL, &cookie, &inode) && cookie != group->netns_cookie && pid)
		snprintf(ret->netns_option, sizeof(ret->netns_option), "--netns %u", pid);
	ret->migrate_req = pid ? sysctl_at("/proc/sys/net/ipv4/tcp_migrate_req", pid) : -1;
	if (!sp_netstat_read(group->netns_inode, pid, &netstat))
		ret->migrate_failed = netstat.migrate_failed;
}

/* Sockets at its place that are in no group, or in another. */
static void describe_outside(const struct sp_target *t, const struct sp_ctl *place,
			     struct sp_group_facts *ret)
{
	const struct sp_member *outside = sp_group_outside(t->groups, place, t->group, &ret->noutside);

	if (outside)
		sp_snapshot_member_owner(outside, ret->outside);
}

/* The flow table's entries whose packets came while the group was watched, by slot. */
static void count_flows(const struct sp_checkup *c, const struct sp_report *r, const struct sp_kept *kept,
			__u32 ret_flows[SP_SLOTS_MAX])
{
	__u32 started_s = c->started_ns / SP_NS_PER_S;

	memset(ret_flows, 0, SP_SLOTS_MAX * sizeof(*ret_flows));
	for (size_t i = 0; r->snapshot.state->ctl.track == SP_TRACK_ALWAYS && i < kept->count; i++) {
		const struct sp_kept_flow *flow = &kept->flows[i];

		if (sp_kept_is_in_force(flow) && flow->last_seen_s >= started_s)
			ret_flows[flow->slot]++;
	}
}

static __u64 arrivals(const struct sp_checkup *c, const struct sp_report *r, __u32 slot)
{
	/* Rows that came since then, of a program that was replaced meanwhile, have no before. */
	if (slot + 1 >= r->nrows || r->nrows != c->nrows)
		return 0;
	return outcomes(&r->rows[slot]) - outcomes(&c->rows[slot]);
}

static void describe_state(const struct sp_report *r, struct sp_group_facts *ret)
{
	const struct sp_snapshot *s = &r->snapshot;
	const struct sp_view *view = sp_state_current(s->state);
	const struct sp_ctl *ctl = &s->state->ctl;

	ret->is_attached = sp_snapshot_is_attached(s);
	ret->was_attached = ctl->attached_at;
	ret->is_other_user = sp_snapshot_is_other_user(s);
	ret->made_for_uid = ctl->uid;
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		ret->slots[slot] = sp_snapshot_slot_state(s, slot);
	ret->knows_flows = ctl->protocol == SP_TCP || ctl->track == SP_TRACK_ALWAYS;
	ret->learn_ns = ctl->learn_ns;
	if (ctl->attached_at && s->wall_ns > ctl->attached_at)
		ret->attached_for_ns = s->wall_ns - ctl->attached_at;
	ret->serial = view->serial;
	ret->is_learning = sp_snapshot_learn_remaining_ns(s) > 0;
	if (view->learn_until_ns && s->now_ns > view->learn_until_ns)
		ret->unsettled_for_ns = s->now_ns - view->learn_until_ns;
	ret->room = r->kept_limit;
	ret->size = sp_snapshot_size(s);
}

/* Where it is made for, when nobody is there. */
static void describe_place(const struct sp_ctl *ctl, struct sp_group_facts *ret)
{
	struct sp_address address = { .family = ctl->family };
	char place[SP_ENDPOINT_STRLEN];

	if (!ctl->protocol) {
		strcpy(ret->endpoint, "(where cannot be told)");
		return;
	}
	memcpy(address.bytes, ctl->addr, sizeof(ctl->addr));
	ret->protocol = ctl->protocol;
	snprintf(ret->endpoint, sizeof(ret->endpoint), "%s:%.80s", sp_protocol_name(ctl->protocol),
		 sp_address_format(&address, ctl->ifindex, ctl->port, place));
}

static int describe_steered(const struct sp_checkup *c, const struct sp_target *t, struct sp_group_facts *ret)
{
	sp_autoreport struct sp_report r = SP_REPORT_NONE;
	sp_autokept struct sp_kept kept = { 0 };
	__u32 flows[SP_SLOTS_MAX];
	int err;

	err = sp_report_take(c->bpffs, t->name, t->groups, &r);
	err = err ?: sp_kept_read(&r.snapshot.pins, r.snapshot.state, &kept);
	if (err)
		return err;
	describe_state(&r, ret);
	ret->forgotten = sp_kept_forgotten(&kept, r.rows, r.nrows);
	count_flows(c, &r, &kept, flows);
	for (size_t i = 0; i < ret->nmembers; i++) {
		struct sp_member_facts *m = &ret->members[i];

		m->slot = sp_state_slot_of(r.snapshot.state, m->cookie);
		m->is_parking = sp_state_is_parking(r.snapshot.state, m->cookie);
		if (m->slot < 0)
			continue;
		m->share = sp_report_share(&r, m->slot);
		m->arrived = arrivals(c, &r, m->slot);
		m->flows = ret->protocol == SP_TCP ? m->arrived : flows[m->slot];
	}
	return 0;
}

int sp_checkup_end(const struct sp_checkup *c, struct sp_group_facts *ret)
{
	sp_autotarget struct sp_target target = {};
	struct sp_ctl ctl = {};
	int err;

	*ret = (struct sp_group_facts){ .bpffs = c->bpffs, .migrate_req = -1 };
	err = sp_target_find(c->bpffs, c->netns, c->word, &target);
	if (err)
		return err;
	strcpy(ret->name, target.name);
	ret->watch_ns = sp_now_ns() - c->started_ns;
	if (*target.name)
		ret->pins = look_at_pins(c->bpffs, target.name, &ctl, &ret->abi);
	if (target.group) {
		describe_group(c, &target, ret);
		err = describe_members(c, &target, ret);
	} else {
		describe_place(&ctl, ret);
	}
	if (err || !*target.name || ret->pins != SP_PINS_OURS)
		return err;
	describe_outside(&target, &ctl, ret);
	return describe_steered(c, &target, ret);
}
