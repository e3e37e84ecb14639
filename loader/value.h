/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Values as people write them, on the command line and in the configuration file: text to number, duration, word.
 * Pure. Each reader returns NULL, or a static sentence that says what is allowed, with its output untouched.
 */
#ifndef STEADYPORT_VALUE_H
#define STEADYPORT_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>

#define SP_NS_PER_MS 1000000ULL
#define SP_NS_PER_S (1000 * SP_NS_PER_MS)

#define SP_LEARN_DEFAULT_NS (5 * SP_NS_PER_S)
#define SP_WATCH_DEFAULT_NS SP_NS_PER_S
#define SP_FLOW_IDLE_DEFAULT_NS (SP_FLOW_IDLE_DEFAULT_S * SP_NS_PER_S)
#define SP_INTERVAL_DEFAULT_NS SP_NS_PER_S
#define SP_FLOWS_DEFAULT 65536

/* Plain digits only: no sign, no space, no unit. False: it is no such number. */
bool sp_value_number(const char *text, __u64 min, __u64 max, __u64 *ret);

/* "500ms", "5s", "2m", "1h", up to 24h; or "0" */
const char *sp_value_duration(const char *text, __u64 *ret_ns);

/* A duration of whole seconds: the flow table counts in them. 0: kept flows do not expire. */
const char *sp_value_flow_idle(const char *text, __u64 *ret_ns);

/* Between two looks: 100ms to 1h. */
const char *sp_value_interval(const char *text, __u64 *ret_ns);

/* Room for kept flows; slots with counters of their own. */
const char *sp_value_flows(const char *text, __u32 *ret);
const char *sp_value_slots(const char *text, __u32 *ret);

const char *sp_value_track(const char *text, enum sp_track *ret);
const char *sp_value_hash(const char *text, enum sp_hash *ret);
const char *sp_value_balance(const char *text, enum sp_balance *ret);

/* The index of a word in a list, or -1. */
int sp_value_word(const char *text, const char *const *words, size_t nwords);

/* The words of track, hash and balance, which status answers with. */
const char *sp_value_track_name(enum sp_track track);
const char *sp_value_hash_name(enum sp_hash hash);
const char *sp_value_balance_name(enum sp_balance balance);

#endif
