// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The whole state of a steered group: read from its maps, and written as JSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <steadyport/choose.h>
#include "cleanup.h"
#include "dump.h"
#include "kept.h"
#include "log.h"
#include "render.h"
#include "snapshot.h"
#include "value.h"

#define NS_PER_MS 1000000

void sp_dump_free(struct sp_dump **dump)
{
	if (!*dump)
		return;
	free((*dump)->flows);
	free((*dump)->rows);
	free(*dump);
	*dump = NULL;
}

void sp_dump_boot_id(char ret_boot_id[SP_BOOT_ID_STRLEN])
{
	sp_autofile FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!file || fscanf(file, "%36s", ret_boot_id) != 1)
		ret_boot_id[0] = '\0';
}

/* --- from the maps --- */

static int add_flow(void *ctx, __u64 hash, const struct sp_flow *flow)
{
	struct sp_dump *dump = ctx;
	__s32 idle_s = sp_now_ns() / 1000000000 - flow->last_seen_s;

	/* Full whenever the count is a power of two. */
	if ((dump->nflows & (dump->nflows - 1)) == 0) {
		void *grown =
			reallocarray(dump->flows, dump->nflows ? dump->nflows * 2 : 1, sizeof(*dump->flows));

		if (!grown)
			return sp_fail(-ENOMEM, "cannot read the kept flows of %s", dump->name);
		dump->flows = grown;
	}
	dump->flows[dump->nflows++] = (struct sp_dump_flow){
		.hash = hash,
		.slot = flow->slot,
		.incarnation = flow->incarnation,
		.idle_s = idle_s > 0 ? idle_s : 0,
	};
	return 0;
}

static int compare_flows(const void *pa, const void *pb)
{
	const struct sp_dump_flow *a = pa, *b = pb;

	return (a->hash > b->hash) - (a->hash < b->hash);
}

int sp_dump_take(const struct sp_pins *pins, struct sp_dump **ret_dump)
{
	sp_autodump struct sp_dump *dump = calloc(1, sizeof(*dump));
	sp_autostate struct sp_state *state = NULL;
	const struct sp_view *previous;
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	__u64 now;
	int err;

	if (!dump)
		return sp_fail(-ENOMEM, "cannot take a snapshot of %s", pins->name);
	snprintf(dump->name, sizeof(dump->name), "%s", pins->name);
	sp_dump_boot_id(dump->boot_id);
	dump->taken_at = sp_wall_ns();
	err = sp_state_read(pins, &state);
	err = err ?: sp_state_counters(pins, &dump->rows, &dump->nrows);
	if (!err && state->ctl.protocol == SP_UDP)
		err = sp_state_each_flow(pins, add_flow, dump);
	if (err)
		return err;
	/* The table's own order is that of its chains: two snapshots of one state shall be the same text. */
	if (dump->nflows)
		qsort(dump->flows, dump->nflows, sizeof(*dump->flows), compare_flows);
	err = bpf_obj_get_info_by_fd(pins->flows, &info, &len);
	if (err)
		return sp_fail(err, "cannot read " SP_PIN_FLOWS " of %s", pins->name);

	now = sp_now_ns();
	previous = sp_state_previous(state, now);
	dump->ctl = state->ctl;
	dump->has_key = true;
	dump->flows_room = info.max_entries;
	dump->current = *sp_state_current(state);
	dump->has_previous = previous != NULL;
	if (previous) {
		dump->previous = *previous;
		dump->learn_remaining_ns = dump->current.learn_until_ns - now;
	}
	memcpy(dump->info, state->info, sizeof(dump->info));
	/* What the sockarray knows is what is. The parking socket is its daemon's, and no part of the group's state. */
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		if (dump->info[s].state == SP_SLOT_PARKED) {
			dump->info[s].state = SP_SLOT_FREE;
			dump->info[s].died_at = 0;
		} else if (dump->info[s].state != SP_SLOT_FREE && !sp_slot_is_live(state, s)) {
			dump->info[s].state = SP_SLOT_DEAD;
		}
	}
	*ret_dump = sp_take_ptr(dump);
	return 0;
}

/* --- to JSON --- */

static json_t *json_bits(const __u64 *bits, __u32 count)
{
	json_t *array = json_array();

	for (__u32 i = 0; array && i < count; i++)
		if (sp_bit(bits, i) && json_array_append_new(array, json_integer(i))) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static json_t *json_view(const struct sp_view *view)
{
	__u32 nowners = view->kind == SP_VIEW_TABLE ? SP_BUCKETS :
			view->nslots < SP_BUCKETS   ? view->nslots :
						      SP_BUCKETS;
	json_t *owners = json_array();

	/* -1: no slot */
	for (__u32 b = 0; owners && b < nowners; b++) {
		int owner = view->owner[b] < SP_SLOTS_MAX ? view->owner[b] : -1;

		if (json_array_append_new(owners, json_integer(owner))) {
			json_decref(owners);
			owners = NULL;
		}
	}
	return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "kind",
			 view->kind == SP_VIEW_TABLE ? "table" : "kernel", "nslots", (json_int_t)view->nslots,
			 "serial", (json_int_t)view->serial, "usable", json_bits(view->usable, SP_SLOTS_MAX),
			 "moving", json_bits(view->moving, SP_BUCKETS), "owner", owners);
}

