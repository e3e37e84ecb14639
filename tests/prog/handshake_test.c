// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Handshakes of another kind: TCP Fast Open, where a connection waits for its worker from the SYN on, and SYN
 * cookies, where nothing of a connection is in the kernel until its ACK comes. halfopen_test.c has the usual kind.
 *
 * So that the ACK does not come, the listeners have a filter that drops it; the connections inherit it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "fixture.h"

#define CONNECTIONS 200
#define WORKERS 4
#define VICTIM 1
#define SYN_RECV 3 /* TCP_SYN_RECV */
#define TCP_FLAGS_AT 13
#define TCP_FLAGS_MASK 0x3f
#define TCP_PURE_ACK 0x10

static void write_sysctl(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, value, strlen(value)), strlen(value));
	close(fd);
}

/* A counter of this network namespace. */
static __u64 netstat(const char *name)
{
	char names[8192], values[8192], *name_save, *value_save, *key, *value;
	sp_autofile FILE *file = fopen("/proc/self/net/netstat", "re");

	assert_non_null(file);
	while (fgets(names, sizeof(names), file) && fgets(values, sizeof(values), file)) {
		key = strtok_r(names, " \n", &name_save);
		value = strtok_r(values, " \n", &value_save);
		while (key && value && strcmp(key, name)) {
			key = strtok_r(NULL, " \n", &name_save);
			value = strtok_r(NULL, " \n", &value_save);
		}
		if (key && value)
			return strtoull(value, NULL, 10);
	}
	fail_msg("the kernel does not count %s", name);
	return 0;
}

/* Connections of the group in a state. */
static size_t count_state(const struct sp_fixture *fx, unsigned int wanted)
{
	sp_autofile FILE *file =
		fopen(fx->address.family == AF_INET ? "/proc/self/net/tcp" : "/proc/self/net/tcp6", "re");
	unsigned int port, state;
	size_t count = 0;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		count += sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &port, &state) == 2 &&
			 port == fx->port && state == wanted;
	return count;
}

/* Drops segments with no flag but ACK: the last one of a handshake, not those with data (PSH, too). */
static void drop_acks(struct sp_fixture *fx)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TCP_FLAGS_MASK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_PURE_ACK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
	};
	const struct sock_fprog filter = { .len = SP_ARRAY_SIZE(code), .filter = code };

	for (__u32 id = 0; id < fx->nworkers; id++) {
		int socket = sp_fixture_borrow(fx, id);

		assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)),
				 0);
		sp_close_fd(&socket);
	}
}

/* --- TCP Fast Open --- */

/* Client and server; neither asks for a cookie of Fast Open's. */
static void start_fastopen(struct sp_fixture *fx)
{
	write_sysctl("tcp_syncookies", "1");
	write_sysctl("tcp_fastopen", "519"); /* 1 | 2 | 4 | 0x200 */
	fx->options.fastopen = CONNECTIONS;
	fx->manner = SP_LAB_ASKS_AT_ONCE;
	for (__u32 i = 0; i < WORKERS; i++)
		sp_fixture_join(fx);
	sp_fixture_attach(fx);
}

static struct sp_flow_set *open_half(struct sp_fixture *fx)
{
	__u64 taken = netstat("TCPFastOpenPassive");
	struct sp_flow_set *set;

	drop_acks(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	assert_int_equal(netstat("TCPFastOpenPassive"), taken + CONNECTIONS);
	assert_int_equal(count_state(fx, SYN_RECV), CONNECTIONS);
	return set;
}

static void fastopen__handshakes_complete__every_connection_is_answered(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	start_fastopen(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	sp_require_agreement(fx, set);
	sp_require_asked(fx, sp_fixture_sum(fx, steered), CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, migrated), 0);
}

/* Each waits in a listener's queue with its request, and its handshake is not complete. */
static void fastopen__i1_listener_killed_with_data_waiting__others_answer(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 queued;

	start_fastopen(fx);
	set = open_half(fx);
	queued = sp_fixture_waiting(fx, VICTIM);
	assert_in_range(queued, 1, CONNECTIONS / 2);
	sp_fixture_kill(fx, VICTIM);
	assert_int_equal(sp_fixture_sum(fx, migrated), queued);
	assert_int_equal(count_state(fx, SYN_RECV), CONNECTIONS);

	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void fastopen__i1_listeners_killed_until_one_is_left__it_answers_all(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 queued = 0;

	start_fastopen(fx);
	set = open_half(fx);
	for (__u32 id = 0; id < WORKERS - 1; id++) {
		queued += sp_fixture_waiting(fx, id);
		sp_fixture_kill(fx, id);
		assert_int_equal(sp_fixture_sum(fx, migrated), queued);
	}
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, WORKERS - 1), CONNECTIONS);
}

