// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the reading commands answer, and that bpftool and ss show the same with readable names. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "cleanup.h"
#include "disguise.h"
#include "run.h"

#define WORKERS 3
#define FLOWS 300
#define NOBODY 65534
#define PINS "/sys/fs/bpf/steadyport/"

static const char *const counter_names[] = {
#define SP_COUNTER(name, kind, text) #name,
#include <steadyport/counters.def>
#undef SP_COUNTER
};

static bool is_one_of(const char *text, const char *const *words, size_t nwords)
{
	for (size_t i = 0; i < nwords; i++) {
		if (!strcmp(text, words[i]))
			return true;
	}
	return false;
}

/* Each counter of counters.def and no other. */
static void check_counters(const json_t *counters)
{
	assert_int_equal(json_object_size(counters), SP_ARRAY_SIZE(counter_names));
	for (size_t i = 0; i < SP_ARRAY_SIZE(counter_names); i++)
		assert_true(sp_json_int(counters, counter_names[i]) >= 0);
}

static const struct sp_lab_worker *worker_of(const struct sp_crew *crew, json_int_t cookie)
{
	for (unsigned int id = 0; id < crew->size; id++) {
		if ((json_int_t)crew->workers[id].cookie == cookie)
			return &crew->workers[id];
	}
	print_error("no worker has a socket with cookie %lld\n", (long long)cookie);
	fail();
	return NULL;
}

static void check_owners(const json_t *owners, const struct sp_lab_worker *worker)
{
	const json_t *owner = json_array_get(owners, 0);
	char comm[16], path[64], target[64];

	assert_int_equal(json_array_size(owners), 1);
	assert_int_equal(sp_json_int(owner, "pid"), worker->pid);
	snprintf(comm, sizeof(comm), "worker-%u", worker->id);
	assert_string_equal(sp_json_text(owner, "comm"), comm);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", worker->pid, (int)sp_json_int(owner, "fd"));
	assert_true(readlink(path, target, sizeof(target)) > 0);
	assert_memory_equal(target, "socket:", 7);
}

static void check_slot(const json_t *slot, const struct sp_crew *crew)
{
	static const char *const states[] = { "live", "dead", "draining" };
	const char *state = sp_json_text(slot, "state");

	assert_true(is_one_of(state, states, SP_ARRAY_SIZE(states)));
	assert_in_range(sp_json_int(slot, "slot"), 0, SP_SLOTS_MAX - 1);
	assert_int_equal(sp_json_int(slot, "weight"), SP_WEIGHT_DEFAULT);
	assert_true(sp_json_int(slot, "backlog") >= 0);
	assert_true(sp_json_int(slot, "backlog_max") >= 0);
	check_counters(sp_json_object(slot, "counters"));
	if (strcmp(state, "live")) {
		assert_true(sp_json_real(slot, "share") == 0);
		return;
	}
	assert_true(sp_json_int(slot, "backlog_max") > 0);
	check_owners(sp_json_array(slot, "owners"), worker_of(crew, sp_json_int(slot, "cookie")));
}

static void check_status(const char *name, const struct sp_crew *crew, unsigned int live, unsigned int dead)
{
	json_t *status = sp_run_json("status", name), *slots = sp_json_array(status, "slots"), *slot;
	unsigned int nlive = 0, ndead = 0;
	double share = 0;
	size_t i;

	assert_string_equal(sp_json_text(status, "name"), name);
	assert_string_equal(sp_json_text(status, "endpoint"), crew->endpoint);
	assert_string_equal(sp_json_text(status, "protocol"), sp_protocol_name(crew->protocol));
	assert_true(sp_json_bool(status, "attached"));
	assert_true(sp_json_int(status, "program_id") > 0);
	assert_int_equal(sp_json_int(status, "members"), live);
	assert_int_equal(sp_json_int(status, "enrolled"), live);
	assert_int_equal(sp_json_bool(status, "learning"), sp_json_int(status, "learn_remaining_ms") > 0);
	assert_true(sp_json_int(status, "kept_flows") >= 0);
	assert_int_equal(json_array_size(slots), live + dead);
	json_array_foreach(slots, i, slot) {
		check_slot(slot, crew);
		nlive += !strcmp(sp_json_text(slot, "state"), "live");
		ndead += !strcmp(sp_json_text(slot, "state"), "dead");
		share += sp_json_real(slot, "share");
	}
	assert_int_equal(nlive, live);
	assert_int_equal(ndead, dead);
	assert_true(share > 0.999 && share < 1.001);
	json_decref(status);
}

