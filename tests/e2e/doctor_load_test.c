// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * doctor under load: full queues, drops, uneven load and its reason, learning that does not end, and what it computes
 * for a group that is not steered. Made with real sockets, found, and found no more.
 */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cleanup.h"
#include "decide.h"
#include "examine.h"
#include "pin.h"
#include "state.h"
#include "tuple.h"

#define NAME "dns"
#define WORKERS 4
#define SOURCE_PORT 20000
#define FLOWS_MAX 64
#define BURST 1000 /* datagrams */
#define DATAGRAM 1000 /* bytes */

static struct sp_crew crew;

static void start(enum sp_protocol protocol, unsigned int size, const struct sp_lab_options *options)
{
	sp_crew_start(&crew, protocol, "127.0.0.1", 0, size, options);
}

static void has(const char *id, const char *part, const char *text)
{
	if (!strstr(sp_examined_text(id, part), text))
		fail_msg("%s of %s is \"%s\", without: %s", part, id, sp_examined_text(id, part), text);
}

static struct sockaddr_in loopback(__u16 port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* Connected to the crew, from that port; 0: any. */
static int open_client(__u16 port)
{
	struct sockaddr_in own = loopback(port), target = loopback(crew.port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&target, sizeof(target)), 0);
	return fd;
}

/* --- queues --- */

static void overflow(int client)
{
	char datagram[DATAGRAM] = { 0 };

	for (int i = 0; i < BURST; i++)
		send(client, datagram, sizeof(datagram), 0);
}

static void e2e__doctor_udp_queue_overflows__full_then_dropped_then_forgotten(void **state)
{
	const struct sp_lab_options paused = { .is_paused = true };
	sp_autoclose int client = -1;

	(void)state;
	start(SP_UDP, 1, &paused);
	client = open_client(0);
	sp_finds_not(crew.endpoint, "queue-full");
	assert_null(sp_examined_finding("queue-dropped"));
	overflow(client);
	sp_finds(crew.endpoint, "queue-full");
	has("queue-full", "what", "1 (worker-0[");
	assert_non_null(sp_examined_finding("queue-dropped"));
	assert_int_equal(sp_lab_resume(&crew.workers[0]), 0);
	for (__u32 waiting = 1; waiting;) {
		assert_int_equal(sp_lab_waiting(&crew.workers[0], &waiting), 0);
		poll(NULL, 0, 5);
	}
	sp_finds_not(crew.endpoint, "queue-full");
	/* The count is the socket's, and stays as long as it does. */
	assert_non_null(sp_examined_finding("queue-dropped"));
	crew.options.is_paused = false;
	sp_crew_kill(&crew, 0);
	sp_crew_add(&crew, 0);
	sp_finds_not(crew.endpoint, "queue-dropped");
}

static void e2e__doctor_tcp_queue_is_full__until_the_worker_accepts(void **state)
{
	const struct sp_lab_options options = { .is_paused = true, .backlog = 2 };
	struct sp_lab_flows flows = SP_LAB_NO_FLOWS;
	struct sp_address address;
	int answers[3];

	(void)state;
	start(SP_TCP, 1, &options);
	sp_finds_not(crew.endpoint, "queue-full");
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	/* So many fit: one more than the backlog says. */
	assert_int_equal(sp_lab_open(SP_TCP, &address, crew.port, 0, 3, SP_RUN_DEADLINE_MS, &flows), 0);
	sp_finds(crew.endpoint, "queue-full");
	assert_int_equal(sp_lab_resume(&crew.workers[0]), 0);
	assert_int_equal(sp_lab_answers(&flows, SP_RUN_DEADLINE_MS, answers), 0);
	sp_lab_close_flows(&flows);
	sp_finds_not(crew.endpoint, "queue-full");
}

/* --- traffic --- */

/* A process that sends on some flows, again and again, in proportion to their weights. */
struct traffic {
	pid_t pid;
	size_t count;
	int sockets[FLOWS_MAX];
	unsigned int weight[FLOWS_MAX];
};

static struct traffic traffic;

static void add_flow(int socket, unsigned int weight)
{
	assert_true(traffic.count < FLOWS_MAX);
	traffic.sockets[traffic.count] = socket;
	traffic.weight[traffic.count++] = weight;
}

