// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* steadyport counters: what the program did, slot by slot, and what each number counts. */
#include <errno.h>
#include <stdio.h>
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "log.h"
#include "render.h"
#include "snapshot.h"

/* Slots' rows, then the group's. */
struct rows {
	struct sp_counters *row;
	__u32 count;
};

static bool is_shown(const struct rows *rows, size_t counter)
{
	for (__u32 i = 0; i < rows->count; i++) {
		if (sp_render_counter_of(&rows->row[i], counter))
			return true;
	}
	return false;
}

static bool is_slot_shown(const struct sp_snapshot *s, const struct rows *rows, __u32 slot)
{
	if (sp_snapshot_slot_state(s, slot) != SP_SLOT_FREE)
		return true;
	for (size_t i = 0; i < sp_render_ncounters; i++) {
		if (sp_render_counter_of(&rows->row[slot], i))
			return true;
	}
	return false;
}

static int print_json(const struct sp_snapshot *s, const struct rows *rows)
{
	char endpoint[SP_ENDPOINT_STRLEN];
	json_t *slots = json_array();

	for (__u32 slot = 0; slots && slot + 1 < rows->count; slot++) {
		if (!is_slot_shown(s, rows, slot))
			continue;
		if (json_array_append_new(slots, json_pack("{s:I, s:o}", "slot", (json_int_t)slot, "counters",
							   sp_render_json_counters(&rows->row[slot])))) {
			json_decref(slots);
			slots = NULL;
		}
	}
	return sp_render_json_print(json_pack("{s:s, s:s, s:o, s:o}", "name", s->pins.name, "endpoint",
					      sp_snapshot_endpoint(s, ':', endpoint), "slots", slots,
					      "group_counters",
					      sp_render_json_counters(&rows->row[rows->count - 1])));
}

static void add_row(struct sp_render_table *table, const struct rows *rows, const struct sp_counters *row)
{
	char number[SP_RENDER_STRLEN];

	for (size_t i = 0; i < sp_render_ncounters; i++) {
		__u64 value = sp_render_counter_of(row, i);

		if (is_shown(rows, i))
			sp_render_cell(table, SP_PLAIN, "%s", value ? sp_render_count(value, number) : "-");
	}
}

static int print_table(const struct sp_snapshot *s, const struct rows *rows)
{
	sp_autofree struct sp_render_column *columns = calloc(sp_render_ncounters + 1, sizeof(*columns));
	sp_autotable struct sp_render_table *table = NULL;
	size_t ncolumns = 0;
	int err;

	if (!columns)
		return sp_fail(-ENOMEM, "cannot print the counters of %s", s->pins.name);
	columns[ncolumns++] = (struct sp_render_column){ "SLOT", true };
	for (size_t i = 0; i < sp_render_ncounters; i++) {
		if (is_shown(rows, i))
			columns[ncolumns++] = (struct sp_render_column){ sp_render_counters[i].name, true };
	}
	if (ncolumns == 1) {
		sp_render_line("Every counter of %s is zero: no packet has come yet.", s->pins.name);
		return 0;
	}

	table = sp_render_table_new(columns, ncolumns);
	for (__u32 slot = 0; slot + 1 < rows->count; slot++) {
		if (!is_slot_shown(s, rows, slot))
			continue;
		sp_render_cell(table, SP_PLAIN, "%u", slot);
		add_row(table, rows, &rows->row[slot]);
	}
	sp_render_cell(table, SP_PLAIN, "group");
	add_row(table, rows, &rows->row[rows->count - 1]);
	err = sp_render_table_print(table);
	if (err)
		return err;
	sp_render_line("%s", "");
	for (size_t i = 0; i < sp_render_ncounters; i++) {
		if (is_shown(rows, i))
			sp_render_line("%-12s %s", sp_render_counters[i].name, sp_render_counters[i].text);
	}
	return 0;
}

enum sp_exit sp_cmd_counters(const struct sp_args *args)
{
	sp_autosnapshot struct sp_snapshot s = SP_SNAPSHOT_NONE;
	sp_autofree struct sp_counters *row = NULL;
	struct rows rows = {};
	int err;

	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	err = sp_snapshot_take(args->bpffs, args->args[0], NULL, &s) ?:
		      sp_state_counters(&s.pins, &row, &rows.count);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	rows.row = row;
	err = args->json ? print_json(&s, &rows) : print_table(&s, &rows);
	return err ? SP_EXIT_FAILED : SP_EXIT_OK;
}
