// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Planned changes of slots. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "change.h"

/* Digits only, up to max; moves *text behind them. */
static bool parse_number(const char **text, unsigned long max, __u32 *ret)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	value = strtoul(*text, &end, 10);
	if (errno || value > max)
		return false;
	*text = end;
	*ret = value;
	return true;
}

/* "3", "4-7", and for weights "=50" behind it. */
static bool parse_word(const char *word, struct sp_change *change)
{
	__u32 first, last, weight = 0;

	if (!parse_number(&word, SP_SLOTS_MAX - 1, &first))
		return false;
	last = first;
	if (*word == '-') {
		word++;
		if (!parse_number(&word, SP_SLOTS_MAX - 1, &last) || last < first)
			return false;
	}
	if (change->kind == SP_CHANGE_WEIGHT) {
		if (*word++ != '=' || !parse_number(&word, SP_WEIGHT_MAX, &weight))
			return false;
	}
	if (*word)
		return false;
	for (__u32 s = first; s <= last; s++) {
		change->is_asked[s] = true;
		change->weight[s] = weight;
	}
	return true;
}

int sp_change_parse(enum sp_change_kind kind, const char *const *words, int nwords, struct sp_change *ret,
		    char ret_why[SP_CHANGE_WHY_LEN])
{
	struct sp_change change = { .kind = kind };

	for (int i = 0; i < nwords; i++) {
		if (parse_word(words[i], &change))
			continue;
		if (kind == SP_CHANGE_WEIGHT)
			snprintf(ret_why, SP_CHANGE_WHY_LEN,
				 "%.32s is not SLOT=WEIGHT: slots are 0 to %d, weights 0 to %d", words[i],
				 SP_SLOTS_MAX - 1, SP_WEIGHT_MAX);
		else
			snprintf(ret_why, SP_CHANGE_WHY_LEN,
				 "%.32s is not a slot: they are 0 to %d, or a range like 4-7", words[i],
				 SP_SLOTS_MAX - 1);
		return -EINVAL;
	}
	*ret = change;
	return 0;
}

/* What forbids the change of one slot, or NULL. */
static const char *objection(enum sp_change_kind kind, const struct sp_info *info, bool is_live)
{
	if (info->state == SP_SLOT_FREE)
		return "was never used, or is retired";
	if (info->state == SP_SLOT_PARKED)
		return is_live ? "holds the parking socket, which is no worker" :
				 "was never used, or is retired";
	switch (kind) {
	case SP_CHANGE_DRAIN:
	case SP_CHANGE_EJECT:
		return is_live ? NULL : "is dead: nothing goes there";
	case SP_CHANGE_UNDRAIN:
		return is_live ? NULL : "is dead: a new worker that takes it starts undrained";
	case SP_CHANGE_RETIRE:
		return is_live ? "is live: drain it and stop its worker first" : NULL;
	default:
		return NULL;
	}
}

static void apply_one(enum sp_change_kind kind, __u32 weight, struct sp_info *info)
{
	switch (kind) {
	case SP_CHANGE_DRAIN:
		/* Ejected is more than draining: going back to it would let new kept flows in. */
		if (info->state == SP_SLOT_LIVE)
			info->state = SP_SLOT_DRAINING;
		break;
	case SP_CHANGE_UNDRAIN:
		/* Flows may have been kept for it while it was being ejected; they are elsewhere now. */
		if (info->state == SP_SLOT_EJECTED)
			info->incarnation++;
		info->state = SP_SLOT_LIVE;
		break;
	case SP_CHANGE_EJECT:
		/* Kept flows of the incarnation before are stale: they leave with their next packet. */
		if (info->state != SP_SLOT_EJECTED)
			info->incarnation++;
		info->state = SP_SLOT_EJECTED;
		break;
	case SP_CHANGE_RETIRE:
		info->state = SP_SLOT_FREE;
		info->weight = SP_WEIGHT_DEFAULT;
		break;
	case SP_CHANGE_WEIGHT:
		info->weight = weight;
		break;
	}
}

int sp_change_apply(const struct sp_change *change, struct sp_info *info, const __u64 *cookie,
		    bool ret_is_changed[SP_SLOTS_MAX], char ret_why[SP_CHANGE_WHY_LEN])
{
	bool has_weight = change->kind != SP_CHANGE_WEIGHT;

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		const char *why;

		if (!change->is_asked[s]) {
			has_weight |= info[s].state != SP_SLOT_FREE && info[s].state != SP_SLOT_PARKED &&
				      info[s].weight;
			continue;
		}
		why = objection(change->kind, &info[s], cookie[s] != 0);
		if (why) {
			snprintf(ret_why, SP_CHANGE_WHY_LEN, "slot %u %s", s, why);
			return -EINVAL;
		}
		has_weight |= change->weight[s];
	}
	if (!has_weight) {
		snprintf(ret_why, SP_CHANGE_WHY_LEN, "at least one slot must keep a weight above 0");
		return -EINVAL;
	}

	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		const struct sp_info before = info[s];

		ret_is_changed[s] = false;
		if (!change->is_asked[s])
			continue;
		apply_one(change->kind, change->weight[s], &info[s]);
		ret_is_changed[s] = memcmp(&before, &info[s], sizeof(before)) != 0;
	}
	return 0;
}

const char *sp_change_did(enum sp_change_kind kind)
{
	static const char *const did[] = {
		[SP_CHANGE_DRAIN] = "draining: no new flows, the old ones stay",
		[SP_CHANGE_UNDRAIN] = "taking new flows again",
		[SP_CHANGE_EJECT] = "ejected: its flows are on the others; undrain lets it back in",
		[SP_CHANGE_RETIRE] = "retired: its share went to the others",
		[SP_CHANGE_WEIGHT] = "at its new weight",
	};

	return did[kind];
}