/* At most some thousand datagrams a second. What is answered is read and thrown away. */
static void send_for_ever(void)
{
	char answer[DATAGRAM];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		for (size_t i = 0; i < traffic.count; i++) {
			for (unsigned int n = 0; n < traffic.weight[i]; n++)
				send(traffic.sockets[i], "x", 1, 0);
			while (recv(traffic.sockets[i], answer, sizeof(answer), 0) > 0)
				;
		}
		poll(NULL, 0, 10);
	}
}

static void start_traffic(void)
{
	traffic.pid = fork();
	assert_true(traffic.pid >= 0);
	if (traffic.pid == 0)
		send_for_ever();
}

static void stop_traffic(void)
{
	if (traffic.pid > 0) {
		kill(traffic.pid, SIGKILL);
		waitpid(traffic.pid, NULL, 0);
	}
	for (size_t i = 0; i < traffic.count; i++)
		close(traffic.sockets[i]);
	traffic = (struct traffic){ 0 };
}

static void e2e__doctor_a_worker_drops_now__found_only_while_it_does(void **state)
{
	const struct sp_lab_options paused = { .is_paused = true };

	(void)state;
	start(SP_UDP, 1, &paused);
	add_flow(open_client(0), 10);
	overflow(traffic.sockets[0]);
	sp_finds_not(crew.endpoint, "queue-dropping");
	start_traffic();
	sp_examine(crew.endpoint, "1s");
	assert_null(sp_examined_finding("queue-dropped"));
	has("queue-dropping", "what", "(worker-0[");
	stop_traffic();
	sp_examine(crew.endpoint, "200ms");
	assert_null(sp_examined_finding("queue-dropping"));
	assert_non_null(sp_examined_finding("queue-dropped"));
}

/* --- uneven load --- */

/* The slots of some source ports, as the program computes them. */
static void read_slots(int *ret_slots, size_t count)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autostate struct sp_state *state = NULL;
	struct sp_tuple tuple = { .dport = crew.port };

	assert_int_equal(sp_pin_open(SP_BPFFS_DEFAULT, NAME, &pins), 0);
	assert_int_equal(sp_state_read(&pins, &state), 0);
	assert_int_equal(sp_lab_address("127.0.0.1", &tuple.src), 0);
	tuple.dst = tuple.src;
	for (size_t i = 0; i < count; i++) {
		tuple.sport = SOURCE_PORT + i;
		ret_slots[i] =
			sp_decide(state, sp_now_ns(), NULL, sp_tuple_hash(&tuple, state->ctl.key), -1).slot;
	}
}

/* So many flows to each slot; the first of slot 0 is that much heavier than the others. */
static void prepare_flows(const unsigned int per_slot[WORKERS], unsigned int heavy)
{
	unsigned int left[WORKERS];
	int slots[1000];

	memcpy(left, per_slot, sizeof(left));
	read_slots(slots, SP_ARRAY_SIZE(slots));
	for (size_t i = 0; i < SP_ARRAY_SIZE(slots); i++) {
		if (slots[i] < 0 || !left[slots[i]])
			continue;
		add_flow(open_client(SOURCE_PORT + i), slots[i] == 0 && left[0] == per_slot[0] ? heavy : 1);
		left[slots[i]]--;
	}
	for (unsigned int slot = 0; slot < WORKERS; slot++)
		assert_int_equal(left[slot], 0);
}

static void start_steered(const char *track)
{
	start(SP_UDP, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "0", "--track", track);
	sp_run("sync", NAME);
}

static const char *const uneven[] = { "uneven-few-flows", "uneven-heavy-flows", "uneven-load" };

/* Only that one of the three, or with NULL none. */
static void expect_uneven(const char *id)
{
	sp_examine(NAME, "2s");
	for (size_t i = 0; i < SP_ARRAY_SIZE(uneven); i++) {
		bool is_found = sp_examined_finding(uneven[i]);

		if (is_found != (id && !strcmp(id, uneven[i])))
			fail_msg("%s is %sfound: %s", uneven[i], is_found ? "" : "not ",
				 is_found ? sp_examined_text(uneven[i], "what") : "");
	}
}

static void check_uneven(const char *track, const unsigned int per_slot[WORKERS], unsigned int heavy,
			 const char *id)
{
	start_steered(track);
	expect_uneven(NULL);
	prepare_flows(per_slot, heavy);
	start_traffic();
	expect_uneven(id);
	stop_traffic();
	expect_uneven(NULL);
}

