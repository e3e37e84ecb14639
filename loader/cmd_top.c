// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * steadyport top: look, draw, wait for a key. All processes are walked once in each interval and never in between: what
 * a key makes necessary to read is read from the pins.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "cleanup.h"
#include "cmd.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "pin.h"
#include "reconcile.h"
#include "render.h"
#include "steered.h"
#include "top_frame.h"
#include "top_look.h"
#include "top_model.h"
#include "top_screen.h"
#include "top_ui.h"
#include "value.h"

#define ONCE_WIDTH 80

struct top {
	const char *bpffs;
	__u64 interval_ns;
	struct sp_scanner *scanner;
	struct sp_groups *groups; /* as of the last interval */
	struct sp_top_model *model;
	struct sp_top_ui ui;
	char (*names)[SP_NAME_MAX + 1];
	bool has_failed; /* the last look has */
};

static void end_top(struct top *t)
{
	sp_groups_free(&t->groups);
	sp_scanner_free(&t->scanner);
	sp_top_model_free(&t->model);
	free(t->names);
}
#define autotop __attribute__((cleanup(end_top)))

/* --- looking --- */

static int list_names(struct top *t)
{
	char(*names)[SP_NAME_MAX + 1] = NULL;
	size_t count;
	int err = sp_pin_list(t->bpffs, &names, &count);

	if (err)
		return err;
	free(t->names);
	t->names = names;
	t->ui.names = (const char(*)[SP_NAME_MAX + 1]) names;
	t->ui.nnames = count;
	return 0;
}

static int walk_processes(struct top *t)
{
	struct sp_groups *groups;
	int err = sp_scanner_scan(t->scanner, &groups);

	if (err)
		return err;
	sp_groups_free(&t->groups);
	t->groups = groups;
	return 0;
}

/* The group as its pins say now, and its processes as of the last interval. */
static int read_group(struct top *t, bool is_interval)
{
	sp_autotopsample struct sp_top_sample sample = { 0 };
	int err = sp_top_look(t->bpffs, t->ui.group, t->groups, &sample);

	if (err == -ENOENT)
		sp_top_model_clear(t->model);
	if (err)
		return err;
	err = (is_interval ? sp_top_model_add : sp_top_model_refresh)(t->model, &sample);
	if (err)
		return sp_fail(err, "cannot remember the slots of %s", t->ui.group);
	sp_top_ui_settle(&t->ui, t->model);
	return 0;
}

static int look(struct top *t)
{
	int err = list_names(t);

	err = err ?: walk_processes(t);
	return err ?: read_group(t, true);
}

/* NAME, or else the first group there is. */
static int begin(struct top *t, const struct sp_args *args)
{
	int err = list_names(t);

	if (err)
		return err;
	if (!args->nargs && !t->ui.nnames) {
		sp_refuse(0, "no group is steered");
		sp_hint("see which there are: steadyport groups");
		return -ENOENT;
	}
	snprintf(t->ui.group, sizeof(t->ui.group), "%s", args->nargs ? args->args[0] : t->names[0]);
	t->model = sp_top_model_new();
	if (!t->model)
		return sp_fail(-ENOMEM, "cannot look at %s", t->ui.group);
	err = sp_scanner_open(0, &t->scanner);
	return err ?: look(t);
}

/* --- one frame --- */