static void check_looks(enum sp_protocol protocol)
{
	static struct sp_crew crew;
	json_t *list, *row;

	sp_crew_start(&crew, protocol, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", "web", crew.endpoint);
	check_status("web", &crew, WORKERS, 0);
	sp_crew_kill(&crew, 1);
	/* At once, and without a sync: the socket went with its process. */
	check_status("web", &crew, WORKERS - 1, 1);
	sp_run("sync", "web");
	check_status("web", &crew, WORKERS - 1, 1);

	list = sp_run_json("list");
	assert_int_equal(json_array_size(list), 1);
	row = json_array_get(list, 0);
	assert_string_equal(sp_json_text(row, "name"), "web");
	assert_string_equal(sp_json_text(row, "endpoint"), crew.endpoint);
	assert_string_equal(sp_json_text(row, "protocol"), sp_protocol_name(protocol));
	assert_true(sp_json_bool(row, "attached"));
	assert_int_equal(sp_json_int(row, "members"), WORKERS - 1);
	assert_int_equal(sp_json_int(row, "live"), WORKERS - 1);
	assert_int_equal(sp_json_int(row, "dead"), 1);
	assert_int_equal(sp_json_int(row, "program_id"), sp_status_int("web", "program_id"));
	json_decref(list);
	assert_non_null(strstr(sp_run("list")->out, crew.endpoint));
	assert_non_null(strstr(sp_run("status", "web")->out, "steadyport sync web"));
}

static void e2e__status_and_list_udp__every_field_tells_the_truth(void **state)
{
	(void)state;
	check_looks(SP_UDP);
}

static void e2e__status_and_list_tcp__every_field_tells_the_truth(void **state)
{
	(void)state;
	check_looks(SP_TCP);
}

static void e2e__list_without_groups__an_empty_array(void **state)
{
	json_t *list = sp_run_json("list");

	(void)state;
	assert_true(json_is_array(list));
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
}

static const json_t *group_of(const json_t *groups, const struct sp_crew *crew)
{
	const json_t *group = sp_json_find(groups, "port", crew->port), *sockets, *member;
	size_t i;

	assert_string_equal(sp_json_text(group, "endpoint"), crew->endpoint);
	assert_string_equal(sp_json_text(group, "protocol"), sp_protocol_name(crew->protocol));
	assert_int_equal(sp_json_int(group, "members"), crew->size);
	assert_int_equal(sp_json_int(group, "members_visible"), crew->size);
	assert_int_equal(sp_json_int(group, "uid"), crew->options.uid);
	sockets = sp_json_array(group, "sockets");
	assert_int_equal(json_array_size(sockets), crew->size);
	json_array_foreach(sockets, i, member) {
		assert_int_equal(sp_json_int(member, "position"), i);
		assert_false(sp_json_bool(member, "connected"));
		check_owners(sp_json_array(member, "owners"), worker_of(crew, sp_json_int(member, "cookie")));
	}
	return group;
}

static void e2e__groups__shows_all_groups_steered_or_not(void **state)
{
	const struct sp_lab_options nobody = { .uid = NOBODY };
	static struct sp_crew steered, plain;
	const json_t *group;
	struct stat netns;
	json_t *groups;

	(void)state;
	sp_crew_start(&steered, SP_TCP, "::", 0, 2, NULL);
	sp_crew_start(&plain, SP_UDP, "127.0.0.1", 0, 3, &nobody);
	sp_run("attach", "web", steered.endpoint);
	assert_int_equal(stat("/proc/self/ns/net", &netns), 0);
	groups = sp_groups_here();
	group = group_of(groups, &steered);
	assert_string_equal(sp_json_text(group, "steered_as"), "web");
	assert_int_equal(sp_json_int(group, "netns_inode"), netns.st_ino);
	assert_string_equal(sp_json_text(sp_json_object(group, "program"), "kind"), "steadyport");
	assert_string_equal(sp_json_text(sp_json_object(group, "program"), "name"), SP_PROG_NAME);
	assert_int_equal(sp_json_int(sp_json_object(group, "program"), "id"),
			 sp_status_int("web", "program_id"));
	group = group_of(groups, &plain);
	assert_true(json_is_null(json_object_get(group, "steered_as")));
	assert_string_equal(sp_json_text(sp_json_object(group, "program"), "kind"), "none");
	if (getpwuid(NOBODY))
		assert_string_equal(sp_json_text(group, "user"), getpwuid(NOBODY)->pw_name);
	json_decref(groups);

	assert_non_null(strstr(sp_run("groups")->out, "worker-"));
	assert_non_null(strstr(sp_run("groups", "--all")->out, "COOKIE"));
}

static void check_netns_name(void (*prepare)(void *ctx), void *ctx, const char *name)
{
	const struct sp_run_setup setup = { prepare, ctx };
	json_t *status = sp_run_parse(__FILE__, __LINE__,
				      sp_run_program(__FILE__, __LINE__, SP_EXIT_OK, &setup, "steadyport",
						     "status", "web", "--json", NULL));

	assert_string_equal(sp_json_text(status, "netns"), name);
	json_decref(status);
}

static void e2e__network_namespace__is_called_what_people_call_it(void **state)
{
	static struct sp_crew crew;
	struct stat netns;
	char number[32];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, 1, NULL);
	sp_run("attach", "web", crew.endpoint);
	assert_int_equal(stat("/proc/self/ns/net", &netns), 0);
	snprintf(number, sizeof(number), "%ju", (uintmax_t)netns.st_ino);
	check_netns_name(NULL, NULL, number);
	check_netns_name(sp_disguise_named_netns, "edge", "edge");
	check_netns_name(sp_disguise_first_netns, NULL, "host");
}

