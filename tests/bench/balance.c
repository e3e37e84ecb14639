// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How evenly flows are spread: those of the busiest worker, divided by the mean. */
#include "bench.h"
#include "contender.h"

#include <stdio.h>
#include <stdlib.h>
#include "cleanup.h"

#define FLOWS 16384
#define AT_ONCE 64
#define SETUPS 15 /* each with a new key, and other flows */

static double busiest(const struct sp_contender *contender, __u32 first)
{
	sp_autofree size_t *counts = calloc(contender->members, sizeof(*counts));
	size_t most = 0;
	__u32 flows[AT_ONCE];

	sp_bench_require(counts);
	for (__u32 flow = 0; flow < FLOWS; flow += AT_ONCE) {
		for (__u32 i = 0; i < AT_ONCE; i++)
			flows[i] = first + flow + i;
		sp_packets_send(&contender->target, flows, AT_ONCE);
		sp_contender_drain(contender, AT_ONCE, counts);
	}
	for (unsigned int i = 0; i < contender->members; i++)
		most = counts[i] > most ? counts[i] : most;
	return (double)most * contender->members / FLOWS;
}

static void compare(struct sp_bench *bench, unsigned int members)
{
	static const char *const ways[] = { "none", "steadyport", "kernel" };
	static const char *const says[] = { "no program", "steadyport", "--hash kernel" };
	struct sp_rounds rounds = sp_rounds_new(SP_ARRAY_SIZE(ways), sp_bench_rounds(bench, SETUPS));

	for (size_t round = 0; round < rounds.nrounds; round++) {
		struct sp_contender contenders[] = {
			{ .steering = SP_STEERED_BY_NOBODY },
			{ .steering = SP_STEERED_BY_STEADYPORT },
			{ .steering = SP_STEERED_BY_STEADYPORT, .options = { "--hash", "kernel" } },
		};

		for (size_t i = 0; i < SP_ARRAY_SIZE(ways); i++) {
			contenders[i].name = ways[i];
			contenders[i].members = members;
			contenders[i].is_read = true;
			sp_contender_open(&contenders[i], bench->binary);
			*sp_rounds_at(&rounds, i, round) = busiest(&contenders[i], round * FLOWS);
			sp_contender_close(&contenders[i]);
		}
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(ways); i++) {
		char name[64], text[96];

		snprintf(name, sizeof(name), "balance_%u_%s", members, ways[i]);
		snprintf(text, sizeof(text), "busiest of %u workers: %s", members, says[i]);
		sp_bench_ratio(bench, name, text, &rounds, i, 0, ways[0], "x mean", (struct sp_limit){ 0 });
	}
	sp_rounds_free(&rounds);
}

void sp_bench_balance(struct sp_bench *bench)
{
	sp_packets_open();
	compare(bench, 4);
	compare(bench, 64);
	sp_packets_close();
}
