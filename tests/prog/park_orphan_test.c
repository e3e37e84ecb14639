// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * For some microseconds of a hand-over there are two parking sockets: one is in the slot, the other is a member in none.
 * A daemon is killed then, and the service manager keeps both. Nobody may take the other for a worker: not who has the
 * lock next, and not who only looks.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "fixture.h"
#include "group.h"
#include "manager.h"
#include "park.h"
#include "parking.h"
#include "sibling.h"
#include "snapshot.h"

#define ROUNDS 50
#define KEPT_MAX 1024
#define STEP_NS 14000 /* later, each round; a hand-over takes some 100 us */

static const __u32 slot = SP_SLOT_PARK;

/* The manager's, as the test holds them in its place. */
struct kept {
	struct sp_park *park; /* the daemon's, which does nothing any more */
	int first, second;
	__u32 listening;
};

/* Steps of open_beside(), up to the one after which the daemon is killed. */
enum step {
	LISTENED,
	PUT_IN_SLOT,
};

static void hand_over_until(struct sp_fixture *fx, enum step last, struct kept *kept)
{
	struct sp_info info;
	__u64 value;
	int fd;

	kept->park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, kept->park), SP_PARK_OPEN);
	kept->first = sp_fixture_own(fx, dup(sp_park_fd(kept->park)));
	require_ok(sp_sibling_make(kept->first, &fd));
	kept->second = sp_fixture_own(fx, fd);

	require_ok(bpf_map_lookup_elem(fx->pins.info, &slot, &info));
	assert_int_equal(info.state, SP_SLOT_PARKED);
	info.cookie = sp_fixture_cookie(kept->second);
	info.died_at = sp_fixture_cookie(kept->first);
	require_ok(bpf_map_update_elem(fx->pins.info, &slot, &info, BPF_ANY));
	assert_int_equal(listen(kept->second, INT_MAX), 0);
	kept->listening = 2;
	value = kept->second;
	if (last == PUT_IN_SLOT)
		require_ok(bpf_map_update_elem(fx->pins.slots, &slot, &value, BPF_ANY));
}

static bool is_listening(int fd)
{
	socklen_t len = sizeof(int);
	int is = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is, &len), 0);
	return is;
}

/* As `steadyport sync` and `steadyport detach` do it. */
static void require_no_worker(struct sp_fixture *fx, struct kept *kept)
{
	sp_autosnapshot struct sp_snapshot snapshot = SP_SNAPSHOT_NONE;
	sp_autogroups struct sp_groups *groups = NULL;

	sp_fixture_sync(fx);
	assert_int_equal(fx->result.nenrolled, 0);
	assert_int_equal(fx->result.live, 1);
	assert_int_equal(fx->result.size, 1);
	assert_int_equal(fx->state->info[slot].state, SP_SLOT_PARKED);

	require_ok(sp_members_scan(0, &groups));
	require_ok(sp_snapshot_take(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, groups, &snapshot));
	assert_int_equal(snapshot.group->size, 1 + kept->listening);
	assert_int_equal(sp_snapshot_size(&snapshot), 1);
	assert_int_equal(sp_snapshot_count_unenrolled(&snapshot), 0);
	require_ok(sp_park_stop(fx->pins.slots, fx->pins.info, groups));
	assert_false(is_listening(kept->first));
	assert_false(is_listening(kept->second));
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.size, 1);
	assert_int_equal(fx->state->info[slot].state, SP_SLOT_FREE);
	assert_int_equal(fx->state->cookie[slot], 0);
	sp_park_free(&kept->park);
}

static void park__killed_when_the_second_socket_listens__none_is_taken_for_a_worker(struct sp_fixture *fx)
{
	struct kept kept;

	hand_over_until(fx, LISTENED, &kept);
	require_no_worker(fx, &kept);
}

static void
park__killed_when_the_second_socket_is_in_the_slot__none_is_taken_for_a_worker(struct sp_fixture *fx)
{
	struct kept kept;

	hand_over_until(fx, PUT_IN_SLOT, &kept);
	require_no_worker(fx, &kept);
}

/* The one in the slot is gone: the other's name must last for as long as it listens. */
static void park__only_the_socket_in_no_slot_is_kept__is_still_not_taken_for_a_worker(struct sp_fixture *fx)
{
	struct kept kept;

	hand_over_until(fx, PUT_IN_SLOT, &kept);
	require_ok(sp_group_stop(kept.second));
	kept.listening = 1;
	sp_fixture_sync(fx);
	assert_int_equal(fx->state->cookie[slot], 0);
	require_no_worker(fx, &kept);
}

