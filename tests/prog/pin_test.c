// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pinned state: complete or absent, whoever is killed meanwhile (I5). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <bpf/bpf.h>
#include "fixture.h"
#include "group.h"
#include "steer.h"

#define ROOT SP_FIXTURE_BPFFS "/steadyport"
#define HOLDER_MS 5000

static const char *const files[] = {
	SP_PIN_PROG, SP_PIN_SLOTS, SP_PIN_VIEWS,    SP_PIN_CTL,
	SP_PIN_INFO, SP_PIN_FLOWS, SP_PIN_COUNTERS, SP_PIN_EVENTS,
};

static __u32 program_id(const struct sp_pins *pins)
{
	__u32 id;

	assert_int_equal(sp_steer_program_id(pins, &id), 0);
	return id;
}

/* Objects of a group that nobody listens in. */
static void load(struct sp_fixture *fx, const char *name)
{
	const struct sp_ctl ctl = { .protocol = SP_TCP, .family = AF_INET, .port = fx->port };

	assert_int_equal(sp_steer_load(name, &ctl, 1, 1, &fx->pins), 0);
}

static void pin__published__opens_with_the_same_objects(struct sp_fixture *fx)
{
	struct sp_pins opened = SP_PINS_NONE, program = SP_PINS_NONE;
	char path[128];

	load(fx, SP_FIXTURE_NAME);
	assert_false(sp_pin_exists(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
	assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &opened), -ENOENT);
	assert_int_equal(opened.prog, -1);
	assert_int_equal(sp_pin_publish(SP_FIXTURE_BPFFS, &fx->pins), 0);
	assert_true(sp_pin_exists(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
	for (size_t i = 0; i < SP_ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), ROOT "/" SP_FIXTURE_NAME "/%s", files[i]);
		assert_int_equal(access(path, F_OK), 0);
	}

	assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &opened), 0);
	assert_string_equal(opened.name, SP_FIXTURE_NAME);
	assert_int_equal(program_id(&opened), program_id(&fx->pins));
	sp_pins_close(&opened);
	assert_int_equal(sp_pin_open_program(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &program), 0);
	assert_int_equal(program_id(&program), program_id(&fx->pins));
	assert_int_equal(program.ctl, -1);
	sp_pins_close(&program);

	assert_int_equal(sp_pin_remove(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME), 0);
	assert_false(sp_pin_exists(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
	assert_int_equal(sp_pin_open_program(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &program), -ENOENT);
	assert_int_equal(access(ROOT "/~" SP_FIXTURE_NAME, F_OK), -1);
	assert_int_equal(sp_pin_remove(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME), 0);
}

static void pin__name_is_taken__publishing_again_is_refused_and_changes_nothing(struct sp_fixture *fx)
{
	struct sp_pins opened = SP_PINS_NONE, second = SP_PINS_NONE;
	const struct sp_ctl ctl = { .protocol = SP_TCP, .family = AF_INET, .port = 1 };
	__u32 id;

	load(fx, SP_FIXTURE_NAME);
	id = program_id(&fx->pins);
	assert_int_equal(sp_pin_publish(SP_FIXTURE_BPFFS, &fx->pins), 0);
	assert_int_equal(sp_steer_load(SP_FIXTURE_NAME, &ctl, 1, 1, &second), 0);
	assert_int_equal(sp_pin_publish(SP_FIXTURE_BPFFS, &second), -EEXIST);
	sp_pins_close(&second);
	assert_int_equal(access(ROOT "/~" SP_FIXTURE_NAME, F_OK), -1);
	assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &opened), 0);
	assert_int_equal(program_id(&opened), id);
	sp_pins_close(&opened);
}

/* What a loader that was killed while it staged leaves behind. */
static void leave_staging(const struct sp_pins *pins)
{
	assert_int_equal(mkdir(ROOT "/~" SP_FIXTURE_NAME, 0700), 0);
	assert_int_equal(bpf_obj_pin(pins->ctl, ROOT "/~" SP_FIXTURE_NAME "/" SP_PIN_CTL), 0);
	assert_int_equal(bpf_obj_pin(pins->slots, ROOT "/~" SP_FIXTURE_NAME "/" SP_PIN_SLOTS), 0);
}

