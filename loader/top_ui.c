// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What keys do in `top`. Pure. */
#include "top_ui.h"

#include <stdio.h>
#include <string.h>

void sp_top_ui_settle(struct sp_top_ui *ui, const struct sp_top_model *model)
{
	if (sp_top_model_index(model, ui->slot) < 0) {
		/* A question is about one slot, and its answer about no other. */
		if (ui->mode == SP_TOP_CONFIRM) {
			ui->mode = SP_TOP_TABLE;
			snprintf(ui->message, sizeof(ui->message), "Slot %u is gone: nothing was changed.",
				 ui->slot);
		}
		if (model->nrows)
			ui->slot = model->rows[0].now.slot;
	}
	if (ui->chosen >= ui->nnames)
		ui->chosen = ui->nnames ? ui->nnames - 1 : 0;
}

/* An index in a list after a key that moves it; the same after any other key. */
static size_t move(size_t index, size_t count, size_t page, int key)
{
	size_t last = count ? count - 1 : 0;

	switch (key) {
	case SP_TOP_KEY_UP:
	case 'k':
		return index ? index - 1 : 0;
	case SP_TOP_KEY_DOWN:
	case 'j':
		return index < last ? index + 1 : last;
	case SP_TOP_KEY_PAGE_UP:
		return index > page ? index - page : 0;
	case SP_TOP_KEY_PAGE_DOWN:
		return index + page < last ? index + page : last;
	case SP_TOP_KEY_HOME:
		return 0;
	case SP_TOP_KEY_END:
		return last;
	default:
		return index;
	}
}

/* --- groups --- */

static size_t index_of_group(const struct sp_top_ui *ui)
{
	for (size_t i = 0; i < ui->nnames; i++) {
		if (!strcmp(ui->names[i], ui->group))
			return i;
	}
	return 0;
}

static enum sp_top_action choose(struct sp_top_ui *ui, size_t index)
{
	ui->mode = SP_TOP_TABLE;
	if (index >= ui->nnames || !strcmp(ui->names[index], ui->group))
		return SP_TOP_NOTHING;
	snprintf(ui->group, sizeof(ui->group), "%s", ui->names[index]);
	return SP_TOP_CHOOSE;
}

static enum sp_top_action key_of_groups(struct sp_top_ui *ui, int key)
{
	switch (key) {
	case SP_TOP_KEY_ENTER:
		return choose(ui, ui->chosen);
	case SP_TOP_KEY_ESCAPE:
	case 'g':
		ui->mode = SP_TOP_TABLE;
		return SP_TOP_NOTHING;
	default:
		ui->chosen = move(ui->chosen, ui->nnames, ui->page, key);
		return SP_TOP_NOTHING;
	}
}

/* --- changes --- */

static void ask(struct sp_top_ui *ui, const struct sp_top_model *model, enum sp_change_kind change)
{
	const struct sp_top_row *row = sp_top_model_row(model, ui->slot);

	if (!row)
		return;
	ui->mode = SP_TOP_CONFIRM;
	ui->change = change;
	ui->incarnation = row->now.incarnation;
}

/* The worker that the question was about may have gone, and another one come. */
static enum sp_top_action confirm(struct sp_top_ui *ui, const struct sp_top_model *model)
{
	const struct sp_top_row *row = sp_top_model_row(model, ui->slot);

	if (row && row->now.incarnation == ui->incarnation)
		return SP_TOP_CHANGE;
	snprintf(ui->message, sizeof(ui->message), "Slot %u has another worker now: nothing was changed.",
		 ui->slot);
	return SP_TOP_NOTHING;
}

static enum sp_top_action key_of_question(struct sp_top_ui *ui, const struct sp_top_model *model, int key)
{
	ui->mode = SP_TOP_TABLE;
	if (key == 'y' || key == 'Y')
		return confirm(ui, model);
	snprintf(ui->message, sizeof(ui->message), "Nothing was changed.");
	return SP_TOP_NOTHING;
}

/* --- the table --- */

static void sort_by_next(struct sp_top_model *model)
{
	enum sp_top_column column = model->sort;

	do
		column = (column + 1) % SP_TOP_COLUMNS;
	while (!sp_top_model_has(model, column));
	sp_top_model_sort(model, column, false);
}

static void select_row(struct sp_top_ui *ui, const struct sp_top_model *model, int key)
{
	int index = sp_top_model_index(model, ui->slot);

	if (!model->nrows)
		return;
	ui->slot = model->rows[move(index < 0 ? 0 : index, model->nrows, ui->page, key)].now.slot;
}

static enum sp_top_action key_of_table(struct sp_top_ui *ui, struct sp_top_model *model, int key)
{
	switch (key) {
	case 'q':
		return SP_TOP_QUIT;
	case '?':
	case 'h':
		ui->mode = SP_TOP_HELP;
		break;
	case 's':
		sort_by_next(model);
		break;
	case 'r':
		sp_top_model_sort(model, model->sort, !model->is_reversed);
		break;
	case 'd':
		ask(ui, model, SP_CHANGE_DRAIN);
		break;
	case 'u':
		ask(ui, model, SP_CHANGE_UNDRAIN);
		break;
	case 'g':
		ui->mode = SP_TOP_GROUPS;
		ui->chosen = index_of_group(ui);
		break;
	case '\t':
		return ui->nnames ? choose(ui, (index_of_group(ui) + 1) % ui->nnames) : SP_TOP_NOTHING;
	default:
		select_row(ui, model, key);
		break;
	}
	return SP_TOP_NOTHING;
}

enum sp_top_action sp_top_ui_key(struct sp_top_ui *ui, struct sp_top_model *model, int key)
{
	ui->message[0] = '\0';
	switch (ui->mode) {
	case SP_TOP_CONFIRM:
		return key_of_question(ui, model, key);
	case SP_TOP_GROUPS:
		return key == 'q' ? SP_TOP_QUIT : key_of_groups(ui, key);
	case SP_TOP_HELP:
		ui->mode = SP_TOP_TABLE;
		return key == 'q' ? SP_TOP_QUIT : SP_TOP_NOTHING;
	case SP_TOP_TABLE:
		break;
	}
	return key_of_table(ui, model, key);
}
