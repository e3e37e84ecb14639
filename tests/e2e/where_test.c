// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* where (DESIGN I7): the worker that it names answers, and after its death the next one that it names. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cleanup.h"
#include "run.h"

#define WORKERS 4
#define VICTIM 1
#define FLOWS_MAX 100
#define SOURCE_PORT 20000

struct prediction {
	json_int_t slot, pid, next_slot;
};

/* Where flows come from and go to; of a second target, the second half of the flows. */
struct route {
	const char *to, *also_to;
	size_t count;
};

static void source_of(const struct route *route, size_t i, char buf[SP_ENDPOINT_STRLEN])
{
	const char *to = route->also_to && i >= route->count / 2 ? route->also_to : route->to;
	struct sp_address address;

	/* On the loopback device a flow comes from the address that it goes to. */
	assert_int_equal(sp_lab_address(to, &address), 0);
	sp_address_format(&address, 0, SOURCE_PORT + i, buf);
}

static struct prediction predict(const char *name, const char *source)
{
	json_t *answer = sp_run_json("where", name, source), *first;
	struct prediction p = {
		.slot = sp_json_int(answer, "slot"),
		.pid = sp_json_int(answer, "pid"),
		.next_slot = sp_json_int(answer, "next_slot"),
	};

	assert_string_equal(sp_json_text(answer, "name"), name);
	assert_string_equal(sp_json_text(sp_json_object(answer, "flow"), "src"), source);
	assert_int_equal(strlen(sp_json_text(answer, "hash")), 16);
	assert_in_range(sp_json_int(answer, "bucket"), 0, SP_BUCKETS - 1);
	assert_string_equal(sp_json_text(answer, "reason"), "owner");
	first = json_array_get(sp_json_array(answer, "probes"), 0);
	assert_int_equal(sp_json_int(first, "slot"), p.slot);
	assert_string_equal(sp_json_text(first, "state"), "live");
	json_decref(answer);
	return p;
}

/* Slot to worker, by the cookies of the sockets. */
static void read_slots(const char *name, const struct sp_crew *crew, int ret[WORKERS])
{
	json_t *status = sp_run_json("status", name);

	for (unsigned int id = 0; id < WORKERS; id++) {
		const json_t *slot =
			sp_json_find(sp_json_array(status, "slots"), "cookie", crew->workers[id].cookie);

		assert_in_range(sp_json_int(slot, "slot"), 0, WORKERS - 1);
		ret[sp_json_int(slot, "slot")] = id;
	}
	json_decref(status);
}

static void ask(const struct sp_crew *crew, const struct route *route, int *owners)
{
	struct sp_crowd crowd;

	sp_crowd_open(&crowd, crew, route->to, route->also_to, SOURCE_PORT, route->count);
	if (crew->protocol == SP_UDP)
		sp_crowd_ask(&crowd, owners);
	else
		sp_crowd_answers(&crowd, owners);
	sp_crowd_close(&crowd);
}

static void check_where(enum sp_protocol protocol, const char *address, const struct route *route)
{
	struct prediction predictions[FLOWS_MAX];
	int owners[FLOWS_MAX], worker_of[WORKERS];
	static struct sp_crew crew;
	size_t heirs = 0;

	sp_crew_start(&crew, protocol, address, 0, WORKERS, NULL);
	/* No flow is older than the attach, so there is nothing to learn. */
	sp_run("attach", "web", crew.endpoint, "--learn", "0");
	read_slots("web", &crew, worker_of);
	for (size_t i = 0; i < route->count; i++) {
		char source[SP_ENDPOINT_STRLEN];

		source_of(route, i, source);
		predictions[i] = predict("web", source);
	}
	ask(&crew, route, owners);
	for (size_t i = 0; i < route->count; i++) {
		assert_int_equal(worker_of[predictions[i].slot], owners[i]);
		assert_int_equal(predictions[i].pid, crew.workers[owners[i]].pid);
	}

	sp_crew_kill(&crew, VICTIM);
	ask(&crew, route, owners);
	for (size_t i = 0; i < route->count; i++) {
		bool is_orphan = worker_of[predictions[i].slot] == VICTIM;

		assert_int_equal(worker_of[is_orphan ? predictions[i].next_slot : predictions[i].slot],
				 owners[i]);
		heirs += is_orphan;
	}
	assert_true(heirs > 0);
}

static void e2e__where_udp_ipv4__names_the_worker_that_answers_and_its_heir(void **state)
{
	(void)state;
	check_where(SP_UDP, "127.0.0.1", &(struct route){ .to = "127.0.0.1", .count = 80 });
}

static void e2e__where_udp_dual_stack__names_the_worker_that_answers_and_its_heir(void **state)
{
	(void)state;
	check_where(SP_UDP, "::", &(struct route){ .to = "::1", .also_to = "127.0.0.1", .count = 60 });
}

static void e2e__where_tcp_any_address__names_the_worker_that_answers_and_its_heir(void **state)
{
	(void)state;
	check_where(SP_TCP, "0.0.0.0", &(struct route){ .to = "127.0.0.1", .count = 40 });
}

