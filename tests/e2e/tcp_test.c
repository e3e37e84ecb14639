// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* TCP: connections that wait for a worker that accepts none survive its death, over every kind of address. */
#include "run.h"

#define WORKERS 4
#define CONNECTIONS 400
#define VICTIM 2

struct outcome {
	size_t answered, reset, other;
	size_t by[WORKERS];
};

static struct outcome sum_up(const int *owners)
{
	struct outcome sum = { 0 };

	for (size_t i = 0; i < CONNECTIONS; i++) {
		if (owners[i] >= 0) {
			sum.answered++;
			sum.by[owners[i]]++;
		} else if (owners[i] == SP_LAB_RESET) {
			sum.reset++;
		} else {
			sum.other++;
		}
	}
	return sum;
}

static __u32 waiting(struct sp_crew *crew, unsigned int id)
{
	__u32 count;

	assert_int_equal(sp_lab_waiting(&crew->workers[id], &count), 0);
	return count;
}

static void check_death(const char *address, const char *to, const char *also_to)
{
	static struct sp_crew crew;
	struct sp_lab_options options = { .is_paused = true };
	json_t *status, *slot;
	struct sp_crowd crowd;
	int owners[CONNECTIONS];
	struct outcome outcome;
	__u32 orphans;
	size_t i;

	sp_crew_start(&crew, SP_TCP, address, 0, WORKERS, &options);
	sp_run("attach", "web", crew.endpoint);
	sp_crowd_open(&crowd, &crew, to, also_to, 10000, CONNECTIONS);
	orphans = waiting(&crew, VICTIM);
	assert_true(orphans > 0);

	/* sp_run() has seen that no process of steadyport is left. */
	sp_crew_kill(&crew, VICTIM);
	for (unsigned int id = 0; id < WORKERS; id++) {
		if (id != VICTIM)
			assert_int_equal(sp_lab_resume(&crew.workers[id]), 0);
	}
	sp_crowd_answers(&crowd, owners);
	outcome = sum_up(owners);
	assert_int_equal(outcome.reset, 0);
	assert_int_equal(outcome.answered, CONNECTIONS);
	assert_int_equal(outcome.by[VICTIM], 0);

	status = sp_run_json("status", "web");
	assert_int_equal(sp_json_int(status, "members"), WORKERS - 1);
	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		orphans -= sp_json_int(sp_json_object(slot, "counters"), "migrated");
	assert_int_equal(orphans, 0);
	json_decref(status);
	sp_crowd_close(&crowd);
}

static void e2e__tcp_400_connections_wait_and_a_worker_dies_ipv4__400_answered_0_reset(void **state)
{
	(void)state;
	check_death("127.0.0.1", "127.0.0.1", NULL);
}

static void e2e__tcp_400_connections_wait_and_a_worker_dies_ipv6__400_answered_0_reset(void **state)
{
	(void)state;
	check_death("::1", "::1", NULL);
}

static void e2e__tcp_400_connections_wait_and_a_worker_dies_any_address__400_answered_0_reset(void **state)
{
	(void)state;
	check_death("0.0.0.0", "127.0.0.1", "127.0.0.2");
}

static void e2e__tcp_400_connections_wait_and_a_worker_dies_dual_stack__400_answered_0_reset(void **state)
{
	(void)state;
	check_death("::", "::1", "127.0.0.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			e2e__tcp_400_connections_wait_and_a_worker_dies_ipv4__400_answered_0_reset,
			sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__tcp_400_connections_wait_and_a_worker_dies_ipv6__400_answered_0_reset,
			sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__tcp_400_connections_wait_and_a_worker_dies_any_address__400_answered_0_reset,
			sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__tcp_400_connections_wait_and_a_worker_dies_dual_stack__400_answered_0_reset,
			sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
