// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The parking socket: connections that find no worker wait for one. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include "fixture.h"
#include "group.h"
#include "park.h"
#include "parking.h"

#define WORKERS 4
#define SHORT_NS 300000000ULL
#define NOBODY 65534

/* --- the only worker restarts --- */

static int home = -1; /* where the daemon is, if the group is in another network namespace */

static void go_home(int *away)
{
	*away = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(*away >= 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
}

static enum sp_park_action update_from_home(struct sp_fixture *fx, struct sp_park *park)
{
	sp_autoclose int away = -1;
	enum sp_park_action action;

	if (home < 0)
		return sp_parking_pass(fx, park);
	go_home(&away);
	action = sp_parking_pass(fx, park);
	assert_int_equal(setns(away, CLONE_NEWNET), 0);
	return action;
}

static void restart_the_only_worker(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	struct sp_flow_set *before, *during, *after;
	__u32 worker;

	fx->is_paused = true;
	sp_fixture_join(fx);
	sp_fixture_attach(fx);
	assert_int_equal(update_from_home(fx, park), SP_PARK_OPEN);
	sp_require_parking(fx, park, 0);
	before = sp_parking_queue(fx);
	assert_int_equal(sp_park_waiting(park), 0);

	sp_fixture_kill(fx, 0);
	assert_int_equal(sp_park_waiting(park), SP_PARKING_CONNECTIONS);
	during = sp_parking_queue(fx);
	assert_int_equal(sp_park_waiting(park), 2 * SP_PARKING_CONNECTIONS);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.live, 0);
	assert_int_equal(fx->result.size, 0);
	assert_int_equal(update_from_home(fx, park), SP_PARK_KEEP);
	sp_require_parking(fx, park, 2 * SP_PARKING_CONNECTIONS);

	fx->is_paused = false;
	worker = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, 1);
	assert_int_equal(fx->result.nenrolled, 1);
	assert_int_equal(sp_fixture_slot(fx, worker), 0);
	assert_int_equal(update_from_home(fx, park), SP_PARK_RENEW);
	sp_require_parking(fx, park, 0);
	after = sp_fixture_flows(fx, SP_PARKING_CONNECTIONS);

	sp_require_all_from(fx, before, worker);
	sp_require_all_from(fx, during, worker);
	assert_int_equal(sp_fixture_count(after, worker), SP_PARKING_CONNECTIONS);
	assert_int_equal(sp_park_waiting(park), 0);
	/* A hundred left the worker that died, two hundred the parking socket. */
	assert_int_equal(sp_fixture_sum(fx, migrated), 3 * SP_PARKING_CONNECTIONS);
	sp_require_asked(fx, sp_fixture_sum(fx, parked), SP_PARKING_CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);

	sp_park_close(park, &fx->pins, true);
	sp_require_no_parking(fx, park);
	sp_park_free(&park);
}

static void park__only_worker_is_killed_and_comes_back__300_of_300_are_answered(struct sp_fixture *fx)
{
	restart_the_only_worker(fx);
}

static void park__group_of_another_user__300_of_300_are_answered(struct sp_fixture *fx)
{
	fx->options.uid = NOBODY;
	restart_the_only_worker(fx);
	assert_int_equal(fx->state->ctl.uid, NOBODY);
}

static void park__group_in_another_netns__300_of_300_are_answered(struct sp_fixture *fx)
{
	home = sp_fixture_own(fx, open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	require_ok(sp_lab_bring_up_loopback());
	restart_the_only_worker(fx);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	home = -1;
}

static void park__worker_dies_before_the_handover__connections_wait_for_the_next(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	struct sp_flow_set *set;
	__u32 short_lived, worker;

	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_OPEN);
	sp_fixture_kill(fx, 0);
	sp_fixture_sync(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_KEEP);
	set = sp_parking_queue(fx);
	short_lived = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_fixture_kill(fx, short_lived);
	/* Nobody has noticed yet. */
	sp_parking_pass(fx, park);
	sp_require_parking(fx, park, SP_PARKING_CONNECTIONS);
	sp_fixture_sync(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_KEEP);
	sp_require_parking(fx, park, SP_PARKING_CONNECTIONS);

	worker = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_RENEW);
	sp_require_all_from(fx, set, worker);
	sp_park_close(park, &fx->pins, true);
	sp_park_free(&park);
}

