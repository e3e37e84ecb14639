// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A network namespace that is deleted and made anew under the same path, with its server started in it again. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cleanup.h"
#include "exposition.h"
#include "keeper.h"
#include "web.h"

#define NAME "g"
#define PORT 7050
#define METRICS_PORT 9464 /* the default */
#define WORKERS 3
#define FLOWS 60
#define REUSE_PATIENCE_MS 5000 /* for the kernel to free the number of a namespace that is gone */

static struct sp_keeper keeper;
static struct sp_crew crew;
static char directory[64], path[96];
static int home;

/* --- the namespace, as `ip netns` makes and deletes it, in a place of our own --- */

static int setup(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/steadyport-netns-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/edge", directory);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(home >= 0);
	return 0;
}

static void go_home(void)
{
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
}

static int tear_down(void **state)
{
	int err;

	go_home();
	err = sp_keeper_teardown(state);
	umount2(path, MNT_DETACH);
	unlink(path);
	rmdir(directory);
	close(home);
	return err;
}

static ino_t inode_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_ino;
}

static void make_netns(void)
{
	int file = open(path, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0);

	assert_true(file >= 0);
	close(file);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL), 0);
	sp_run_other("ip", "link", "set", "lo", "up");
	go_home();
}

static void delete_netns(void)
{
	assert_int_equal(umount(path), 0);
	assert_int_equal(unlink(path), 0);
}

static void go_there(void)
{
	sp_autoclose int there = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(there >= 0);
	assert_int_equal(setns(there, CLONE_NEWNET), 0);
}

/* The kernel gives the lowest number that is free, so the one of the namespace that is gone comes again. */
static void make_netns_with(ino_t inode)
{
	__u64 deadline = sp_lab_now_ms() + REUSE_PATIENCE_MS;

	make_netns();
	while (inode_of(path) != inode && sp_lab_left_ms(deadline)) {
		delete_netns();
		poll(NULL, 0, 20);
		make_netns();
	}
	print_message("    the new one has %s number\n", inode_of(path) == inode ? "the same" : "another");
}

/* --- the group --- */

static void start_crew(enum sp_protocol protocol)
{
	go_there();
	sp_crew_start(&crew, protocol, "127.0.0.1", PORT, WORKERS, NULL);
	go_home();
}

static void start(enum sp_protocol protocol, const char *more)
{
	char config[256];

	make_netns();
	start_crew(protocol);
	snprintf(config, sizeof(config), "[group " NAME "]\nendpoint = %s:127.0.0.1:%d\nnetns = %s\n%s",
		 sp_protocol_name(protocol), PORT, path, more);
	sp_keeper_start(&keeper, config);
	sp_keeper_wait_enrolled(NAME, WORKERS);
}

/* As `status` names one that has no name in /run/netns. */
static bool is_steered_there(void)
{
	json_t *status = sp_run_json("status", NAME);
	char number[32];
	bool is;

	snprintf(number, sizeof(number), "%ju", (uintmax_t)inode_of(path));
	is = !strcmp(sp_json_text(status, "netns"), number);
	json_decref(status);
	return is;
}

/* Its workers are in the slots that they had, and get its flows from the program. */
static void require_steered_there(void)
{
	json_int_t before = sp_counters_outcomes(NAME);
	struct sp_crowd crowd;
	int owners[FLOWS];

	assert_true(is_steered_there());
	assert_true(sp_status_bool(NAME, "attached"));
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		assert_true(sp_status_slot_is(NAME, slot, "live"));
	go_there();
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	go_home();
	if (crew.protocol == SP_UDP)
		sp_crowd_ask(&crowd, owners);
	else
		sp_crowd_answers(&crowd, owners);
	for (int i = 0; i < FLOWS; i++)
		assert_in_range(owners[i], 0, WORKERS - 1);
	sp_crowd_close(&crowd);
	assert_int_equal(sp_counters_outcomes(NAME) - before, FLOWS);
}

