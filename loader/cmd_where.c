// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport where: the slot a flow goes to, why, and the next one; computed as the program does it. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include <steadyport/choose.h>
#include "cleanup.h"
#include "cmd.h"
#include "decide.h"
#include "endpoint.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "netns.h"
#include "render.h"
#include "snapshot.h"
#include "tuple.h"

#define REMARK_STRLEN 96
#define PROBES_MAX (SP_PROBES + 2) /* the probes, and two that only the scan finds */

static const char *const reason_names[] = {
	[SP_REASON_OWNER] = "owner", [SP_REASON_PROBE] = "probe", [SP_REASON_SCAN] = "scan",
	[SP_REASON_PARK] = "parked", [SP_REASON_KEPT] = "kept",	  [SP_REASON_PREVIOUS] = "previous",
};

struct answer {
	struct sp_tuple flow;
	bool is_dst_assumed;
	__u64 hash;
	struct sp_decision now, next; /* next: if the slot of `now` died */
	int probes[PROBES_MAX]; /* slots in the order in which the current view asks them */
	size_t nprobes;
};

/* --- The four numbers --- */

/* The address from which this host answers the peer: connecting a UDP socket sends nothing. */
static int ask_route(const struct sp_address *peer, __u16 port, struct sp_address *ret)
{
	sp_autoclose int sock = socket(peer->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage address;
	struct sp_address own = { .family = peer->family };
	socklen_t len = sp_address_to_sockaddr(peer, port, &address);

	if (sock < 0 || connect(sock, (struct sockaddr *)&address, len))
		return -errno;
	len = sizeof(address);
	if (getsockname(sock, (struct sockaddr *)&address, &len))
		return -errno;
	if (peer->family == AF_INET6)
		memcpy(own.bytes, &((struct sockaddr_in6 *)&address)->sin6_addr, 16);
	else
		memcpy(own.bytes, &((struct sockaddr_in *)&address)->sin_addr, 4);
	*ret = own;
	return 0;
}

static int assume_dst(const struct sp_snapshot *s, struct sp_tuple *flow)
{
	char text[SP_ENDPOINT_STRLEN];
	__u64 cookie;
	__u32 inode;
	int err;

	err = sp_netns_resolve(NULL, &cookie, &inode);
	if (err)
		return err;
	if (cookie != s->state->ctl.netns_cookie) {
		sp_refuse(0, "%s listens on every address of another network namespace", s->pins.name);
		sp_hint("say which one the flow is sent to: steadyport where %s SRC:PORT DST:PORT",
			s->pins.name);
		return -EINVAL;
	}
	err = ask_route(&flow->src, flow->sport, &flow->dst);
	if (err) {
		sp_fail(err, "cannot tell which own address answers %s",
			sp_address_format(&flow->src, 0, flow->sport, text));
		sp_hint("say which one the flow is sent to: steadyport where %s SRC:PORT DST:PORT",
			s->pins.name);
		return err;
	}
	return 0;
}

static const char *family_name(const struct sp_address *address)
{
	return address->family == AF_INET6 ? "IPv6" : "IPv4";
}

/* Refuses flows that the group can never be asked about. */
static int check_flow(const struct sp_snapshot *s, const struct sp_tuple *flow, const struct sp_address *own)
{
	char text[SP_ENDPOINT_STRLEN], endpoint[SP_ENDPOINT_STRLEN];
	__u16 port = s->state->ctl.port;

	sp_snapshot_endpoint(s, ' ', endpoint);
	if (own->family == AF_INET && flow->src.family == AF_INET6)
		return sp_refuse(-EINVAL, "%s listens on %s: it gets no IPv6", s->pins.name, endpoint);
	if (flow->src.family != flow->dst.family)
		return sp_refuse(-EINVAL, "a flow from an %s address cannot go to an %s one",
				 family_name(&flow->src), family_name(&flow->dst));
	if (flow->dport != port)
		return sp_refuse(-EINVAL, "%s listens on port %u, not %u", s->pins.name, port, flow->dport);
	if (s->group && s->group->is_v6only && flow->src.family == AF_INET)
		return sp_refuse(-EINVAL, "%s listens on %s with IPV6_V6ONLY: it gets no IPv4", s->pins.name,
				 endpoint);
	if (!sp_address_is_any(own) && memcmp(own, &flow->dst, sizeof(*own)))
		return sp_refuse(-EINVAL, "%s listens on %s: it gets nothing that is sent to %s",
				 s->pins.name, endpoint, sp_address_format(&flow->dst, 0, flow->dport, text));
	return 0;
}

/* @a: in: the flow that was asked, dst of no family if it was left out */
static int complete_flow(const struct sp_snapshot *s, struct answer *a)
{
	struct sp_tuple *flow = &a->flow;
	struct sp_address own;
	int err;

	sp_state_address(s->state, &own);
	sp_address_unmap(&own);
	sp_tuple_unmap(flow);
	if (!flow->dst.family) {
		flow->dport = s->state->ctl.port;
		flow->dst = own;
		/* The route is asked for an address of the peer's family only: check that first. */
		if (sp_address_is_any(&own) && (own.family == flow->src.family || own.family == AF_INET6)) {
			err = assume_dst(s, flow);
			if (err)
				return err;
			a->is_dst_assumed = true;
		}
	}
	err = check_flow(s, flow, &own);
	if (err) {
		sp_hint("see: steadyport where --help");
		return err;
	}
	a->hash = sp_tuple_hash(flow, s->state->ctl.key);
	return 0;
}

/* --- The choice --- */

static void add_probe(struct answer *a, int slot)
{
	for (size_t i = 0; i < a->nprobes; i++) {
		if (a->probes[i] == slot)
			return;
	}
	if (slot >= 0 && a->nprobes < PROBES_MAX)
		a->probes[a->nprobes++] = slot;
}

/* Slots in the order in which they are asked, down to the one that is next. */
static void list_probes(const struct sp_view *view, struct answer *a)
{
	bool has_now = false, has_next = a->next.slot < 0;

	if (a->now.reason == SP_REASON_KEPT || a->now.reason == SP_REASON_PREVIOUS)
		add_probe(a, a->now.slot);
	for (__u32 i = 0; i < SP_PROBES && !(has_now && has_next); i++) {
		__u32 slot = sp_probe(view, a->hash, i);

		if (slot < SP_SLOTS_MAX)
			add_probe(a, slot);
		has_now |= (int)slot == a->now.slot || a->now.reason > SP_REASON_PARK;
		has_next |= (int)slot == a->next.slot;
	}
	add_probe(a, a->now.slot);
	add_probe(a, a->next.slot);
}

static void answer(const struct sp_snapshot *s, struct answer *a)
{
	struct sp_flow entry;
	const struct sp_flow *kept = bpf_map_lookup_elem(s->pins.flows, &a->hash, &entry) ? NULL : &entry;

	a->now = sp_decide(s->state, s->now_ns, kept, a->hash, -1);
	a->next = (struct sp_decision){ .slot = -1 };
	if (a->now.slot >= 0)
		a->next = sp_decide(s->state, s->now_ns, kept, a->hash, a->now.slot);
	list_probes(sp_state_current(s->state), a);
}

/* --- Showing it --- */

static const char *probe_state(const struct sp_snapshot *s, int slot)
{
	if (!sp_slot_is_live(s->state, slot))
		return "dead";
	if (slot == SP_SLOT_PARK && sp_state_parks(s->state))
		return "parking";
	return sp_is_usable(sp_state_current(s->state), slot) ? "live" : "not usable";
}

static json_t *json_probes(const struct sp_snapshot *s, const struct answer *a)
{
	json_t *probes = json_array();

	for (size_t i = 0; probes && i < a->nprobes; i++) {
		if (json_array_append_new(probes, json_pack("{s:i, s:s}", "slot", a->probes[i], "state",
							    probe_state(s, a->probes[i])))) {
			json_decref(probes);
			return NULL;
		}
	}
	return probes;
}

static json_t *json_slot(int slot)
{
	return slot < 0 ? json_null() : json_integer(slot);
}

/* The first owner of the slot: {pid, comm, fd}; null when there is no slot. */
static json_t *json_owner(const struct sp_snapshot *s, int slot)
{
	json_t *owners = slot < 0 ? NULL : sp_snapshot_json_owners(s, slot);
	json_t *first = owners ? json_incref(json_array_get(owners, 0)) : NULL;

	json_decref(owners);
	return first ?: json_object();
}

static int print_json(const struct sp_snapshot *s, const struct answer *a)
{
	char src[SP_ENDPOINT_STRLEN], dst[SP_ENDPOINT_STRLEN], hash[SP_RENDER_STRLEN];
	json_t *owner = json_owner(s, a->now.slot), *document;

	snprintf(hash, sizeof(hash), "%016llx", a->hash);
	document = json_pack(
		"{s:s, s:{s:s, s:s, s:s}, s:b, s:s, s:I, s:o, s:O?, s:O?, s:s?, s:o, s:b, s:o}", "name",
		s->pins.name, "flow", "protocol", sp_protocol_name(s->state->ctl.protocol), "src",
		sp_address_format(&a->flow.src, 0, a->flow.sport, src), "dst",
		sp_address_format(&a->flow.dst, 0, a->flow.dport, dst), "assumed_dst", a->is_dst_assumed,
		"hash", hash, "bucket", (json_int_t)sp_bucket(a->hash), "slot", json_slot(a->now.slot), "pid",
		json_object_get(owner, "pid"), "comm", json_object_get(owner, "comm"), "reason",
		a->now.slot < 0 ? NULL : reason_names[a->now.reason], "next_slot", json_slot(a->next.slot),
		"follows_kernel", a->now.follows_kernel, "probes", json_probes(s, a));
	json_decref(owner);
	return sp_render_json_print(document);
}

static const char *remark(const struct answer *a, int slot, char buf[REMARK_STRLEN])
{
	if (slot == a->now.slot && a->now.reason == SP_REASON_KEPT)
		snprintf(buf, REMARK_STRLEN, "<- goes here: a kept flow");
	else if (slot == a->now.slot && a->now.reason == SP_REASON_PREVIOUS)
		snprintf(buf, REMARK_STRLEN,
			 "<- goes here: it went here before the change, which is being learned");
	else if (slot == a->now.slot && a->now.reason == SP_REASON_PARK)
		snprintf(buf, REMARK_STRLEN, "<- waits here, in the parking socket");
	else if (slot == a->next.slot && a->next.reason == SP_REASON_PARK)
		snprintf(buf, REMARK_STRLEN, "   would wait here if slot %d died", a->now.slot);
	else if (slot == a->now.slot)
		snprintf(buf, REMARK_STRLEN, "<- goes here%s",
			 a->now.follows_kernel ? " once the learning is over" : "");
	else if (slot == a->next.slot)
		snprintf(buf, REMARK_STRLEN, "   would go here if slot %d died", a->now.slot);
	else
		buf[0] = '\0';
	return buf;
}

/* "dead", "not usable" or the owner */
static const char *label(const struct sp_snapshot *s, const struct answer *a, int slot,
			 char buf[SP_OWNER_STRLEN])
{
	const char *state = probe_state(s, slot);

	if (slot != a->now.slot && slot != a->next.slot && strcmp(state, "live"))
		snprintf(buf, SP_OWNER_STRLEN, "%s", state);
	else
		sp_snapshot_owner(s, slot, buf);
	return buf;
}

static void print_probes(const struct sp_snapshot *s, const struct answer *a)
{
	char text[SP_OWNER_STRLEN], why[REMARK_STRLEN];
	int width = 0, digits = 1;

	for (size_t i = 0; i < a->nprobes; i++) {
		int len = strlen(label(s, a, a->probes[i], text));

		width = len > width ? len : width;
		len = snprintf(text, sizeof(text), "%d", a->probes[i]);
		digits = len > digits ? len : digits;
	}
	for (size_t i = 0; i < a->nprobes; i++) {
		bool has_remark = *remark(a, a->probes[i], why);

		sp_render_line("%2zu. slot %*d  %-*s%s%s", i + 1, digits, a->probes[i],
			       has_remark ? width : 0, label(s, a, a->probes[i], text),
			       has_remark ? "   " : "", why);
	}
}

static void print_answer(const struct sp_snapshot *s, const struct answer *a)
{
	char src[SP_ENDPOINT_STRLEN], dst[SP_ENDPOINT_STRLEN], left[SP_RENDER_STRLEN];

	sp_render_line("%s %s -> %s    hash %016llx  bucket %u", sp_protocol_name(s->state->ctl.protocol),
		       sp_address_format(&a->flow.src, 0, a->flow.sport, src),
		       sp_address_format(&a->flow.dst, 0, a->flow.dport, dst), a->hash, sp_bucket(a->hash));
	if (a->is_dst_assumed)
		sp_render_line("Assuming it was sent to %s: from there this host answers the peer.", dst);
	print_probes(s, a);
	if (a->now.slot < 0)
		sp_render_line("No slot is live: the kernel's own hash decides. Enrol new workers: "
			       "steadyport sync %s",
			       s->pins.name);
	else if (a->now.reason == SP_REASON_PARK)
		sp_render_line("No worker is live: it waits until one is.");
	else if (a->next.slot < 0)
		sp_render_line("If slot %d died, none would be left.", a->now.slot);
	if (a->now.follows_kernel)
		sp_render_line(
			"It was not seen since the attach. If its next packet comes within %s, it stays where "
			"the kernel's own hash has it, which cannot be computed here.",
			sp_render_remaining(sp_snapshot_learn_remaining_ns(s), left));
	if (!sp_snapshot_is_attached(s))
		sp_render_line("The program is not attached, so this is not in force: steadyport status %s",
			       s->pins.name);
}

static int parse_flow(const struct sp_args *args, struct sp_tuple *ret)
{
	const char *why, *word;
	int err = sp_tuple_parse(args->args + 1, args->nargs - 1, ret, &word, &why);

	if (err) {
		sp_refuse(err, "%s: %s", word, why);
		sp_hint("see: steadyport where --help");
	}
	return err;
}

enum sp_exit sp_cmd_where(const struct sp_args *args)
{
	sp_autosnapshot struct sp_snapshot s = SP_SNAPSHOT_NONE;
	sp_autogroups struct sp_groups *groups = NULL;
	struct answer a = {};
	int err;

	if (parse_flow(args, &a.flow))
		return SP_EXIT_USAGE;
	if (sp_kernel_check() || sp_members_scan(0, &groups))
		return SP_EXIT_FAILED;
	err = sp_snapshot_take(args->bpffs, args->args[0], groups, &s);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	if (s.state->ctl.hash == SP_HASH_KERNEL) {
		sp_refuse(0,
			  "%s uses --hash kernel, whose key only the kernel knows: its choices "
			  "cannot be computed",
			  s.pins.name);
		sp_hint("see what each slot got: steadyport counters %s", s.pins.name);
		return SP_EXIT_FAILED;
	}
	if (complete_flow(&s, &a))
		return SP_EXIT_FAILED;
	answer(&s, &a);
	if (args->json)
		return print_json(&s, &a) ? SP_EXIT_FAILED : SP_EXIT_OK;
	print_answer(&s, &a);
	return SP_EXIT_OK;
}
