// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What `top` looks at: a steered group to a sample. */
#include "top_look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "log.h"
#include "report.h"

/* The most urgent alone: `status` says the rest. */
static void find_news(const struct sp_report *r, char ret_news[SP_TOP_NEWS_LEN])
{
	const struct sp_snapshot *s = &r->snapshot;
	__u32 unenrolled = sp_snapshot_count_unenrolled(s), hidden = sp_report_hidden(r);
	const char *name = s->pins.name;

	ret_news[0] = '\0';
	if (!s->group)
		snprintf(ret_news, SP_TOP_NEWS_LEN, "No visible process holds a member any more.");
	else if (!sp_snapshot_is_attached(s))
		snprintf(ret_news, SP_TOP_NEWS_LEN, "Not attached: see steadyport status %s", name);
	else if (unenrolled)
		snprintf(ret_news, SP_TOP_NEWS_LEN, "%u member%s not enrolled: steadyport sync %s",
			 unenrolled, unenrolled == 1 ? " is" : "s are", name);
	else if (r->count[SP_SLOT_DEAD])
		snprintf(ret_news, SP_TOP_NEWS_LEN, "%u slot%s dead; new workers take %s: steadyport sync %s",
			 r->count[SP_SLOT_DEAD], r->count[SP_SLOT_DEAD] == 1 ? " is" : "s are",
			 r->count[SP_SLOT_DEAD] == 1 ? "it" : "them", name);
	else if (hidden)
		snprintf(ret_news, SP_TOP_NEWS_LEN,
			 "%u member%s held by no process that is visible from here.", hidden,
			 hidden == 1 ? " is" : "s are");
}

static void fill_slot(const struct sp_report *r, __u32 slot, struct sp_top_slot *ret)
{
	const struct sp_snapshot *s = &r->snapshot;
	const struct sp_member *member = sp_snapshot_member(s, slot);
	const struct sp_counters *c = sp_report_counters(r, slot), *group = sp_report_group_counters(r);
	const struct sp_info *info = &s->state->info[slot];

	*ret = (struct sp_top_slot){
		.slot = slot,
		.state = sp_snapshot_slot_state(s, slot),
		.incarnation = info->incarnation,
		.cookie = info->cookie,
		.share = sp_report_share(r, slot),
		.has_counters = slot + 1 < r->nrows,
		.placed = c->steered + c->rerouted + c->scanned + c->kept + c->learned + c->parked,
		.stored = c->stored,
		.migrated = c->migrated,
		.kept = r->kept[slot],
	};
	sp_snapshot_owner(s, slot, ret->owner);
	if (ret->state == SP_SLOT_PARKED && !ret->has_counters) {
		/* Every worker has a row of its own soon after it was enrolled, so these are the parking socket's. */
		ret->has_counters = true;
		ret->placed = group->parked;
		ret->migrated = group->migrated;
	}
	if (!member)
		return;
	ret->is_seen = true;
	ret->backlog = member->backlog;
	ret->backlog_max = member->backlog_max;
	ret->drops = member->drops;
}

static int fill_slots(const struct sp_report *r, struct sp_top_sample *sample)
{
	size_t used = SP_SLOTS_MAX - r->count[SP_SLOT_FREE];

	sample->slots = calloc(used ?: 1, sizeof(*sample->slots));
	if (!sample->slots)
		return sp_fail(-ENOMEM, "cannot look at %s", sample->name);
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		if (sp_snapshot_slot_state(&r->snapshot, slot) != SP_SLOT_FREE)
			fill_slot(r, slot, &sample->slots[sample->nslots++]);
	}
	return 0;
}

int sp_top_look(const char *bpffs, const char *name, const struct sp_groups *groups,
		struct sp_top_sample *ret_sample)
{
	sp_autoreport struct sp_report report = SP_REPORT_NONE;
	struct sp_top_sample sample = { 0 };
	const struct sp_snapshot *s = &report.snapshot;
	int err;

	err = sp_report_take(bpffs, name, groups, &report);
	if (err)
		return err;
	sample.now_ns = s->now_ns;
	snprintf(sample.name, sizeof(sample.name), "%s", name);
	sample.protocol = s->state->ctl.protocol;
	sample.track = s->state->ctl.track;
	sample.attached_at = s->state->ctl.attached_at;
	sample.learn_remaining_ns = sp_snapshot_learn_remaining_ns(s);
	sp_report_place(&report, sample.place);
	sp_report_slots(&report, sample.slots_text);
	sp_report_program(&report, sample.program);
	find_news(&report, sample.news);
	err = fill_slots(&report, &sample);
	if (err)
		return err;
	*ret_sample = sample;
	return 0;
}
