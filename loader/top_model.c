// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What `top` knows of a group. Pure. */
#include "top_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"

#define NS_PER_S 1e9

void sp_top_sample_free(struct sp_top_sample *sample)
{
	free(sample->slots);
	sample->slots = NULL;
	sample->nslots = 0;
}

struct sp_top_model *sp_top_model_new(void)
{
	return calloc(1, sizeof(struct sp_top_model));
}

void sp_top_model_free(struct sp_top_model **model)
{
	if (!*model)
		return;
	sp_top_sample_free(&(*model)->sample);
	free((*model)->rows);
	free(*model);
	*model = NULL;
}

/* --- samples --- */

static bool is_same_group(const struct sp_top_sample *a, const struct sp_top_sample *b)
{
	return !strcmp(a->name, b->name) && a->attached_at == b->attached_at && a->protocol == b->protocol;
}

static void forget_history(struct sp_top_model *m)
{
	memset(m->base, 0, sizeof(m->base));
	memset(m->history, 0, sizeof(m->history));
	m->base_ns = 0;
	m->next = 0;
	m->length = 0;
	m->rate = 0;
	m->has_rate = false;
}

/* A counter that is lower than it was has been replaced meanwhile, and nothing can be said of the time between. */
static __u64 grown(__u64 before, __u64 now)
{
	return now > before ? now - before : 0;
}

/* What became of the slot since the base sample. */
static void compare(const struct sp_top_model *m, double seconds, struct sp_top_row *row)
{
	const struct sp_top_slot *now = &row->now, *base = &m->base[now->slot];

	if (seconds <= 0 || base->state == SP_SLOT_FREE)
		return;
	/* Another socket counts its own drops. */
	if (base->is_seen && now->is_seen && base->cookie == now->cookie)
		row->new_drops = grown(base->drops, now->drops);
	if (!base->has_counters || !now->has_counters)
		return;
	row->has_rate = true;
	row->rate = grown(base->placed, now->placed) / seconds;
	row->new_rate = grown(base->stored, now->stored) / seconds;
	row->new_migrated = grown(base->migrated, now->migrated);
}

/* As the last sp_top_model_add() has found it. */
static void keep(const struct sp_top_model *m, struct sp_top_row *row)
{
	const struct sp_top_row *before = sp_top_model_row(m, row->now.slot);

	if (!before)
		return;
	row->has_rate = before->has_rate;
	row->rate = before->rate;
	row->new_rate = before->new_rate;
	row->new_drops = before->new_drops;
	row->new_migrated = before->new_migrated;
}

/* The sample and its rows become the model's. */
static void take(struct sp_top_model *m, struct sp_top_sample *sample, struct sp_top_row *rows)
{
	sp_top_sample_free(&m->sample);
	free(m->rows);
	m->sample = *sample;
	sample->slots = NULL;
	sample->nslots = 0;
	m->rows = rows;
	m->nrows = m->sample.nslots;
	m->has_sample = true;
	sp_top_model_sort(m, m->sort, m->is_reversed);
}

static void remember(struct sp_top_model *m)
{
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		m->history[slot][m->next] = 0;
	for (size_t i = 0; i < m->nrows; i++)
		m->history[m->rows[i].now.slot][m->next] = m->rows[i].rate;
	m->next = (m->next + 1) % SP_TOP_HISTORY;
	if (m->length < SP_TOP_HISTORY)
		m->length++;
}

static void rebase(struct sp_top_model *m)
{
	memset(m->base, 0, sizeof(m->base));
	for (size_t i = 0; i < m->sample.nslots; i++)
		m->base[m->sample.slots[i].slot] = m->sample.slots[i];
	m->base_ns = m->sample.now_ns;
}

int sp_top_model_add(struct sp_top_model *m, struct sp_top_sample *sample)
{
	struct sp_top_row *rows = calloc(sample->nslots ?: 1, sizeof(*rows));
	double seconds = 0;

	if (!rows)
		return -ENOMEM;
	if (m->has_sample && !is_same_group(&m->sample, sample))
		forget_history(m);
	if (m->base_ns && sample->now_ns > m->base_ns)
		seconds = (sample->now_ns - m->base_ns) / NS_PER_S;
	m->rate = 0;
	m->has_rate = seconds > 0;
	for (size_t i = 0; i < sample->nslots; i++) {
		rows[i].now = sample->slots[i];
		compare(m, seconds, &rows[i]);
		m->rate += rows[i].rate;
	}
	take(m, sample, rows);
	if (m->has_rate)
		remember(m);
	rebase(m);
	return 0;
}

