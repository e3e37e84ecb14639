// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Several groups on one port: a packet belongs to the group with the most specific address, IPv4 to that of IPv4 if
 * there is one. Each of them steered, or only one; and when one of them dies altogether the next one takes its packets.
 */
#include "run.h"

#define WORKERS 3
#define FLOWS 120
#define VICTIM 1

struct neighbours {
	const char *near, *far; /* addresses of the two groups */
	const char *to; /* whose packets are the near one's, and the far one's without it */
	const char *also_far; /* whose packets are the far one's in any case */
};

static const struct neighbours all[] = {
	{ "127.0.0.1", "0.0.0.0", "127.0.0.1", "127.0.0.2" },
	{ "127.0.0.1", "::", "127.0.0.1", "127.0.0.2" },
	{ "::1", "::", "::1", "127.0.0.1" },
	{ "0.0.0.0", "::", "127.0.0.1", "::1" },
	{ "::ffff:127.0.0.1", "::", "127.0.0.1", "::1" },
	{ "::ffff:127.0.0.1", "0.0.0.0", "127.0.0.1", "127.0.0.2" },
};

static struct sp_crew near, far;
static __u16 source = 1024; /* of the next flows; never near the ports that the kernel hands out */

/* Ids of the near one's workers are 0 and up, of the far one's WORKERS and up. */
static void start(const struct neighbours *n, enum sp_protocol protocol)
{
	sp_crew_start(&near, protocol, n->near, 0, WORKERS, NULL);
	sp_crew_start(&far, protocol, n->far, near.port, 0, NULL);
	for (unsigned int id = WORKERS; id < 2 * WORKERS; id++)
		sp_crew_add(&far, id);
}

static bool is_of(int owner, const struct sp_crew *crew)
{
	return crew == &near ? owner >= 0 && owner < WORKERS : owner >= WORKERS && owner < 2 * WORKERS;
}

/* Asks on new flows; every one must be answered by this group. */
static void require_all_from(const struct sp_crew *crew, const char *to)
{
	struct sp_crowd crowd;
	int owners[FLOWS];

	sp_crowd_open(&crowd, crew, to, NULL, source, FLOWS);
	source += FLOWS;
	if (crew->protocol == SP_UDP)
		sp_crowd_ask(&crowd, owners);
	else
		sp_crowd_answers(&crowd, owners);
	for (size_t i = 0; i < FLOWS; i++) {
		if (!is_of(owners[i], crew))
			fail_msg("%s asked at %s: worker %d answers", crew->endpoint, to, owners[i]);
	}
	sp_crowd_close(&crowd);
}

/* TCP asks once more where a connection has ended: at least. */
static void require_counted(const char *name, json_int_t flows)
{
	json_int_t count = sp_counters_outcomes(name);

	if (near.protocol == SP_UDP)
		assert_int_equal(count, flows);
	else
		assert_true(count >= flows);
}

static void check_both_steered(const struct neighbours *n, enum sp_protocol protocol)
{
	json_int_t far_flows = 0;

	start(n, protocol);
	sp_run("attach", "near", near.endpoint);
	sp_run("attach", "far", far.endpoint);
	assert_int_equal(sp_status_int("near", "enrolled"), WORKERS);
	assert_int_equal(sp_status_int("far", "enrolled"), WORKERS);

	require_all_from(&near, n->to);
	require_counted("near", FLOWS);
	assert_int_equal(sp_counters_outcomes("far"), 0);
	require_all_from(&far, n->also_far);
	far_flows += FLOWS;
	require_counted("far", far_flows);

	sp_crew_kill(&near, VICTIM);
	require_all_from(&near, n->to);
	if (protocol == SP_UDP)
		require_counted("far", far_flows);
	for (unsigned int id = 0; id < WORKERS; id++) {
		if (id != VICTIM)
			sp_crew_kill(&near, id);
	}
	require_all_from(&far, n->to);
	far_flows += FLOWS;
	require_counted("far", far_flows);
	assert_int_equal(sp_status_int("near", "members"), 0);

	sp_crew_add(&near, VICTIM);
	sp_run("sync", "near");
	require_all_from(&near, n->to);
	require_all_from(&far, n->also_far);
	sp_run("detach", "near");
	sp_run("detach", "far");
	sp_crew_dismiss(&near);
	sp_crew_dismiss(&far);
}

static void check_one_steered(const struct neighbours *n, enum sp_protocol protocol)
{
	start(n, protocol);
	sp_run("attach", "near", near.endpoint);
	require_all_from(&near, n->to);
	require_all_from(&far, n->also_far);
	require_counted("near", FLOWS);
	sp_run("detach", "near");
	sp_run("attach", "far", far.endpoint);
	require_all_from(&near, n->to);
	assert_int_equal(sp_counters_outcomes("far"), 0);
	require_all_from(&far, n->also_far);
	require_counted("far", FLOWS);
	sp_run("detach", "far");
	sp_crew_dismiss(&near);
	sp_crew_dismiss(&far);
}

#define EACH(check, protocol)                                             \
	do {                                                              \
		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) \
			check(&all[i], protocol);                         \
	} while (0)

static void e2e__two_udp_groups_on_one_port__each_keeps_to_its_address(void **state)
{
	(void)state;
	EACH(check_both_steered, SP_UDP);
}

static void e2e__two_tcp_groups_on_one_port__each_keeps_to_its_address(void **state)
{
	(void)state;
	EACH(check_both_steered, SP_TCP);
}

static void e2e__one_of_two_udp_groups_is_steered__the_other_is_not_touched(void **state)
{
	(void)state;
	EACH(check_one_steered, SP_UDP);
}

static void e2e__one_of_two_tcp_groups_is_steered__the_other_is_not_touched(void **state)
{
	(void)state;
	EACH(check_one_steered, SP_TCP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_teardown(name, sp_run_teardown)
		CASE(e2e__two_udp_groups_on_one_port__each_keeps_to_its_address),
		CASE(e2e__two_tcp_groups_on_one_port__each_keeps_to_its_address),
		CASE(e2e__one_of_two_udp_groups_is_steered__the_other_is_not_touched),
		CASE(e2e__one_of_two_tcp_groups_is_steered__the_other_is_not_touched),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