static void e2e__doctor_even_load__nothing_is_found(void **state)
{
	(void)state;
	check_uneven("always", (const unsigned int[]){ 5, 5, 5, 5 }, 1, NULL);
}

static void e2e__doctor_few_flows_on_one_slot__their_number_is_the_reason(void **state)
{
	(void)state;
	check_uneven("always", (const unsigned int[]){ 5, 1, 1, 1 }, 1, "uneven-few-flows");
}

static void e2e__doctor_one_heavy_flow__its_weight_is_the_reason(void **state)
{
	(void)state;
	check_uneven("always", (const unsigned int[]){ 5, 5, 5, 5 }, 60, "uneven-heavy-flows");
}

static void e2e__doctor_flows_are_not_counted__no_reason_is_claimed(void **state)
{
	(void)state;
	check_uneven("transition", (const unsigned int[]){ 5, 5, 5, 5 }, 60, "uneven-load");
}

/* --- learning --- */

static void e2e__doctor_workers_come_and_go_all_the_time__learning_never_ends(void **state)
{
	unsigned int rounds = 0;

	(void)state;
	start(SP_UDP, 2, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", sp_run_window(1000));
	sp_finds_not(NAME, "learning-endless");
	/* For five windows at least. */
	for (__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS; sp_lab_left_ms(deadline); rounds++) {
		sp_crew_kill(&crew, 0);
		sp_crew_add(&crew, 0);
		sp_run("sync", NAME);
		if (rounds % 8)
			continue;
		sp_examine(NAME, "0");
		if (sp_examined_finding("learning-endless"))
			break;
	}
	assert_non_null(sp_examined_finding("learning-endless"));
	sp_status_wait_settled(NAME);
	sp_finds_not(NAME, "learning-endless");
}

static void e2e__doctor_nobody_settles_what_was_learned__until_sync(void **state)
{
	(void)state;
	start(SP_UDP, 2, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", "100ms");
	for (__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS; sp_lab_left_ms(deadline);) {
		sp_examine(NAME, "500ms");
		if (sp_examined_finding("learning-unsettled"))
			break;
	}
	assert_non_null(sp_examined_finding("learning-unsettled"));
	sp_run("sync", NAME);
	/* As long as it took to be found. */
	sp_examine(NAME, "4s");
	assert_null(sp_examined_finding("learning-unsettled"));
}

static void e2e__doctor_flow_table_is_too_small__until_it_is_made_larger(void **state)
{
	struct sp_crowd crowd;
	int owners[2000];

	(void)state;
	start(SP_UDP, 2, NULL);
	sp_run("attach", NAME, crew.endpoint, "--track", "always", "--flows", "64", "--learn", "0");
	sp_finds_not(NAME, "flow-table-full");
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, SP_ARRAY_SIZE(owners));
	sp_crowd_ask(&crowd, owners);
	sp_finds(NAME, "flow-table-full");
	sp_run("detach", NAME);
	sp_run("attach", NAME, crew.endpoint, "--track", "always", "--flows", "4000", "--learn", "0");
	sp_crowd_ask(&crowd, owners);
	sp_finds_not(NAME, "flow-table-full");
	sp_crowd_close(&crowd);
}

static void e2e__doctor_last_listener_closes_with_a_connection_in_its_queue__migration_failed(void **state)
{
	const struct sp_lab_options paused = { .is_paused = true };
	struct sp_lab_flows flows = SP_LAB_NO_FLOWS;
	struct sp_address address;

	(void)state;
	start(SP_TCP, 1, &paused);
	sp_run("attach", NAME, crew.endpoint);
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	assert_int_equal(sp_lab_open(SP_TCP, &address, crew.port, 0, 1, SP_RUN_DEADLINE_MS, &flows), 0);
	sp_finds_not(NAME, "migrate-failed");
	sp_crew_kill(&crew, 0);
	sp_lab_close_flows(&flows);
	sp_crew_add(&crew, 0);
	sp_finds(NAME, "migrate-failed");
	has("migrate-failed", "what", "nobody: 1 in");
}

/* --- what is computed for a group that is not steered --- */

static const json_t *forecast(void)
{
	return sp_json_object(json_array_get(sp_json_array(sp_examined(), "groups"), 0), "forecast");
}

/* The share of the others' flows that moves when this worker leaves. */
static double computed(unsigned int id)
{
	const json_t *members, *member;
	char who[32];
	size_t i;

	sp_examine(crew.endpoint, "0");
	members = sp_json_array(forecast(), "members");
	assert_int_equal(json_array_size(members), WORKERS);
	assert_string_equal(sp_json_text(forecast(), "is"), "computed");
	snprintf(who, sizeof(who), "worker-%u[%d]", id, crew.workers[id].pid);
	json_array_foreach(members, i, member)
		if (!strcmp(sp_json_text(member, "owner"), who))
			return sp_json_real(member, "leaves_moved_share");
	fail_msg("%s is not in the forecast", who);
	return 0;
}

#define OBSERVED_FLOWS 2000

/* Each flow is a throw: of 1500 others' flows the share strays by six standard deviations of 1.3 % in no lifetime. */
#define CHANCE 0.08

static void check_forecast(unsigned int leaver)
{
	static int before[OBSERVED_FLOWS], after[OBSERVED_FLOWS];
	bool is_dead[WORKERS] = { 0 };
	struct sp_lab_moves moves;
	struct sp_crowd crowd;
	double share, observed;

	is_dead[leaver] = true;
	start(SP_UDP, WORKERS, NULL);
	share = computed(leaver);
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, OBSERVED_FLOWS);
	sp_crowd_ask(&crowd, before);
	sp_crew_kill(&crew, leaver);
	sp_crowd_ask(&crowd, after);
	sp_crowd_close(&crowd);
	moves = sp_lab_count_moves(before, after, OBSERVED_FLOWS, is_dead, WORKERS);
	observed = (double)moves.moved / moves.survivor_flows;
	print_message("  %u of %d leaves: computed %.1f%%, observed %.1f%% (%zu of %zu)\n", leaver, WORKERS,
		      100 * share, 100 * observed, moves.moved, moves.survivor_flows);
	assert_true(share > 0.2);
	assert_true(observed > share - CHANCE && observed < share + CHANCE);
}