/* --- SYN cookies --- */

/* Always, not only when a listener is flooded. */
static void start_cookies(struct sp_fixture *fx)
{
	write_sysctl("tcp_fastopen", "1");
	write_sysctl("tcp_syncookies", "2");
	for (__u32 i = 0; i < WORKERS; i++)
		sp_fixture_join(fx);
	sp_fixture_attach(fx);
}

/* The SYN and the ACK are two questions, and both name the same slot: the ACK's listener has to know the cookie. */
static void cookies__syn_and_ack__asked_apart_and_every_connection_is_answered(struct sp_fixture *fx)
{
	__u64 sent = netstat("SyncookiesSent"), back = netstat("SyncookiesRecv");
	struct sp_flow_set *set;

	start_cookies(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	sp_require_agreement(fx, set);
	assert_int_equal(netstat("SyncookiesSent"), sent + CONNECTIONS);
	assert_int_equal(netstat("SyncookiesRecv"), back + CONNECTIONS);
	sp_require_asked(fx, sp_fixture_sum(fx, steered), 2 * CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, rerouted) + sp_fixture_sum(fx, scanned), 0);
}

/*
 * The client has its SYN-ACK and the server has forgotten it. What the client sends next brings the cookie back, to
 * whoever is there to take it then: tcp_synq_no_recent_overflow() asks the group, not the listener.
 */
static void check_cookies(struct sp_fixture *fx, __u32 deaths)
{
	__u64 back = netstat("SyncookiesRecv"), failed = netstat("SyncookiesFailed");
	struct sp_flow_set *set;
	__u64 orphans = 0;

	start_cookies(fx);
	drop_acks(fx);
	fx->manner = SP_LAB_WAITS;
	set = sp_fixture_flows(fx, CONNECTIONS);
	assert_int_equal(netstat("SyncookiesRecv"), back);
	assert_int_equal(count_state(fx, SYN_RECV), 0);
	for (__u32 id = 0; id < deaths; id++) {
		/* A SYN, and the ACK that was dropped behind the question. */
		orphans += sp_fixture_row(fx, sp_fixture_slot(fx, id), steered) / 2;
		sp_fixture_kill(fx, id);
	}
	assert_in_range(orphans, 1, CONNECTIONS - 1);

	require_ok(sp_lab_ask(&set->lab));
	sp_fixture_answers(fx, set);
	sp_require_agreement(fx, set);
	assert_int_equal(netstat("SyncookiesRecv"), back + CONNECTIONS);
	assert_int_equal(netstat("SyncookiesFailed"), failed);
	/* Placed by load they may not be noticed: they go where there is less to do. */
	if (sp_fixture_goes_by_hash(fx))
		sp_require_asked(fx, sp_fixture_sum(fx, rerouted) + sp_fixture_sum(fx, scanned), orphans);
	/* There was nothing that could have been moved. */
	assert_int_equal(sp_fixture_sum(fx, migrated), 0);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void cookies__i1_listener_killed_between_syn_and_ack__others_know_the_cookie(struct sp_fixture *fx)
{
	check_cookies(fx, 1);
}

static void cookies__i1_listeners_killed_until_one_is_left__it_knows_all_cookies(struct sp_fixture *fx)
{
	check_cookies(fx, WORKERS - 1);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(fastopen__handshakes_complete__every_connection_is_answered, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY),
		SP_CASE(fastopen__i1_listener_killed_with_data_waiting__others_answer,
			.protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY | SP_PLACE_V4_ANY | SP_PLACE_V6_ANY,
			.is_paused = true),
		SP_CASE(fastopen__i1_listeners_killed_until_one_is_left__it_answers_all,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4 | SP_PLACE_V6, .is_paused = true),
		SP_CASE(cookies__syn_and_ack__asked_apart_and_every_connection_is_answered,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY),
		SP_CASE(cookies__i1_listener_killed_between_syn_and_ack__others_know_the_cookie,
			.protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY | SP_PLACE_V4_ANY | SP_PLACE_V6_ANY),
		SP_CASE(cookies__i1_listeners_killed_until_one_is_left__it_knows_all_cookies,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4 | SP_PLACE_V6),
	};

	return sp_fixture_main("handshake", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