static void pin__i5_staging_left_by_a_killed_loader__is_not_listed_and_is_replaced(struct sp_fixture *fx)
{
	char(*names)[SP_NAME_MAX + 1] = NULL;
	struct sp_pins opened = SP_PINS_NONE;
	size_t count = 77;

	load(fx, SP_FIXTURE_NAME);
	leave_staging(&fx->pins);
	assert_false(sp_pin_exists(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
	assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &opened), -ENOENT);
	assert_int_equal(sp_pin_list(SP_FIXTURE_BPFFS, &names, &count), 0);
	assert_int_equal(count, 0);
	free(names);

	assert_int_equal(sp_pin_publish(SP_FIXTURE_BPFFS, &fx->pins), 0);
	assert_int_equal(access(ROOT "/~" SP_FIXTURE_NAME, F_OK), -1);
	assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &opened), 0);
	sp_pins_close(&opened);

	/* The same is left by one that was killed while it removed. */
	leave_staging(&fx->pins);
	assert_int_equal(sp_pin_remove(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME), 0);
	assert_int_equal(access(ROOT "/~" SP_FIXTURE_NAME, F_OK), -1);
	assert_false(sp_pin_exists(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
	leave_staging(&fx->pins);
	assert_int_equal(sp_pin_remove(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME), 0);
	assert_int_equal(access(ROOT "/~" SP_FIXTURE_NAME, F_OK), -1);
}

static void pin__several_groups__are_listed_in_order(struct sp_fixture *fx)
{
	static const char *const names[] = {
		"web", "dns-4", "A_very_long_name_of_sixty_three_characters_0123456789_012345678"
	};
	char(*listed)[SP_NAME_MAX + 1] = NULL;
	size_t count = 0;

	assert_int_equal(strlen(names[2]), SP_NAME_MAX);
	load(fx, names[0]);
	for (size_t i = 0; i < SP_ARRAY_SIZE(names); i++) {
		strcpy(fx->pins.name, names[i]);
		assert_int_equal(sp_pin_publish(SP_FIXTURE_BPFFS, &fx->pins), 0);
	}
	assert_int_equal(sp_pin_list(SP_FIXTURE_BPFFS, &listed, &count), 0);
	assert_int_equal(count, 3);
	assert_string_equal(listed[0], names[2]);
	assert_string_equal(listed[1], names[1]);
	assert_string_equal(listed[2], names[0]);
	free(listed);
	for (size_t i = 0; i < SP_ARRAY_SIZE(names); i++)
		assert_int_equal(sp_pin_remove(SP_FIXTURE_BPFFS, names[i]), 0);
	assert_int_equal(sp_pin_list(SP_FIXTURE_BPFFS, &listed, &count), 0);
	assert_int_equal(count, 0);
	assert_null(listed);
}

static void pin__other_abi_version__is_refused(struct sp_fixture *fx)
{
	struct sp_pins opened = SP_PINS_NONE, program = SP_PINS_NONE;
	struct sp_ctl ctl;
	__u32 zero = 0;

	load(fx, SP_FIXTURE_NAME);
	assert_int_equal(bpf_map_lookup_elem(fx->pins.ctl, &zero, &ctl), 0);
	ctl.abi = SP_ABI_VERSION + 1;
	assert_int_equal(bpf_map_update_elem(fx->pins.ctl, &zero, &ctl, BPF_ANY), 0);
	assert_int_equal(sp_pin_publish(SP_FIXTURE_BPFFS, &fx->pins), 0);
	assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &opened), -EPROTO);
	assert_int_equal(opened.prog, -1);
	/* It can be detached all the same. */
	assert_int_equal(sp_pin_open_program(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &program), 0);
	sp_pins_close(&program);
	assert_int_equal(sp_pin_remove(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME), 0);
}

/* Where sp_ctl should be there is a map of another shape. */
static void pin__not_steadyports__is_refused(struct sp_fixture *fx)
{
	struct sp_pins opened = SP_PINS_NONE;

	load(fx, SP_FIXTURE_NAME);
	assert_int_equal(sp_pin_publish(SP_FIXTURE_BPFFS, &fx->pins), 0);
	assert_int_equal(unlink(ROOT "/" SP_FIXTURE_NAME "/" SP_PIN_CTL), 0);
	assert_int_equal(bpf_obj_pin(fx->pins.info, ROOT "/" SP_FIXTURE_NAME "/" SP_PIN_CTL), 0);
	assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &opened), -EPROTO);
	assert_int_equal(opened.prog, -1);
}

static void pin__one_object_missing__is_refused_and_can_be_removed(struct sp_fixture *fx)
{
	load(fx, SP_FIXTURE_NAME);
	for (size_t i = 0; i < SP_ARRAY_SIZE(files); i++) {
		struct sp_pins opened = SP_PINS_NONE;
		char path[128];

		assert_int_equal(sp_pin_publish(SP_FIXTURE_BPFFS, &fx->pins), 0);
		snprintf(path, sizeof(path), ROOT "/" SP_FIXTURE_NAME "/%s", files[i]);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &opened), -EPROTO);
		assert_int_equal(opened.prog, -1);
		assert_int_equal(sp_pin_remove(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME), 0);
		assert_false(sp_pin_exists(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME));
	}
}

