// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A group as large as a group may be, 1024 workers, through its life: attached, half of them killed at once, the dead
 * retired and replaced. Flows are asked all the time, and the owner table is counted bucket by bucket.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "meter.h"
#include "run.h"
#include "swarm.h"

#define NAME "large"
#define PORT 5300
#define WORKERS SP_SLOTS_MAX
#define KILLED (WORKERS / 2)
#define EACH (SP_BUCKETS / WORKERS) /* buckets of one worker among all */
#define LEARN sp_run_window(6000) /* a round takes half a second */

static const struct sp_swarm_options old_flows = {
	.source_port = 20000, .nports = 32, .naddresses = 320, .rate = 20000
};
static const struct sp_swarm_options new_flows = { .source_port = 30000, .nports = 32, .naddresses = 1280 };

#define FLOWS (32 * 320)

static struct sp_crew crew; /* after the first WORKERS come those that replace the killed */
static struct sp_swarm swarm, newcomers;
static struct sp_view view, view_before;
static int owners[FLOWS], owners_before[FLOWS];
static __u64 sent_unaccounted;

/* --- steps --- */

/* How long it takes is shown and not judged: that depends on what else the machine does. */
#define timed(what, call)                                                              \
	do {                                                                           \
		__u64 start_ = sp_lab_now_ms();                                        \
		call;                                                                  \
		print_message("    %-36s %5llu ms\n", what, sp_lab_now_ms() - start_); \
	} while (0)

/* Half of them, in no pattern that a walk in equal steps could follow: the Thue-Morse sequence. */
static bool is_victim(unsigned int id)
{
	return id < WORKERS && __builtin_parity(id);
}

static void kill_half_at_once(void)
{
	for (unsigned int id = 0; id < WORKERS; id++)
		if (is_victim(id))
			sp_swarm_excuse(&swarm, id);
	for (unsigned int id = 0; id < WORKERS; id++)
		if (is_victim(id))
			assert_int_equal(kill(crew.workers[id].pid, SIGKILL), 0);
	for (unsigned int id = 0; id < WORKERS; id++)
		if (is_victim(id))
			sp_crew_kill(&crew, id);
}

/* All dead slots in one command. */
static const struct sp_run *retire_dead(void)
{
	static const char *words[3 + KILLED + 1] = { "steadyport", "retire", NAME };
	static char numbers[KILLED][8];
	static struct sp_run run;
	json_t *status = sp_run_json("status", NAME), *slot;
	size_t i, n = 0;

	json_array_foreach(sp_json_array(status, "slots"), i, slot) {
		if (strcmp(sp_json_text(slot, "state"), "dead"))
			continue;
		assert_in_range(n, 0, KILLED - 1);
		snprintf(numbers[n], sizeof(numbers[n]), "%lld", sp_json_int(slot, "slot"));
		words[3 + n] = numbers[n];
		n++;
	}
	json_decref(status);
	assert_int_equal(n, KILLED);
	sp_run_free(&run);
	sp_run_start(&run, NULL, words);
	sp_run_wait(&run);
	assert_int_equal(run.status, SP_EXIT_OK);
	return &run;
}

/* --- what must be so --- */

/* The table now, against what it was when this was asked last: so many buckets have another owner. */
static void expect_moved(__u32 moved)
{
	view_before = view;
	sp_meter_view(NAME, &view);
	assert_int_equal(sp_meter_moved(&view_before, &view), moved);
}

/* Each of the slots that own anything owns so many buckets, exactly, and there are so many of them. */
static void expect_owned(__u32 each, __u32 nslots)
{
	__u32 owned[SP_SLOTS_MAX], n = 0;

	sp_meter_view(NAME, &view);
	sp_meter_owned(&view, owned);
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		if (owned[slot] && owned[slot] != each)
			fail_msg("slot %u owns %u buckets, not %u", slot, owned[slot], each);
		n += owned[slot] > 0;
	}
	assert_int_equal(n, nslots);
}

/* What `status` says: so many live slots share the new flows evenly, so many dead ones have none. */
static void expect_shares(__u32 nlive, __u32 ndead)
{
	json_t *status = sp_run_json("status", NAME), *slot;
	__u32 live = 0, dead = 0;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot) {
		bool is_dead = !strcmp(sp_json_text(slot, "state"), "dead");

		/* The counts are powers of two: no rounding. */
		assert_true(sp_json_real(slot, "share") == (is_dead ? 0 : 1.0 / nlive));
		assert_int_equal(sp_json_int(slot, "drops"), 0);
		*(is_dead ? &dead : &live) += 1;
	}
	assert_int_equal(sp_json_int(status, "enrolled"), nlive);
	json_decref(status);
	assert_int_equal(live, nlive);
	assert_int_equal(dead, ndead);
}