static json_t *json_slot(const struct sp_dump *dump, __u32 slot)
{
	const struct sp_info *info = &dump->info[slot];
	char comm[SP_COMM_LEN + 1];

	snprintf(comm, sizeof(comm), "%.*s", SP_COMM_LEN, info->comm);
	return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:o, s:I, s:I}", "slot", (json_int_t)slot, "state",
			 sp_snapshot_state_name(info->state), "incarnation", (json_int_t)info->incarnation,
			 "weight", (json_int_t)info->weight, "cookie", (json_int_t)info->cookie, "pid",
			 (json_int_t)info->pid, "comm", sp_render_json_text(comm), "enrolled_at",
			 (json_int_t)info->enrolled_at, "died_at", (json_int_t)info->died_at);
}

/* A slot that was never used, or retired, matters for its incarnation alone: flows of its past must stay stale. */
static json_t *json_slots(const struct sp_dump *dump)
{
	json_t *slots = json_array();

	for (__u32 s = 0; slots && s < SP_SLOTS_MAX; s++) {
		if (dump->info[s].state == SP_SLOT_FREE && !dump->info[s].incarnation)
			continue;
		if (json_array_append_new(slots, json_slot(dump, s))) {
			json_decref(slots);
			return NULL;
		}
	}
	return slots;
}

static json_t *json_flows(const struct sp_dump *dump)
{
	json_t *flows = json_array();
	char hash[20];

	for (size_t i = 0; flows && i < dump->nflows; i++) {
		const struct sp_dump_flow *f = &dump->flows[i];

		/* 64 bits do not fit the numbers of most JSON readers. */
		snprintf(hash, sizeof(hash), "%016llx", f->hash);
		if (json_array_append_new(flows, json_pack("{s:s, s:I, s:I, s:I}", "hash", hash, "slot",
							   (json_int_t)f->slot, "incarnation",
							   (json_int_t)f->incarnation, "idle_s",
							   (json_int_t)f->idle_s))) {
			json_decref(flows);
			return NULL;
		}
	}
	return flows;
}

static json_t *json_rows(const struct sp_dump *dump)
{
	json_t *rows = json_array();

	for (__u32 i = 0; rows && i < dump->nrows; i++)
		if (json_array_append_new(rows, sp_render_json_counters(&dump->rows[i]))) {
			json_decref(rows);
			return NULL;
		}
	return rows;
}

static json_t *json_key(const struct sp_dump *dump)
{
	char key[40];

	snprintf(key, sizeof(key), "%016llx%016llx", (unsigned long long)__builtin_bswap64(dump->ctl.key[0]),
		 (unsigned long long)__builtin_bswap64(dump->ctl.key[1]));
	return json_string(key);
}

json_t *sp_dump_json(const struct sp_dump *dump, bool with_key)
{
	const struct sp_ctl *ctl = &dump->ctl;
	char address[SP_ENDPOINT_STRLEN], endpoint[SP_ENDPOINT_STRLEN + 8];
	struct sp_address bound = { .family = ctl->family };

	memcpy(bound.bytes, ctl->addr, sizeof(bound.bytes));
	snprintf(endpoint, sizeof(endpoint), "%s:%s", sp_protocol_name(ctl->protocol),
		 sp_address_format(&bound, 0, ctl->port, address));
	return json_pack(
		"{s:i, s:i, s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:I, s:I, s:o, s:I, s:I,"
		" s:I, s:o, s:o, s:o, s:o, s:o}",
		"format", SP_DUMP_FORMAT, "abi", SP_ABI_VERSION, "name", dump->name, "boot_id", dump->boot_id,
		"taken_at", (json_int_t)dump->taken_at, "endpoint", endpoint, "ifindex",
		(json_int_t)ctl->ifindex, "uid", (json_int_t)ctl->uid, "netns_cookie",
		(json_int_t)ctl->netns_cookie, "netns_inode", (json_int_t)ctl->netns_inode, "hash",
		sp_value_hash_name(ctl->hash), "track", sp_value_track_name(ctl->track), "balance",
		sp_value_balance_name(ctl->balance), "learn_ns", (json_int_t)ctl->learn_ns, "flow_idle_s",
		(json_int_t)ctl->flow_idle_s, "key", with_key && dump->has_key ? json_key(dump) : json_null(),
		"attached_at", (json_int_t)ctl->attached_at, "flows_room", (json_int_t)dump->flows_room,
		"learn_remaining_ns", (json_int_t)dump->learn_remaining_ns, "current",
		json_view(&dump->current), "previous",
		dump->has_previous ? json_view(&dump->previous) : json_null(), "slots", json_slots(dump),
		"flows", json_flows(dump), "counters", json_rows(dump));
}
