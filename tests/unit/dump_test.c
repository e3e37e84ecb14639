// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A snapshot as JSON: there and back, and documents that are none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "dump.h"
#include "plan.h"

static struct sp_dump *dump;

/* A UDP group of four in the middle of a join, a drained slot and a dead one. */
static int make_dump(void **state)
{
	struct sp_plan_slots *slots = calloc(1, sizeof(*slots));
	const unsigned char v6[16] = { 0xfd, 0, [15] = 1 };

	(void)state;
	dump = calloc(1, sizeof(*dump));
	assert_true(dump && slots);
	strcpy(dump->name, "h3");
	strcpy(dump->boot_id, "8a1e1f1e-0000-4000-8000-1234567890ab");
	dump->taken_at = 1700000000123456789;
	dump->has_key = true;
	dump->ctl = (struct sp_ctl){
		.key = { 0x0706050403020100, 0xfedcba9876543210 },
		.flow_idle_s = 180,
		.netns_cookie = 4711,
		.netns_inode = 4026531840,
		.ifindex = 2,
		.protocol = SP_UDP,
		.family = 10,
		.port = 443,
		.uid = 33,
		.hash = SP_HASH_SIPHASH,
		.track = SP_TRACK_ALWAYS,
		.balance = SP_BALANCE_LEAST_QUEUE,
		.learn_ns = 5000000000,
		.attached_at = 1700000000000000000,
	};
	memcpy(dump->ctl.addr, v6, sizeof(v6));
	dump->flows_room = 65536;
	dump->has_previous = true;
	dump->learn_remaining_ns = 1234567890;
	for (__u32 s = 0; s < 4; s++) {
		slots->slot[s] = (struct sp_plan_slot){
			.is_assigned = true, .is_live = s != 3, .is_draining = s == 2, .weight = 100 - s
		};
		dump->info[s] = (struct sp_info){ .incarnation = s + 1,
						  .state = s == 3 ? SP_SLOT_DEAD :
							   s == 2 ? SP_SLOT_DRAINING :
								    SP_SLOT_LIVE,
						  .weight = 100 - s,
						  .pid = 1000 + s,
						  .cookie = 1ULL << (33 + s),
						  .comm = "h3d",
						  .enrolled_at = 1700000000000000001,
						  .died_at = s == 3 ? 1700000000000000002 : 0 };
	}
	dump->info[9].incarnation = 7; /* retired */
	dump->info[9].weight = 100;
	sp_plan_first(slots, &dump->previous);
	dump->previous.serial = 3;
	slots->slot[3].is_live = true;
	sp_plan_next(&dump->previous, &dump->previous, false, NULL, slots, &dump->current);
	dump->current.serial = 4;
	dump->nflows = 2;
	dump->flows = calloc(dump->nflows, sizeof(*dump->flows));
	dump->nrows = 17;
	dump->rows = calloc(dump->nrows, sizeof(*dump->rows));
	assert_true(dump->flows && dump->rows);
	dump->flows[0] = (struct sp_dump_flow){ .hash = ~0ULL, .slot = 1, .incarnation = 2, .idle_s = 3 };
	dump->flows[1] = (struct sp_dump_flow){ .hash = 0xfULL, .slot = 0, .incarnation = 1 };
	dump->rows[2].steered = 1ULL << 40;
	dump->rows[16].unselected = 5;
	free(slots);
	return 0;
}

static int free_dump(void **state)
{
	(void)state;
	sp_dump_free(&dump);
	return 0;
}

static void dump__there_and_back__the_same(void **state)
{
	json_t *document = sp_dump_json(dump, true);
	struct sp_dump *back = NULL;
	char why[SP_DUMP_WHY_LEN] = "";

	(void)state;
	assert_non_null(document);
	if (sp_dump_parse(document, &back, why))
		fail_msg("%s", why);
	assert_string_equal(back->name, dump->name);
	assert_string_equal(back->boot_id, dump->boot_id);
	assert_int_equal(back->taken_at, dump->taken_at);
	assert_memory_equal(&back->ctl, &dump->ctl, sizeof(dump->ctl));
	assert_true(back->has_key && back->has_previous);
	assert_int_equal(back->learn_remaining_ns, dump->learn_remaining_ns);
	assert_int_equal(back->flows_room, dump->flows_room);
	back->current.prev = dump->current.prev;
	back->previous.prev = dump->previous.prev;
	assert_memory_equal(&back->current, &dump->current, sizeof(dump->current));
	assert_memory_equal(&back->previous, &dump->previous, sizeof(dump->previous));
	assert_memory_equal(back->info, dump->info, sizeof(dump->info));
	assert_int_equal(back->nflows, dump->nflows);
	assert_memory_equal(back->flows, dump->flows, dump->nflows * sizeof(*dump->flows));
	assert_int_equal(back->nrows, dump->nrows);
	assert_memory_equal(back->rows, dump->rows, dump->nrows * sizeof(*dump->rows));
	sp_dump_free(&back);
	json_decref(document);
}