static void park__worker_of_several_dies__nothing_waits_there(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	struct sp_flow_set *set;
	__u64 cookie;

	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_OPEN);
	cookie = sp_fixture_cookie(sp_park_fd(park));
	set = sp_fixture_flows(fx, SP_PARKING_CONNECTIONS);
	sp_fixture_kill(fx, 1);
	assert_int_equal(sp_park_waiting(park), 0);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	sp_fixture_round(fx, set);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, WORKERS - 1);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_KEEP);
	assert_int_equal(sp_fixture_cookie(sp_park_fd(park)), cookie);
	for (__u32 id = 2; id < WORKERS; id++)
		sp_fixture_kill(fx, id);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, 0), SP_PARKING_CONNECTIONS);
	sp_require_parking(fx, park, 0);
	assert_int_equal(sp_fixture_sum(fx, parked), 0);
	sp_park_close(park, &fx->pins, true);
	sp_park_free(&park);
}

/* --- nobody comes --- */

static void sleep_until(__u64 ns)
{
	const struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
}

static void park__no_worker_comes__connections_fail_as_they_would_have(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SHORT_NS);
	struct sp_lab_flows late = SP_LAB_NO_FLOWS;
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_OPEN);
	assert_int_equal(sp_park_next_ns(park), 0);
	sp_fixture_kill(fx, 0);
	set = sp_parking_queue(fx);
	sp_fixture_sync(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_KEEP);
	assert_in_range(sp_park_next_ns(park), sp_now_ns() + 1, sp_now_ns() + SHORT_NS);
	sleep_until(sp_park_next_ns(park));
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_EXPIRE);
	sp_require_no_parking(fx, park);
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, SP_LAB_RESET), SP_PARKING_CONNECTIONS);
	assert_int_equal(sp_lab_open(SP_TCP, &fx->target, fx->port, 0, 1, SP_FIXTURE_PATIENCE_MS, &late),
			 -ECONNREFUSED);
	/* The group is gone with its last member. */
	sp_fixture_sync(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_KEEP);
	sp_require_no_parking(fx, park);
	sp_park_free(&park);
}

/* --- whom it is not for --- */

/* Members that this process holds itself: a thousand processes would say no more. */
struct crowd {
	int fds[SP_SLOTS_MAX];
	size_t count;
};

static void add_members(struct sp_fixture *fx, struct crowd *crowd, size_t count)
{
	struct sockaddr_storage own;
	socklen_t len = sp_address_to_sockaddr(&fx->address, fx->port, &own);
	int one = 1;

	require_ok(sp_lab_reserve_files(SP_SLOTS_MAX + 100));
	for (size_t i = 0; i < count; i++) {
		int fd = socket(fx->address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0);
		crowd->fds[crowd->count++] = fd;
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&own, len), 0);
		assert_int_equal(listen(fd, 16), 0);
	}
}

static void park__a_worker_needs_its_slot__the_worker_gets_it(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	struct crowd crowd = { .count = 0 };

	add_members(fx, &crowd, SP_SLOTS_MAX - 1);
	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_OPEN);
	add_members(fx, &crowd, 1);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, SP_SLOTS_MAX);
	assert_int_equal(fx->result.live, SP_SLOTS_MAX);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_LIVE);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].weight, SP_WEIGHT_DEFAULT);

	/* There is no room for another one, also when the worker is dead: the slot is its successor's. */
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_KEEP);
	assert_int_equal(sp_park_fd(park), -1);
	close(crowd.fds[--crowd.count]);
	sp_fixture_sync(fx);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_DEAD);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_KEEP);
	assert_int_equal(sp_park_fd(park), -1);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_DEAD);
	while (crowd.count)
		close(crowd.fds[--crowd.count]);
	sp_park_free(&park);
}

static void park__udp_group__is_refused(struct sp_fixture *fx)
{
	struct sp_park *park = NULL;

	(void)fx;
	assert_int_equal(sp_park_new("dns", SP_UDP, SP_PARKING_PATIENCE_NS, &park), -EOPNOTSUPP);
	assert_null(park);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(park__only_worker_is_killed_and_comes_back__300_of_300_are_answered,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_ALL),
		SP_CASE(park__group_of_another_user__300_of_300_are_answered, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY),
		SP_CASE(park__group_in_another_netns__300_of_300_are_answered, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4 | SP_PLACE_V6),
		SP_CASE(park__worker_dies_before_the_handover__connections_wait_for_the_next,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__worker_of_several_dies__nothing_waits_there, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY, .workers = WORKERS, .is_paused = true),
		SP_CASE(park__no_worker_comes__connections_fail_as_they_would_have, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY, .workers = 1),
		SP_CASE(park__a_worker_needs_its_slot__the_worker_gets_it, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(park__udp_group__is_refused, .protocols = SP_CASE_UDP, .places = SP_PLACE_V4),
	};

	return sp_fixture_main("park", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