static void e2e__doctor_forecast_first_member_leaves__as_many_flows_move_as_computed(void **state)
{
	(void)state;
	check_forecast(0);
}

static void e2e__doctor_forecast_second_member_leaves__as_many_flows_move_as_computed(void **state)
{
	(void)state;
	check_forecast(1);
}

static void e2e__doctor_forecast_last_member_leaves__as_many_flows_move_as_computed(void **state)
{
	(void)state;
	check_forecast(WORKERS - 1);
}

static void e2e__doctor_forecast__only_where_the_kernel_decides(void **state)
{
	const struct sp_run *run;

	(void)state;
	start(SP_UDP, WORKERS, NULL);
	run = sp_run("doctor", crew.endpoint, "--watch", "0");
	assert_non_null(strstr(run->out, "computed from the 4 members and their order, not observed"));
	assert_non_null(strstr(run->out, "55.6%"));
	sp_run("attach", NAME, crew.endpoint);
	sp_examine(crew.endpoint, "0");
	assert_true(json_is_null(
		json_object_get(json_array_get(sp_json_array(sp_examined(), "groups"), 0), "forecast")));
}

static int teardown(void **state)
{
	stop_traffic();
	return sp_run_teardown(state);
}

#define CASE(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(e2e__doctor_udp_queue_overflows__full_then_dropped_then_forgotten),
		CASE(e2e__doctor_tcp_queue_is_full__until_the_worker_accepts),
		CASE(e2e__doctor_a_worker_drops_now__found_only_while_it_does),
		CASE(e2e__doctor_even_load__nothing_is_found),
		CASE(e2e__doctor_few_flows_on_one_slot__their_number_is_the_reason),
		CASE(e2e__doctor_one_heavy_flow__its_weight_is_the_reason),
		CASE(e2e__doctor_flows_are_not_counted__no_reason_is_claimed),
		CASE(e2e__doctor_workers_come_and_go_all_the_time__learning_never_ends),
		CASE(e2e__doctor_nobody_settles_what_was_learned__until_sync),
		CASE(e2e__doctor_flow_table_is_too_small__until_it_is_made_larger),
		CASE(e2e__doctor_last_listener_closes_with_a_connection_in_its_queue__migration_failed),
		CASE(e2e__doctor_forecast_first_member_leaves__as_many_flows_move_as_computed),
		CASE(e2e__doctor_forecast_second_member_leaves__as_many_flows_move_as_computed),
		CASE(e2e__doctor_forecast_last_member_leaves__as_many_flows_move_as_computed),
		CASE(e2e__doctor_forecast__only_where_the_kernel_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
