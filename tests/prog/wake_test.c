// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Connections that are migrated to a worker that sleeps: what this kernel does, and what the cure does. To be run on
 * a kernel that needs it, too: KERNEL_TESTS=wake_test scripts/kernels.sh 6.1.0-49-amd64
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include "care.h"
#include "events.h"
#include "fixture.h"
#include "group.h"
#include "wake.h"

#define CONNECTIONS 20
#define ASLEEP_MS 500 /* nobody wakes a sleeper later than this but the cure: there is no other traffic */
#define MS 1000000ULL

/* --- what the kernel does --- */

static enum sp_wake_need probe(void)
{
	char why[SP_WAKE_WHY_LEN] = "";
	enum sp_wake_need need = sp_wake_probe(why);

	if (need == SP_WAKE_UNKNOWN)
		fail_msg("the probe cannot tell: %s", why);
	print_message("this kernel %s the cure\n", need == SP_WAKE_NEEDED ? "needs" : "does not need");
	return need;
}

static void wake_probe__without_the_right_to_make_networks__says_what_it_lacks(struct sp_fixture *fx)
{
	char why[SP_WAKE_WHY_LEN] = "";
	pid_t child = fork();
	int status;

	(void)fx;
	assert_true(child >= 0);
	if (child == 0) {
		bool is_right = !setresuid(65534, 65534, 65534) && sp_wake_probe(why) == SP_WAKE_UNKNOWN &&
				!strcmp(why, "cannot make a private network: Operation not permitted");

		if (!is_right)
			fprintf(stderr, "it says: %s\n", why);
		_exit(is_right ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* --- a group whose first worker dies with connections waiting, and whose second sleeps --- */

struct sleeper {
	struct sp_flow_set *set;
	__u32 victim, heir;
	struct sp_events *events;
	struct sp_wake *wake;
	__u32 slots[2 * CONNECTIONS];
	size_t nslots;
};

static void note_migrated(void *ctx, const struct sp_event *event)
{
	struct sleeper *s = ctx;

	if (event->kind != SP_EVENT_MIGRATED)
		return;
	assert_in_range(s->nslots, 0, SP_ARRAY_SIZE(s->slots) - 1);
	s->slots[s->nslots++] = event->slot;
	sp_wake_note(s->wake, event->slot, sp_now_ns());
}

/* Plays the daemon until nothing is due any more. */
static void cure(struct sp_fixture *fx, struct sleeper *s)
{
	sp_autogroups struct sp_groups *groups = NULL;
	struct pollfd ready = { .fd = sp_events_fd(s->events), .events = POLLIN };
	__u64 next;

	assert_int_equal(poll(&ready, 1, SP_FIXTURE_PATIENCE_MS), 1);
	require_ok(sp_events_read(s->events, note_migrated, s));
	require_ok(sp_members_scan(0, &groups));
	while ((next = sp_wake_next_ns(s->wake))) {
		const struct timespec t = { .tv_sec = next / 1000000000, .tv_nsec = next % 1000000000 };

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
			;
		require_ok(sp_wake_dispatch(s->wake, &fx->pins, groups, true, sp_now_ns()));
	}
}

/* Sleeps until the next time, then does what the daemon's timer does. */
static void wake_due(struct sp_care *care)
{
	__u64 next = sp_care_next_ns(care);
	const struct timespec t = { .tv_sec = next / 1000000000, .tv_nsec = next % 1000000000 };
	sp_autogroups struct sp_groups *groups = NULL;

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
		;
	require_ok(sp_members_scan(0, &groups));
	sp_care_wake(care, groups);
}

static void queue_for_sleeper(struct sp_fixture *fx, struct sleeper *s)
{
	*s = (struct sleeper){ .wake = sp_wake_new() };
	assert_non_null(s->wake);
	fx->options.is_paused = true;
	s->victim = sp_fixture_join(fx);
	fx->is_paused = true; /* the first flows are not answered before they are asked for */
	sp_fixture_attach(fx);
	require_ok(sp_events_open(&fx->pins, &s->events));
	s->set = sp_fixture_flows(fx, CONNECTIONS);
	fx->is_paused = false;
}

static void require_events(struct sp_fixture *fx, const struct sleeper *s)
{
	assert_int_equal(s->nslots, CONNECTIONS);
	for (size_t i = 0; i < s->nslots; i++)
		assert_int_equal(s->slots[i], sp_fixture_slot(fx, s->heir));
	assert_int_equal(sp_fixture_sum(fx, migrated), CONNECTIONS);
	/* Twenty events, and two wake-ups at most: soon, and once more for whoever was late. */
	assert_in_range(sp_wake_count(s->wake), 1, 2);
}

/* Who has answered within that time. */
static size_t count_answered(struct sleeper *s, int timeout_ms)
{
	size_t count = 0;

	require_ok(sp_lab_answers(&s->set->lab, timeout_ms, s->set->owners));
	for (size_t i = 0; i < CONNECTIONS; i++) {
		assert_true(s->set->owners[i] == SP_LAB_SILENT || s->set->owners[i] == (int)s->heir);
		count += s->set->owners[i] == (int)s->heir;
	}
	return count;
}

static void kill_and_cure(struct sp_fixture *fx, struct sleeper *s, enum sp_wake_need need)
{
	sp_fixture_sync(fx);
	sp_fixture_kill(fx, s->victim);
	if (need == SP_WAKE_NEEDED)
		assert_int_equal(count_answered(s, ASLEEP_MS), 0);
	else
		assert_int_equal(count_answered(s, SP_FIXTURE_PATIENCE_MS), CONNECTIONS);
	cure(fx, s);
	assert_int_equal(count_answered(s, SP_FIXTURE_PATIENCE_MS), CONNECTIONS);
	require_events(fx, s);
	sp_wake_free(&s->wake);
	sp_events_free(&s->events);
}

/* The same as the daemon does it, with nothing but its own descriptors and times. */
static void wake__the_daemons_care_for_a_sleeper__needed_or_not_all_are_served(struct sp_fixture *fx)
{
	struct sp_cared_sight sight = { .is_attached = true, .live = 1 };
	struct pollfd ready = { .events = POLLIN };
	enum sp_wake_need need = probe();
	struct sp_cared *cared;
	struct sp_care *care;
	struct sleeper s;

	queue_for_sleeper(fx, &s);
	sp_events_free(&s.events); /* the ring has one reader */
	require_ok(sp_care_open(&care));
	ready.fd = sp_care_fd(care);
	cared = sp_care_take(care, SP_FIXTURE_NAME, SP_TCP);
	assert_non_null(cared);
	sight.pins = &fx->pins;
	sp_cared_update(cared, &sight);
	fx->options = (struct sp_lab_options){ .sleeps = true };
	s.heir = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	while (sp_care_next_ns(care))
		wake_due(care);
	sp_fixture_kill(fx, s.victim);

	while (sp_fixture_sum(fx, migrated) < CONNECTIONS)
		poll(NULL, 0, 1);
	assert_int_equal(poll(&ready, 1, SP_FIXTURE_PATIENCE_MS), 1);
	/* The victim's slot was found empty, too: that asks for a pass. */
	assert_true(sp_care_read(care));
	assert_int_equal(sp_care_next_ns(care) != 0, need == SP_WAKE_NEEDED);
	while (sp_care_next_ns(care))
		wake_due(care);
	assert_int_equal(count_answered(&s, SP_FIXTURE_PATIENCE_MS), CONNECTIONS);
	assert_int_equal(sp_cared_wakes(cared) > 0, need == SP_WAKE_NEEDED);
	assert_int_equal(poll(&ready, 1, 0), 0);
	sp_care_drop(&cared);
	sp_care_free(&care);
	sp_wake_free(&s.wake);
}

static void wake__connections_migrate_to_a_sleeper__needed_or_not_all_are_served(struct sp_fixture *fx)
{
	enum sp_wake_need need = probe();
	struct sleeper s;

	queue_for_sleeper(fx, &s);
	fx->options = (struct sp_lab_options){ .sleeps = true };
	s.heir = sp_fixture_join(fx);
	kill_and_cure(fx, &s, need);
}

/* A worker of the simplest kind: blocks in accept(), answers with its id, closes. */
static pid_t start_acceptor(struct sp_fixture *fx, __u32 id)
{
	struct sockaddr_storage own;
	socklen_t len = sp_address_to_sockaddr(&fx->address, fx->port, &own);
	sp_autoclose int listener = socket(fx->address.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;
	pid_t pid;

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&own, len), 0);
	assert_int_equal(listen(listener, CONNECTIONS), 0);
	fx->workers[id].cookie = sp_fixture_cookie(listener);
	pid = fork();
	assert_true(pid >= 0);
	while (pid == 0) {
		char line[16];
		int fd;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = accept(listener, NULL, NULL);
		if (fd < 0 || recv(fd, line, sizeof(line), 0) < 0 || send(fd, &id, sizeof(id), 0) < 0)
			_exit(1);
		close(fd);
	}
	return pid;
}

static void wake__worker_blocks_in_accept__needed_or_not_all_are_served(struct sp_fixture *fx)
{
	enum sp_wake_need need = probe();
	struct sleeper s;
	pid_t acceptor;

	queue_for_sleeper(fx, &s);
	s.heir = fx->nworkers++;
	acceptor = start_acceptor(fx, s.heir);
	kill_and_cure(fx, &s, need);
	assert_int_equal(kill(acceptor, SIGKILL), 0);
	assert_int_equal(waitpid(acceptor, NULL, 0), acceptor);
}

/* --- the cure does no harm --- */

#define WAKES 100

static int accept_option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, name, &value, &len), 0);
	return value;
}