static void pin__name_with_dot_or_tilde_or_too_long__is_refused(struct sp_fixture *fx)
{
	static const char *const bad[] = {
		"",
		".",
		"..",
		"a.b",
		"~web",
		"we~b",
		"a/b",
		"-web",
		"we b",
		"w\xc3\xa9",
		"0123456789012345678901234567890123456789012345678901234567890123",
	};
	struct sp_pins opened = SP_PINS_NONE;

	(void)fx;
	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
		assert_false(sp_name_is_valid(bad[i]));
		assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, bad[i], &opened), -ENOENT);
	}
	assert_int_equal(opened.prog, -1);
	assert_true(sp_name_is_valid("web"));
	assert_true(sp_name_is_valid("_9-"));
}

static bool is_lock_free(void)
{
	sp_autoclose int fd = open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void wait_byte(int fd, char expected)
{
	char byte;

	assert_int_equal(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, HOLDER_MS), 1);
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, expected);
}

/* A process that takes the lock, says so and keeps it. */
static pid_t start_locker(int report)
{
	pid_t pid = fork();
	int lock;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(report, "s", 1) != 1 || sp_pin_lock(SP_FIXTURE_BPFFS, &lock) || write(report, "l", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void kill_locker(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void pin__i5_lock_holder_is_killed__the_next_one_gets_the_lock(struct sp_fixture *fx)
{
	pid_t first, second;
	int report[2], lock = -1;

	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	sp_fixture_own(fx, report[0]);
	sp_fixture_own(fx, report[1]);
	assert_true(is_lock_free());
	first = start_locker(report[1]);
	wait_byte(report[0], 's');
	wait_byte(report[0], 'l');
	assert_false(is_lock_free());

	second = start_locker(report[1]);
	wait_byte(report[0], 's');
	/* It has nothing to say as long as the first one lives; it has said that it waits after a second. */
	assert_int_equal(poll(&(struct pollfd){ .fd = report[0], .events = POLLIN }, 1, 1200), 0);
	kill_locker(first);
	wait_byte(report[0], 'l');
	assert_false(is_lock_free());
	kill_locker(second);

	assert_int_equal(sp_pin_lock(SP_FIXTURE_BPFFS, &lock), 0);
	assert_false(is_lock_free());
	sp_close_fd(&lock);
	assert_true(is_lock_free());
}

/* The loader was killed between publishing and attaching, with nothing, one or all members in their slots. */
static void pin__i5_published_but_not_attached__reconcile_completes_it(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, 200);

	sp_fixture_load(fx);
	sp_pins_close(&fx->pins);
	assert_int_equal(sp_pin_open(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME, &fx->pins), 0);
	sp_fixture_look(fx);
	assert_int_equal(fx->state->ctl.attached_at, 0);
	sp_fixture_sync(fx);
	assert_true(fx->result.did_attach);
	assert_int_equal(fx->result.nenrolled, 3);
	assert_true(fx->state->ctl.attached_at > 0);
	sp_fixture_round(fx, set);
	if (fx->protocol == SP_UDP)
		sp_require_still(fx, set);
	else
		sp_require_agreement(fx, set);
	sp_fixture_sync(fx);
	assert_false(fx->result.did_attach);
}

/* Killed after the views were written and before the attach: everything but the attachment is there. */
static void pin__i5_enrolled_but_not_attached__reconcile_completes_it(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, 200);
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;
	int socket = -1;

	sp_fixture_attach(fx);
	assert_int_equal(sp_members_scan(0, &groups), 0);
	group = sp_group_at(groups, &fx->state->ctl, fx->result.program_id);
	assert_non_null(group);
	assert_int_equal(sp_group_any_socket(group, &socket), 0);
	assert_int_equal(sp_group_detach(socket), 0);
	sp_close_fd(&socket);

	sp_fixture_sync(fx);
	assert_true(fx->result.did_attach);
	assert_int_equal(fx->result.nenrolled, 0);
	assert_int_equal(fx->result.live, 3);
	sp_fixture_round(fx, set);
	if (fx->protocol == SP_UDP)
		sp_require_still(fx, set);
	else
		sp_require_agreement(fx, set);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(pin__published__opens_with_the_same_objects, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(pin__name_is_taken__publishing_again_is_refused_and_changes_nothing,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4),
		SP_CASE(pin__i5_staging_left_by_a_killed_loader__is_not_listed_and_is_replaced,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4),
		SP_CASE(pin__several_groups__are_listed_in_order, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(pin__other_abi_version__is_refused, .protocols = SP_CASE_TCP, .places = SP_PLACE_V4),
		SP_CASE(pin__not_steadyports__is_refused, .protocols = SP_CASE_TCP, .places = SP_PLACE_V4),
		SP_CASE(pin__one_object_missing__is_refused_and_can_be_removed, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(pin__name_with_dot_or_tilde_or_too_long__is_refused, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(pin__i5_lock_holder_is_killed__the_next_one_gets_the_lock, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(pin__i5_published_but_not_attached__reconcile_completes_it, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = 3),
		SP_CASE(pin__i5_enrolled_but_not_attached__reconcile_completes_it, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = 3),
	};

	return sp_fixture_main("pin", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
