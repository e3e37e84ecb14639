// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The parking socket: connections that find no worker wait for one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include "fixture.h"
#include "foreign.h"
#include "group.h"
#include "park.h"
#include "steer.h"

#define CONNECTIONS 100 /* before the gap, during it, and after it */
#define WORKERS 4
#define PATIENCE_NS (3600 * 1000000000ULL) /* no case outlives it */
#define SHORT_NS 300000000ULL
#define NOBODY 65534
#define ROUNDS 30
#define MIGRATE_SYSCTL "/proc/sys/net/ipv4/tcp_migrate_req"

/* --- the daemon, played by this process --- */

static enum sp_park_action update_seeing(struct sp_fixture *fx, struct sp_park *park, bool is_attached,
					 __u32 live)
{
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autoclose int lock = -1;
	enum sp_park_action action;
	__u32 id;

	sp_fixture_look(fx);
	require_ok(sp_pin_lock(SP_FIXTURE_BPFFS, &lock));
	require_ok(sp_steer_program_id(&fx->pins, &id));
	require_ok(sp_members_scan(0, &groups));
	action = sp_park_update(park, &fx->pins, sp_group_at(groups, &fx->state->ctl, id), is_attached, live);
	sp_fixture_look(fx);
	return action;
}

/* After sp_fixture_attach() or sp_fixture_sync(). */
static enum sp_park_action update(struct sp_fixture *fx, struct sp_park *park)
{
	return update_seeing(fx, park, true, fx->result.live);
}

static struct sp_park *new_park(__u64 patience_ns)
{
	struct sp_park *park;

	require_ok(sp_park_new(SP_FIXTURE_NAME, SP_TCP, patience_ns, &park));
	return park;
}

static void require_parking(struct sp_fixture *fx, const struct sp_park *park, __u32 waiting)
{
	const struct sp_info *info = &fx->state->info[SP_SLOT_PARK];

	assert_true(sp_park_fd(park) >= 0);
	assert_int_equal(fcntl(sp_park_fd(park), F_GETFD), FD_CLOEXEC);
	assert_int_equal(info->state, SP_SLOT_PARKED);
	assert_int_equal(info->pid, getpid());
	assert_int_equal(info->cookie, sp_fixture_cookie(sp_park_fd(park)));
	assert_int_equal(fx->state->cookie[SP_SLOT_PARK], info->cookie);
	assert_int_equal(sp_park_waiting(park), waiting);
}

static void require_no_parking(struct sp_fixture *fx, const struct sp_park *park)
{
	sp_fixture_look(fx);
	assert_int_equal(sp_park_fd(park), -1);
	assert_int_equal(sp_park_waiting(park), 0);
	assert_int_equal(sp_park_next_ns(park), 0);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_FREE);
	assert_int_equal(fx->state->cookie[SP_SLOT_PARK], 0);
}

static void require_all_from(struct sp_fixture *fx, struct sp_flow_set *set, __u32 id)
{
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, id), set->count);
}

/* Connections that nobody answers yet. */
static struct sp_flow_set *queue(struct sp_fixture *fx)
{
	bool before = fx->is_paused;
	struct sp_flow_set *set;

	fx->is_paused = true;
	set = sp_fixture_flows(fx, CONNECTIONS);
	fx->is_paused = before;
	return set;
}

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
		return update(fx, park);
	go_home(&away);
	action = update(fx, park);
	assert_int_equal(setns(away, CLONE_NEWNET), 0);
	return action;
}

