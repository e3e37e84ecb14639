// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A snapshot from JSON: total, whatever the document holds. Pure. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "dump.h"
#include "endpoint.h"
#include "render.h"
#include "snapshot.h"
#include "value.h"

/* Where in the document we are, and what is wrong with it; the first objection stands. */
struct reader {
	char *why;
	const char *where; /* "slots" */
	size_t index; /* of the element */
	bool is_bad;
};

static void object_to(struct reader *r, const char *field, const char *expected)
{
	if (r->is_bad)
		return;
	r->is_bad = true;
	if (r->where)
		snprintf(r->why, SP_DUMP_WHY_LEN, "%s[%zu].%s is not %s", r->where, r->index, field,
			 expected);
	else
		snprintf(r->why, SP_DUMP_WHY_LEN, "%s is not %s", field, expected);
}

static __u64 number(struct reader *r, const json_t *object, const char *field, __u64 max)
{
	const json_t *value = json_object_get(object, field);
	json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;

	if (n >= 0 && (__u64)n <= max)
		return n;
	object_to(r, field, "a number in its range");
	return 0;
}

static const char *text(struct reader *r, const json_t *object, const char *field)
{
	const char *value = json_string_value(json_object_get(object, field));

	if (!value)
		object_to(r, field, "a string");
	return value ?: "";
}

static const json_t *array(struct reader *r, const json_t *object, const char *field, size_t max)
{
	const json_t *value = json_object_get(object, field);

	if (json_is_array(value) && json_array_size(value) <= max)
		return value;
	object_to(r, field, "an array of at most its size");
	return NULL;
}

/* The place of a word among those that @name_of gives for 0, 1, ...; NULL or "?" ends them. */
static __u32 word(struct reader *r, const json_t *object, const char *field, const char *(*name_of)(int),
		  int count)
{
	const char *value = text(r, object, field);

	for (int i = 0; i < count; i++)
		if (!strcmp(value, name_of(i)))
			return i;
	object_to(r, field, "one of its words");
	return 0;
}

static const char *hash_name(int i)
{
	return sp_value_hash_name(i);
}

static const char *track_name(int i)
{
	return sp_value_track_name(i);
}

static const char *balance_name(int i)
{
	return sp_value_balance_name(i);
}

static const char *state_name(int i)
{
	return sp_snapshot_state_name(i);
}

static bool parse_hex(const char *digits, size_t len, __u64 *ret)
{
	char part[17];

	if (strnlen(digits, len) < len || strspn(digits, "0123456789abcdef") < len || len > 16)
		return false;
	snprintf(part, sizeof(part), "%.*s", (int)len, digits);
	*ret = strtoull(part, NULL, 16);
	return true;
}

static void read_key(struct reader *r, const json_t *document, struct sp_dump *dump)
{
	const json_t *value = json_object_get(document, "key");
	const char *key = json_string_value(value);

	if (json_is_null(value))
		return;
	if (!key || strlen(key) != 32 || !parse_hex(key, 16, &dump->ctl.key[0]) ||
	    !parse_hex(key + 16, 16, &dump->ctl.key[1])) {
		object_to(r, "key", "32 hexadecimal digits, or null");
		return;
	}
	dump->ctl.key[0] = __builtin_bswap64(dump->ctl.key[0]);
	dump->ctl.key[1] = __builtin_bswap64(dump->ctl.key[1]);
	dump->has_key = true;
}

