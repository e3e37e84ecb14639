// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Endings, as an operator sees them: what status, list and sync say, and what they say to do. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"
#include "run.h"
#include "world.h"

#define NAME "web"
#define WORKERS 4
#define FLOWS 400
#define NOBODY 65534

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];

static void expect_status(const char *text)
{
	const struct sp_run *run = sp_run("status", NAME);

	if (strstr(run->out, text))
		return;
	print_error("status does not say \"%s\":\n%s", text, run->out);
	fail();
}

static void expect_sync(const char *text)
{
	const struct sp_run *run = sp_run("sync", NAME);

	if (strstr(run->out, text))
		return;
	print_error("sync does not say \"%s\":\n%s%s", text, run->out, run->err);
	fail();
}

static json_int_t slot_int(json_int_t slot, const char *key)
{
	json_t *status = sp_run_json("status", NAME);
	json_int_t value = sp_json_int(sp_json_find(sp_json_array(status, "slots"), "slot", slot), key);

	json_decref(status);
	return value;
}

/* The pids of a slot's owners, in the order of status: "12 34". */
static const char *owners_of(json_int_t slot)
{
	static char text[128];
	json_t *status = sp_run_json("status", NAME), *owner;
	size_t i, len = 0;

	text[0] = '\0';
	json_array_foreach(
		sp_json_array(sp_json_find(sp_json_array(status, "slots"), "slot", slot), "owners"), i, owner)
		len += snprintf(text + len, sizeof(text) - len, "%s%lld", i ? " " : "",
				(long long)sp_json_int(owner, "pid"));
	json_decref(status);
	return text;
}

static void kill_all(void)
{
	for (unsigned int id = 0; id < crew.size; id++)
		if (crew.workers[id].pid)
			sp_crew_kill(&crew, id);
}

static void add_all(void)
{
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_add(&crew, id);
}

/* --- the whole group --- */

static void check_whole_group(enum sp_protocol protocol, const char *address)
{
	const struct sp_run *run;
	json_int_t asked;

	sp_crew_start(&crew, protocol, address, 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "1h");
	sp_run("weight", NAME, "1=300");
	sp_crowd_open(&crowd, &crew, address, NULL, 0, FLOWS);
	if (protocol == SP_UDP)
		sp_crowd_ask(&crowd, before);
	else
		sp_crowd_answers(&crowd, before);
	asked = sp_counters_outcomes(NAME);
	assert_true(asked >= FLOWS);

	kill_all();
	assert_false(sp_status_bool(NAME, "attached"));
	assert_int_equal(sp_status_int(NAME, "members"), 0);
	assert_int_equal(sp_status_int(NAME, "enrolled"), 0);
	expect_status(
		"No visible process holds a member any more. When they are back: steadyport sync " NAME);
	assert_non_null(strstr(sp_run("list")->out, "no (gone)"));
	expect_sync(NAME ": the group has no members now; run sync when its workers are back");
	expect_status("4 slots: 4 dead");
	/* Nobody is asked while there is nobody, and nothing is forgotten. */
	assert_true(sp_counters_outcomes(NAME) >= asked);

	add_all();
	expect_status("The program is not attached any more");
	run = sp_run("sync", NAME);
	assert_non_null(strstr(run->out, "enrolled 4 new members in slots 0, 1, 2 and 3"));
	assert_non_null(strstr(run->out, "again: the group had been without it"));
	assert_true(sp_status_bool(NAME, "attached"));
	assert_int_equal(slot_int(1, "weight"), 300);
	assert_int_equal(slot_int(1, "incarnation"), 2);
	assert_true(sp_counters_outcomes(NAME) >= asked);
	if (protocol == SP_UDP)
		sp_crowd_ask(&crowd, after);
	assert_true(sp_counters_outcomes(NAME) >= asked + (protocol == SP_UDP ? FLOWS : 0));
	sp_crowd_close(&crowd);
}

static void e2e__whole_group_dies_and_returns_udp__same_slots_weights_and_counters(void **state)
{
	(void)state;
	check_whole_group(SP_UDP, "127.0.0.1");
}

static void e2e__whole_group_dies_and_returns_tcp__same_slots_weights_and_counters(void **state)
{
	(void)state;
	check_whole_group(SP_TCP, "::1");
}

/*
 * Once all members are gone, any user may bind the port. That is another group, and nobody's consent to steer the one
 * was meant for the other.
 */
