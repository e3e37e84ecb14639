// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `snapshot` and `restore`: a group is as it was, with the members that are still there. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "run.h"

#define NAME "dns"
#define WORKERS 4
#define FLOWS 400

static struct sp_crew crew;
static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];
static char file[] = "/tmp/steadyport-snapshot-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(file);

	(void)state;
	close(fd);
	return fd < 0;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(file);
}

static void save(const struct sp_run *run)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(run->out, 1, run->out_len, f), run->out_len);
	assert_int_equal(fclose(f), 0);
}

/* What differs by its nature from one moment to the next. */
static json_t *state_of(const char *name)
{
	json_t *document = sp_run_json("snapshot", name), *flow;
	size_t i;

	json_object_del(document, "taken_at");
	json_object_del(document, "attached_at");
	json_object_del(document, "name");
	json_object_del(document, "learn_remaining_ns");
	json_object_del(document, "previous");
	json_object_del(json_object_get(document, "current"), "serial");
	json_array_foreach(json_object_get(document, "flows"), i, flow)
		json_object_del(flow, "idle_s");
	return document;
}

static void start(void)
{
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_run("attach", NAME, crew.endpoint, "--learn", sp_run_window(1000));
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_status_wait_settled(NAME);
	sp_run("drain", NAME, "2");
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_run("weight", NAME, "0=50");
	sp_crowd_stays(&crowd, &crew, before, after);
}

static void e2e__group_is_gone__restored_as_it_was_but_for_its_members(void **state)
{
	json_t *was, *is, *slot;
	size_t i;

	(void)state;
	start();
	save(sp_run("snapshot", NAME));
	was = state_of(NAME);
	sp_run("detach", NAME);
	sp_crew_dismiss(&crew);
	assert_non_null(strstr(sp_run("restore", file)->out, "sync"));
	is = state_of(NAME);
	json_array_foreach(sp_json_array(is, "slots"), i, slot) {
		assert_string_equal(sp_json_text(slot, "state"), "dead");
		json_object_del(slot, "state");
		json_object_del(slot, "died_at");
		json_object_del(json_array_get(json_object_get(was, "slots"), i), "state");
		json_object_del(json_array_get(json_object_get(was, "slots"), i), "died_at");
	}
	assert_true(json_equal(was, is));
	assert_int_equal(sp_counters_outcomes(NAME), 4 * FLOWS - FLOWS);
	json_decref(was);
	json_decref(is);
	sp_crowd_close(&crowd);
}

static void e2e__members_are_there__they_get_their_slots_back_and_it_steers(void **state)
{
	json_t *was, *is;

	(void)state;
	start();
	save(sp_run("snapshot", NAME));
	was = sp_run_json("status", NAME);
	sp_run("detach", NAME);
	sp_crowd_ask(&crowd, before); /* by the kernel's hash now */
	sp_run("restore", file, "again");
	/* From the kernel's choice to ours: like an attach, it moves nobody who is not known to the table. */
	is = sp_run_json("status", "again");
	assert_true(sp_json_bool(is, "attached"));
	for (int slot = 0; slot < WORKERS; slot++) {
		json_t *a = sp_json_find(sp_json_array(was, "slots"), "slot", slot);
		json_t *b = sp_json_find(sp_json_array(is, "slots"), "slot", slot);

		assert_string_equal(sp_json_text(a, "state"), sp_json_text(b, "state"));
		assert_int_equal(sp_json_int(a, "cookie"), sp_json_int(b, "cookie"));
		assert_int_equal(sp_json_int(a, "weight"), sp_json_int(b, "weight"));
		assert_int_equal(sp_json_int(a, "incarnation"), sp_json_int(b, "incarnation"));
	}
	json_decref(was);
	json_decref(is);
	sp_crowd_ask(&crowd, before);
	sp_status_wait_settled("again");
	sp_run("sync", "again");
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
}

static void says(const struct sp_run *run, const char *what)
{
	if (!strstr(run->err, what))
		fail_msg("%s is not in: %s", what, run->err);
}

static void e2e__bad_restore__refused_and_nothing_left(void **state)
{
	FILE *f;

	(void)state;
	start();
	save(sp_run("snapshot", NAME));
	says(sp_run_fails(SP_EXIT_FAILED, "restore", file), "already");
	says(sp_run_fails(SP_EXIT_FAILED, "restore", file, "other"), "has a program already");
	sp_run_fails(SP_EXIT_USAGE, "restore", file, "a/b");
	says(sp_run_fails(SP_EXIT_FAILED, "restore", "/nowhere/at/all"), "/nowhere/at/all");
	sp_run_fails(SP_EXIT_NO_GROUP, "snapshot", "other");
	save(sp_run("snapshot", NAME, "--no-key"));
	sp_run("detach", NAME);
	says(sp_run_fails(SP_EXIT_FAILED, "restore", file), "without its hash key");
	f = fopen(file, "w");
	assert_non_null(f);
	fputs("{\"format\": 1,\n \"name\": 2,\n", f);
	assert_int_equal(fclose(f), 0);
	says(sp_run_fails(SP_EXIT_FAILED, "restore", file), ":");
	f = fopen(file, "w");
	assert_non_null(f);
	fputs("{\"format\": 99}\n", f);
	assert_int_equal(fclose(f), 0);
	says(sp_run_fails(SP_EXIT_FAILED, "restore", file), "format");
	assert_int_equal(access("/sys/fs/bpf/steadyport/" NAME, F_OK), -1);
	assert_int_equal(access("/sys/fs/bpf/steadyport/other", F_OK), -1);
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__group_is_gone__restored_as_it_was_but_for_its_members,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__members_are_there__they_get_their_slots_back_and_it_steers,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__bad_restore__refused_and_nothing_left, sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
