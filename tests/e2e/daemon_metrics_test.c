// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon's metrics: that they are true, that Prometheus likes them, and that nobody can do harm by asking. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"
#include "exposition.h"
#include "http.h"
#include "keeper.h"
#include "web.h"

#define PORT 9464 /* the default */
#define WORKERS 3
#define FLOWS 300

#define DNS "[group dns]\nendpoint = udp:127.0.0.1:7100\n"
#define WEB "[group web]\nendpoint = tcp:127.0.0.1:7101\npark = 30s\n"
#define LATER "[group later]\nendpoint = tcp:127.0.0.1:7102\n"

static struct sp_keeper keeper;
static struct sp_crew dns, web;
static struct sp_crowd crowd;
static int owners[FLOWS];
static char *text; /* last scraped */

static int tear_down(void **state)
{
	free(text);
	text = NULL;
	return sp_keeper_teardown(state);
}

static void scrape(void)
{
	free(text);
	text = sp_web_get(PORT, "/metrics", 200);
}

static double value(const char *sample)
{
	return sp_exposition_value(text, sample);
}

static void wait_value(const char *sample, double wanted)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	for (;;) {
		scrape();
		if (sp_exposition_has(text, sample) && value(sample) == wanted)
			return;
		if (!sp_lab_left_ms(deadline))
			fail_msg("%s does not become %g:\n%s", sample, wanted, text);
		poll(NULL, 0, 20);
	}
}

static void start(const char *config)
{
	sp_crew_start(&dns, SP_UDP, "127.0.0.1", 7100, WORKERS, NULL);
	sp_crew_start(&web, SP_TCP, "127.0.0.1", 7101, WORKERS, NULL);
	sp_keeper_start(&keeper, config);
	sp_keeper_wait_enrolled("dns", WORKERS);
	sp_keeper_wait_enrolled("web", WORKERS);
}

/* Sum of all slots and the group's row. */
static double total(const char *counter, const char *group)
{
	char head[128];
	double sum = 0;

	snprintf(head, sizeof(head), "steadyport_%s_total{group=\"%s\",", counter, group);
	for (const char *at = strstr(text, head); at; at = strstr(at + 1, head))
		sum += strtod(strchr(at, '}') + 1, NULL);
	return sum;
}

static void metrics__traffic_joins_and_deaths__as_the_commands_say(void **state)
{
	json_t *counters;

	(void)state;
	start(DNS WEB LATER);
	wait_value("steadyport_slots{group=\"web\",state=\"parked\"}", 1);
	sp_exposition_check(text);
	assert_int_equal(value("steadyport_groups{state=\"steered\"}"), 2);
	assert_int_equal(value("steadyport_groups{state=\"waiting\"}"), 1);
	assert_int_equal(value("steadyport_attached{group=\"dns\"}"), 1);
	assert_int_equal(value("steadyport_attached{group=\"later\"}"), 0);
	assert_int_equal(value("steadyport_group_state{group=\"later\",state=\"waiting\"}"), 1);
	assert_int_equal(value("steadyport_enrolments_total{group=\"dns\"}"), WORKERS);
	assert_int_equal(value("steadyport_learning{group=\"dns\"}"), 1);
	assert_true(value("steadyport_reconcile_seconds_count") >= 1);
	assert_true(value("steadyport_receive_queue_limit_bytes{group=\"dns\",slot=\"0\"}") > 0);
	assert_true(value("steadyport_accept_queue_limit_connections{group=\"web\",slot=\"0\"}") > 0);
	/* Its limits are counted in it, for all of this network namespace. */
	assert_non_null(strstr(text, "\nsteadyport_tcp_migrate_req_success_total{netns="));

	sp_crowd_open(&crowd, &dns, "127.0.0.1", NULL, 20000, FLOWS);
	sp_crowd_ask(&crowd, owners);
	scrape();
	assert_int_equal(total("steered", "dns") + total("learned", "dns") + total("kept", "dns"), FLOWS);
	counters = sp_run_json("counters", "dns");
	assert_int_equal(sp_json_outcomes(counters), FLOWS);
	json_decref(counters);

	sp_crew_kill(&dns, 0);
	wait_value("steadyport_deaths_total{group=\"dns\"}", 1);
	assert_int_equal(value("steadyport_slots{group=\"dns\",state=\"dead\"}"), 1);
	assert_int_equal(value("steadyport_slots{group=\"dns\",state=\"live\"}"), WORKERS - 1);
	sp_crew_add(&dns, 0);
	wait_value("steadyport_enrolments_total{group=\"dns\"}", WORKERS + 1);
	sp_crowd_close(&crowd);
}