/* Every packet makes one run of the program, and every run counts once (DESIGN I8). */
static void check_sums(const char *track, bool has_window)
{
	static struct sp_crew crew;
	int before[FLOWS], after[FLOWS];
	struct sp_crowd crowd;
	json_t *counters, *status;

	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_run("attach", "dns", crew.endpoint, "--track", track, "--learn", has_window ? "1h" : "0");
	sp_crowd_ask(&crowd, after);
	sp_crew_kill(&crew, 2);
	sp_crowd_ask(&crowd, after);
	sp_crew_add(&crew, 2);
	sp_run("sync", "dns");
	sp_crowd_ask(&crowd, after);
	sp_crew_kill(&crew, 0);
	sp_crew_kill(&crew, 1);
	sp_crowd_ask(&crowd, after);

	counters = sp_run_json("counters", "dns");
	assert_string_equal(sp_json_text(counters, "name"), "dns");
	assert_string_equal(sp_json_text(counters, "endpoint"), crew.endpoint);
	assert_int_equal(sp_json_outcomes(counters), 4 * FLOWS);
	assert_int_equal(sp_json_int(sp_json_object(counters, "group_counters"), "unselected"), 0);
	json_decref(counters);
	status = sp_run_json("status", "dns");
	assert_int_equal(sp_json_outcomes(status), 4 * FLOWS);
	json_decref(status);
	assert_non_null(strstr(sp_run("counters", "dns")->out, "steered"));
	sp_crowd_close(&crowd);
}

static void e2e__i8_counters_with_a_learn_window__one_outcome_for_each_packet(void **state)
{
	(void)state;
	check_sums("transition", true);
}

static void e2e__i8_counters_without_a_learn_window__one_outcome_for_each_packet(void **state)
{
	(void)state;
	check_sums("off", false);
}

static void e2e__i8_counters_track_always__one_outcome_for_each_packet(void **state)
{
	(void)state;
	check_sums("always", true);
}

/* --- the same with plain bpftool and ss --- */

/*
 * bpftool prints unsigned 64-bit numbers, half of which are too large for jansson's integers: all are read as
 * reals. What is compared here is small enough to be exact.
 */
static json_t *dump_map(const char *path)
{
	const struct sp_run *run = sp_run_other("bpftool", "-j", "map", "dump", "pinned", path);
	json_t *dump = json_loads(run->out, JSON_DECODE_INT_AS_REAL, NULL);

	assert_non_null(dump);
	return dump;
}

/* [{key, value, formatted: {key, value}}]: the names of the fields are in "formatted", from the map's BTF. */
static const json_t *formatted(const json_t *dump, size_t i)
{
	return sp_json_object(json_array_get(dump, i), "formatted");
}

static void expect_number(const json_t *object, const char *key, double value)
{
	if (sp_json_real(object, key) != value)
		print_error("%s is %.0f, not %.0f\n", key, sp_json_real(object, key), value);
	assert_true(sp_json_real(object, key) == value);
}

