// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The parking socket when what it relies on goes: the program, the daemon, or the worker that it is like. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include "acks.h"
#include "fixture.h"
#include "foreign.h"
#include "group.h"
#include "losses.h"
#include "park.h"
#include "parking.h"

#define WORKERS 4
#define ROUNDS 30
#define RACES 2000
#define STEPS 64 /* moments of a race, from the beginning of what is raced to twice its length */
#define MIGRATE_SYSCTL "/proc/sys/net/ipv4/tcp_migrate_req"

/* --- the program goes --- */

/* As `steadyport detach` does it, in another process. */
static void park__detached_by_a_command__waiting_connections_are_served_first(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	sp_autogroups struct sp_groups *groups = NULL;
	struct pollfd hung_up = { 0 };
	struct sp_flow_set *set;
	__u32 worker;
	pid_t command;
	int status;

	set = sp_parking_handover(fx, park, &worker);

	require_ok(sp_members_scan(0, &groups));
	command = fork();
	assert_true(command >= 0);
	if (command == 0) {
		/* It holds what it was forked with: only stopping the socket helps, closing would not. */
		_exit(sp_park_stop(fx->pins.slots, fx->pins.info, groups) ? 1 : 0);
	}
	assert_int_equal(waitpid(command, &status, 0), command);
	assert_int_equal(status, 0);
	sp_require_all_from(fx, set, worker);
	hung_up.fd = sp_park_fd(park);
	assert_int_equal(poll(&hung_up, 1, 0), 1);
	assert_true(hung_up.revents & POLLHUP);

	/* The scan is of the time before: its first member is the socket that was stopped. */
	{
		sp_autoclose int socket = -1;

		require_ok(sp_group_any_socket(sp_group_at(groups, &fx->state->ctl, 0), &socket));
		require_ok(sp_group_detach(socket));
	}
	/* Nothing of ours is in the kernel's hash. */
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, worker), SP_PARKING_CONNECTIONS);
	assert_int_equal(sp_parking_pass_seeing(fx, park, false, 1), SP_PARK_KEEP);
	sp_require_no_parking(fx, park);
	sp_park_free(&park);
}

static char read_sysctl(void)
{
	sp_autoclose int fd = open(MIGRATE_SYSCTL, O_RDONLY | O_CLOEXEC);
	char value = 0;

	assert_int_equal(read(fd, &value, 1), 1);
	return value;
}

/* As the owner of a member does it; -1: takes ours off. */
static void replace_program(struct sp_fixture *fx, int program)
{
	sp_autoclose int socket = sp_fixture_borrow(fx, 0);

	require_ok(program < 0 ? sp_group_detach(socket) : sp_group_attach(socket, program));
}

/* Behind the daemon's back: its socket gets a share, is told by that, and hands it over without the program. */
static void lose_program(struct sp_fixture *fx, int program)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	struct pollfd readable = { .events = POLLIN };
	struct sp_flow_set *set;
	__u32 misled;

	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_OPEN);
	readable.fd = sp_park_fd(park);
	replace_program(fx, program);
	assert_int_equal(poll(&readable, 1, 0), 0);
	set = sp_parking_queue(fx);
	misled = sp_park_waiting(park);
	assert_in_range(misled, 1, SP_PARKING_CONNECTIONS - 1);
	assert_int_equal(poll(&readable, 1, SP_FIXTURE_PATIENCE_MS), 1);
	assert_int_equal(read_sysctl(), '0');

	assert_int_equal(sp_parking_pass_seeing(fx, park, false, WORKERS), SP_PARK_LEAVE);
	sp_require_no_parking(fx, park);
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

/*
 * The kernel looks for another listener when the last ACK of a handshake comes, or when it sends the SYN-ACK again. By
 * then nobody says any more that it may.
 */
static void
park__handshake_is_under_way_when_the_program_is_gone__the_kernel_counts_it_and_resets(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	struct sp_flow_set *set;
	size_t reset = 0;

	sp_losses_start(fx->port);
	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_OPEN);
	sp_acks_lose(sp_park_fd(park));
	replace_program(fx, sp_fixture_own(fx, sp_foreign_load("foreign")));
	fx->manner = SP_LAB_WAITS;
	set = sp_parking_queue(fx);
	assert_int_equal(sp_park_waiting(park), 0);

	assert_int_equal(sp_parking_pass_seeing(fx, park, false, WORKERS), SP_PARK_LEAVE);
	sp_require_no_parking(fx, park);
	sp_fixture_resume(fx);
	require_ok(sp_lab_ask(&set->lab));
	require_ok(sp_lab_answers(&set->lab, SP_FIXTURE_PATIENCE_MS, set->owners));
	for (size_t i = 0; i < set->count; i++)
		if (set->owners[i] == SP_LAB_RESET)
			reset++;
		else
			assert_in_range(set->owners[i], 0, WORKERS - 1);
	assert_in_range(reset, 1, SP_PARKING_CONNECTIONS - 1);
	assert_int_equal(sp_losses_unmigrated(), reset);
	sp_losses_stop();
	sp_park_free(&park);
}

