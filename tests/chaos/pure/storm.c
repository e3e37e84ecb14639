// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Random histories. */
#include "cleanup.h"
#include "report.h"
#include "seed.h"
#include "spread.h"
#include "steps.h"
#include "storm.h"

#define MS 1000000ULL
#define SECOND 1000000000ULL

static struct {
	struct sp_random random;
	struct sp_sim_options options; /* of the next attach */
	__u32 weight[16]; /* of the events, by their place in the list */
	__u32 target; /* members that there should be */
	__u32 batch; /* members that may come or go at once */
	__u32 kill_one_in; /* loaders */
	bool is_busy; /* the machine, while the loader runs */
} storm;

static __u32 below(__u32 limit)
{
	return sp_random_below(&storm.random, limit);
}

static bool one_in(__u32 n)
{
	return sp_random_one_in(&storm.random, n);
}

static void send_one(void)
{
	sp_steps_send(&sp_model.flows[below(sp_model.nflows)]);
}

static void join_one(void)
{
	if (sp_sim.nmembers < SP_SIM_MEMBERS_MAX)
		sp_steps_join();
}

static void close_one(void)
{
	if (sp_sim.nmembers)
		sp_steps_close(sp_sim.member[below(sp_sim.nmembers)]);
}

static void evict_one(void)
{
	if (sp_sim.flows.count)
		sp_sim_evict(below(sp_sim.flows.count));
}

/* --- the loader --- */

/*
 * Others act while it works. A call takes microseconds, or milliseconds when the machine is busy; from the loader's
 * last look at the clock to its store it has three calls and WINDOW_MARGIN_NS / 2.
 */
static void disturb(enum sp_sim_call call)
{
	sp_model_look();
	if (call == SP_SIM_WAIT)
		sp_steps_pass(MS + below(20 * MS));
	else
		sp_steps_pass(below(storm.is_busy || one_in(8) ? 6 * MS : MS / 10));
	for (__u32 n = one_in(storm.is_busy ? 2 : 8) ? below(8) : 0; n; n--)
		send_one();
	if (one_in(80))
		close_one();
	if (one_in(120))
		join_one();
	if (one_in(2000))
		sp_steps_take_off();
	if (one_in(100))
		evict_one();
}

static void run_loader(const struct sp_change *change)
{
	const struct sp_sim_run run = {
		.change = change,
		.calls = one_in(storm.kill_one_in) ? below(1 + below(80)) : SP_SIM_NEVER,
		.between = one_in(4) ? NULL : disturb,
	};

	storm.is_busy = one_in(3);
	if (!sp_steps.is_loaded) {
		if (change || !sp_sim.nmembers)
			return;
		sp_steps_load(&storm.options);
	}
	sp_steps_reconcile(&run);
}

/* --- events --- */

static void time_passes(void)
{
	switch (below(4)) {
	case 0:
		sp_steps_pass(below(100) * SECOND);
		break;
	case 1:
		sp_steps_pass(below(1000) * MS);
		break;
	default:
		sp_steps_pass(below(50) * MS);
	}
}

/* Often everybody has a say first; then the group may come to rest, or the loader meets the last moment. */
static void window_closes(void)
{
	__u64 left;

	if (!sp_model_is_learning())
		return;
	if (one_in(2))
		sp_steps_all_send();
	left = sp_sim_view()->learn_until_ns - sp_sim.now_ns;
	if (one_in(4) && left > 200 * MS) {
		sp_steps_pass(left - below(200 * MS));
		run_loader(NULL);
		return;
	}
	sp_report_event("the window closes");
	sp_steps_pass(left + (one_in(2) ? 0 : below(SECOND)));
	if (one_in(2))
		run_loader(NULL);
}

static void some_go_quiet(void)
{
	__u32 n = 2 + below(8);

	for (__u32 i = 0; i < sp_model.nflows; i++)
		sp_model.flows[i].is_quiet = one_in(n);
}

static __u32 batch(void)
{
	return one_in(4) ? 1 + below(storm.batch) : 1;
}

static void workers_die(void)
{
	bool can_check = sp_steps_can_spread();

	for (__u32 n = batch(); n && sp_sim.nmembers; n--) {
		__u32 worker = sp_sim.member[below(sp_sim.nmembers)];
		__u32 slot = sp_sim.slot_of[worker];
		bool checks = can_check && slot != SP_SLOT_NONE && one_in(4);

		if (checks)
			sp_spread_take(&storm.random, slot, 128);
		sp_steps_close(worker);
		if (checks && sp_sim.is_attached)
			sp_steps_tally.spread += sp_spread_send();
	}
	if (one_in(200)) {
		while (sp_sim.nmembers)
			sp_steps_close(sp_sim.member[sp_sim.nmembers - 1]);
	}
}