static void e2e__group_returns_under_another_user__refused_until_replace(void **state)
{
	json_t *status;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "1h");
	kill_all();
	crew.options.uid = NOBODY;
	add_all();
	sp_world_changed();
	expect_status("The group here is one of uid 65534 now, and web was made for that of uid 0.");
	assert_non_null(strstr(sp_run("list")->out, "no (other user)"));
	assert_int_equal(sp_status_int(NAME, "foreign_uid"), NOBODY);
	refuses(sp_run_fails(SP_EXIT_FAILED, "sync", NAME),
		"is a group of uid 65534 now; web was made for that of uid 0",
		"steadyport sync web --replace");
	assert_int_equal(sp_status_int(NAME, "enrolled"), 0);

	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_run("sync", NAME, "--replace");
	sp_crowd_stays(&crowd, &crew, before, after);
	assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS);
	status = sp_run_json("status", NAME);
	assert_true(json_is_null(json_object_get(status, "foreign_uid")));
	json_decref(status);

	/* From now on that user is the right one. */
	kill_all();
	add_all();
	sp_run("sync", NAME);
	assert_true(sp_status_bool(NAME, "attached"));
	sp_crowd_close(&crowd);
}

/* --- holders --- */

/* nginx: the master holds what its workers serve. */
static void e2e__member_held_by_two_processes__owners_follow_and_only_the_last_death_counts(void **state)
{
	struct sp_lab_worker holder;
	char pids[64], text[64];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	assert_int_equal(sp_lab_fork(&crew.workers[2], WORKERS, &holder), 0);
	snprintf(pids, sizeof(pids), "%d %d",
		 crew.workers[2].pid < holder.pid ? crew.workers[2].pid : holder.pid,
		 crew.workers[2].pid < holder.pid ? holder.pid : crew.workers[2].pid);
	assert_string_equal(owners_of(2), pids);
	expect_sync("4 members, all enrolled; nothing to do");

	sp_crew_kill(&crew, 2);
	snprintf(pids, sizeof(pids), "%d", holder.pid);
	assert_string_equal(owners_of(2), pids);
	snprintf(text, sizeof(text), "worker-4[%d]", holder.pid);
	expect_status(text);
	expect_status("4 slots: 4 live");
	expect_sync("4 members, all enrolled; nothing to do");
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_answers(&crowd, after);
	for (size_t i = 0; i < FLOWS; i++)
		assert_true(after[i] >= 0 && after[i] != 2);
	sp_crowd_close(&crowd);

	sp_lab_kill(&holder);
	expect_status("4 slots: 3 live, 1 dead");
	expect_sync("slot 2 died");
}

static void e2e__process_with_two_members__is_the_owner_of_both_slots_and_both_die(void **state)
{
	static const struct sp_lab_options twins = { .nsockets = 2 };
	char pid[16];

	(void)state;
	sp_crew_start(&crew, SP_UDP, "::1", 0, WORKERS - 1, &twins);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	assert_int_equal(sp_status_int(NAME, "enrolled"), 2 * (WORKERS - 1));
	snprintf(pid, sizeof(pid), "%d", crew.workers[1].pid);
	assert_string_equal(owners_of(2), pid);
	assert_string_equal(owners_of(3), pid);
	assert_int_not_equal(slot_int(2, "cookie"), slot_int(3, "cookie"));
	sp_crowd_open(&crowd, &crew, "::1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_crew_kill(&crew, 1);
	expect_status("Slots 2 and 3 are dead; their flows are on slots 0, 1, 4 and 5.");
	sp_crowd_stays(&crowd, &crew, before, after);
	expect_sync("slots 2 and 3 died");
	sp_crowd_close(&crowd);
}

/* A listener that was shut down has a process but no place in the group. */
static void e2e__listener_shut_down_and_listening_again__dead_then_enrolled_again(void **state)
{
	json_int_t cookie;
	int socket;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	cookie = slot_int(3, "cookie");
	sp_crew_kill(&crew, 0);
	socket = sp_crew_borrow(&crew, 3);
	assert_int_equal(shutdown(socket, SHUT_RDWR), 0);
	expect_status("Slots 0 and 3 are dead");
	assert_int_equal(sp_status_int(NAME, "members"), 2);
	assert_int_equal(listen(socket, 64), 0);
	close(socket);
	expect_status("1 member is not enrolled and gets no new flows: steadyport sync web");
	expect_sync("enrolled 1 new member in slot 3");
	assert_int_equal(slot_int(3, "cookie"), cookie);
	assert_int_equal(slot_int(3, "incarnation"), 2);
	expect_status("4 slots: 3 live, 1 dead");
}

/* --- sockets beside the group --- */

static void connect_socket(unsigned int id, const struct sockaddr *to, socklen_t len)
{
	int socket = sp_crew_borrow(&crew, id);

	assert_int_equal(connect(socket, to, len), 0);
	close(socket);
}

/* The newest is what the kernel finds first with IPv4. */
static void e2e__member_connects_and_disconnects__status_tells_what_it_is_good_for(void **state)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	const unsigned int newest = WORKERS - 1;
	struct sockaddr_storage peer;
	socklen_t len;
	char text[128];

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	len = sp_address_to_sockaddr(&crew.address, 9, &peer);
	connect_socket(newest, (struct sockaddr *)&peer, len);
	if (sp_status_int(NAME, "members") == WORKERS) {
		print_message("on this kernel a connected member stays in its group\n");
		expect_status("The group has had a connected UDP socket");
		return;
	}
	snprintf(text, sizeof(text),
		 "Slot 3's socket is still open, but connected: worker-3[%d] gets its peer's packets only.",
		 crew.workers[newest].pid);
	expect_status("Slot 3 is dead; its flows are on slots 0, 1 and 2.");
	expect_status(text);
	assert_int_equal(sp_status_int(NAME, "outside"), 0);
	expect_sync("slot 3 died");

	connect_socket(newest, &nobody, sizeof(nobody));
	snprintf(text, sizeof(text),
		 "1 socket on this address is outside the group (worker-3[%d]) and may take its packets",
		 crew.workers[newest].pid);
	expect_status(text);
	assert_int_equal(sp_status_int(NAME, "outside"), 1);
	says(sp_run("sync", NAME), "1 socket on the address of web may take its packets: outside the group");
	/* As it is told to. */
	sp_crew_kill(&crew, newest);
	assert_int_equal(sp_status_int(NAME, "outside"), 0);
	sp_crew_add(&crew, newest);
	expect_sync("enrolled 1 new member in slot 3");
	assert_int_equal(sp_status_int(NAME, "outside"), 0);
	assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS);
}

