// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* doctor finds what is wrong with a group: made here with real sockets, found, mended as it says, and found no more. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "examine.h"
#include "foreign.h"
#include "old.h"

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

#define NAME "dns"
#define WORKERS 3
#define PINS "/sys/fs/bpf/steadyport/" NAME
#define NOBODY 65534

static struct sp_crew crew;

static void start(enum sp_protocol protocol, unsigned int size)
{
	sp_crew_start(&crew, protocol, "127.0.0.1", 0, size, NULL);
}

static void start_steered(enum sp_protocol protocol)
{
	start(protocol, WORKERS);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0");
	sp_run("sync", NAME);
}

/* Nothing is wrong with the group; of the machine that is not this program's business. */
static void expect_healthy(const char *word)
{
	const json_t *group;

	sp_examine(word, "0");
	group = json_array_get(sp_json_array(sp_examined(), "groups"), 0);
	if (json_array_size(sp_json_array(group, "findings")))
		fail_msg("found: %s",
			 sp_json_text(json_array_get(sp_json_array(group, "findings"), 0), "id"));
}

static void detach_program(void)
{
	sp_autoclose int fd = sp_crew_borrow(&crew, 0);
	int unused = 0;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused)), 0);
}

static void attach_stranger(void)
{
	sp_autoclose int prog = sp_foreign_load("stranger"), fd = sp_crew_borrow(&crew, 0);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog, sizeof(prog)), 0);
}

static void has(const char *id, const char *part, const char *text)
{
	if (!strstr(sp_examined_text(id, part), text))
		fail_msg("%s of %s is \"%s\", without: %s", part, id, sp_examined_text(id, part), text);
}

/* --- healthy groups --- */

static void e2e__doctor_steered_udp_and_tcp__nothing_is_found(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	expect_healthy(NAME);
	expect_healthy(crew.endpoint);
	sp_run_teardown(NULL);
	start_steered(SP_TCP);
	expect_healthy(NAME);
}

static void e2e__doctor_without_a_word__all_steered_groups(void **state)
{
	static struct sp_crew other;

	(void)state;
	start_steered(SP_UDP);
	sp_crew_start(&other, SP_TCP, "127.0.0.1", 0, 2, NULL);
	sp_examine(NULL, "0");
	assert_int_equal(json_array_size(sp_json_array(sp_examined(), "groups")), 1);
	sp_run("attach", "web", other.endpoint);
	sp_examine(NULL, "0");
	assert_int_equal(json_array_size(sp_json_array(sp_examined(), "groups")), 2);
	sp_crew_kill(&crew, 0);
	assert_non_null(strstr(sp_run("doctor", "--watch", "0")->out, "warning   slots-dead: dead slots: "));
	assert_non_null(strstr(sp_run("doctor", "--watch", "0")->out, "steadyport sync " NAME));
}

static void e2e__doctor_words_that_name_nothing__refused(void **state)
{
	(void)state;
	assert_non_null(strstr(sp_run_fails(SP_EXIT_NO_GROUP, "doctor", "nobody")->err, "nobody"));
	assert_non_null(strstr(sp_run_fails(SP_EXIT_NO_GROUP, "doctor", "udp:1")->err,
			       "no reuseport group listens on udp port 1"));
	assert_non_null(strstr(sp_run_fails(SP_EXIT_USAGE, "doctor", "udp:x")->err, "is not an endpoint"));
	assert_non_null(strstr(sp_run_fails(SP_EXIT_USAGE, "doctor", "%%")->err, "neither"));
}

/* --- not steered --- */

static void e2e__doctor_a_plain_group__not_steered_until_it_is_attached(void **state)
{
	char command[256];

	(void)state;
	start(SP_UDP, WORKERS);
	sp_finds(crew.endpoint, "not-steered");
	snprintf(command, sizeof(command), "steadyport attach NAME %s", crew.endpoint);
	assert_string_equal(sp_examined_text("not-steered", "fix"), command);
	assert_null(sp_examined_finding("migrate-off"));
	sp_run("attach", NAME, crew.endpoint);
	sp_finds_not(crew.endpoint, "not-steered");
}