static void park__is_renewed__its_record_names_both(struct sp_fixture *fx)
{
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	__u64 first, second;
	__u32 worker;

	sp_parking_handover(fx, park, &worker);
	first = sp_fixture_cookie(sp_park_fd(park));
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_RENEW);
	second = sp_fixture_cookie(sp_park_fd(park));
	assert_int_not_equal(first, second);
	assert_int_equal(fx->state->cookie[slot], second);
	assert_true(sp_state_is_parking(fx->state, first));
	assert_true(sp_state_is_parking(fx->state, second));
	assert_false(sp_state_is_parking(fx->state, fx->workers[worker].cookie));
	sp_park_free(&park);
}

/* --- killed anywhere --- */

/* All that is kept, whatever is to be removed. */
static size_t read_manager(int manager, int *fds, size_t max)
{
	size_t count = 0;
	char text[512];
	int fd;

	while (sp_manager_receive(manager, text, sizeof(text), &fd) >= 0) {
		if (fd < 0)
			continue;
		assert_true(count < max);
		fds[count++] = fd;
	}
	return count;
}

static void renew_for_good(struct sp_fixture *fx, const struct sp_groups *groups, int ready)
{
	const struct sp_group *group = sp_group_at(groups, &fx->state->ctl, 0);
	struct sp_park *park = sp_parking_new(SP_PARKING_PATIENCE_NS);
	int lock;

	require_ok(sp_pin_lock(SP_FIXTURE_BPFFS, &lock));
	assert_int_equal(sp_park_update(park, &fx->pins, group, true, 1), SP_PARK_OPEN);
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;) {
		sp_park_update(park, &fx->pins, group, true, 0);
		sp_park_update(park, &fx->pins, group, true, 1);
	}
}

static void
park__daemon_is_killed_while_handing_over_and_all_is_kept__nothing_is_enrolled(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	unsigned int nhalf = 0;

	sp_fixture_attach(fx);
	require_ok(sp_members_scan(0, &groups));
	for (unsigned int round = 0; round < ROUNDS; round++) {
		const struct timespec delay = { .tv_nsec = STEP_NS * round };
		sp_autogroups struct sp_groups *left = NULL;
		sp_autoclose int manager = sp_manager_open();
		int ready[2], status, kept[KEPT_MAX];
		size_t nkept;
		pid_t daemon;
		char byte;

		assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
		daemon = fork();
		assert_true(daemon >= 0);
		if (daemon == 0)
			renew_for_good(fx, groups, ready[1]);
		close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		nanosleep(&delay, NULL);
		assert_int_equal(kill(daemon, SIGKILL), 0);
		assert_int_equal(waitpid(daemon, &status, 0), daemon);
		assert_true(WIFSIGNALED(status));
		nkept = read_manager(manager, kept, KEPT_MAX);

		sp_fixture_sync(fx);
		assert_int_equal(fx->result.nenrolled, 0);
		assert_int_equal(fx->result.live, 1);
		assert_int_equal(fx->result.size, 1);
		assert_int_not_equal(fx->state->cookie[slot], 0);
		require_ok(sp_members_scan(0, &left));
		nhalf += sp_group_at(left, &fx->state->ctl, 0)->size == 3;
		require_ok(sp_park_stop(fx->pins.slots, fx->pins.info, left));
		while (nkept)
			close(kept[--nkept]);
	}
	print_message("    %u of %u had two parking sockets\n", nhalf, ROUNDS);
	unsetenv("NOTIFY_SOCKET");
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(park__killed_when_the_second_socket_listens__none_is_taken_for_a_worker,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = 1),
		SP_CASE(park__killed_when_the_second_socket_is_in_the_slot__none_is_taken_for_a_worker,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY, .workers = 1),
		SP_CASE(park__only_the_socket_in_no_slot_is_kept__is_still_not_taken_for_a_worker,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__is_renewed__its_record_names_both, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4, .workers = 1),
		SP_CASE(park__daemon_is_killed_while_handing_over_and_all_is_kept__nothing_is_enrolled,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = 1),
	};

	return sp_fixture_main("park_orphan", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
