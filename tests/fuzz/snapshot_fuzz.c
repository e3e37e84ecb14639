// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Snapshots: any JSON is read, or refused with the field that is wrong; what was read and is written again reads the
 * same, and holds nothing that the maps could not.
 *
 * A view has 16384 owners, which no fuzzer would write: with "stretch" in the document a list of owners that is too
 * short is repeated until it is long enough, before the parser sees it.
 */
#include "dump.h"
#include "fuzz.h"

static void stretch_owners(json_t *view)
{
	json_t *owners = json_object_get(view, "owner");
	size_t given = json_array_size(owners);

	for (size_t i = given; given && i < SP_BUCKETS; i++)
		json_array_append(owners, json_array_get(owners, i - given));
}

static json_t *read_document(const char *text, size_t size)
{
	json_error_t error;
	/* As steadyport restore reads it. */
	json_t *document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);

	if (json_object_get(document, "stretch")) {
		stretch_owners(json_object_get(document, "current"));
		stretch_owners(json_object_get(document, "previous"));
	}
	return document;
}

static void check_view(const struct sp_view *view)
{
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		sp_must(view->owner[b] < SP_SLOTS_MAX || view->owner[b] == SP_SLOT_NONE,
			"bucket %u belongs to slot %u", b, view->owner[b]);
	if (view->kind == SP_VIEW_TABLE)
		sp_must(view->nslots <= SP_SLOTS_MAX, "a view of %u slots", view->nslots);
	else
		sp_must(view->kind == SP_VIEW_KERNEL && view->nslots <= SP_BUCKETS, "a view of kind %d",
			view->kind);
}

static void check_bounds(const struct sp_dump *dump)
{
	sp_must(sp_name_is_valid(dump->name), "a group is called \"%s\"", dump->name);
	sp_must(dump->current.kind == SP_VIEW_TABLE, "the current view is no table");
	check_view(&dump->current);
	if (dump->has_previous)
		check_view(&dump->previous);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		sp_must(dump->info[s].state < SP_SLOT_STATES, "slot %u has state %d", s, dump->info[s].state);
		sp_must(dump->info[s].weight <= SP_WEIGHT_MAX, "slot %u has weight %u", s,
			dump->info[s].weight);
		sp_must(memchr(dump->info[s].comm, '\0', SP_COMM_LEN), "slot %u has a comm without end", s);
	}
	for (size_t i = 0; i < dump->nflows; i++)
		sp_must(dump->flows[i].slot < SP_SLOTS_MAX, "a flow of slot %u", dump->flows[i].slot);
	sp_must(dump->nrows >= 2 && dump->nrows <= SP_SLOTS_MAX + 1, "%u rows of counters", dump->nrows);
}

static char *print(const struct sp_dump *dump)
{
	json_t *document = sp_dump_json(dump, true);
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;

	sp_must(text, "a snapshot that was read cannot be written");
	json_decref(document);
	return text;
}

static void check_read_back(const struct sp_dump *dump)
{
	struct sp_dump *back = NULL;
	char *text = print(dump), *again, why[SP_DUMP_WHY_LEN] = "";
	json_error_t error;
	json_t *document = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	sp_must(document, "line %d of what was written: %s", error.line, error.text);
	sp_must(!sp_dump_parse(document, &back, why), "what was written is refused: %s", why);
	again = print(back);
	sp_must(!strcmp(text, again), "this was written:\n%s\nand this read:\n%s", text, again);
	json_decref(document);
	sp_dump_free(&back);
	free(again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = sp_fuzz_bytes(data, size), why[SP_DUMP_WHY_LEN] = "";
	json_t *document = read_document(text, size);
	struct sp_dump *dump = NULL;
	int err;

	if (document) {
		err = sp_dump_parse(document, &dump, why);
		if (err) {
			sp_must(err == -22 && !dump, "%d", err);
			sp_must_be_sentence(why);
		} else {
			check_bounds(dump);
			check_read_back(dump);
		}
		sp_dump_free(&dump);
		json_decref(document);
	}
	free(text);
	return 0;
}