static void workers_join(void)
{
	__u32 n = batch();

	if (sp_sim.nmembers >= storm.target && !one_in(8))
		return;
	while (n--)
		join_one();
}

static void sync_runs(void)
{
	run_loader(NULL);
}

static __u32 some_slot(bool is_live)
{
	__u32 nslots = sp_sim_view()->nslots ?: 1, start = below(nslots);

	for (__u32 i = 0; !one_in(30) && i < nslots; i++) {
		__u32 slot = (start + i) % nslots;

		if (sp_sim.info[slot].state != SP_SLOT_FREE && !sp_sim.in_slot[slot] == !is_live)
			return slot;
	}
	return start;
}

static void slots_change(void)
{
	struct sp_change change = { .kind = below(5) };
	__u32 n = 1 + below(one_in(4) ? storm.batch : 2);

	if (!sp_steps.is_loaded)
		return;
	while (n--) {
		__u32 slot = some_slot(change.kind != SP_CHANGE_RETIRE);

		change.is_asked[slot] = true;
		change.weight[slot] = one_in(4) ? 0 : 1 + below(one_in(2) ? 4 : SP_WEIGHT_MAX);
	}
	run_loader(&change);
}

static void program_is_taken_off(void)
{
	if (one_in(8) && sp_sim.is_attached)
		sp_steps_take_off();
}

static void detach_runs(void)
{
	if (one_in(8) && sp_steps.is_loaded)
		sp_steps_unload();
}

/* Out of ten thousand; the rest are packets. A loader takes a thousand times as long as a packet. */
static const struct {
	void (*happens)(void);
	__u32 weight;
} events[] = {
	{ time_passes, 60 },  { window_closes, 40 },	   { some_go_quiet, 20 }, { workers_die, 60 },
	{ workers_join, 80 }, { sync_runs, 80 },	   { slots_change, 80 },  { evict_one, 20 },
	{ detach_runs, 4 },   { program_is_taken_off, 4 },
};
#define EVERYTHING 10000

static void something_happens(void)
{
	__u32 at = below(EVERYTHING);

	for (__u32 i = 0; i < SP_ARRAY_SIZE(events); i++) {
		if (at < storm.weight[i]) {
			events[i].happens();
			return;
		}
		at -= storm.weight[i];
	}
	send_one();
}

/* --- histories --- */

static void pick_options(void)
{
	static const __u64 windows[] = { SECOND / 5, SECOND, 5 * SECOND };

	storm.options = (struct sp_sim_options){
		.protocol = one_in(20) ? SP_TCP : SP_UDP,
		.track = one_in(10) ? SP_TRACK_ALWAYS :
			 one_in(20) ? SP_TRACK_OFF :
				      SP_TRACK_TRANSITION,
		.hash = one_in(10) ? SP_HASH_KERNEL : SP_HASH_SIPHASH,
		.learn_ns = windows[below(SP_ARRAY_SIZE(windows))],
		.flow_room = one_in(8) ? 1 + below(64) : SP_TABLE_ROOM_MAX,
		.flow_idle_s = one_in(4) ? 0 : 1 + below(SP_FLOW_IDLE_DEFAULT_S),
	};
}

/* Some histories have much of one thing and nothing of another. */
static void pick_climate(void)
{
	static const __u32 factor[] = { 0, 1, 1, 1, 2, 4 };

	for (__u32 i = 0; i < SP_ARRAY_SIZE(events); i++)
		storm.weight[i] = events[i].weight * factor[below(SP_ARRAY_SIZE(factor))];
	storm.kill_one_in = 2 + below(12);
}

__u64 sp_storm_history(__u64 seed, __u64 steps_max)
{
	bool is_large, is_full;
	__u64 steps = 0, length;
	__u32 nworkers;

	storm.random.state = seed;
	is_large = one_in(6);
	is_full = one_in(60);
	nworkers = 1 + below(is_full ? SP_SLOTS_MAX : is_large ? 64 : 8);
	length = 1000 + below(8000);
	storm.target = is_full ? 900 + below(150) : nworkers;
	storm.batch = 1 + storm.target / 2;
	pick_options();
	pick_climate();
	sp_steps_begin(seed, nworkers, 16 + below(240));
	while (steps < length && steps < steps_max) {
		steps = sp_report_step();
		something_happens();
	}
	if (steps == length)
		sp_steps_end(&storm.random);
	sp_steps_tally.histories++;
	sp_steps_tally.steps += steps;
	return steps;
}
