// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The way of one flow through a steered group. */
#include "trail.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "log.h"
#include "netns.h"
#include "render.h"

/* --- The four numbers --- */

int sp_trail_parse(const char *command, const char *const *words, int nwords, struct sp_trail *ret)
{
	struct sp_trail trail = { .command = command };
	const char *why, *word;
	int err = sp_tuple_parse(words, nwords, &trail.flow, &word, &why);

	if (err) {
		sp_refuse(err, "%s: %s", word, why);
		sp_hint("see: steadyport %s --help", command);
		return err;
	}
	*ret = trail;
	return 0;
}

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

static int assume_dst(const struct sp_snapshot *s, const char *command, struct sp_tuple *flow)
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
		sp_hint("say which one the flow is sent to: steadyport %s %s SRC:PORT DST:PORT", command,
			s->pins.name);
		return -EINVAL;
	}
	err = ask_route(&flow->src, flow->sport, &flow->dst);
	if (err) {
		sp_fail(err, "cannot tell which own address answers %s",
			sp_address_format(&flow->src, 0, flow->sport, text));
		sp_hint("say which one the flow is sent to: steadyport %s %s SRC:PORT DST:PORT", command,
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

/* @t: in: the flow that was asked, dst of no family if it was left out */
static int complete_flow(const struct sp_snapshot *s, struct sp_trail *t)
{
	struct sp_tuple *flow = &t->flow;
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
			err = assume_dst(s, t->command, flow);
			if (err)
				return err;
			t->is_dst_assumed = true;
		}
	}
	err = check_flow(s, flow, &own);
	if (err) {
		sp_hint("see: steadyport %s --help", t->command);
		return err;
	}
	t->hash = sp_tuple_hash(flow, s->state->ctl.key);
	return 0;
}

/* --- The choice --- */

static void add_probe(struct sp_trail *t, int slot, __u32 number)
{
	for (size_t i = 0; i < t->nprobes; i++) {
		if (t->probes[i].slot != slot)
			continue;
		t->probes[i].number = t->probes[i].number ?: number;
		return;
	}
	if (slot >= 0 && t->nprobes < SP_TRAIL_PROBES_MAX)
		t->probes[t->nprobes++] = (struct sp_trail_probe){ slot, number };
}

/* Slots in the order in which they are asked, down to the one that is next. */
static void list_probes(const struct sp_view *view, struct sp_trail *t)
{
	bool has_now = false, has_next = t->next.slot < 0;

	if (t->now.reason == SP_REASON_KEPT || t->now.reason == SP_REASON_PREVIOUS)
		add_probe(t, t->now.slot, 0);
	for (__u32 i = 0; i < SP_PROBES && !(has_now && has_next); i++) {
		__u32 slot = sp_probe(view, t->hash, i);

		if (slot < SP_SLOTS_MAX)
			add_probe(t, slot, i + 1);
		has_now |= (int)slot == t->now.slot || t->now.reason > SP_REASON_PARK;
		has_next |= (int)slot == t->next.slot;
	}
	add_probe(t, t->now.slot, 0);
	add_probe(t, t->next.slot, 0);
}

int sp_trail_follow(const struct sp_snapshot *s, struct sp_trail *t)
{
	const struct sp_flow *kept;
	int err;

	if (s->state->ctl.hash == SP_HASH_KERNEL) {
		sp_refuse(0,
			  "%s uses --hash kernel, whose key only the kernel knows: its choices "
			  "cannot be computed",
			  s->pins.name);
		sp_hint("see what each slot got: steadyport counters %s", s->pins.name);
		return -EINVAL;
	}
	err = complete_flow(s, t);
	if (err)
		return err;
	t->is_known = !bpf_map_lookup_elem(s->pins.flows, &t->hash, &t->entry);
	kept = t->is_known ? &t->entry : NULL;
	t->now = sp_decide_steps(s->state, s->now_ns, kept, t->hash, -1, &t->steps);
	t->next = (struct sp_decision){ .slot = -1 };
	if (t->now.slot >= 0)
		t->next = sp_decide_steps(s->state, s->now_ns, kept, t->hash, t->now.slot, &t->next_steps);
	list_probes(sp_state_current(s->state), t);
	return 0;
}

/* --- Showing it --- */

const char *sp_trail_reason(const struct sp_decision *decision)
{
	static const char *const names[] = {
		[SP_REASON_OWNER] = "owner", [SP_REASON_PROBE] = "probe", [SP_REASON_SCAN] = "scan",
		[SP_REASON_PARK] = "parked", [SP_REASON_KEPT] = "kept",	  [SP_REASON_PREVIOUS] = "previous",
	};

	return decision->slot < 0 ? NULL : names[decision->reason];
}

const char *sp_trail_slot_state(const struct sp_snapshot *s, int slot)
{
	if (!sp_slot_is_live(s->state, slot))
		return "dead";
	if (slot == SP_SLOT_PARK && sp_state_parks(s->state))
		return "parking";
	return sp_is_usable(sp_state_current(s->state), slot) ? "live" : "not usable";
}

const char *sp_trail_slot_label(const struct sp_snapshot *s, int slot, char buf[SP_OWNER_STRLEN])
{
	const char *state = sp_trail_slot_state(s, slot);

	if (!strcmp(state, "live"))
		return sp_snapshot_owner(s, slot, buf);
	strcpy(buf, state);
	return buf;
}

json_t *sp_trail_json_flow(const struct sp_snapshot *s, const struct sp_trail *t)
{
	char src[SP_ENDPOINT_STRLEN], dst[SP_ENDPOINT_STRLEN];

	return json_pack("{s:s, s:s, s:s}", "protocol", sp_protocol_name(s->state->ctl.protocol), "src",
			 sp_address_format(&t->flow.src, 0, t->flow.sport, src), "dst",
			 sp_address_format(&t->flow.dst, 0, t->flow.dport, dst));
}

json_t *sp_trail_json_slot(int slot)
{
	return slot < 0 ? json_null() : json_integer(slot);
}

json_t *sp_trail_json_owner(const struct sp_snapshot *s, int slot)
{
	json_t *owners = slot < 0 ? NULL : sp_snapshot_json_owners(s, slot);
	json_t *first = owners ? json_incref(json_array_get(owners, 0)) : NULL;

	json_decref(owners);
	return first ?: json_object();
}

json_t *sp_trail_json_probes(const struct sp_snapshot *s, const struct sp_trail *t)
{
	json_t *probes = json_array();

	for (size_t i = 0; probes && i < t->nprobes; i++) {
		const struct sp_trail_probe *probe = &t->probes[i];

		if (json_array_append_new(probes, json_pack("{s:i, s:s, s:I}", "slot", probe->slot, "state",
							    sp_trail_slot_state(s, probe->slot), "probe",
							    (json_int_t)probe->number))) {
			json_decref(probes);
			return NULL;
		}
	}
	return probes;
}