/* The dead worker's flows went to all the others alike: as if each had been thrown at random (I2). */
static void expect_spread(void)
{
	static double heirs[SP_CREW_MAX];
	double orphans = 0, mean, deviation = 0;

	memset(heirs, 0, sizeof(heirs));
	for (size_t i = 0; i < FLOWS; i++) {
		assert_false(is_victim(owners[i]));
		if (!is_victim(owners_before[i])) {
			assert_int_equal(owners[i], owners_before[i]);
			continue;
		}
		orphans++;
		heirs[owners[i]]++;
	}
	mean = orphans / (WORKERS - KILLED);
	for (unsigned int id = 0; id < WORKERS; id++)
		if (!is_victim(id))
			deviation += (heirs[id] - mean) * (heirs[id] - mean) / mean;
	print_message("    %.0f flows went to %d workers; chi-square %.0f, expected %d\n", orphans,
		      WORKERS - KILLED, deviation, WORKERS - KILLED - 1);
	/* The standard deviation of chi-square is the root of twice its mean, here 32. */
	assert_true(deviation < WORKERS - KILLED + 6 * 32);
}

/* New flows go to every worker that lives; with 40 for each, none at all for one of them would be no accident. */
static void expect_new_flows_everywhere(void)
{
	static size_t count[SP_CREW_MAX];

	sp_swarm_open(&newcomers, &crew, &new_flows);
	sp_swarm_ask(&newcomers);
	memset(count, 0, sizeof(count));
	for (size_t i = 0; i < newcomers.count; i++)
		count[newcomers.owners[i]]++;
	for (unsigned int id = 0; id < crew.size; id++)
		assert_int_equal(count[id] > 0, crew.workers[id].pid != 0);
	sent_unaccounted += sp_swarm_tally(&newcomers)->sent;
	sp_swarm_close(&newcomers);
}

/* --- the case --- */

static void attach_all(struct sp_meter *meter)
{
	timed("start 1024 workers", sp_crew_start(&crew, SP_UDP, "127.0.0.1", PORT, WORKERS, NULL));
	sp_swarm_open(&swarm, &crew, &old_flows);
	sp_swarm_ask(&swarm);
	sp_swarm_start(&swarm);
	timed("attach", sp_run("attach", NAME, crew.endpoint, "--learn", LEARN));
	sp_swarm_settle(&swarm, NAME);
	expect_owned(EACH, WORKERS);
	expect_shares(WORKERS, 0);

	/* The books begin here: what was sent before the attach is not to be told from what was sent after. */
	sp_swarm_stop(&swarm);
	sent_unaccounted = -sp_swarm_tally(&swarm)->sent;
	sp_meter_open(meter, NAME);
	sp_swarm_start(&swarm);
}

static void lose_half(void)
{
	sp_swarm_owners(&swarm, owners_before);
	timed("kill 512", kill_half_at_once());
	sp_swarm_wait_round(&swarm);
	sp_swarm_require_still(&swarm);
	sp_swarm_owners(&swarm, owners);
	expect_spread();

	/* No process noticed, and the dead keep their buckets: whoever takes the slot takes them. */
	expect_moved(0);
	expect_shares(WORKERS - KILLED, KILLED);
	timed("sync, 512 have died", sp_run("sync", NAME));
	expect_moved(0);
	expect_owned(EACH, WORKERS);
	expect_shares(WORKERS - KILLED, KILLED);
	sp_swarm_wait_round(&swarm);
	sp_swarm_require_still(&swarm);
}

/* Each bucket of the retired must move and no other need: that is the minimum. */
static void retire_half(void)
{
	const struct sp_run *run;

	timed("retire 512", run = retire_dead());
	assert_non_null(strstr(run->out, " 8192 of 16384 buckets moved"));
	expect_moved(KILLED * EACH);
	expect_owned(2 * EACH, WORKERS - KILLED);
	expect_shares(WORKERS - KILLED, 0);
	sp_swarm_settle(&swarm, NAME);
}

/* Each newcomer must get its share, and nothing else need move. */
static void replace_half(void)
{
	timed("start 512 workers", for (unsigned int i = 0; i < KILLED; i++) sp_crew_add(&crew, WORKERS + i));
	timed("sync, 512 are new", sp_run("sync", NAME));
	expect_moved(KILLED * EACH);
	expect_owned(EACH, WORKERS);
	expect_shares(WORKERS, 0);
	sp_swarm_settle(&swarm, NAME);
}

static void e2e__1024_slots_512_killed_at_once__every_flow_is_answered_and_the_table_balanced(void **state)
{
	struct sp_meter meter;

	(void)state;
	assert_int_equal(sp_lab_reserve_files(2 * SP_CREW_MAX), 0);
	attach_all(&meter);
	lose_half();
	retire_half();
	replace_half();
	expect_new_flows_everywhere();
	sp_swarm_stop(&swarm);
	sp_swarm_require_still(&swarm);
	sp_meter_require_sum(&meter, sp_swarm_tally(&swarm)->sent + sent_unaccounted);
	print_message("    %llu datagrams, %llu of them unread in a socket that was killed\n",
		      sp_swarm_tally(&swarm)->sent, sp_swarm_tally(&swarm)->lost);
	sp_meter_close(&meter);
	sp_swarm_close(&swarm);
	timed("detach", sp_run("detach", NAME));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			e2e__1024_slots_512_killed_at_once__every_flow_is_answered_and_the_table_balanced,
			sp_swarm_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