static void daemon__udp_netns_made_anew__attached_there_with_its_slots(void **state)
{
	(void)state;
	start(SP_UDP, "");
	require_steered_there();
	for (int round = 0; round < 3; round++) {
		sp_crew_dismiss(&crew);
		delete_netns();
		make_netns();
		start_crew(SP_UDP);
		sp_keeper_wait_enrolled(NAME, WORKERS);
		require_steered_there();
	}
	sp_keeper_stop(&keeper);
}

static void daemon__netns_made_anew_with_the_same_number__attached_there(void **state)
{
	ino_t inode;

	(void)state;
	start(SP_UDP, "");
	for (int round = 0; round < 3; round++) {
		inode = inode_of(path);
		sp_crew_dismiss(&crew);
		delete_netns();
		make_netns_with(inode);
		start_crew(SP_UDP);
		sp_keeper_wait_enrolled(NAME, WORKERS);
		require_steered_there();
	}
	sp_keeper_stop(&keeper);
}

static void daemon__netns_is_away_for_a_while__waited_for(void **state)
{
	(void)state;
	start(SP_UDP, "");
	sp_crew_dismiss(&crew);
	delete_netns();
	sp_keeper_wait_notified(&keeper, "STATUS=1 group: 1 gone\n");
	assert_int_equal(sp_status_int(NAME, "enrolled"), 0);
	make_netns();
	start_crew(SP_UDP);
	sp_keeper_wait_enrolled(NAME, WORKERS);
	require_steered_there();
	assert_false(sp_keeper_has_said(&keeper, "is steered at"));
	sp_keeper_stop(&keeper);
}

/* The parking socket keeps the old namespace alive, but not the group in it. */
static void daemon__parking_netns_made_anew__attached_there_and_parks(void **state)
{
	(void)state;
	start(SP_TCP, "park = 1h\n");
	sp_keeper_wait_slot(NAME, SP_SLOT_PARK, "parked");
	for (int round = 0; round < 3; round++) {
		sp_crew_dismiss(&crew);
		delete_netns();
		make_netns();
		start_crew(SP_TCP);
		sp_keeper_wait_enrolled(NAME, WORKERS);
		sp_keeper_wait_slot(NAME, SP_SLOT_PARK, "parked");
		require_steered_there();
	}
	sp_keeper_stop(&keeper);
}

/* What is still served in the old one stays steered there; the group moves when that has ended. */
static void daemon__worker_is_left_in_the_old_netns__moves_when_it_has_ended(void **state)
{
	static struct sp_crew old;
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	(void)state;
	start(SP_UDP, "");
	old = crew;
	delete_netns();
	make_netns();
	start_crew(SP_UDP);
	sp_keeper_wait(&keeper, "error: " NAME " is steered at udp:127.0.0.1:7050 in network namespace ");
	assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS);
	assert_false(is_steered_there());
	sp_crew_dismiss(&old);
	while (!is_steered_there())
		assert_true(sp_lab_left_ms(deadline));
	sp_keeper_wait_enrolled(NAME, WORKERS);
	require_steered_there();
	sp_keeper_stop(&keeper);
}

/* Which the daemon is not in: they are read through a member's process. */
static void daemon__metrics_of_a_group_elsewhere__have_the_counters_of_its_netns(void **state)
{
	static const char counter[] = "\nsteadyport_tcp_migrate_req_success_total{netns=";
	sp_autofree char *text = NULL;
	char sample[96];

	(void)state;
	start(SP_TCP, "");
	text = sp_web_get(METRICS_PORT, "/metrics", 200);
	snprintf(sample, sizeof(sample), "%s\"%ju\"}", counter + 1, (uintmax_t)inode_of(path));
	assert_true(sp_exposition_has(text, sample));
	assert_null(strstr(strstr(text, counter) + 1, counter));
	sp_keeper_stop(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, tear_down)
		CASE(daemon__udp_netns_made_anew__attached_there_with_its_slots),
		CASE(daemon__netns_made_anew_with_the_same_number__attached_there),
		CASE(daemon__netns_is_away_for_a_while__waited_for),
		CASE(daemon__parking_netns_made_anew__attached_there_and_parks),
		CASE(daemon__worker_is_left_in_the_old_netns__moves_when_it_has_ended),
		CASE(daemon__metrics_of_a_group_elsewhere__have_the_counters_of_its_netns),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