static void restart_the_only_worker(struct sp_fixture *fx)
{
	struct sp_park *park = new_park(PATIENCE_NS);
	struct sp_flow_set *before, *during, *after;
	__u32 worker;

	fx->is_paused = true;
	sp_fixture_join(fx);
	sp_fixture_attach(fx);
	assert_int_equal(update_from_home(fx, park), SP_PARK_OPEN);
	require_parking(fx, park, 0);
	before = queue(fx);
	assert_int_equal(sp_park_waiting(park), 0);

	sp_fixture_kill(fx, 0);
	assert_int_equal(sp_park_waiting(park), CONNECTIONS);
	during = queue(fx);
	assert_int_equal(sp_park_waiting(park), 2 * CONNECTIONS);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.live, 0);
	assert_int_equal(fx->result.size, 0);
	assert_int_equal(update_from_home(fx, park), SP_PARK_KEEP);
	require_parking(fx, park, 2 * CONNECTIONS);

	fx->is_paused = false;
	worker = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, 1);
	assert_int_equal(fx->result.nenrolled, 1);
	assert_int_equal(sp_fixture_slot(fx, worker), 0);
	assert_int_equal(update_from_home(fx, park), SP_PARK_RENEW);
	require_parking(fx, park, 0);
	after = sp_fixture_flows(fx, CONNECTIONS);

	require_all_from(fx, before, worker);
	require_all_from(fx, during, worker);
	assert_int_equal(sp_fixture_count(after, worker), CONNECTIONS);
	assert_int_equal(sp_park_waiting(park), 0);
	/* A hundred left the worker that died, two hundred the parking socket. */
	assert_int_equal(sp_fixture_sum(fx, migrated), 3 * CONNECTIONS);
	sp_require_asked(fx, sp_fixture_sum(fx, parked), CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);

	sp_park_close(park, &fx->pins, true);
	require_no_parking(fx, park);
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
	struct sp_park *park = new_park(PATIENCE_NS);
	struct sp_flow_set *set;
	__u32 short_lived, worker;

	sp_fixture_attach(fx);
	assert_int_equal(update(fx, park), SP_PARK_OPEN);
	sp_fixture_kill(fx, 0);
	sp_fixture_sync(fx);
	assert_int_equal(update(fx, park), SP_PARK_KEEP);
	set = queue(fx);
	short_lived = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_fixture_kill(fx, short_lived);
	/* Nobody has noticed yet. */
	update(fx, park);
	require_parking(fx, park, CONNECTIONS);
	sp_fixture_sync(fx);
	assert_int_equal(update(fx, park), SP_PARK_KEEP);
	require_parking(fx, park, CONNECTIONS);

	worker = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(update(fx, park), SP_PARK_RENEW);
	require_all_from(fx, set, worker);
	sp_park_close(park, &fx->pins, true);
	sp_park_free(&park);
}

static void park__worker_of_several_dies__nothing_waits_there(struct sp_fixture *fx)
{
	struct sp_park *park = new_park(PATIENCE_NS);
	struct sp_flow_set *set;
	__u64 cookie;

	sp_fixture_attach(fx);
	assert_int_equal(update(fx, park), SP_PARK_OPEN);
	cookie = sp_fixture_cookie(sp_park_fd(park));
	set = sp_fixture_flows(fx, CONNECTIONS);
	sp_fixture_kill(fx, 1);
	assert_int_equal(sp_park_waiting(park), 0);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	sp_fixture_round(fx, set);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, WORKERS - 1);
	assert_int_equal(update(fx, park), SP_PARK_KEEP);
	assert_int_equal(sp_fixture_cookie(sp_park_fd(park)), cookie);
	for (__u32 id = 2; id < WORKERS; id++)
		sp_fixture_kill(fx, id);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, 0), CONNECTIONS);
	require_parking(fx, park, 0);
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
	struct sp_park *park = new_park(SHORT_NS);
	struct sp_lab_flows late = SP_LAB_NO_FLOWS;
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	assert_int_equal(update(fx, park), SP_PARK_OPEN);
	assert_int_equal(sp_park_next_ns(park), 0);
	sp_fixture_kill(fx, 0);
	set = queue(fx);
	sp_fixture_sync(fx);
	assert_int_equal(update(fx, park), SP_PARK_KEEP);
	assert_in_range(sp_park_next_ns(park), sp_now_ns() + 1, sp_now_ns() + SHORT_NS);
	sleep_until(sp_park_next_ns(park));
	assert_int_equal(update(fx, park), SP_PARK_EXPIRE);
	require_no_parking(fx, park);
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, SP_LAB_RESET), CONNECTIONS);
	assert_int_equal(sp_lab_open(SP_TCP, &fx->target, fx->port, 0, 1, SP_FIXTURE_PATIENCE_MS, &late),
			 -ECONNREFUSED);
	/* The group is gone with its last member. */
	sp_fixture_sync(fx);
	assert_int_equal(update(fx, park), SP_PARK_KEEP);
	require_no_parking(fx, park);
	sp_park_free(&park);
}

/*
 * The only worker has died, connections wait in the parking socket, and the next worker is enrolled: the daemon has
 * yet to hand them over.
 */