static int connect_to(const struct sp_fixture *fx)
{
	struct sockaddr_storage target;
	socklen_t len = sp_address_to_sockaddr(&fx->target, fx->port, &target);
	int fd = socket(fx->target.family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&target, len), 0);
	return fd;
}

static void exchange(int from, int to)
{
	char byte = 'x';

	assert_int_equal(send(from, &byte, 1, 0), 1);
	byte = 0;
	assert_int_equal(recv(to, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
}

static void wake__listener_is_woken_for_nothing__nothing_changes(struct sp_fixture *fx)
{
	struct sockaddr_storage own;
	socklen_t len = sp_address_to_sockaddr(&fx->address, fx->port, &own);
	int listener = sp_fixture_own(fx, socket(fx->address.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	int epoll = sp_fixture_own(fx, epoll_create1(EPOLL_CLOEXEC)), one = 1;
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
	int client, accepted, late;

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&own, len), 0);
	assert_int_equal(listen(listener, CONNECTIONS), 0);
	client = sp_fixture_own(fx, connect_to(fx));
	accepted = sp_fixture_own(fx, accept(listener, NULL, NULL));
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), 0);

	for (int i = 0; i < WAKES; i++) {
		require_ok(sp_group_wake(listener));
		exchange(client, accepted);
		exchange(accepted, client);
	}
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	assert_int_equal(accept_option(listener, SO_ACCEPTCONN), 1);
	assert_int_equal(accept_option(listener, SO_ERROR), 0);

	/* A connection that waits is not lost, and is told of. */
	late = sp_fixture_own(fx, connect_to(fx));
	for (int i = 0; i < WAKES; i++)
		require_ok(sp_group_wake(listener));
	assert_int_equal(epoll_wait(epoll, &event, 1, SP_FIXTURE_PATIENCE_MS), 1);
	assert_int_equal(event.events, EPOLLIN);
	accepted = sp_fixture_own(fx, accept(listener, NULL, NULL));
	exchange(late, accepted);
}