static void e2e__doctor_tcp_without_migration__said_until_the_sysctl_is_set(void **state)
{
	const char *path = "/proc/sys/net/ipv4/tcp_migrate_req";
	sp_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	start(SP_TCP, WORKERS);
	sp_finds(crew.endpoint, "migrate-off");
	assert_int_equal(write(fd, "1", 1), 1);
	sp_finds_not(crew.endpoint, "migrate-off");
	assert_int_equal(write(fd, "0", 1), 1);
	sp_finds(crew.endpoint, "migrate-off");
	sp_run("attach", "web", crew.endpoint);
	sp_finds_not(crew.endpoint, "migrate-off");
}

static void e2e__doctor_another_program__said_until_it_is_gone(void **state)
{
	(void)state;
	start(SP_UDP, WORKERS);
	sp_finds_not(crew.endpoint, "program-other");
	attach_stranger();
	sp_finds(crew.endpoint, "program-other");
	has("program-other", "what", "(stranger)");
	detach_program();
	sp_finds_not(crew.endpoint, "program-other");
}

static void e2e__doctor_pins_were_removed__orphaned_until_attached_again(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	sp_finds_not(crew.endpoint, "program-orphaned");
	sp_run_other("rm", "-r", PINS);
	sp_finds(crew.endpoint, "program-orphaned");
	sp_run("attach", "again", crew.endpoint, "--replace");
	sp_finds_not(crew.endpoint, "program-orphaned");
}

/* --- what is attached, and what is pinned --- */

static void e2e__doctor_a_stranger_took_the_group__until_it_is_taken_back(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	attach_stranger();
	sp_finds(NAME, "program-foreign");
	assert_string_equal(sp_examined_text("program-foreign", "fix"), "steadyport sync " NAME " --replace");
	sp_finds(crew.endpoint, "program-foreign");
	sp_run("sync", NAME, "--replace");
	sp_finds_not(NAME, "program-foreign");
}

static void e2e__doctor_program_was_taken_off__until_sync(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	sp_finds_not(NAME, "program-missing");
	detach_program();
	sp_finds(NAME, "program-missing");
	sp_run("sync", NAME);
	sp_finds_not(NAME, "program-missing");
}

static void change_ctl(void (*change)(struct sp_ctl *ctl))
{
	sp_autoclose int fd = bpf_obj_get(PINS "/" SP_PIN_CTL);
	struct sp_ctl ctl;
	__u32 zero = 0;

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &ctl), 0);
	change(&ctl);
	assert_int_equal(bpf_map_update_elem(fd, &zero, &ctl, BPF_ANY), 0);
}

static void forget_attach(struct sp_ctl *ctl)
{
	ctl->attached_at = 0;
}

static void be_newer(struct sp_ctl *ctl)
{
	ctl->abi = SP_ABI_VERSION + 1;
}

static void be_ours(struct sp_ctl *ctl)
{
	ctl->abi = SP_ABI_VERSION;
}

/* As an attach leaves it that was killed between the two. */
static void e2e__doctor_published_and_never_attached__until_attach_completes_it(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	detach_program();
	change_ctl(forget_attach);
	sp_finds(NAME, "program-never-attached");
	has("program-never-attached", "fix", crew.endpoint);
	sp_run("attach", NAME, crew.endpoint);
	sp_finds_not(NAME, "program-never-attached");
}

static void e2e__doctor_pins_of_other_versions__named_with_the_command(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	change_ctl(be_newer);
	sp_finds(NAME, "pins-newer");
	sp_finds(crew.endpoint, "pins-newer");
	change_ctl(be_ours);
	sp_finds_not(NAME, "pins-newer");
	assert_null(sp_examined_finding("pins-outdated"));
	sp_old_make(NAME, 1);
	sp_finds(NAME, "pins-outdated");
	assert_string_equal(sp_examined_text("pins-outdated", "fix"), "steadyport upgrade " NAME);
	sp_run("upgrade", NAME);
	sp_finds_not(NAME, "pins-outdated");
}

static void e2e__doctor_pins_that_cannot_be_read__until_detach(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	sp_finds_not(NAME, "pins-broken");
	assert_int_equal(unlink(PINS "/" SP_PIN_CTL), 0);
	sp_finds(NAME, "pins-broken");
	sp_run("detach", NAME);
	sp_run_fails(SP_EXIT_NO_GROUP, "doctor", NAME);
}