static void read_ctl(struct reader *r, const json_t *document, struct sp_dump *dump)
{
	struct sp_endpoint endpoint = { 0 };
	struct sp_ctl *ctl = &dump->ctl;
	const char *why;

	if (number(r, document, "format", ~0U) != SP_DUMP_FORMAT)
		object_to(r, "format", "one that this steadyport can read");
	snprintf(dump->name, sizeof(dump->name), "%s", text(r, document, "name"));
	if (!sp_name_is_valid(dump->name))
		object_to(r, "name", "a group's name");
	snprintf(dump->boot_id, sizeof(dump->boot_id), "%s", text(r, document, "boot_id"));
	dump->taken_at = number(r, document, "taken_at", INT64_MAX);
	if (sp_endpoint_parse(text(r, document, "endpoint"), &endpoint, &why) || !endpoint.has_address)
		object_to(r, "endpoint", "an endpoint with an address");
	ctl->protocol = endpoint.protocol;
	ctl->family = endpoint.address.family;
	ctl->port = endpoint.port;
	memcpy(ctl->addr, endpoint.address.bytes, sizeof(ctl->addr));
	ctl->ifindex = number(r, document, "ifindex", INT32_MAX);
	ctl->uid = number(r, document, "uid", ~0U);
	ctl->netns_cookie = number(r, document, "netns_cookie", INT64_MAX);
	ctl->netns_inode = number(r, document, "netns_inode", ~0U);
	ctl->hash = word(r, document, "hash", hash_name, SP_HASH_KERNEL + 1);
	ctl->track = word(r, document, "track", track_name, SP_TRACK_OFF + 1);
	/* Snapshots of ABI 2 have none. */
	if (json_object_get(document, "balance"))
		ctl->balance = word(r, document, "balance", balance_name, SP_BALANCE_LEAST_CONN + 1);
	ctl->learn_ns = number(r, document, "learn_ns", INT64_MAX);
	ctl->flow_idle_s = number(r, document, "flow_idle_s", INT32_MAX);
	ctl->attached_at = number(r, document, "attached_at", INT64_MAX);
	dump->flows_room = number(r, document, "flows_room", SP_FLOWS_MAX);
	dump->learn_remaining_ns = number(r, document, "learn_remaining_ns", INT64_MAX);
	read_key(r, document, dump);
}

static void read_bits(struct reader *r, const json_t *object, const char *field, __u64 *bits, __u32 count)
{
	const json_t *list = array(r, object, field, count), *value;
	size_t i;

	json_array_foreach(list, i, value) {
		json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;

		if (n < 0 || n >= count) {
			object_to(r, field, "a list of numbers in their range");
			return;
		}
		bits[n / 64] |= 1ULL << (n % 64);
	}
}

static void read_view(struct reader *r, const json_t *object, struct sp_view *view)
{
	const char *kind = text(r, object, "kind");
	const json_t *owners = array(r, object, "owner", SP_BUCKETS), *value;
	bool is_table = !strcmp(kind, "table");
	size_t i;

	if (!is_table && strcmp(kind, "kernel"))
		object_to(r, "kind", "table or kernel");
	view->kind = is_table ? SP_VIEW_TABLE : SP_VIEW_KERNEL;
	view->prev = SP_VIEW_NONE;
	view->nslots = number(r, object, "nslots", is_table ? SP_SLOTS_MAX : SP_BUCKETS);
	view->serial = number(r, object, "serial", ~0U);
	read_bits(r, object, "usable", view->usable, SP_SLOTS_MAX);
	read_bits(r, object, "moving", view->moving, SP_BUCKETS);
	if (json_array_size(owners) != (is_table ? SP_BUCKETS : view->nslots))
		object_to(r, "owner", "as long as it has to be");
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		view->owner[b] = SP_SLOT_NONE;
	json_array_foreach(owners, i, value) {
		json_int_t n = json_is_integer(value) ? json_integer_value(value) : -2;

		if (n < -1 || n >= SP_SLOTS_MAX)
			object_to(r, "owner", "a list of slots, or -1");
		else if (n >= 0)
			view->owner[i] = n;
	}
}

