// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What one run of the steering program costs, by the kernel's own clock, beside programs that do less. */
#include "bench.h"
#include "contender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include <steadyport/choose.h>
#include "cleanup.h"
#include "state.h"

#define PACKETS 2048 /* to each contender in each round: some milliseconds */
#define ROUNDS 250
#define FLOWS 1000
#define LONG "24h" /* a learn window that outlives the measurement */

/* Which flows a contender is sent. */
enum traffic {
	ANY_FLOW,
	FLOWS_OF_THE_DEAD, /* whose bucket's owner is closed */
	KEPT_FLOWS, /* that are in the flow table after each of them was seen once */
};

struct entry {
	struct sp_contender contender;
	enum traffic traffic;
	__u32 nflows; /* FLOWS if 0; of which those that fit the traffic are sent */
	struct sp_target target;

	__u32 *flows;
	size_t count, next;
};

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
static void leave_kept(struct entry *entry, const struct sp_ctl *ctl)
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

static void leave_orphans(struct entry *entry, const struct sp_state *state)
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

static void choose_flows(struct entry *entry)
{
	sp_autostate struct sp_state *state = NULL;

	entry->count = entry->nflows ?: FLOWS;
	entry->flows = calloc(entry->count, sizeof(*entry->flows));
	sp_bench_require(entry->flows);
	for (size_t i = 0; i < entry->count; i++)
		entry->flows[i] = i;
	sp_packets_send(&entry->contender.target, entry->flows, entry->count);
	if (entry->traffic == ANY_FLOW)
		return;
	sp_bench_require(sp_state_read(&entry->contender.pins, &state) == 0);
	if (entry->traffic == KEPT_FLOWS)
		leave_kept(entry, &state->ctl);
	else
		leave_orphans(entry, state);
	if (!entry->count)
		sp_bench_die("%s: no flow fits", entry->contender.name);
}

static void send_some(struct entry *entry, size_t count)
{
	for (size_t sent = 0; sent < count;) {
		size_t n = count - sent, left = entry->count - entry->next;

		n = n < left ? n : left;
		sp_packets_send(&entry->contender.target, &entry->flows[entry->next], n);
		entry->next = (entry->next + n) % entry->count;
		sent += n;
	}
}

static double ns_per_run(struct entry *entry)
{
	struct sp_runtime before = sp_contender_runtime(&entry->contender), after;

	send_some(entry, PACKETS);
	after = sp_contender_runtime(&entry->contender);
	if (after.runs - before.runs < PACKETS)
		sp_bench_die("%s: %llu runs for %u packets", entry->contender.name, after.runs - before.runs,
			     PACKETS);
	return (double)(after.ns - before.ns) / (double)(after.runs - before.runs);
}

static const char *binary_of(const struct sp_bench *bench, const struct sp_contender *contender)
{
	return contender->steering == SP_STEERED_BY_RIVAL ? bench->rival : bench->binary;
}

/* Each in turn, in many short rounds; every other round the other way round. The baseline comes first. */
static void compare(struct sp_bench *bench, struct entry *entries, size_t count)
{
	struct sp_rounds rounds = sp_rounds_new(count, sp_bench_rounds(bench, ROUNDS));

	for (size_t i = 0; i < count; i++) {
		sp_contender_open(&entries[i].contender, binary_of(bench, &entries[i].contender));
		choose_flows(&entries[i]);
	}
	for (size_t round = 0; round < rounds.nrounds; round++) {
		for (size_t i = 0; i < count; i++) {
			size_t turn = round % 2 ? count - 1 - i : i;

			*sp_rounds_at(&rounds, turn, round) = ns_per_run(&entries[turn]);
		}
	}
	for (size_t i = 0; i < count; i++) {
		const struct sp_contender *contender = &entries[i].contender;

		sp_bench_ratio(bench, contender->name, contender->text, &rounds, i, 0,
			       entries[0].contender.name, "ns", entries[i].target);
		free(entries[i].flows);
		sp_contender_close(&entries[i].contender);
	}
	sp_rounds_free(&rounds);
}

#define AT_MOST(x)           \
	{                    \
		.limit = (x) \
	}
#define CONTENDER(id, says, how, ...) \
	.contender = { .name = id, .text = says, .steering = SP_STEERED_BY_##how, ##__VA_ARGS__ }

static void compare_udp(struct sp_bench *bench)
{
	struct entry entries[] = {
		{ CONTENDER("udp_floor", "UDP: one select, nothing else", FLOOR) },
		{ CONTENDER("udp_empty", "UDP: empty program", EMPTY) },
		{ CONTENDER("udp_modulo", "UDP: select by the kernel's hash", MODULO) },
		{ CONTENDER("udp_steady", "UDP: steady", STEADYPORT), .target = AT_MOST(1.5) },
		{ CONTENDER("udp_kernel", "UDP: --hash kernel", STEADYPORT,
			    .options = { "--hash", "kernel" }),
		  .target = AT_MOST(1.15) },
		{ CONTENDER("udp_orphans", "UDP: owner dead, 1 of 4", STEADYPORT, .dead = 1),
		  .traffic = FLOWS_OF_THE_DEAD },
		{ CONTENDER("udp_kept", "UDP: kept flows, all buckets moving", STEADYPORT,
			    .options = { "--learn", LONG }),
		  .traffic = KEPT_FLOWS },
		{ CONTENDER("udp_moving", "UDP: all buckets moving", STEADYPORT,
			    .options = { "--learn", LONG }) },
		{ CONTENDER("udp_always", "UDP: --track always", STEADYPORT,
			    .options = { "--track", "always" }),
		  .traffic = KEPT_FLOWS },
		{ CONTENDER("udp_rival", "UDP: steady, the other build", RIVAL) },
		{ CONTENDER("udp_rival_kernel", "UDP: --hash kernel, the other build", RIVAL,
			    .options = { "--hash", "kernel" }) },
	};

	compare(bench, entries, SP_ARRAY_SIZE(entries) - (bench->rival ? 0 : 2));
}

static void compare_tcp(struct sp_bench *bench)
{
	struct entry entries[] = {
		{ CONTENDER("tcp_floor", "TCP: one select, nothing else", FLOOR, .protocol = SP_TCP) },
		{ CONTENDER("tcp_empty", "TCP: empty program", EMPTY, .protocol = SP_TCP) },
		{ CONTENDER("tcp_modulo", "TCP: select by the kernel's hash", MODULO, .protocol = SP_TCP) },
		{ CONTENDER("tcp_steady", "TCP: steady", STEADYPORT, .protocol = SP_TCP),
		  .target = AT_MOST(1.5) },
		{ CONTENDER("tcp_kernel", "TCP: --hash kernel", STEADYPORT, .protocol = SP_TCP,
			    .options = { "--hash", "kernel" }),
		  .target = AT_MOST(1.15) },
		{ CONTENDER("tcp_orphans", "TCP: owner dead, 1 of 4", STEADYPORT, .protocol = SP_TCP,
			    .dead = 1),
		  .traffic = FLOWS_OF_THE_DEAD },
		{ CONTENDER("tcp_rival", "TCP: steady, the other build", RIVAL, .protocol = SP_TCP) },
	};

	compare(bench, entries, SP_ARRAY_SIZE(entries) - (bench->rival ? 0 : 1));
}

void sp_bench_steer(struct sp_bench *bench)
{
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);

	sp_bench_require(stats >= 0);
	sp_bench_pin(sp_bench_sender_cpu());
	sp_packets_open();
	compare_udp(bench);
	compare_tcp(bench);
	sp_packets_close();
	close(stats);
}
