// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A canary: one worker of sixteen at a hundredth of the others' weight. The share of 400,000 new flows that it gets is
 * measured twice, by who answers and by the counters, and no flow that was there before moves.
 */
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "meter.h"
#include "run.h"
#include "swarm.h"

#define NAME "canary"
#define PORT 5300
#define WORKERS 16
#define LIGHT 5 /* id of the worker whose weight changes */
#define LEARN sp_run_window(3000) /* a round of the old flows takes a tenth of a second */
#define SEED "00112233445566778899aabbccddeeff" /* the same new flows take the same way in every run */

static const struct sp_swarm_options old_flows = {
	.source_port = 20000, .nports = 8, .naddresses = 250, .rate = 20000
};

static struct sp_crew crew;
static struct sp_swarm swarm;
static __u64 sent_by_newcomers;

/* The slots of all workers, by id, and what their counters `steered` say. */
struct slots {
	json_int_t number[WORKERS];
	json_int_t steered[WORKERS];
};

static void look(struct slots *ret_slots)
{
	json_t *status = sp_run_json("status", NAME), *slot, *owner;
	unsigned int found = 0;
	size_t i, j;

	json_array_foreach(sp_json_array(status, "slots"), i, slot) {
		json_array_foreach(sp_json_array(slot, "owners"), j, owner) {
			for (unsigned int id = 0; id < WORKERS; id++) {
				if (sp_json_int(owner, "pid") != crew.workers[id].pid)
					continue;
				ret_slots->number[id] = sp_json_int(slot, "slot");
				ret_slots->steered[id] =
					sp_json_int(sp_json_object(slot, "counters"), "steered");
				found++;
			}
		}
	}
	json_decref(status);
	assert_int_equal(found, WORKERS);
}

static size_t count_old_flows_of(int id)
{
	size_t count = 0;

	for (size_t i = 0; i < swarm.count; i++)
		count += swarm.owners[i] == id;
	return count;
}

/* The old flows are asked before, all the time, and afterwards; buckets move as few as can be. */
static void set_weight(unsigned int weight)
{
	static struct sp_view before, after;
	__u32 owned_before[SP_SLOTS_MAX], owned[SP_SLOTS_MAX], received = 0;
	struct slots slots;
	char change[16];

	look(&slots);
	sp_meter_view(NAME, &before);
	snprintf(change, sizeof(change), "%lld=%u", slots.number[LIGHT], weight);
	sp_swarm_start(&swarm);
	sp_run("weight", NAME, change);
	sp_swarm_settle(&swarm, NAME);
	sp_swarm_stop(&swarm);

	sp_meter_view(NAME, &after);
	sp_meter_owned(&before, owned_before);
	sp_meter_owned(&after, owned);
	for (unsigned int slot = 0; slot < SP_SLOTS_MAX; slot++)
		if (owned[slot] > owned_before[slot])
			received += owned[slot] - owned_before[slot];
	assert_int_equal(sp_meter_moved(&before, &after), received);
	/* It is one of sixteen or a 1501th of all buckets, rounded up or down. */
	assert_in_range(owned[slots.number[LIGHT]], weight == 1 ? 10 : 1024, weight == 1 ? 11 : 1024);
	print_message("    weight %u: %u buckets of %u, and no others than these %u have moved\n", weight,
		      owned[slots.number[LIGHT]], SP_BUCKETS, received);
}

/* Who gets @count flows that nobody has seen yet, by worker. The counters must say the same. */
static void ask_new_flows(__u16 source_port, size_t count, size_t ret_counts[WORKERS])
{
	const struct sp_swarm_options options = { .source_port = source_port,
						  .nports = count / 2000,
						  .naddresses = 2000 };
	struct sp_swarm newcomers;
	struct slots before, after;

	memset(ret_counts, 0, WORKERS * sizeof(*ret_counts));
	look(&before);
	sp_swarm_open(&newcomers, &crew, &options);
	sp_swarm_ask(&newcomers);
	for (size_t i = 0; i < newcomers.count; i++) {
		assert_in_range(newcomers.owners[i], 0, WORKERS - 1);
		ret_counts[newcomers.owners[i]]++;
	}
	sent_by_newcomers += sp_swarm_tally(&newcomers)->sent;
	sp_swarm_close(&newcomers);
	look(&after);
	for (unsigned int id = 0; id < WORKERS; id++)
		assert_int_equal(after.steered[id] - before.steered[id], ret_counts[id]);
}

/* Within so many hundredths of a share of the whole. */
static void expect_share(const char *who, size_t count, size_t whole, double share, double hundredths)
{
	double ratio = count / (whole * share);

	if (ratio >= 1 - hundredths / 100 && ratio <= 1 + hundredths / 100)
		return;
	fail_msg("%s has %zu of %zu new flows; %.1f were expected", who, count, whole, whole * share);
}

static void e2e__weight_1_against_15_of_100__share_of_400000_new_flows_follows_and_nobody_moves(void **state)
{
	size_t counts[WORKERS], old_ones;
	struct sp_meter meter;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL);
	sp_swarm_open(&swarm, &crew, &old_flows);
	sp_swarm_ask(&swarm);
	sent_by_newcomers = -sp_swarm_tally(&swarm)->sent;
	/* The old flows are silent while the new ones are asked, which may take minutes. */
	sp_run("attach", NAME, crew.endpoint, "--learn", LEARN, "--seed", SEED, "--flow-idle", "1h");
	sp_meter_open(&meter, NAME);
	sp_swarm_start(&swarm);
	sp_swarm_settle(&swarm, NAME);
	sp_swarm_stop(&swarm);
	old_ones = count_old_flows_of(LIGHT);
	assert_in_range(old_ones, 60, 190); /* 125 on average */

	set_weight(1);
	ask_new_flows(30000, 400000, counts);
	print_message("    weight 1 against 15 of 100: %zu of 400000 new flows, %.1f were expected\n",
		      counts[LIGHT], 400000.0 / 1501);
	/* 266.5 with a standard deviation of 16.3: the fourth part of it is four of these. */
	expect_share("the light one", counts[LIGHT], 400000, 1.0 / 1501, 25);
	/* 26,649 with one of 158; five of these, and half a bucket of 1092. */
	for (unsigned int id = 0; id < WORKERS; id++)
		if (id != LIGHT)
			expect_share("one of weight 100", counts[id], 400000, 100.0 / 1501, 3.1);
	sp_swarm_ask(&swarm);
	sp_swarm_require_still(&swarm);

	set_weight(100);
	ask_new_flows(31000, 100000, counts);
	print_message("    weight 100 again: %zu of 100000, %d were expected\n", counts[LIGHT],
		      100000 / WORKERS);
	/* 6,250 with a standard deviation of 77. */
	for (unsigned int id = 0; id < WORKERS; id++)
		expect_share("one of sixteen", counts[id], 100000, 1.0 / WORKERS, 6.2);
	sp_swarm_ask(&swarm);
	sp_swarm_require_still(&swarm);
	assert_int_equal(count_old_flows_of(LIGHT), old_ones);
	sp_meter_require_sum(&meter, sp_swarm_tally(&swarm)->sent + sent_by_newcomers);

	sp_meter_close(&meter);
	sp_swarm_close(&swarm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			e2e__weight_1_against_15_of_100__share_of_400000_new_flows_follows_and_nobody_moves,
			sp_swarm_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