static void metrics__connections_wait__parked_and_migrated_are_told(void **state)
{
	int fds[8];

	(void)state;
	start(DNS WEB);
	wait_value("steadyport_slots{group=\"web\",state=\"parked\"}", 1);
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_kill(&web, id);
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		fds[i] = sp_web_connect(7101);
	wait_value("steadyport_parked_connections{group=\"web\"}", SP_ARRAY_SIZE(fds));
	assert_int_equal(total("parked", "web"), SP_ARRAY_SIZE(fds));
	sp_crew_add(&web, 0);
	wait_value("steadyport_parked_connections{group=\"web\"}", 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* Slots in use, a parked one, dead ones, kept flows: all that can be in a text. */
static void metrics__promtool__has_nothing_to_say(void **state)
{
	const struct sp_run *run;
	char path[] = "/tmp/sp-metrics-XXXXXX", command[128];
	int fd;

	(void)state;
	sp_run_need("promtool");
	fd = mkstemp(path);
	start(DNS WEB LATER);
	sp_crew_kill(&dns, 0);
	wait_value("steadyport_deaths_total{group=\"dns\"}", 1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(command, sizeof(command), "promtool check metrics <%s", path);
	run = sp_run_other("sh", "-c", command);
	unlink(path);
	assert_string_equal(run->out, "");
	assert_string_equal(run->err, "");
}

static void healthz__daemon_looks_at_its_groups__says_how_many(void **state)
{
	sp_autofree char *body = NULL;

	(void)state;
	start(DNS WEB LATER);
	body = sp_web_get(PORT, "/healthz", 200);
	assert_string_equal(body, "3 groups: 1 waiting, 2 steered\n");
}

/* --- configuration --- */

static bool can_connect(unsigned short port)
{
	int fd = sp_web_try(port);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void metrics__reload__moves_them_and_turns_them_off_and_on(void **state)
{
	(void)state;
	start(DNS WEB);
	scrape();
	sp_keeper_reload(&keeper, "[daemon]\nmetrics = 127.0.0.1:9999\n" DNS WEB);
	assert_false(can_connect(PORT));
	free(sp_web_get(9999, "/metrics", 200));
	sp_keeper_reload(&keeper, "[daemon]\nmetrics = off\n" DNS WEB);
	assert_false(can_connect(PORT));
	assert_false(can_connect(9999));
	sp_keeper_reload(&keeper, DNS WEB);
	scrape();
	assert_int_equal(value("steadyport_config_last_reload_successful"), 1);
	sp_keeper_reload(&keeper, DNS "nonsense = yes\n" WEB);
	scrape();
	assert_int_equal(value("steadyport_config_last_reload_successful"), 0);
	assert_int_equal(value("steadyport_groups{state=\"steered\"}"), 2);
}

static void metrics__port_is_taken__told_and_groups_are_steered(void **state)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET,
					.sin_port = htons(PORT),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	/* The case before has left connections in TIME_WAIT. */
	assert_int_equal(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(other, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(other, 1), 0);
	start(DNS WEB);
	sp_keeper_wait(
		&keeper,
		"error: cannot serve metrics on 127.0.0.1:9464: Address already in use\n"
		"       groups are looked after all the same; [daemon] metrics names another address, or "
		"off\n");
	/* The workers, which are forks of this process, hold it, too. */
	assert_int_equal(shutdown(other, SHUT_RDWR), 0);
	close(other);
	sp_keeper_reload(&keeper, NULL);
	scrape();
}

/* --- bad clients --- */

static void say_and_expect(const char *bytes, size_t len, int status)
{
	sp_autofree char *answer = sp_web_say(PORT, bytes, len);

	if (sp_web_status(answer) != status)
		fail_msg("%.40s...: not %d, but:\n%s", bytes, status, answer);
}

static void http__anything_but_a_short_get__refused(void **state)
{
	static const struct {
		const char *request;
		int status;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 404 },
		{ "GET /metrics/ HTTP/1.1\r\n\r\n", 404 },
		{ "GET /../../etc/passwd HTTP/1.1\r\n\r\n", 404 },
		{ "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 501 },
		{ "PUT /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 413 },
		{ "DELETE /metrics HTTP/1.1\r\n\r\n", 501 },
		{ "HEAD /metrics HTTP/1.1\r\n\r\n", 501 },
		{ "nonsense\r\n\r\n", 400 },
		{ "GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400 },
	};
	sp_autofree char *large = calloc(1, 2 * SP_HTTP_HEADERS_MAX);

	(void)state;
	start(DNS WEB);
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++)
		say_and_expect(cases[i].request, strlen(cases[i].request), cases[i].status);
	assert_non_null(large);
	strcpy(large, "GET /metrics HTTP/1.1\r\nX: ");
	memset(large + strlen(large), 'x', 2 * SP_HTTP_HEADERS_MAX - strlen(large) - 1);
	free(sp_web_say(PORT, large, strlen(large))); /* ends it, with or without an answer */
	say_and_expect("\0\xff\0\xff\r\n\r\n", 8, 400);
	scrape();
}

/* A byte now and then, for ever: each is cut off, and until then all others wait, no longer. */
static void http__more_slow_clients_than_connections__others_are_answered_in_the_end(void **state)
{
	const __u64 life_ms = SP_HTTP_LIFE_NS / 1000000;
	int fds[SP_HTTP_CONNECTIONS_MAX], others[4];
	__u64 since = sp_lab_now_ms();
	struct pollfd pollers[SP_HTTP_CONNECTIONS_MAX];
	size_t open = SP_ARRAY_SIZE(fds);

	(void)state;
	start(DNS WEB);
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++) {
		fds[i] = sp_web_connect(PORT);
		pollers[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	}
	/* The backlog takes these. */
	for (size_t i = 0; i < SP_ARRAY_SIZE(others); i++)
		others[i] = sp_web_connect(PORT);
	while (open) {
		assert_true(sp_lab_left_ms(since + life_ms + SP_RUN_DEADLINE_MS) > 0);
		open = 0;
		for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
			open += send(fds[i], "x", 1, MSG_NOSIGNAL) == 1;
		poll(pollers, SP_ARRAY_SIZE(pollers), 100);
	}
	/* No earlier: a client that is merely slow has its time. */
	assert_true(sp_lab_now_ms() - since >= life_ms);
	for (size_t i = 0; i < SP_ARRAY_SIZE(others); i++) {
		static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
		sp_autofree char *answer = sp_web_finish(others[i], request, strlen(request));

		assert_int_equal(sp_web_status(answer), 200);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static size_t count_fds(void)
{
	char path[64];
	const struct sp_run *run;

	snprintf(path, sizeof(path), "/proc/%d/fd", keeper.run.pid);
	run = sp_run_other("sh", "-c", "ls \"$0\" | wc -l", path);
	return atoi(run->out);
}

static void http__clients_that_go_away__leave_nothing_behind(void **state)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;
	size_t before;

	(void)state;
	start(DNS WEB);
	wait_value("steadyport_slots{group=\"web\",state=\"parked\"}", 1);
	do {
		before = count_fds();
		poll(NULL, 0, 100);
	} while (count_fds() != before);
	for (int i = 0; i < 100; i++) {
		static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
		int fd = sp_web_connect(PORT);

		/* Without a request, with half of one, and with one whose answer nobody waits for. */
		if (i % 3)
			assert_true(send(fd, request, strlen(request) / (i % 3), MSG_NOSIGNAL) > 0);
		close(fd);
	}
	scrape();
	while (count_fds() > before)
		assert_true(sp_lab_left_ms(deadline) > 0);
	assert_false(sp_keeper_has_said(&keeper, "warn"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_teardown(name, tear_down)
		CASE(metrics__traffic_joins_and_deaths__as_the_commands_say),
		CASE(metrics__connections_wait__parked_and_migrated_are_told),
		CASE(metrics__promtool__has_nothing_to_say),
		CASE(healthz__daemon_looks_at_its_groups__says_how_many),
		CASE(metrics__reload__moves_them_and_turns_them_off_and_on),
		CASE(metrics__port_is_taken__told_and_groups_are_steered),
		CASE(http__anything_but_a_short_get__refused),
		CASE(http__more_slow_clients_than_connections__others_are_answered_in_the_end),
		CASE(http__clients_that_go_away__leave_nothing_behind),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