/* --- network namespaces --- */

static int open_netns(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* The workers live in a network namespace of their own, which only they keep. */
static void start_far_away(enum sp_protocol protocol)
{
	int home = open_netns();
	char pid[16];

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sp_run_other("ip", "link", "set", "lo", "up");
	sp_crew_start(&crew, protocol, "127.0.0.1", 0, WORKERS, NULL);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	snprintf(pid, sizeof(pid), "%d", crew.workers[0].pid);
	sp_run("attach", NAME, crew.endpoint, "--netns", pid);
	assert_true(sp_status_bool(NAME, "attached"));
}

static bool program_exists(json_int_t id)
{
	const struct sp_run *run = sp_run_other("bpftool", "-j", "prog", "show");
	json_t *programs = json_loads(run->out, JSON_DECODE_INT_AS_REAL, NULL), *program;
	bool is_there = false;
	size_t i;

	assert_non_null(programs);
	json_array_foreach(programs, i, program)
		is_there |= sp_json_real(program, "id") == (double)id;
	json_decref(programs);
	return is_there;
}

static void check_vanished(enum sp_protocol protocol)
{
	json_int_t id;
	__u64 deadline;

	start_far_away(protocol);
	id = sp_status_int(NAME, "program_id");
	kill_all();
	expect_status("No visible process holds a member any more.");
	assert_non_null(strstr(sp_run("list")->out, "no (gone)"));
	assert_int_equal(sp_status_int(NAME, "members"), 0);
	expect_sync("the group has no members now");
	sp_run("where", NAME, "127.0.0.1:5");
	sp_run("counters", NAME);
	/* The same endpoint here is another group's. */
	add_all();
	assert_int_equal(sp_status_int(NAME, "members"), 0);
	expect_sync("the group has no members now");

	assert_non_null(strstr(sp_run("detach", NAME)->out, "attached to no visible group"));
	assert_int_equal(access("/sys/fs/bpf/steadyport/" NAME, F_OK), -1);
	sp_run_fails(SP_EXIT_NO_GROUP, "status", NAME);
	/* The kernel frees it when the last to use it has gone through a grace period. */
	deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;
	while (program_exists(id) && sp_lab_left_ms(deadline))
		usleep(10000);
	assert_false(program_exists(id));
}

static void e2e__network_namespace_vanishes_udp__told_so_and_detach_leaves_nothing(void **state)
{
	(void)state;
	check_vanished(SP_UDP);
}

static void e2e__network_namespace_vanishes_tcp__told_so_and_detach_leaves_nothing(void **state)
{
	(void)state;
	check_vanished(SP_TCP);
}

static int teardown(void **state)
{
	sp_crowd_close(&crowd);
	return sp_run_teardown(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, sp_world_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(e2e__whole_group_dies_and_returns_udp__same_slots_weights_and_counters),
		CASE(e2e__whole_group_dies_and_returns_tcp__same_slots_weights_and_counters),
		CASE(e2e__group_returns_under_another_user__refused_until_replace),
		CASE(e2e__member_held_by_two_processes__owners_follow_and_only_the_last_death_counts),
		CASE(e2e__process_with_two_members__is_the_owner_of_both_slots_and_both_die),
		CASE(e2e__listener_shut_down_and_listening_again__dead_then_enrolled_again),
		CASE(e2e__member_connects_and_disconnects__status_tells_what_it_is_good_for),
		CASE(e2e__network_namespace_vanishes_udp__told_so_and_detach_leaves_nothing),
		CASE(e2e__network_namespace_vanishes_tcp__told_so_and_detach_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
