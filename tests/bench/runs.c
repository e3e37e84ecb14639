// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Run time of programs, compared. */
#include "runs.h"

#include <stdlib.h>
#include <bpf/bpf.h>
#include <steadyport/choose.h>
#include "cleanup.h"
#include "state.h"

#define PACKETS 2048 /* to each contender in each round: some milliseconds */
#define ROUNDS 250
#define SETUPS 5 /* the rounds are divided among */
#define FLOWS 1000

static int stats = -1;

void sp_runs_begin(void)
{
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	sp_bench_require(stats >= 0);
	sp_bench_pin(sp_bench_sender_cpu());
	sp_packets_open();
}

void sp_runs_end(void)
{
	sp_packets_close();
	sp_close_fd(&stats);
}

static int note_hash(void *ctx, __u64 hash, const struct sp_flow *flow)
{
	__u64 **next = ctx;

	(void)flow;
	*(*next)++ = hash;
	return 0;
}

static int compare_hashes(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return (x > y) - (x < y);
}

/* Leaves those flows that the table has. Each has been seen once. */
static void leave_kept(struct sp_entry *entry, const struct sp_ctl *ctl)
{
	sp_autofree __u64 *hashes = calloc(entry->count, sizeof(*hashes));
	__u64 *end = hashes;
	size_t kept = 0;

	sp_bench_require(hashes && sp_state_each_flow(&entry->contender.pins, note_hash, &end) == 0);
	qsort(hashes, end - hashes, sizeof(*hashes), compare_hashes);
	for (size_t i = 0; i < entry->count; i++) {
		__u64 hash = sp_contender_hash(&entry->contender, ctl, entry->flows[i]);

		if (bsearch(&hash, hashes, end - hashes, sizeof(*hashes), compare_hashes))
			entry->flows[kept++] = entry->flows[i];
	}
	entry->count = kept;
}

static void leave_orphans(struct sp_entry *entry, const struct sp_state *state)
{
	const struct sp_view *view = sp_state_current(state);
	size_t orphans = 0;

	for (size_t i = 0; i < entry->count; i++) {
		__u64 hash = sp_contender_hash(&entry->contender, &state->ctl, entry->flows[i]);

		if (!sp_slot_is_live(state, sp_probe(view, hash, 0)))
			entry->flows[orphans++] = entry->flows[i];
	}
	entry->count = orphans;
}

static void choose_flows(struct sp_entry *entry)
{
	sp_autostate struct sp_state *state = NULL;

	entry->count = entry->nflows ?: FLOWS;
	entry->flows = calloc(entry->count, sizeof(*entry->flows));
	sp_bench_require(entry->flows);
	for (size_t i = 0; i < entry->count; i++)
		entry->flows[i] = i;
	if (entry->traffic == SP_TRAFFIC_ANY)
		return;
	sp_packets_send(&entry->contender.target, entry->flows, entry->count);
	sp_bench_require(sp_state_read(&entry->contender.pins, &state) == 0);
	if (entry->traffic == SP_TRAFFIC_KEPT)
		leave_kept(entry, &state->ctl);
	else
		leave_orphans(entry, state);
	if (!entry->count)
		sp_bench_die("%s: no flow fits", entry->contender.name);
}

static void send_some(struct sp_entry *entry, size_t count)
{
	for (size_t sent = 0; sent < count;) {
		size_t n = count - sent, left = entry->count - entry->next;

		n = n < left ? n : left;
		sp_packets_send(&entry->contender.target, &entry->flows[entry->next], n);
		entry->next = (entry->next + n) % entry->count;
		sent += n;
	}
}

static double ns_per_run(struct sp_entry *entry)
{
	struct sp_runtime before = sp_contender_runtime(&entry->contender), after;

	send_some(entry, PACKETS);
	after = sp_contender_runtime(&entry->contender);
	/* A few may be left to ksoftirqd, and come later. */
	if (after.runs - before.runs < PACKETS / 2)
		sp_bench_die("%s: %llu runs for %u packets", entry->contender.name, after.runs - before.runs,
			     PACKETS);
	return (double)(after.ns - before.ns) / (double)(after.runs - before.runs);
}

static void set_up(const struct sp_bench *bench, struct sp_entry *entry)
{
	sp_contender_open(&entry->contender,
			  entry->contender.steering == SP_STEERED_BY_RIVAL ? bench->rival : bench->binary);
	choose_flows(entry);
}

static void take_down(struct sp_entry *entry)
{
	sp_contender_close(&entry->contender);
	free(entry->flows);
	entry->flows = NULL;
	entry->next = 0;
}

static void play(struct sp_entry *entries, size_t count, const struct sp_rounds *rounds, size_t first,
		 size_t end)
{
	for (size_t round = first; round < end; round++) {
		for (size_t i = 0; i < count; i++) {
			size_t turn = round % 2 ? count - 1 - i : i;

			*sp_rounds_at(rounds, turn, round) = ns_per_run(&entries[turn]);
		}
	}
}

void sp_runs_compare(struct sp_bench *bench, struct sp_entry *entries, size_t count)
{
	struct sp_rounds rounds = sp_rounds_new(count, sp_bench_rounds(bench, ROUNDS));

	for (size_t setup = 0; setup < SETUPS; setup++) {
		for (size_t i = 0; i < count; i++)
			set_up(bench, &entries[i]);
		play(entries, count, &rounds, rounds.nrounds * setup / SETUPS,
		     rounds.nrounds * (setup + 1) / SETUPS);
		for (size_t i = 0; i < count; i++)
			take_down(&entries[i]);
	}
	for (size_t i = 0; i < count; i++) {
		const struct sp_contender *contender = &entries[i].contender;

		entries[i].ns = sp_rounds_value(&rounds, i).median;
		sp_bench_ratio(bench, contender->name, contender->text, &rounds, i, entries[i].baseline,
			       entries[entries[i].baseline].contender.name, "ns", entries[i].limit);
	}
	sp_rounds_free(&rounds);
}
