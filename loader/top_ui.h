/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What keys do in `top`: a key in, what is to be done out. Pure. */
#ifndef STEADYPORT_TOP_UI_H
#define STEADYPORT_TOP_UI_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "change.h"
#include "pin.h"
#include "top_model.h"

/* Keys that are no characters. */
enum sp_top_key {
	SP_TOP_KEY_UP = 256,
	SP_TOP_KEY_DOWN,
	SP_TOP_KEY_PAGE_UP,
	SP_TOP_KEY_PAGE_DOWN,
	SP_TOP_KEY_HOME,
	SP_TOP_KEY_END,
	SP_TOP_KEY_ENTER,
	SP_TOP_KEY_ESCAPE,
};

enum sp_top_mode {
	SP_TOP_TABLE,
	SP_TOP_CONFIRM, /* the table, and a question below it */
	SP_TOP_HELP,
	SP_TOP_GROUPS,
};

/* What is to be done after a key. */
enum sp_top_action {
	SP_TOP_NOTHING, /* but to draw what there is */
	SP_TOP_QUIT,
	SP_TOP_CHANGE, /* ui->change of ui->slot, which was confirmed */
	SP_TOP_CHOOSE, /* another group: ui->group */
};

#define SP_TOP_MESSAGE_LEN 400

struct sp_top_ui {
	enum sp_top_mode mode;
	char group[SP_NAME_MAX + 1]; /* that is looked at */
	__u32 slot; /* selected */
	size_t page; /* rows that a page key goes on by */
	char message[SP_TOP_MESSAGE_LEN]; /* what the last key has led to; empty: nothing to say */

	/* The question. */
	enum sp_change_kind change;
	__u32 incarnation; /* of the slot when it was asked */

	/* Every group there is; of the caller. */
	const char (*names)[SP_NAME_MAX + 1];
	size_t nnames;
	size_t chosen; /* in SP_TOP_GROUPS */
};

/* Another key is ignored. */
enum sp_top_action sp_top_ui_key(struct sp_top_ui *ui, struct sp_top_model *model, int key);

/* After each sample: a slot that is gone cannot stay selected, nor a name that is gone be chosen. */
void sp_top_ui_settle(struct sp_top_ui *ui, const struct sp_top_model *model);

#endif