static void wake__members_of_a_group_under_load__all_are_served_and_stay_enrolled(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autowake struct sp_wake *wake = sp_wake_new();
	struct sp_flow_set *set;

	assert_non_null(wake);
	sp_fixture_attach(fx);
	require_ok(sp_members_scan(0, &groups));
	set = sp_fixture_flows(fx, 10 * CONNECTIONS);
	for (int i = 0; i < WAKES / 10; i++) {
		__u64 now = sp_now_ns();

		sp_wake_note_all(wake, now);
		require_ok(sp_wake_dispatch(wake, &fx->pins, groups, false, now + 1 * MS));
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
	}
	assert_int_equal(sp_wake_count(wake), WAKES / 10 * fx->nworkers);
	sp_fixture_look(fx);
	for (__u32 id = 0; id < fx->nworkers; id++)
		assert_int_equal(fx->state->cookie[sp_fixture_slot(fx, id)], fx->workers[id].cookie);
}

static void wake__scan_is_older_than_a_member__asks_for_a_new_one(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *old = NULL, *fresh = NULL;
	sp_autowake struct sp_wake *wake = sp_wake_new();
	__u32 slot;

	assert_non_null(wake);
	sp_fixture_attach(fx);
	require_ok(sp_members_scan(0, &old));
	slot = sp_fixture_slot(fx, 1);
	sp_fixture_kill(fx, 1);
	assert_int_equal(sp_fixture_slot(fx, 1), slot);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);

	sp_wake_note(wake, slot, 1);
	assert_int_equal(sp_wake_dispatch(wake, &fx->pins, old, false, 1 + MS), -EAGAIN);
	assert_int_equal(sp_wake_count(wake), 0);
	assert_int_equal(sp_wake_next_ns(wake), 1 + MS);
	require_ok(sp_members_scan(0, &fresh));
	require_ok(sp_wake_dispatch(wake, &fx->pins, fresh, true, 1 + MS));
	assert_int_equal(sp_wake_count(wake), 1);
	assert_int_equal(sp_wake_next_ns(wake), 1 + 20 * MS);

	/* Whoever is gone by the second time is not waited for. */
	sp_fixture_kill(fx, fx->nworkers - 1);
	require_ok(sp_wake_dispatch(wake, &fx->pins, fresh, true, 1 + 20 * MS));
	assert_int_equal(sp_wake_count(wake), 1);
	assert_int_equal(sp_wake_next_ns(wake), 0);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(wake_probe__without_the_right_to_make_networks__says_what_it_lacks,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4),
		SP_CASE(wake__connections_migrate_to_a_sleeper__needed_or_not_all_are_served,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY),
		SP_CASE(wake__the_daemons_care_for_a_sleeper__needed_or_not_all_are_served,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4),
		SP_CASE(wake__worker_blocks_in_accept__needed_or_not_all_are_served, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(wake__listener_is_woken_for_nothing__nothing_changes, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY),
		SP_CASE(wake__members_of_a_group_under_load__all_are_served_and_stay_enrolled,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = 4),
		SP_CASE(wake__scan_is_older_than_a_member__asks_for_a_new_one, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4, .workers = 2),
	};

	return sp_fixture_main("wake", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