static void dump__kernel_view_as_previous__the_same(void **state)
{
	json_t *document;
	struct sp_dump *back = NULL;
	char why[SP_DUMP_WHY_LEN];

	(void)state;
	memset(&dump->previous, 0, sizeof(dump->previous));
	dump->previous.kind = SP_VIEW_KERNEL;
	dump->previous.prev = SP_VIEW_NONE;
	dump->previous.nslots = 4;
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		dump->previous.owner[b] = b < 3 ? b : SP_SLOT_NONE;
	document = sp_dump_json(dump, true);
	assert_int_equal(sp_dump_parse(document, &back, why), 0);
	assert_memory_equal(&back->previous, &dump->previous, sizeof(dump->previous));
	sp_dump_free(&back);
	json_decref(document);
}

static void dump__without_key__says_so(void **state)
{
	json_t *document = sp_dump_json(dump, false);
	struct sp_dump *back = NULL;
	char why[SP_DUMP_WHY_LEN];

	(void)state;
	assert_true(json_is_null(json_object_get(document, "key")));
	assert_int_equal(sp_dump_parse(document, &back, why), 0);
	assert_false(back->has_key);
	assert_int_equal(back->ctl.key[0], 0);
	sp_dump_free(&back);
	json_decref(document);
}

static void refused(const json_t *document, const char *what)
{
	struct sp_dump *back = (struct sp_dump *)&back;
	char why[SP_DUMP_WHY_LEN] = "";

	assert_int_equal(sp_dump_parse(document, &back, why), -EINVAL);
	assert_ptr_equal(back, (struct sp_dump *)&back);
	if (!strstr(why, what))
		fail_msg("%s is not in: %s", what, why);
}

/* Every field, with each kind of value that it may not have. */
static void dump__any_field_missing_or_of_another_type__is_named(void **state)
{
	json_t *whole = sp_dump_json(dump, true), *value;
	json_t *const strange[] = { json_null(),
				    json_true(),
				    json_integer(-1),
				    json_real(0.5),
				    json_string("?"),
				    json_integer(INT64_MAX),
				    json_array(),
				    json_object(),
				    json_pack("[i]", -7),
				    json_pack("[[]]"),
				    json_string("\xc3\xa4") };
	const char *key;

	(void)state;
	json_object_foreach(whole, key, value) {
		json_t *copy = json_copy(whole);

		json_object_del(copy, key);
		/* Those that this version only writes, and those that may be absent. */
		if (strcmp(key, "abi") && strcmp(key, "balance") && strcmp(key, "previous") &&
		    strcmp(key, "key"))
			refused(copy, "");
		json_decref(copy);
		for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
			struct sp_dump *back = NULL;
			char why[SP_DUMP_WHY_LEN];

			copy = json_copy(whole);
			json_object_set(copy, key, strange[i]);
			/* Refused or taken, but never more than that. */
			sp_dump_parse(copy, &back, why);
			sp_dump_free(&back);
			json_decref(copy);
		}
	}
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		json_decref(strange[i]);
	json_decref(whole);
}

static void dump__values_out_of_range__are_named(void **state)
{
	json_t *document = sp_dump_json(dump, true);

	(void)state;
	json_object_set_new(json_array_get(json_object_get(document, "slots"), 1), "weight",
			    json_integer(1001));
	refused(document, "slots[1].weight");
	json_decref(document);

	document = sp_dump_json(dump, true);
	json_object_set_new(json_array_get(json_object_get(document, "flows"), 0), "slot",
			    json_integer(1024));
	refused(document, "flows[0].slot");
	json_decref(document);

	document = sp_dump_json(dump, true);
	json_array_set_new(json_object_get(json_object_get(document, "current"), "owner"), 5,
			   json_integer(1024));
	refused(document, "owner");
	json_decref(document);

	document = sp_dump_json(dump, true);
	json_array_remove(json_object_get(json_object_get(document, "current"), "owner"), 0);
	refused(document, "owner");
	json_decref(document);

	document = sp_dump_json(dump, true);
	json_object_set(document, "current", json_object_get(document, "previous"));
	json_object_set_new(json_object_get(document, "current"), "kind", json_string("kernel"));
	refused(document, "");
	json_decref(document);

	document = json_array();
	refused(document, "not a JSON object");
	json_decref(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(dump__there_and_back__the_same, make_dump, free_dump),
		cmocka_unit_test_setup_teardown(dump__kernel_view_as_previous__the_same, make_dump,
						free_dump),
		cmocka_unit_test_setup_teardown(dump__without_key__says_so, make_dump, free_dump),
		cmocka_unit_test_setup_teardown(dump__any_field_missing_or_of_another_type__is_named,
						make_dump, free_dump),
		cmocka_unit_test_setup_teardown(dump__values_out_of_range__are_named, make_dump, free_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