static void e2e__bpftool_on_a_steered_group__shows_readable_names(void **state)
{
	static struct sp_crew crew;
	const struct sp_run *run;
	struct sp_crowd crowd;
	const json_t *value;
	int owners[FLOWS];
	json_t *dump;

	(void)state;
	sp_run_need("bpftool");
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", "dns", crew.endpoint, "--track", "always");
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, owners);
	sp_crowd_close(&crowd);

	run = sp_run_other("bpftool", "prog", "show", "name", SP_PROG_NAME);
	assert_non_null(strstr(run->out, "sk_reuseport"));
	assert_non_null(strstr(run->out, "name " SP_PROG_NAME));

	dump = dump_map(PINS "dns/" SP_PIN_INFO);
	value = sp_json_object(formatted(dump, 0), "value");
	expect_number(value, "pid", worker_of(&crew, sp_json_real(value, "cookie"))->pid);
	expect_number(value, "incarnation", 1);
	expect_number(value, "weight", SP_WEIGHT_DEFAULT);
	json_decref(dump);

	dump = dump_map(PINS "dns/" SP_PIN_CTL);
	value = sp_json_object(formatted(dump, 0), "value");
	expect_number(value, "abi", SP_ABI_VERSION);
	expect_number(value, "port", crew.port);
	sp_json_real(value, "current");
	json_decref(dump);

	dump = dump_map(PINS "dns/" SP_PIN_VIEWS);
	value = sp_json_object(formatted(dump, 0), "value");
	assert_int_equal(json_array_size(sp_json_array(value, "owner")), SP_BUCKETS);
	sp_json_real(value, "learn_until_ns");
	json_decref(dump);

	dump = dump_map(PINS "dns/" SP_PIN_COUNTERS);
	value = sp_json_object(json_array_get(sp_json_array(formatted(dump, 0), "values"), 0), "value");
	for (size_t i = 0; i < SP_ARRAY_SIZE(counter_names); i++)
		sp_json_real(value, counter_names[i]);
	json_decref(dump);

	dump = dump_map(PINS "dns/" SP_PIN_FLOWS);
	assert_int_equal(json_array_size(dump), FLOWS);
	value = sp_json_object(formatted(dump, 0), "value");
	assert_true(sp_json_real(value, "slot") < WORKERS);
	expect_number(value, "incarnation", 1);
	sp_json_real(value, "last_seen_s");
	json_decref(dump);
}

/* ss -e prints the cookie in hexadecimal: sk:1f */
static bool ss_shows(const char *output, __u64 cookie)
{
	char word[32];
	const char *at;

	snprintf(word, sizeof(word), "sk:%llx", cookie);
	at = strstr(output, word);
	return at && !strchr("0123456789abcdef", at[strlen(word)]);
}

static void check_cookies(enum sp_protocol protocol, const char *ss_options)
{
	static struct sp_crew crew;
	const json_t *slot;
	json_t *status, *dump;
	size_t i;

	sp_crew_start(&crew, protocol, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", "web", crew.endpoint);
	status = sp_run_json("status", "web");
	dump = dump_map(PINS "web/" SP_PIN_SLOTS);
	json_array_foreach(sp_json_array(status, "slots"), i, slot) {
		json_int_t cookie = sp_json_int(slot, "cookie");

		worker_of(&crew, cookie);
		expect_number(formatted(dump, sp_json_int(slot, "slot")), "value", cookie);
		assert_true(ss_shows(sp_run_other("ss", ss_options)->out, cookie));
	}
	json_decref(dump);
	json_decref(status);
}

static void e2e__cookies_udp__the_same_in_status_bpftool_and_ss(void **state)
{
	(void)state;
	sp_run_need("bpftool");
	sp_run_need("ss");
	check_cookies(SP_UDP, "-ulne");
}

static void e2e__cookies_tcp__the_same_in_status_bpftool_and_ss(void **state)
{
	(void)state;
	sp_run_need("bpftool");
	sp_run_need("ss");
	check_cookies(SP_TCP, "-tlne");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__status_and_list_udp__every_field_tells_the_truth,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__status_and_list_tcp__every_field_tells_the_truth,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__list_without_groups__an_empty_array, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__groups__shows_all_groups_steered_or_not, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__network_namespace__is_called_what_people_call_it,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__i8_counters_with_a_learn_window__one_outcome_for_each_packet,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__i8_counters_without_a_learn_window__one_outcome_for_each_packet,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__i8_counters_track_always__one_outcome_for_each_packet,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__bpftool_on_a_steered_group__shows_readable_names,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__cookies_udp__the_same_in_status_bpftool_and_ss,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__cookies_tcp__the_same_in_status_bpftool_and_ss,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