int sp_top_model_refresh(struct sp_top_model *m, struct sp_top_sample *sample)
{
	struct sp_top_row *rows;

	if (!m->has_sample || !is_same_group(&m->sample, sample))
		return sp_top_model_add(m, sample);
	rows = calloc(sample->nslots ?: 1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < sample->nslots; i++) {
		rows[i].now = sample->slots[i];
		keep(m, &rows[i]);
	}
	take(m, sample, rows);
	return 0;
}

void sp_top_model_clear(struct sp_top_model *m)
{
	sp_top_sample_free(&m->sample);
	free(m->rows);
	m->rows = NULL;
	m->nrows = 0;
	m->has_sample = false;
	forget_history(m);
}

/* --- rows --- */

bool sp_top_model_has(const struct sp_top_model *m, enum sp_top_column column)
{
	bool is_udp = m->sample.protocol == SP_UDP;

	switch (column) {
	case SP_TOP_NEW:
		return is_udp && m->sample.track == SP_TRACK_ALWAYS;
	case SP_TOP_KEPT:
		return is_udp;
	case SP_TOP_MIGRATED:
		return !is_udp;
	case SP_TOP_COLUMNS:
		return false;
	default:
		return true;
	}
}

static int compare_numbers(double a, double b)
{
	return (a > b) - (a < b);
}

/* Below 0: @a comes first. */
static int compare_rows(const void *x, const void *y, void *ctx)
{
	const struct sp_top_row *a = x, *b = y;
	const struct sp_top_model *m = ctx;
	int by_slot = compare_numbers(a->now.slot, b->now.slot), order = 0;

	switch (m->sort) {
	case SP_TOP_STATE:
		order = strcmp(sp_snapshot_state_name(a->now.state), sp_snapshot_state_name(b->now.state));
		break;
	case SP_TOP_OWNER:
		order = strcmp(a->now.owner, b->now.owner);
		break;
	case SP_TOP_SHARE:
		order = compare_numbers(b->now.share, a->now.share);
		break;
	case SP_TOP_RATE:
		order = compare_numbers(b->rate, a->rate);
		break;
	case SP_TOP_NEW:
		order = compare_numbers(b->new_rate, a->new_rate);
		break;
	case SP_TOP_KEPT:
		order = compare_numbers(b->now.kept, a->now.kept);
		break;
	case SP_TOP_MIGRATED:
		order = compare_numbers(b->now.migrated, a->now.migrated);
		break;
	case SP_TOP_QUEUE:
		order = compare_numbers(b->now.backlog, a->now.backlog);
		break;
	case SP_TOP_DROPS:
		order = compare_numbers(b->now.drops, a->now.drops);
		break;
	case SP_TOP_SLOT:
	case SP_TOP_COLUMNS:
		break;
	}
	order = order ?: by_slot;
	return m->is_reversed ? -order : order;
}

void sp_top_model_sort(struct sp_top_model *m, enum sp_top_column column, bool is_reversed)
{
	m->sort = column;
	m->is_reversed = is_reversed;
	if (m->nrows)
		qsort_r(m->rows, m->nrows, sizeof(*m->rows), compare_rows, m);
}

int sp_top_model_index(const struct sp_top_model *m, __u32 slot)
{
	for (size_t i = 0; i < m->nrows; i++) {
		if (m->rows[i].now.slot == slot)
			return i;
	}
	return -1;
}

const struct sp_top_row *sp_top_model_row(const struct sp_top_model *m, __u32 slot)
{
	int i = sp_top_model_index(m, slot);

	return i < 0 ? NULL : &m->rows[i];
}

double sp_top_model_past(const struct sp_top_model *m, __u32 slot, __u32 ago)
{
	if (ago >= m->length)
		return 0;
	return m->history[slot][(m->next + SP_TOP_HISTORY - 1 - ago) % SP_TOP_HISTORY];
}

double sp_top_model_peak(const struct sp_top_model *m, __u32 samples)
{
	double peak = 0;

	for (size_t i = 0; i < m->nrows; i++) {
		for (__u32 ago = 0; ago < samples && ago < m->length; ago++) {
			double rate = sp_top_model_past(m, m->rows[i].now.slot, ago);

			if (rate > peak)
				peak = rate;
		}
	}
	return peak;
}