static void wait_until(__u64 ns)
{
	const struct timespec until = { .tv_sec = ns / SP_NS_PER_S, .tv_nsec = ns % SP_NS_PER_S };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static int print_once(struct top *t)
{
	sp_autotopframe struct sp_top_frame *frame = NULL;
	sp_autofree char *text = NULL;
	int err;

	wait_until(sp_now_ns() + t->interval_ns);
	err = look(t);
	if (err)
		return err;
	frame = sp_top_frame_new(ONCE_WIDTH, sp_top_frame_height(t->model->nrows), false);
	if (frame)
		sp_top_frame_draw_table(frame, t->model, t->interval_ns);
	text = frame ? sp_top_frame_text(frame) : NULL;
	if (!text)
		return sp_fail(-ENOMEM, "cannot print %s", t->ui.group);
	fputs(text, stdout);
	return 0;
}

/* --- the terminal --- */

/* As the commands `drain` and `undrain` do it. Returns 0 or -errno (logged). */
static int change_slot(struct top *t)
{
	sp_autofree struct sp_reconcile_result *result = calloc(1, sizeof(*result));
	sp_autofree struct sp_change *change = calloc(1, sizeof(*change));
	const struct sp_reconcile_options options = { .may_be_partial = true, .change = change };
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct sp_top_ui *ui = &t->ui;
	sp_autoclose int lock = -1;
	int err;

	if (!result || !change)
		return sp_fail(-ENOMEM, "cannot change %s", ui->group);
	change->kind = ui->change;
	change->is_asked[ui->slot] = true;
	err = sp_pin_open_locked(t->bpffs, ui->group, &pins, &lock);
	err = err ?: sp_steered_reconcile(t->bpffs, &pins, &options, result);
	if (err)
		return err;
	if (result->is_changed[ui->slot])
		snprintf(ui->message, sizeof(ui->message), "Slot %u is %s.", ui->slot,
			 sp_change_did(ui->change));
	else
		snprintf(ui->message, sizeof(ui->message), "Nothing to do, it is so already.");
	return 0;
}

/* What went wrong stands where the last key's message does. */
static void show_said(struct top *t, struct sp_top_screen *screen, int err)
{
	char said[SP_TOP_MESSAGE_LEN];

	sp_top_screen_said(screen, said, sizeof(said));
	/* Of a group that is gone the picture says so. */
	if (err && t->model->has_sample)
		memcpy(t->ui.message, said, sizeof(said));
}

static int draw(struct top *t, struct sp_top_screen *screen)
{
	sp_autotopframe struct sp_top_frame *frame = NULL;
	int width, height;

	sp_top_screen_size(screen, &width, &height);
	frame = sp_top_frame_new(width, height, sp_top_screen_has_blocks(screen));
	if (!frame)
		return sp_fail(-ENOMEM, "cannot draw %s", t->ui.group);
	t->ui.page = sp_top_frame_rows(height);
	sp_top_frame_draw(frame, t->model, &t->ui, t->interval_ns);
	sp_top_screen_draw(screen, frame);
	return 0;
}

/* False: it ends. */
static bool obey(struct top *t, struct sp_top_screen *screen, int key)
{
	int err = 0;

	switch (sp_top_ui_key(&t->ui, t->model, key)) {
	case SP_TOP_QUIT:
		return false;
	case SP_TOP_CHANGE:
		err = change_slot(t) ?: read_group(t, false);
		break;
	case SP_TOP_CHOOSE:
		err = read_group(t, false);
		break;
	case SP_TOP_NOTHING:
		return true;
	}
	show_said(t, screen, err);
	return true;
}

/* What has kept the last look from succeeding may be over. */
static void look_again(struct top *t, struct sp_top_screen *screen)
{
	int err = look(t);

	if (!err && t->has_failed)
		t->ui.message[0] = '\0';
	t->has_failed = err != 0;
	show_said(t, screen, err);
}

static int run(struct top *t)
{
	sp_autotopscreen struct sp_top_screen *screen = NULL;
	__u64 next = sp_now_ns() + t->interval_ns;
	int key = 0, err;

	err = sp_top_screen_open(&screen);
	while (!err) {
		err = draw(t, screen);
		if (err)
			break;
		switch (sp_top_screen_wait(screen, next, &key)) {
		case SP_TOP_KEY:
			if (!obey(t, screen, key))
				return 0;
			break;
		case SP_TOP_TIME:
			look_again(t, screen);
			next = sp_now_ns() + t->interval_ns;
			break;
		case SP_TOP_RESIZED:
			break;
		case SP_TOP_ENDED:
			return 0;
		}
	}
	return err;
}

enum sp_exit sp_cmd_top(const struct sp_args *args)
{
	autotop struct top top = { .bpffs = args->bpffs, .interval_ns = args->interval_ns };
	int err;

	if (!args->is_once && sp_top_screen_check())
		return SP_EXIT_FAILED;
	if (sp_kernel_check())
		return SP_EXIT_FAILED;
	err = begin(&top, args);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	err = args->is_once ? print_once(&top) : run(&top);
	if (err)
		return err == -ENOENT ? SP_EXIT_NO_GROUP : SP_EXIT_FAILED;
	return SP_EXIT_OK;
}
