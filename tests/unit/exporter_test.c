// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who asks for metrics, and what happens while the answer is made: it has no groups here, and takes two steps. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/http.h>
#include "cleanup.h"
#include "exporter.h"
#include "exposition.h"
#include "lab.h"
#include "state.h"
#include "value.h"
#include "web.h"

#define DEADLINE_MS 60000
#define FDS 64
#define CLIENTS 3
#define ANSWER_LEN 65536

static const struct sp_config_metrics off;
static struct event_base *base;
static struct sp_exporter *exporter;
static struct sp_exported exported;
static unsigned short port;

/* --- what the exporter asks for --- */

static int scan_error;
static int nscans;

int __wrap_sp_scanner_scan(struct sp_scanner *scanner, struct sp_groups **ret_groups);
int __wrap_sp_scanner_scan(struct sp_scanner *scanner, struct sp_groups **ret_groups)
{
	(void)scanner;
	nscans++;
	/* The test goes on behind this step. */
	event_base_loopbreak(base);
	if (!scan_error)
		*ret_groups = NULL;
	return scan_error;
}

/* Connections whose requests wait for an answer, in no order. */
static struct evhttp_connection *asked[CLIENTS];
static size_t nasked;

typedef void close_cb(struct evhttp_connection *connection, void *ctx);
void __real_evhttp_connection_set_closecb(struct evhttp_connection *connection, close_cb *cb, void *ctx);
void __wrap_evhttp_connection_set_closecb(struct evhttp_connection *connection, close_cb *cb, void *ctx);
void __wrap_evhttp_connection_set_closecb(struct evhttp_connection *connection, close_cb *cb, void *ctx)
{
	if (cb && nasked < CLIENTS)
		asked[nasked++] = connection;
	__real_evhttp_connection_set_closecb(connection, cb, ctx);
}

/* --- asking --- */

/* The kernel has chosen it. */
static unsigned short find_port(void)
{
	for (int fd = 0; fd < FDS; fd++) {
		struct sockaddr_in address;
		socklen_t len = sizeof(address), int_len = sizeof(int);
		int is_listening = 0;

		if (!getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &int_len) && is_listening &&
		    !getsockname(fd, (struct sockaddr *)&address, &len) && address.sin_family == AF_INET)
			return ntohs(address.sin_port);
	}
	fail_msg("nobody listens");
	return 0;
}

static void listen_anew(void)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sp_config_metrics metrics = { .len = sizeof(address), .text = "127.0.0.1:0" };

	memcpy(&metrics.address, &address, sizeof(address));
	sp_exporter_listen(exporter, &metrics);
	port = find_port();
}

static int setup(void **state)
{
	(void)state;
	exported =
		(struct sp_exported){ .is_reload_ok = true, .looked_ns = sp_now_ns(), .status = "0 groups" };
	scan_error = 0;
	nscans = 0;
	nasked = 0;
	base = event_base_new();
	assert_non_null(base);
	exporter = sp_exporter_new(base, &exported);
	assert_non_null(exporter);
	listen_anew();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sp_exporter_free(&exporter);
	event_base_free(base);
	return 0;
}

static int ask(const char *path)
{
	int fd = sp_web_connect(port);
	char request[64];
	int len = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);

	assert_int_equal(send(fd, request, len, MSG_NOSIGNAL), len);
	return fd;
}

static void turn(__u64 deadline)
{
	assert_true(sp_lab_left_ms(deadline) > 0);
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* All that came until the end of the connection. */
static const char *finish(int fd)
{
	static char answer[ANSWER_LEN];
	__u64 deadline = sp_lab_now_ms() + DEADLINE_MS;
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, answer + len, sizeof(answer) - len - 1, MSG_DONTWAIT))) {
		if (n > 0)
			len += n;
		else if (errno == EAGAIN)
			turn(deadline);
		else
			break;
	}
	close(fd);
	answer[len] = '\0';
	return answer;
}

