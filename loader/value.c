// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Values as people write them. */
#include "value.h"

#include <stdlib.h>
#include <string.h>
#include "cleanup.h"

#define DURATION_MAX_NS (24 * 3600 * SP_NS_PER_S)

/* In the order of the enum that they stand for. */
static const char *const track_words[] = {
	[SP_TRACK_TRANSITION] = "transition",
	[SP_TRACK_ALWAYS] = "always",
	[SP_TRACK_OFF] = "off",
};

static const char *const hash_words[] = {
	[SP_HASH_SIPHASH] = "siphash",
	[SP_HASH_KERNEL] = "kernel",
};

static const char *const balance_words[] = {
	[SP_BALANCE_HASH] = "hash",
	[SP_BALANCE_LEAST_QUEUE] = "least-queue",
	[SP_BALANCE_LEAST_CONN] = "least-conn",
};

const char *sp_value_track_name(enum sp_track track)
{
	return track < SP_ARRAY_SIZE(track_words) ? track_words[track] : "?";
}

const char *sp_value_hash_name(enum sp_hash hash)
{
	return hash < SP_ARRAY_SIZE(hash_words) ? hash_words[hash] : "?";
}

const char *sp_value_balance_name(enum sp_balance balance)
{
	return balance < SP_ARRAY_SIZE(balance_words) ? balance_words[balance] : "?";
}

int sp_value_word(const char *text, const char *const *words, size_t nwords)
{
	for (size_t i = 0; i < nwords; i++) {
		if (!strcmp(text, words[i]))
			return i;
	}
	return -1;
}

bool sp_value_number(const char *text, __u64 min, __u64 max, __u64 *ret)
{
	size_t len = strspn(text, "0123456789");
	__u64 number;

	if (len == 0 || len > 18 || text[len])
		return false;
	number = strtoull(text, NULL, 10);
	if (number < min || number > max)
		return false;
	*ret = number;
	return true;
}

const char *sp_value_duration(const char *text, __u64 *ret_ns)
{
	static const char why[] =
		"a duration is a whole number with its unit, as in 500ms, 5s or 2m, up to 24h; or 0";
	static const struct {
		const char *name;
		__u64 ns;
	} units[] = {
		{ "ms", SP_NS_PER_MS },
		{ "s", SP_NS_PER_S },
		{ "m", 60 * SP_NS_PER_S },
		{ "h", 3600 * SP_NS_PER_S },
	};
	size_t len = strspn(text, "0123456789");
	__u64 number;

	if (len == 0 || len > 9)
		return why;
	number = strtoull(text, NULL, 10);
	if (number == 0 && !text[len]) {
		*ret_ns = 0;
		return NULL;
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(units); i++) {
		if (strcmp(text + len, units[i].name))
			continue;
		if (number > DURATION_MAX_NS / units[i].ns)
			return why;
		*ret_ns = number * units[i].ns;
		return NULL;
	}
	return why;
}

const char *sp_value_flow_idle(const char *text, __u64 *ret_ns)
{
	__u64 ns;
	const char *why = sp_value_duration(text, &ns);

	if (why)
		return why;
	if (ns % SP_NS_PER_S)
		return "it is a number of whole seconds, as in 180s; or 0 for never";
	*ret_ns = ns;
	return NULL;
}

const char *sp_value_interval(const char *text, __u64 *ret_ns)
{
	__u64 ns;
	const char *why = sp_value_duration(text, &ns);

	if (why)
		return why;
	if (ns < 100 * SP_NS_PER_MS || ns > 3600 * SP_NS_PER_S)
		return "it is from 100ms to 1h";
	*ret_ns = ns;
	return NULL;
}

const char *sp_value_flows(const char *text, __u32 *ret)
{
	__u64 flows;

	if (!sp_value_number(text, 1, SP_FLOWS_MAX, &flows))
		return "it is a whole number from 1 to 16777216";
	*ret = flows;
	return NULL;
}

const char *sp_value_slots(const char *text, __u32 *ret)
{
	__u64 slots;

	if (!sp_value_number(text, 1, SP_SLOTS_MAX, &slots))
		return "it is a whole number from 1 to 1024";
	*ret = slots;
	return NULL;
}

const char *sp_value_track(const char *text, enum sp_track *ret)
{
	int word = sp_value_word(text, track_words, SP_ARRAY_SIZE(track_words));

	if (word < 0)
		return "it is one of transition, always, off";
	*ret = word;
	return NULL;
}

const char *sp_value_hash(const char *text, enum sp_hash *ret)
{
	int word = sp_value_word(text, hash_words, SP_ARRAY_SIZE(hash_words));

	if (word < 0)
		return "it is one of siphash, kernel";
	*ret = word;
	return NULL;
}

const char *sp_value_balance(const char *text, enum sp_balance *ret)
{
	int word = sp_value_word(text, balance_words, SP_ARRAY_SIZE(balance_words));

	if (word < 0)
		return "it is one of hash, least-queue, least-conn";
	*ret = word;
	return NULL;
}
