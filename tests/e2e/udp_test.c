// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* UDP, the whole story: attached live, workers killed, restarted, enrolled, over every kind of address. */
#include <string.h>
#include "cleanup.h"
#include "run.h"

#define WORKERS 8
#define FLOWS 4000
#define NEW_FLOWS 2000
#define SEED "00112233445566778899aabbccddeeff"

static const unsigned int victims[] = { 1, 4, 6 };

/* One group and its flows. All take the same steps side by side, so that their learn windows overlap. */
struct place {
	const char *name, *address, *to, *also_to;
	struct sp_crew crew;
	struct sp_crowd crowd;
	int before[FLOWS], after[FLOWS];
};

static struct place places[] = {
	{ .name = "ipv4", .address = "127.0.0.1", .to = "127.0.0.1" },
	{ .name = "ipv6", .address = "::1", .to = "::1" },
	{ .name = "dual-stack", .address = "::", .to = "::1", .also_to = "127.0.0.1" },
};

#define for_each_place(p) for (struct place *p = places; p < places + SP_ARRAY_SIZE(places); p++)

/* Source ports are given and the key is, too: the same flows take the same way in every run. */
static __u16 source_port(const struct place *p, size_t first)
{
	return 8000 + (p - places) * (FLOWS + NEW_FLOWS) + first;
}

static void count_owners(const int *owners, size_t count, size_t ret[WORKERS])
{
	memset(ret, 0, WORKERS * sizeof(*ret));
	for (size_t i = 0; i < count; i++)
		ret[owners[i]]++;
}

static void attach_live(struct place *p)
{
	sp_crew_start(&p->crew, SP_UDP, p->address, 0, WORKERS, NULL);
	sp_crowd_open(&p->crowd, &p->crew, p->to, p->also_to, source_port(p, 0), FLOWS);
	sp_crowd_ask(&p->crowd, p->before);
	sp_run("attach", p->name, p->crew.endpoint, "--seed", SEED);
	sp_crowd_stays(&p->crowd, &p->crew, p->before, p->after);
}

static bool was_killed(int id)
{
	for (size_t v = 0; v < SP_ARRAY_SIZE(victims); v++) {
		if ((int)victims[v] == id)
			return true;
	}
	return false;
}

/* A flow that a dead worker had goes on to a living one; if that dies, too, to the next. */
static void kill_one_after_another(struct place *p)
{
	size_t heirs[WORKERS] = { 0 }, orphans = 0, survivors = WORKERS - SP_ARRAY_SIZE(victims);

	for (size_t v = 0; v < SP_ARRAY_SIZE(victims); v++) {
		int now[FLOWS];

		sp_crew_kill(&p->crew, victims[v]);
		assert_int_equal(sp_status_int(p->name, "members"), WORKERS - v - 1);
		assert_int_equal(sp_status_int(p->name, "enrolled"), WORKERS - v - 1);
		sp_crowd_stays(&p->crowd, &p->crew, v ? p->after : p->before, now);
		memcpy(p->after, now, sizeof(now));
	}

	for (size_t i = 0; i < FLOWS; i++) {
		if (!was_killed(p->before[i]))
			continue;
		orphans++;
		heirs[p->after[i]]++;
	}
	for (unsigned int id = 0; id < WORKERS; id++) {
		double even = (double)orphans / survivors;

		if (was_killed(id))
			continue;
		if (heirs[id] < 0.75 * even || heirs[id] > 1.25 * even)
			print_error("%s: worker %u took %zu of %zu flows of the dead; even were %.0f\n",
				    p->name, id, heirs[id], orphans, even);
		assert_in_range(heirs[id], (size_t)(0.75 * even), (size_t)(1.25 * even));
	}
}

static void restart_and_enrol(struct place *p)
{
	for (size_t v = 0; v < SP_ARRAY_SIZE(victims); v++)
		sp_crew_add(&p->crew, victims[v]);
	sp_run("sync", p->name);
	assert_int_equal(sp_status_int(p->name, "enrolled"), WORKERS);
	memcpy(p->before, p->after, sizeof(p->before));
	sp_crowd_stays(&p->crowd, &p->crew, p->before, p->after);
}

static void give_newcomers_their_share(struct place *p)
{
	struct sp_crowd newcomers;
	int owners[NEW_FLOWS];
	size_t has[WORKERS];

	sp_crowd_stays(&p->crowd, &p->crew, p->before, p->after);
	sp_run("sync", p->name);
	sp_crowd_stays(&p->crowd, &p->crew, p->before, p->after);

	sp_crowd_open(&newcomers, &p->crew, p->to, p->also_to, source_port(p, FLOWS), NEW_FLOWS);
	sp_crowd_ask(&newcomers, owners);
	count_owners(owners, NEW_FLOWS, has);
	for (size_t v = 0; v < SP_ARRAY_SIZE(victims); v++)
		assert_true(has[victims[v]] >= NEW_FLOWS / WORKERS / 2);
	sp_crowd_close(&newcomers);
	sp_crowd_stays(&p->crowd, &p->crew, p->before, p->after);
}

static void e2e__udp_8_workers_4000_flows__only_those_of_dead_workers_move(void **state)
{
	(void)state;
	for_each_place(p) attach_live(p);
	for_each_place(p) sp_status_wait_settled(p->name);
	for_each_place(p) sp_crowd_stays(&p->crowd, &p->crew, p->before, p->after);
	for_each_place(p) kill_one_after_another(p);
	for_each_place(p) restart_and_enrol(p);
	for_each_place(p) sp_status_wait_settled(p->name);
	for_each_place(p) give_newcomers_their_share(p);
	for_each_place(p) sp_crowd_close(&p->crowd);
}

/* The same deaths while the flows are still being learned: two views are in force then. */
static void e2e__workers_killed_in_the_learn_window__survivors_flows_stay(void **state)
{
	static struct sp_crew crew;
	static int before[FLOWS], after[FLOWS], later[FLOWS];
	struct sp_crowd crowd;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 8000, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_run("attach", "early", crew.endpoint, "--learn", "1h");
	sp_crew_kill(&crew, 3);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crew_kill(&crew, 0);
	sp_crowd_stays(&crowd, &crew, after, later);
	sp_crew_add(&crew, 3);
	sp_crew_add(&crew, 0);
	sp_run("sync", "early");
	sp_crowd_stays(&crowd, &crew, later, after);
	assert_true(sp_status_bool("early", "learning"));
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__udp_8_workers_4000_flows__only_those_of_dead_workers_move,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__workers_killed_in_the_learn_window__survivors_flows_stay,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