static void require_metrics(const char *answer, double is_reload_ok)
{
	const char *body = strstr(answer, "\r\n\r\n");

	assert_int_equal(sp_web_status(answer), 200);
	assert_non_null(body);
	sp_exposition_check(body + 4);
	assert_true(sp_exposition_value(body + 4, "steadyport_config_last_reload_successful") ==
		    is_reload_ok);
}

static void wait_in_the_making(void)
{
	__u64 deadline = sp_lab_now_ms() + DEADLINE_MS;

	while (!nscans)
		turn(deadline);
	assert_int_equal(nscans, 1);
}

/* --- cases --- */

/* libevent 2.1 does not look at a connection whose request waits; another version may, and frees it then. */
static void exporter__connection_ends_while_its_answer_is_made__the_others_get_theirs(void **state)
{
	int clients[CLIENTS], nanswered = 0;

	(void)state;
	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = ask("/metrics");
	wait_in_the_making();
	assert_int_equal(nasked, CLIENTS);
	evhttp_connection_free(asked[1]);
	for (size_t i = 0; i < CLIENTS; i++) {
		const char *answer = finish(clients[i]);

		if (*answer) {
			require_metrics(answer, 1);
			nanswered++;
		}
	}
	assert_int_equal(nanswered, CLIENTS - 1);
	assert_int_equal(nscans, 1);
}

static void exporter__all_that_ask_are_gone__the_answer_is_dropped(void **state)
{
	int client;

	(void)state;
	client = ask("/metrics");
	wait_in_the_making();
	evhttp_connection_free(asked[0]);
	assert_string_equal(finish(client), "");
	require_metrics(finish(ask("/metrics")), 1);
	assert_int_equal(nscans, 2);
}

static void exporter__turned_off_while_the_answer_is_made__who_asked_is_sent_away(void **state)
{
	int client;

	(void)state;
	client = ask("/metrics");
	wait_in_the_making();
	sp_exporter_listen(exporter, &off);
	assert_string_equal(finish(client), "");
	listen_anew();
	require_metrics(finish(ask("/metrics")), 1);
	assert_int_equal(nscans, 2);
}

static void exporter__groups_are_others_while_the_answer_is_made__it_is_made_anew(void **state)
{
	int client;

	(void)state;
	client = ask("/metrics");
	wait_in_the_making();
	exported.is_reload_ok = false;
	sp_exporter_restart(exporter);
	require_metrics(finish(client), 0);
	assert_int_equal(nscans, 2);
}

static void exporter__no_look_at_open_files__status_500_until_there_is_one(void **state)
{
	(void)state;
	scan_error = -EMFILE;
	assert_int_equal(sp_web_status(finish(ask("/metrics"))), 500);
	scan_error = 0;
	require_metrics(finish(ask("/metrics")), 1);
}

static void exporter__groups_were_not_looked_at_for_long__not_healthy(void **state)
{
	const char *answer;

	(void)state;
	answer = finish(ask("/healthz"));
	assert_int_equal(sp_web_status(answer), 200);
	assert_non_null(strstr(answer, "\r\n\r\n0 groups\n"));
	exported.looked_ns = sp_now_ns() - 100 * SP_NS_PER_S;
	answer = finish(ask("/healthz"));
	assert_int_equal(sp_web_status(answer), 503);
	assert_non_null(strstr(answer, "the groups were last looked at 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(exporter__connection_ends_while_its_answer_is_made__the_others_get_theirs),
		CASE(exporter__all_that_ask_are_gone__the_answer_is_dropped),
		CASE(exporter__turned_off_while_the_answer_is_made__who_asked_is_sent_away),
		CASE(exporter__groups_are_others_while_the_answer_is_made__it_is_made_anew),
		CASE(exporter__no_look_at_open_files__status_500_until_there_is_one),
		CASE(exporter__groups_were_not_looked_at_for_long__not_healthy),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