static void e2e__doctor_another_users_group__until_it_is_followed(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_kill(&crew, id);
	crew.options.uid = NOBODY;
	sp_crew_add(&crew, 0);
	sp_crew_add(&crew, 1);
	sp_finds(NAME, "other-user");
	has("other-user", "what", "uid 65534");
	sp_run("sync", NAME, "--replace");
	sp_finds_not(NAME, "other-user");
}

/* --- slots --- */

static void e2e__doctor_all_workers_die_and_come_back__each_step_is_told(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	sp_finds_not(NAME, "group-gone");
	assert_null(sp_examined_finding("nobody-live"));
	assert_null(sp_examined_finding("members-unenrolled"));
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_kill(&crew, id);
	sp_finds(NAME, "group-gone");
	/* Where it was is enough to find it. */
	sp_finds(crew.endpoint, "group-gone");
	assert_string_equal(sp_json_text(json_array_get(sp_json_array(sp_examined(), "groups"), 0),
					 "endpoint"),
			    crew.endpoint);
	sp_crew_add(&crew, 0);
	sp_crew_add(&crew, 1);
	/* Their group is a new one, and has no program. */
	sp_finds(NAME, "program-missing");
	assert_non_null(sp_examined_finding("nobody-live"));
	assert_non_null(sp_examined_finding("members-unenrolled"));
	assert_non_null(sp_examined_finding("slots-dead"));
	sp_run("sync", NAME);
	sp_run("retire", NAME, "2");
	expect_healthy(NAME);
}

static void e2e__doctor_a_worker_died__until_another_takes_its_slot(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	sp_finds_not(NAME, "slots-dead");
	sp_crew_kill(&crew, 1);
	sp_finds(NAME, "slots-dead");
	has("slots-dead", "fix", "steadyport retire " NAME " 1");
	sp_crew_add(&crew, 1);
	sp_finds(NAME, "members-unenrolled");
	has("members-unenrolled", "what", "1 (worker-1[");
	sp_run("sync", NAME);
	sp_finds_not(NAME, "slots-dead");
	assert_null(sp_examined_finding("members-unenrolled"));
}

static void e2e__doctor_drained_and_ejected_slots__until_undrain(void **state)
{
	(void)state;
	start_steered(SP_UDP);
	sp_run("drain", NAME, "0");
	sp_run("eject", NAME, "1");
	sp_finds(NAME, "slots-draining");
	has("slots-draining", "fix", "steadyport undrain " NAME " 0");
	has("slots-ejected", "fix", "steadyport undrain " NAME " 1");
	sp_run("undrain", NAME, "0-1");
	sp_finds_not(NAME, "slots-draining");
	assert_null(sp_examined_finding("slots-ejected"));
}

/* --- members --- */

static void e2e__doctor_a_member_that_nobody_holds__until_it_is_closed(void **state)
{
	int pair[2];

	(void)state;
	start(SP_UDP, WORKERS);
	sp_finds_not(crew.endpoint, "members-hidden");
	sp_crew_send_away(&crew, pair);
	sp_finds(crew.endpoint, "members-hidden");
	has("members-hidden", "what", "1 of 4");
	sp_run("attach", NAME, crew.endpoint, "--partial", "--learn", "0");
	sp_finds(NAME, "members-hidden");
	close(pair[0]);
	close(pair[1]);
	/* The kernel closes what was in flight a little later. */
	for (__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS; sp_lab_left_ms(deadline);) {
		sp_examine(NAME, "0");
		if (!sp_examined_finding("members-hidden"))
			break;
	}
	assert_null(sp_examined_finding("members-hidden"));
}

static void e2e__doctor_a_member_in_another_sockarray__until_that_lets_go(void **state)
{
	int array = bpf_map_create(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, "strange_socks", 4, 8, 4, NULL);
	sp_autoclose int member = -1;
	__u32 zero = 0;
	__u64 value;

	(void)state;
	assert_true(array >= 0);
	start_steered(SP_UDP);
	sp_finds_not(NAME, "members-taken");
	member = sp_crew_join(&crew);
	value = member;
	assert_int_equal(bpf_map_update_elem(array, &zero, &value, BPF_NOEXIST), 0);
	sp_finds(NAME, "members-taken");
	assert_null(sp_examined_finding("members-unenrolled"));
	assert_int_equal(bpf_map_delete_elem(array, &zero), 0);
	close(array);
	sp_finds_not(NAME, "members-taken");
	assert_non_null(sp_examined_finding("members-unenrolled"));
	sp_run("sync", NAME);
	sp_finds_not(NAME, "members-unenrolled");
}