static struct sp_flow_set *wait_for_handover(struct sp_fixture *fx, struct sp_park *park, __u32 *ret_worker)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	assert_int_equal(update(fx, park), SP_PARK_OPEN);
	sp_fixture_kill(fx, 0);
	set = queue(fx);
	*ret_worker = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	require_parking(fx, park, CONNECTIONS);
	return set;
}

/* --- the program goes --- */

/* As `steadyport detach` does it, in another process. */
static void park__detached_by_a_command__waiting_connections_are_served_first(struct sp_fixture *fx)
{
	struct sp_park *park = new_park(PATIENCE_NS);
	sp_autogroups struct sp_groups *groups = NULL;
	struct pollfd hung_up = { 0 };
	struct sp_flow_set *set;
	__u32 worker;
	pid_t command;
	int status;

	set = wait_for_handover(fx, park, &worker);

	require_ok(sp_members_scan(0, &groups));
	command = fork();
	assert_true(command >= 0);
	if (command == 0) {
		/* It holds what it was forked with: only stopping the socket helps, closing would not. */
		_exit(sp_park_stop(fx->pins.slots, fx->pins.info, groups) ? 1 : 0);
	}
	assert_int_equal(waitpid(command, &status, 0), command);
	assert_int_equal(status, 0);
	require_all_from(fx, set, worker);
	hung_up.fd = sp_park_fd(park);
	assert_int_equal(poll(&hung_up, 1, 0), 1);
	assert_true(hung_up.revents & POLLHUP);

	/* Nothing of ours is in the kernel's hash. */
	sp_groups_free(&groups);
	require_ok(sp_members_scan(0, &groups));
	{
		sp_autoclose int socket = -1;

		require_ok(sp_group_any_socket(sp_group_at(groups, &fx->state->ctl, 0), &socket));
		require_ok(sp_group_detach(socket));
	}
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, worker), CONNECTIONS);
	assert_int_equal(update_seeing(fx, park, false, 1), SP_PARK_KEEP);
	require_no_parking(fx, park);
	sp_park_free(&park);
}

static char read_sysctl(void)
{
	sp_autoclose int fd = open(MIGRATE_SYSCTL, O_RDONLY | O_CLOEXEC);
	char value = 0;

	assert_int_equal(read(fd, &value, 1), 1);
	return value;
}

/* Behind the daemon's back: its socket gets a share, is told by that, and hands it over without the program. */
static void lose_program(struct sp_fixture *fx, int program)
{
	struct sp_park *park = new_park(PATIENCE_NS);
	struct pollfd readable = { .events = POLLIN };
	sp_autogroups struct sp_groups *groups = NULL;
	struct sp_flow_set *set;
	__u32 misled;

	sp_fixture_attach(fx);
	assert_int_equal(update(fx, park), SP_PARK_OPEN);
	readable.fd = sp_park_fd(park);
	require_ok(sp_members_scan(0, &groups));
	{
		const struct sp_member *worker = sp_groups_member(groups, fx->workers[0].cookie);
		sp_autoclose int socket = -1;

		require_ok(sp_group_socket(worker, &socket));
		require_ok(program < 0 ? sp_group_detach(socket) : sp_group_attach(socket, program));
	}
	assert_int_equal(poll(&readable, 1, 0), 0);
	set = queue(fx);
	misled = sp_park_waiting(park);
	assert_in_range(misled, 1, CONNECTIONS - 1);
	assert_int_equal(poll(&readable, 1, SP_FIXTURE_PATIENCE_MS), 1);
	assert_int_equal(read_sysctl(), '0');

	assert_int_equal(update_seeing(fx, park, false, WORKERS), SP_PARK_LEAVE);
	require_no_parking(fx, park);
	assert_int_equal(read_sysctl(), '0');
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	for (size_t i = 0; i < set->count; i++)
		assert_in_range(set->owners[i], 0, WORKERS - 1);
	sp_fixture_round(fx, set);
	for (size_t i = 0; i < set->count; i++)
		assert_in_range(set->owners[i], 0, WORKERS - 1);
	sp_park_free(&park);
}

static void park__program_is_replaced__socket_is_left_and_nothing_is_lost(struct sp_fixture *fx)
{
	lose_program(fx, sp_fixture_own(fx, sp_foreign_load("foreign")));
}

static void park__program_is_detached_by_a_member__socket_is_left_and_nothing_is_lost(struct sp_fixture *fx)
{
	lose_program(fx, -1);
}

/* --- the daemon dies --- */