static void read_slots(struct reader *r, const json_t *document, struct sp_dump *dump)
{
	const json_t *list = array(r, document, "slots", SP_SLOTS_MAX), *object;

	r->where = "slots";
	json_array_foreach(list, r->index, object) {
		__u32 slot = number(r, object, "slot", SP_SLOTS_MAX - 1);
		struct sp_info *info = &dump->info[slot];
		const char *comm = text(r, object, "comm");

		info->state = word(r, object, "state", state_name, SP_SLOT_STATES);
		info->incarnation = number(r, object, "incarnation", ~0U);
		info->weight = number(r, object, "weight", SP_WEIGHT_MAX);
		info->cookie = number(r, object, "cookie", INT64_MAX);
		info->pid = number(r, object, "pid", INT32_MAX);
		memcpy(info->comm, comm, strnlen(comm, sizeof(info->comm) - 1));
		info->enrolled_at = number(r, object, "enrolled_at", INT64_MAX);
		info->died_at = number(r, object, "died_at", INT64_MAX);
		if (r->is_bad)
			break;
	}
	r->where = NULL;
}

static int read_flows(struct reader *r, const json_t *document, struct sp_dump *dump)
{
	const json_t *list = array(r, document, "flows", SP_FLOWS_MAX), *object;

	dump->flows = calloc(json_array_size(list) + 1, sizeof(*dump->flows));
	if (!dump->flows)
		return -ENOMEM;
	r->where = "flows";
	json_array_foreach(list, r->index, object) {
		struct sp_dump_flow *flow = &dump->flows[dump->nflows++];
		const char *hash = text(r, object, "hash");

		if (strlen(hash) != 16 || !parse_hex(hash, 16, &flow->hash))
			object_to(r, "hash", "16 hexadecimal digits");
		flow->slot = number(r, object, "slot", SP_SLOTS_MAX - 1);
		flow->incarnation = number(r, object, "incarnation", ~0U);
		flow->idle_s = number(r, object, "idle_s", INT32_MAX);
		if (r->is_bad)
			break;
	}
	r->where = NULL;
	return 0;
}

/* A counter that another version did not have is 0. */
static int read_rows(struct reader *r, const json_t *document, struct sp_dump *dump)
{
	const json_t *list = array(r, document, "counters", SP_SLOTS_MAX + 1), *object;

	if (json_array_size(list) < 2)
		object_to(r, "counters", "a row for each slot and one for the group");
	dump->rows = calloc(json_array_size(list) + 1, sizeof(*dump->rows));
	if (!dump->rows)
		return -ENOMEM;
	r->where = "counters";
	json_array_foreach(list, r->index, object) {
		struct sp_counters *row = &dump->rows[dump->nrows++];

#define SP_COUNTER(name, kind, text)        \
	if (json_object_get(object, #name)) \
		row->name = number(r, object, #name, INT64_MAX);
#include <steadyport/counters.def>
#undef SP_COUNTER
		if (r->is_bad)
			break;
	}
	r->where = NULL;
	return 0;
}

int sp_dump_parse(const json_t *document, struct sp_dump **ret_dump, char ret_why[SP_DUMP_WHY_LEN])
{
	sp_autodump struct sp_dump *dump = calloc(1, sizeof(*dump));
	struct reader r = { .why = ret_why };
	const json_t *previous;
	int err;

	if (!dump)
		return -ENOMEM;
	if (!json_is_object(document)) {
		snprintf(ret_why, SP_DUMP_WHY_LEN, "it is not a JSON object");
		return -EINVAL;
	}
	read_ctl(&r, document, dump);
	read_view(&r, json_object_get(document, "current"), &dump->current);
	previous = json_object_get(document, "previous");
	dump->has_previous = previous && !json_is_null(previous);
	if (dump->has_previous)
		read_view(&r, previous, &dump->previous);
	read_slots(&r, document, dump);
	err = read_flows(&r, document, dump) ?: read_rows(&r, document, dump);
	if (err)
		return err;
	/* The current view is never the kernel's: it is asked in ways that only a table answers. */
	if (dump->current.kind != SP_VIEW_TABLE)
		object_to(&r, "current", "a table");
	if (r.is_bad)
		return -EINVAL;
	*ret_dump = sp_take_ptr(dump);
	return 0;
}