/* --- the daemon dies --- */

/* Its last act is the kernel's: what waits goes to whoever is in a slot. */
static void park__daemon_dies_when_a_worker_is_enrolled__its_connections_are_served(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	struct sp_flow_set *set;
	__u32 worker;

	set = sp_parking_handover(fx, park, &worker);
	sp_park_free(&park);
	sp_require_all_from(fx, set, worker);
}

static void
park__daemon_dies_in_the_gap__its_connections_die_with_it_and_the_group_returns(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	struct sp_flow_set *set;
	__u32 worker;

	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_OPEN);
	sp_fixture_kill(fx, 0);
	set = sp_parking_queue(fx);
	sp_park_free(&park);
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, SP_LAB_RESET), SP_PARKING_CONNECTIONS);

	worker = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_FREE);
	assert_true(fx->result.did_attach);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_count(set, worker), SP_PARKING_CONNECTIONS);
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
			struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
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

/* --- the worker dies while it is opened --- */

struct closer {
	int fd;
	__u64 delay_ns;
	bool is_ready, is_on;
};

static void *close_later(void *ctx)
{
	struct closer *c = ctx;
	__u64 at;

	__atomic_store_n(&c->is_ready, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&c->is_on, __ATOMIC_ACQUIRE))
		;
	at = sp_now_ns() + c->delay_ns;
	while (sp_now_ns() < at)
		;
	close(c->fd);
	return NULL;
}

/* A group of one member of ours, which runs the program. */
static int found_group(struct sp_fixture *fx, struct sp_group *ret_group)
{
	struct sockaddr_storage own;
	socklen_t len = sp_address_to_sockaddr(&fx->address, fx->port, &own);
	int fd = socket(fx->address.family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	require_ok(sp_group_attach(fd, fx->pins.prog));
	ret_group->members[0].cookie = sp_fixture_cookie(fd);
	ret_group->members[0].owners[0] = (struct sp_owner){ .pid = getpid(), .fd = fd };
	return fd;
}

/* How long it takes to open it, undisturbed. */
static __u64 time_opening(struct sp_fixture *fx, struct sp_park *park, struct sp_group *group)
{
	__u64 shortest = ~0ULL;

	for (int i = 0; i < 10; i++) {
		sp_autoclose int fd = found_group(fx, group);
		__u64 since = sp_now_ns(), took;

		(void)fd; /* held open for this turn */
		assert_int_equal(sp_park_update(park, &fx->pins, group, true, 1), SP_PARK_OPEN);
		took = sp_now_ns() - since;
		shortest = took < shortest ? took : shortest;
		sp_park_close(park, &fx->pins, true);
	}
	return shortest;
}

/* It would get all connections then, and nobody would ever be told. */
static void
park__worker_dies_while_it_is_opened__is_never_in_a_group_without_the_program(struct sp_fixture *fx)
{
	struct sp_owner owner;
	struct sp_member member = { .owners = &owner, .nowners = 1 };
	struct sp_group group = { .protocol = SP_TCP, .members = &member, .nmembers = 1, .size = 1 };
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	unsigned int opened = 0;
	__u64 length;

	sp_fixture_attach(fx);
	sp_fixture_kill(fx, 0);
	length = time_opening(fx, park, &group);
	for (unsigned int round = 0; round < RACES; round++) {
		struct closer closer = { .fd = found_group(fx, &group),
					 .delay_ns = length * 2 * (round % STEPS) / STEPS };
		enum sp_park_action action;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, close_later, &closer), 0);
		while (!__atomic_load_n(&closer.is_ready, __ATOMIC_ACQUIRE))
			sched_yield();
		__atomic_store_n(&closer.is_on, true, __ATOMIC_RELEASE);
		action = sp_park_update(park, &fx->pins, &group, true, 1);
		assert_int_equal(pthread_join(thread, NULL), 0);
		if (action != SP_PARK_OPEN)
			continue;
		opened++;
		/* -ENOENT: there is none to detach. */
		require_ok(sp_group_detach(sp_park_fd(park)));
		sp_park_close(park, &fx->pins, true);
	}
	assert_in_range(opened, 1, RACES - 1);
	sp_park_free(&park);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(park__detached_by_a_command__waiting_connections_are_served_first,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = 1),
		SP_CASE(park__program_is_replaced__socket_is_left_and_nothing_is_lost,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(park__program_is_detached_by_a_member__socket_is_left_and_nothing_is_lost,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(park__handshake_is_under_way_when_the_program_is_gone__the_kernel_counts_it_and_resets,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(park__daemon_dies_when_a_worker_is_enrolled__its_connections_are_served,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__daemon_dies_in_the_gap__its_connections_die_with_it_and_the_group_returns,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__daemon_is_killed_while_opening__nothing_is_enrolled, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__worker_dies_while_it_is_opened__is_never_in_a_group_without_the_program,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = 1),
	};

	return sp_fixture_main("park_loss", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