/* Its last act is the kernel's: what waits goes to whoever is in a slot. */
static void park__daemon_dies_when_a_worker_is_enrolled__its_connections_are_served(struct sp_fixture *fx)
{
	struct sp_park *park = new_park(PATIENCE_NS);
	struct sp_flow_set *set;
	__u32 worker;

	set = wait_for_handover(fx, park, &worker);
	sp_park_free(&park);
	require_all_from(fx, set, worker);
}

static void
park__daemon_dies_in_the_gap__its_connections_die_with_it_and_the_group_returns(struct sp_fixture *fx)
{
	struct sp_park *park = new_park(PATIENCE_NS);
	struct sp_flow_set *set;
	__u32 worker;

	sp_fixture_attach(fx);
	assert_int_equal(update(fx, park), SP_PARK_OPEN);
	sp_fixture_kill(fx, 0);
	set = queue(fx);
	sp_park_free(&park);
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, SP_LAB_RESET), CONNECTIONS);

	worker = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_FREE);
	assert_true(fx->result.did_attach);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, worker), CONNECTIONS);
}

/* At any of its steps. Whoever has the lock next must find nothing that looks like a worker. */
static void park__daemon_is_killed_while_opening__nothing_is_enrolled(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;

	sp_fixture_attach(fx);
	require_ok(sp_members_scan(0, &groups));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		const struct timespec delay = { .tv_nsec = 20000 * round };
		int ready[2], status;
		char byte;
		pid_t daemon;

		assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
		daemon = fork();
		assert_true(daemon >= 0);
		if (daemon == 0) {
			struct sp_park *park = new_park(PATIENCE_NS);
			int lock;

			require_ok(sp_pin_lock(SP_FIXTURE_BPFFS, &lock));
			if (write(ready[1], "", 1) != 1)
				_exit(1);
			for (;;) {
				sp_park_update(park, &fx->pins, sp_group_at(groups, &fx->state->ctl, 0), true,
					       1);
				sp_park_close(park, &fx->pins, true);
			}
		}
		close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		nanosleep(&delay, NULL);
		assert_int_equal(kill(daemon, SIGKILL), 0);
		/* Not waited for: the lock is free before the sockets of the dead are closed. */
		sp_fixture_sync(fx);
		assert_int_equal(fx->result.nenrolled, 0);
		assert_int_equal(fx->result.live, 1);
		assert_int_equal(waitpid(daemon, &status, 0), daemon);
		assert_true(WIFSIGNALED(status));
	}
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, 1);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_FREE);
	for (__u32 slot = 1; slot < SP_SLOTS_MAX; slot++)
		assert_int_equal(fx->state->info[slot].state, SP_SLOT_FREE);
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
	struct sp_park *park = new_park(PATIENCE_NS);
	struct crowd crowd = { .count = 0 };

	add_members(fx, &crowd, SP_SLOTS_MAX - 1);
	sp_fixture_attach(fx);
	assert_int_equal(update(fx, park), SP_PARK_OPEN);
	add_members(fx, &crowd, 1);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, SP_SLOTS_MAX);
	assert_int_equal(fx->result.live, SP_SLOTS_MAX);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_LIVE);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].weight, SP_WEIGHT_DEFAULT);

	/* There is no room for another one, also when the worker is dead: the slot is its successor's. */
	assert_int_equal(update(fx, park), SP_PARK_KEEP);
	assert_int_equal(sp_park_fd(park), -1);
	close(crowd.fds[--crowd.count]);
	sp_fixture_sync(fx);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_DEAD);
	assert_int_equal(update(fx, park), SP_PARK_KEEP);
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
	assert_int_equal(sp_park_new("dns", SP_UDP, PATIENCE_NS, &park), -EOPNOTSUPP);
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
		SP_CASE(park__detached_by_a_command__waiting_connections_are_served_first,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = 1),
		SP_CASE(park__program_is_replaced__socket_is_left_and_nothing_is_lost,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(park__program_is_detached_by_a_member__socket_is_left_and_nothing_is_lost,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(park__daemon_dies_when_a_worker_is_enrolled__its_connections_are_served,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__daemon_dies_in_the_gap__its_connections_die_with_it_and_the_group_returns,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__daemon_is_killed_while_opening__nothing_is_enrolled, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__a_worker_needs_its_slot__the_worker_gets_it, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(park__udp_group__is_refused, .protocols = SP_CASE_UDP, .places = SP_PLACE_V4),
	};

	return sp_fixture_main("park", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