static void e2e__where_tcp_ipv6__names_the_worker_that_answers_and_its_heir(void **state)
{
	(void)state;
	check_where(SP_TCP, "::1", &(struct route){ .to = "::1", .count = 20 });
}

static void refuses(const struct sp_run *run, const char *what)
{
	assert_non_null(strstr(run->err, what));
	assert_string_equal(run->out, "");
}

static void e2e__where_a_flow_that_the_group_never_gets__says_why(void **state)
{
	static struct sp_crew crew;
	char place[SP_ENDPOINT_STRLEN];

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, 2, NULL);
	sp_run("attach", "dns", crew.endpoint, "--learn", "0");
	refuses(sp_run_fails(SP_EXIT_FAILED, "where", "dns", "[::1]:5"), "it gets no IPv6");
	refuses(sp_run_fails(SP_EXIT_FAILED, "where", "dns", "127.0.0.1:5", "127.0.0.1:1"), "not 1");
	snprintf(place, sizeof(place), "127.0.0.2:%u", crew.port);
	refuses(sp_run_fails(SP_EXIT_FAILED, "where", "dns", "127.0.0.1:5", place),
		"it gets nothing that is sent to");
	/* Said in full, the destination is that of the shorter form. */
	snprintf(place, sizeof(place), "127.0.0.1:%u", crew.port);
	assert_string_equal(sp_run("where", "dns", "127.0.0.1:5", place)->err, "");
}

static void e2e__where_a_flow_of_another_family__says_why(void **state)
{
	static const struct sp_lab_options only_v6 = { .reuseport = true, .is_v6only = true };
	static struct sp_crew dual, v6;
	char place[SP_ENDPOINT_STRLEN];

	(void)state;
	sp_crew_start(&dual, SP_UDP, "::", 0, 2, NULL);
	sp_run("attach", "dual", dual.endpoint, "--learn", "0");
	snprintf(place, sizeof(place), "[::1]:%u", dual.port);
	refuses(sp_run_fails(SP_EXIT_FAILED, "where", "dual", "127.0.0.1:5", place),
		"a flow from an IPv4 address cannot go to an IPv6 one");
	sp_crew_start(&v6, SP_UDP, "::", 0, 2, &only_v6);
	sp_run("attach", "v6", v6.endpoint, "--learn", "0");
	snprintf(place, sizeof(place), "127.0.0.1:%u", v6.port);
	refuses(sp_run_fails(SP_EXIT_FAILED, "where", "v6", "127.0.0.1:5", place),
		"with IPV6_V6ONLY: it gets no IPv4");
}

/* A group that listens on every address: which one a flow was sent to is asked of the routes, if it is not said. */
static void e2e__where_own_address_cannot_be_told__says_how_to_name_it(void **state)
{
	static struct sp_crew crew;
	char own[SP_ENDPOINT_STRLEN];
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(home >= 0);
	sp_crew_start(&crew, SP_UDP, "::", 0, 2, NULL);
	sp_run("attach", "dns", crew.endpoint, "--learn", "0");
	refuses(sp_run_fails(SP_EXIT_FAILED, "where", "dns", "[2001:db8::1]:5"),
		"cannot tell which own address answers [2001:db8::1]:5");
	snprintf(own, sizeof(own), "[2001:db8::2]:%u", crew.port);
	assert_string_equal(sp_run("where", "dns", "[2001:db8::1]:5", own)->err, "");

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	refuses(sp_run_fails(SP_EXIT_FAILED, "where", "dns", "127.0.0.1:5"),
		"listens on every address of another network namespace");
	assert_string_equal(sp_run("where", "dns", "[2001:db8::1]:5", own)->err, "");
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
}

static void e2e__where_with_hash_kernel__says_that_it_cannot_be_computed(void **state)
{
	static struct sp_crew crew;
	int before[FLOWS_MAX], after[FLOWS_MAX];
	struct sp_crowd crowd;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, SOURCE_PORT, FLOWS_MAX);
	sp_crowd_ask(&crowd, before);
	sp_run("attach", "dns", crew.endpoint, "--hash", "kernel");
	refuses(sp_run_fails(SP_EXIT_FAILED, "where", "dns", "127.0.0.1:5"),
		"--hash kernel, whose key only the kernel knows");
	/* The data plane keeps its word with this hash, too. */
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crew_kill(&crew, VICTIM);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(e2e__where_udp_ipv4__names_the_worker_that_answers_and_its_heir,
					  sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__where_udp_dual_stack__names_the_worker_that_answers_and_its_heir,
			sp_run_teardown),
		cmocka_unit_test_teardown(
			e2e__where_tcp_any_address__names_the_worker_that_answers_and_its_heir,
			sp_run_teardown),
		cmocka_unit_test_teardown(e2e__where_tcp_ipv6__names_the_worker_that_answers_and_its_heir,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__where_a_flow_that_the_group_never_gets__says_why,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__where_a_flow_of_another_family__says_why, sp_run_teardown),
		cmocka_unit_test_teardown(e2e__where_own_address_cannot_be_told__says_how_to_name_it,
					  sp_run_teardown),
		cmocka_unit_test_teardown(e2e__where_with_hash_kernel__says_that_it_cannot_be_computed,
					  sp_run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