static void connect_worker(unsigned int id, const char *to, __u16 port)
{
	sp_autoclose int fd = sp_crew_borrow(&crew, id);
	struct sockaddr_storage sa;
	struct sp_address address;
	socklen_t len;

	assert_int_equal(sp_lab_address(to, &address), 0);
	len = sp_address_to_sockaddr(&address, port, &sa);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
}

static void disconnect_worker(unsigned int id)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	sp_autoclose int fd = sp_crew_borrow(&crew, id);

	assert_int_equal(connect(fd, &nobody, sizeof(nobody)), 0);
}

static void e2e__doctor_connected_udp_members__what_they_did_to_the_group(void **state)
{
	bool has_left;

	(void)state;
	start_steered(SP_UDP);
	sp_finds_not(NAME, "members-connected");
	assert_null(sp_examined_finding("had-connected"));
	assert_null(sp_examined_finding("sockets-outside"));
	connect_worker(1, "127.0.0.1", 9);
	sp_finds(NAME, "members-connected");
	has("members-connected", "what", "1 (worker-1[");
	/* Before Linux 6.13 it stays in the group. */
	has_left = sp_status_int(NAME, "members") < WORKERS;
	disconnect_worker(1);
	sp_finds(NAME, "had-connected");
	assert_null(sp_examined_finding("members-connected"));
	assert_int_equal(sp_examined_finding("sockets-outside") != NULL, has_left);
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_kill(&crew, id);
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_add(&crew, id);
	sp_run("sync", NAME);
	sp_finds_not(NAME, "had-connected");
	assert_null(sp_examined_finding("sockets-outside"));
}

static void e2e__doctor_a_socket_of_two_processes__until_one_has_ended(void **state)
{
	struct sp_lab_worker child;

	(void)state;
	start_steered(SP_TCP);
	sp_finds_not(NAME, "members-shared");
	assert_int_equal(sp_lab_fork(&crew.workers[1], 7, &child), 0);
	sp_finds(NAME, "members-shared");
	has("members-shared", "what", "1 (worker-");
	has("members-shared", "why", "nginx's master");
	sp_lab_kill(&child);
	sp_finds_not(NAME, "members-shared");
}

static void e2e__doctor_one_member__until_there_are_two(void **state)
{
	(void)state;
	start(SP_TCP, 1);
	sp_finds(crew.endpoint, "single-member");
	sp_crew_add(&crew, 1);
	sp_finds_not(crew.endpoint, "single-member");
}

#define CASE(name) cmocka_unit_test_teardown(name, sp_run_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(e2e__doctor_steered_udp_and_tcp__nothing_is_found),
		CASE(e2e__doctor_without_a_word__all_steered_groups),
		CASE(e2e__doctor_words_that_name_nothing__refused),
		CASE(e2e__doctor_a_plain_group__not_steered_until_it_is_attached),
		CASE(e2e__doctor_tcp_without_migration__said_until_the_sysctl_is_set),
		CASE(e2e__doctor_another_program__said_until_it_is_gone),
		CASE(e2e__doctor_pins_were_removed__orphaned_until_attached_again),
		CASE(e2e__doctor_a_stranger_took_the_group__until_it_is_taken_back),
		CASE(e2e__doctor_program_was_taken_off__until_sync),
		CASE(e2e__doctor_published_and_never_attached__until_attach_completes_it),
		CASE(e2e__doctor_pins_of_other_versions__named_with_the_command),
		CASE(e2e__doctor_pins_that_cannot_be_read__until_detach),
		CASE(e2e__doctor_another_users_group__until_it_is_followed),
		CASE(e2e__doctor_all_workers_die_and_come_back__each_step_is_told),
		CASE(e2e__doctor_a_worker_died__until_another_takes_its_slot),
		CASE(e2e__doctor_drained_and_ejected_slots__until_undrain),
		CASE(e2e__doctor_a_member_that_nobody_holds__until_it_is_closed),
		CASE(e2e__doctor_a_member_in_another_sockarray__until_that_lets_go),
		CASE(e2e__doctor_connected_udp_members__what_they_did_to_the_group),
		CASE(e2e__doctor_a_socket_of_two_processes__until_one_has_ended),
		CASE(e2e__doctor_one_member__until_there_are_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
