// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* I2 by statistics. */
#include <string.h>
#include "model.h"
#include "report.h"
#include "spread.h"

#define FLOWS_MAX 4096
#define TRIES_PER_FLOW 16
#define COUNT_MIN 30 /* expected flows below which the deviation is not judged */
/*
 * Eight standard deviations: one false alarm in 10^14. Probes of a flow stay on buckets of alternating parity, whose
 * owners are not exactly in proportion, so a twentieth is allowed on top.
 */
#define SIGMAS 8
#define BIAS 0.05

static struct {
	double expected[SP_SLOTS_MAX];
	__u64 seen[SP_SLOTS_MAX];
	struct sp_sim_packet packet[FLOWS_MAX];
	__u32 npackets;
} spread;

void sp_spread_begin(void)
{
	memset(&spread, 0, sizeof(spread));
}

void sp_spread_take(struct sp_random *random, __u32 slot, __u32 nflows)
{
	const struct sp_view *view = sp_sim_view();

	spread.npackets = 0;
	for (__u32 i = 0; i < nflows * TRIES_PER_FLOW && spread.npackets < nflows; i++) {
		struct sp_sim_packet *p = &spread.packet[spread.npackets];

		p->tuple.src = sp_random_next(random);
		p->tuple.dst = 0x0100007f;
		p->tuple.sport = sp_random_next(random);
		p->tuple.dport = 443;
		p->kernel_hash = sp_random_next(random);
		spread.npackets += view->owner[sp_model_hash(p) % SP_BUCKETS] == slot;
	}
}

__u32 sp_spread_send(void)
{
	const struct sp_view *view = sp_sim_view();
	__u32 owned[SP_SLOTS_MAX] = { 0 }, reached = 0;

	for (__u32 b = 0; b < SP_BUCKETS; b++) {
		__u32 slot = view->owner[b];

		if (slot >= SP_SLOTS_MAX || !sp_sim.in_slot[slot] ||
		    !(view->usable[slot / 64] >> slot % 64 & 1))
			continue;
		owned[slot]++;
		reached++;
	}
	/* Where hardly anything is reached the scan decides, which has other proportions. */
	if (reached < SP_BUCKETS / 2)
		return 0;
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		spread.expected[s] += (double)spread.npackets * owned[s] / reached;
	for (__u32 i = 0; i < spread.npackets; i++)
		spread.seen[sp_sim.slot_of[sp_sim_deliver(&spread.packet[i])]]++;
	return spread.npackets;
}

void sp_spread_check(void)
{
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++) {
		double expected = spread.expected[s], off = spread.seen[s] - expected;

		off = (off < 0 ? -off : off) - BIAS * expected;
		sp_require(expected < COUNT_MIN || off < 0 || off * off < SIGMAS * SIGMAS * expected,
			   "I2: slot %u got %llu flows of dead slots, its share is %.0f", s, spread.seen[s],
			   expected);
	}
}
