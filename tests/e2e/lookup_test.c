// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A program of the type sk_lookup in front of a steered group: it hands packets for other ports or addresses to a member,
 * and the kernel then asks the group's program, unless it says that it has chosen itself. It needs the member in a
 * sockmap, which is a place of the kind that a sockarray needs: that one member cannot be enrolled, all others can.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/filter.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "run.h"

#define WORKERS 4
#define FLOWS 200
#define FRONT 4430 /* the port that the program answers for */

static struct sp_crew crew;
static int link_fd = -1, door = -1;

/* Hands all that comes to port FRONT to the socket in the map. */
static int load(int map, int flags)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = BPF_REG_2,
		  .src_reg = BPF_REG_1,
		  .off = offsetof(struct bpf_sk_lookup, local_port) },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_2, .off = 14, .imm = FRONT },
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4, .imm = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4 },
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{ 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 7, .imm = 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_7, .src_reg = BPF_REG_0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_6 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_7 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = flags },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sk_assign },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_7 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sk_release },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = SK_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_SK_LOOKUP);

	return bpf_prog_load(BPF_PROG_TYPE_SK_LOOKUP, "front", "GPL", code, SP_ARRAY_SIZE(code), &opts);
}

/* @flags: of bpf_sk_assign() */
static void put_in_front(int flags)
{
	sp_autoclose int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	sp_autoclose int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "front", 4, 8, 1, NULL);
	sp_autoclose int program = -1;
	__u64 value = door;
	__u32 zero = 0;

	assert_true(netns >= 0 && map >= 0);
	assert_int_equal(bpf_map_update_elem(map, &zero, &value, BPF_ANY), 0);
	program = load(map, flags);
	assert_true(program >= 0);
	link_fd = bpf_link_create(program, netns, BPF_SK_LOOKUP, NULL);
	assert_true(link_fd >= 0);
}

static int tear_down(void **state)
{
	sp_close_fd(&link_fd);
	sp_close_fd(&door);
	return sp_run_teardown(state);
}

static void open_front(struct sp_lab_flows *flows)
{
	assert_int_equal(sp_lab_open(crew.protocol, &crew.address, FRONT, 10000, FLOWS, 5000, flows), 0);
}

static void start(enum sp_protocol protocol, const char *address)
{
	sp_crew_start(&crew, protocol, address, 0, WORKERS, NULL);
	door = sp_crew_join(&crew);
}

static void check_tcp(const char *address)
{
	struct sp_lab_flows flows;
	int owners[FLOWS];

	start(SP_TCP, address);
	put_in_front(0);
	sp_run("attach", "web", crew.endpoint, "--partial");
	assert_int_equal(sp_status_int("web", "enrolled"), WORKERS);
	assert_int_equal(sp_lab_pause(&crew.workers[1]), 0);
	open_front(&flows);
	sp_crew_kill(&crew, 1);
	assert_int_equal(sp_lab_answers(&flows, SP_RUN_DEADLINE_MS, owners), 0);
	sp_lab_close_flows(&flows);
	for (size_t i = 0; i < FLOWS; i++)
		assert_true(owners[i] >= 0 && owners[i] < WORKERS && owners[i] != 1);
	assert_true(sp_counters_outcomes("web") > FLOWS);
	tear_down(NULL);
}

/* Workers answer from their own port, which no client has asked, so that it is the program that says who was asked. */
static void check_udp(const char *address)
{
	struct sp_lab_flows flows;
	char unused[8];

	start(SP_UDP, address);
	put_in_front(0);
	sp_run("attach", "dns", crew.endpoint, "--partial");
	assert_int_equal(sp_status_int("dns", "enrolled"), WORKERS);
	open_front(&flows);
	for (size_t i = 0; i < FLOWS; i++)
		assert_int_equal(send(flows.fds[i], "x", 1, 0), 1);
	sp_lab_close_flows(&flows);
	assert_int_equal(sp_counters_outcomes("dns"), FLOWS);
	assert_int_equal(recv(door, unused, sizeof(unused), MSG_DONTWAIT), -1);
	tear_down(NULL);
}

static void e2e__lookup_program_in_front__the_group_is_steered_as_ever(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "::1" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(addresses); i++) {
		check_udp(addresses[i]);
		check_tcp(addresses[i]);
	}
}

/* Then nobody asks the group's program; that is what it has said. */
static void e2e__lookup_program_that_chooses_itself__the_group_is_not_asked(void **state)
{
	char answer[8];
	struct sp_lab_flows flows;

	(void)state;
	start(SP_UDP, "127.0.0.1");
	put_in_front(BPF_SK_LOOKUP_F_NO_REUSEPORT);
	sp_run("attach", "web", crew.endpoint, "--partial");
	open_front(&flows);
	for (size_t i = 0; i < FLOWS; i++) {
		assert_int_equal(send(flows.fds[i], "x", 1, 0), 1);
		assert_int_equal(recv(door, answer, sizeof(answer), 0), 1);
	}
	sp_lab_close_flows(&flows);
	assert_int_equal(sp_counters_outcomes("web"), 0);
}

static void e2e__member_in_a_sockmap__refused_until_told_to_be_partial(void **state)
{
	const struct sp_run *run;

	(void)state;
	start(SP_TCP, "127.0.0.1");
	put_in_front(0);
	run = sp_run_fails(SP_EXIT_FAILED, "attach", "web", crew.endpoint);
	assert_non_null(strstr(
		run->err,
		"the sockets of 1 of 5 members are in another BPF sockarray or sockmap: lookup_test["));
	assert_string_equal(sp_crew_program(&crew), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_teardown(name, tear_down)
		CASE(e2e__lookup_program_in_front__the_group_is_steered_as_ever),
		CASE(e2e__lookup_program_that_chooses_itself__the_group_is_not_asked),
		CASE(e2e__member_in_a_sockmap__refused_until_told_to_be_partial),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
