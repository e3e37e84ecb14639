// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs of others on the group: found there, put there behind our back, and holding the members' sockets. */
#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "foreign.h"
#include "run.h"
#include "world.h"

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

#define NAME "dns"
#define WORKERS 3
#define FLOWS 200 /* they fit into one receive buffer: a program may send all to one worker */
#define LEARN sp_run_window(1000)
#define PIN "/sys/fs/bpf/stranger"

static struct sp_crew crew;

/* --- the stranger --- */

/* Somebody else's program, and the sockarray that it selects from; -1: closed, or it has none. */
struct stranger {
	int prog;
	int array;
	__u32 prog_id;
	__u32 array_id;
};

static __u32 id_of_map(int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

/* Selects element 0 of the array. */
static int load_selecting(int array)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4 },
		{ .code = BPF_LD | BPF_IMM | BPF_DW,
		  .dst_reg = BPF_REG_2,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = array },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_3, .imm = -4 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_sk_select_reuseport },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = SK_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd;

	fd = bpf_prog_load(BPF_PROG_TYPE_SK_REUSEPORT, "stranger", "GPL", code, SP_ARRAY_SIZE(code), NULL);
	assert_true(fd >= 0);
	return fd;
}

static void set_for_group(int option, const void *value, socklen_t len)
{
	sp_autoclose int fd = sp_crew_borrow(&crew, 0);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, option, value, len), 0);
}

static void attach(struct stranger *stranger)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(stranger->prog, &info, &len), 0);
	stranger->prog_id = info.id;
	set_for_group(SO_ATTACH_REUSEPORT_EBPF, &stranger->prog, sizeof(stranger->prog));
}

static struct stranger attach_idle(void)
{
	struct stranger stranger = { .prog = sp_foreign_load("stranger"), .array = -1 };

	attach(&stranger);
	sp_close_fd(&stranger.prog);
	return stranger;
}

static void attach_classic(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog filter = { .len = SP_ARRAY_SIZE(code), .filter = code };

	set_for_group(SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof(filter));
}

/* One that holds the sockets of the workers from @first on. */
static struct stranger attach_holding(unsigned int first)
{
	struct stranger stranger = { .array = bpf_map_create(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
							     "strange_socks", 4, 8, SP_CREW_MAX, NULL) };

	assert_true(stranger.array >= 0);
	stranger.array_id = id_of_map(stranger.array);
	stranger.prog = load_selecting(stranger.array);
	for (__u32 id = first; id < WORKERS; id++) {
		sp_autoclose int fd = sp_crew_borrow(&crew, id);
		__u64 value = fd;
		__u32 place = id - first;

		assert_int_equal(bpf_map_update_elem(stranger.array, &place, &value, BPF_NOEXIST), 0);
	}
	attach(&stranger);
	return stranger;
}

/* --- found there --- */

static void e2e__foreign_ebpf_program__refused_unless_replaced(void **state)
{
	struct stranger stranger;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	stranger = attach_idle();
	assert_string_equal(sp_crew_program(&crew), "foreign");
	sp_world_changed();
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", NAME, crew.endpoint), "stranger", "--replace");
	sp_run("attach", NAME, crew.endpoint, "--replace");
	assert_string_equal(sp_crew_program(&crew), "steadyport");
	assert_int_not_equal(sp_status_int(NAME, "program_id"), stranger.prog_id);
	assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS);
}

static void e2e__foreign_classic_program__refused_unless_replaced(void **state)
{
	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	attach_classic();
	assert_string_equal(sp_crew_program(&crew), "classic");
	sp_world_changed();
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", NAME, crew.endpoint), "classic BPF", "--replace");
	sp_run("attach", NAME, crew.endpoint, "--replace");
	assert_string_equal(sp_crew_program(&crew), "steadyport");
	assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS);
}

/* --- put there behind our back --- */

static struct sp_crowd crowd;
static int before[FLOWS], after[FLOWS];

static void start(enum sp_protocol protocol, const char *address)
{
	sp_crew_start(&crew, protocol, address, 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint, "--learn", LEARN);
	if (protocol != SP_UDP)
		return;
	sp_status_wait_settled(NAME);
	sp_run("sync", NAME);
	sp_crowd_open(&crowd, &crew, address, NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, before);
}

/* What an operator is told while another program is attached, and that the refused sync changes nothing. */
static void expect_foreign(json_int_t id, const char *text)
{
	json_t *list = sp_run_json("list");

	sp_world_changed();
	assert_false(sp_status_bool(NAME, "attached"));
	assert_int_equal(sp_status_int(NAME, "foreign_program_id"), id);
	assert_false(sp_json_bool(json_array_get(list, 0), "attached"));
	assert_non_null(strstr(sp_run("list")->out, "no (foreign)"));
	assert_non_null(strstr(sp_run("status", NAME)->out, text));
	assert_non_null(strstr(sp_run("status", NAME)->out, "steadyport sync " NAME " --replace"));
	refuses(sp_run_fails(SP_EXIT_FAILED, "sync", NAME), "is steered by",
		"take it back: steadyport sync " NAME " --replace");
	refuses(sp_run_fails(SP_EXIT_FAILED, "drain", NAME, "0"), "is steered by",
		"take it back: steadyport sync " NAME " --replace");
	json_decref(list);
}

/* Known flows are where steadyport had them, for its slots and its table have not changed. */
static void expect_taken_back(void)
{
	const struct sp_run *run;
	size_t moved = 0;

	sp_crowd_ask(&crowd, after);
	for (size_t i = 0; i < FLOWS; i++)
		moved += after[i] != before[i];
	assert_true(moved > FLOWS / 4);
	run = sp_run("sync", NAME, "--replace");
	assert_non_null(strstr(run->out, NAME ": attached program"));
	assert_non_null(strstr(run->out, "UDP flows may have moved"));
	assert_null(strstr(run->out, "none has moved"));
	assert_true(sp_status_bool(NAME, "attached"));
	sp_crowd_ask(&crowd, after);
	assert_memory_equal(after, before, sizeof(before));
	sp_crowd_close(&crowd);
}

static void replaced_by_ebpf(const char *address)
{
	struct stranger stranger;
	char text[64];

	start(SP_UDP, address);
	stranger = attach_idle();
	snprintf(text, sizeof(text), "Program %u (stranger) is attached instead.", stranger.prog_id);
	expect_foreign(stranger.prog_id, text);
	expect_taken_back();
}

static void e2e__another_program_takes_the_group_ipv4__named_by_its_id_and_flows_return(void **state)
{
	(void)state;
	replaced_by_ebpf("127.0.0.1");
}

static void e2e__another_program_takes_the_group_ipv6__named_by_its_id_and_flows_return(void **state)
{
	(void)state;
	replaced_by_ebpf("::1");
}

static void e2e__classic_program_takes_the_group__said_so_and_flows_return(void **state)
{
	(void)state;
	start(SP_UDP, "127.0.0.1");
	attach_classic();
	expect_foreign(0, "A classic BPF program is attached instead.");
	expect_taken_back();
}

static void e2e__another_program_takes_the_group_tcp__taken_back_with_replace(void **state)
{
	struct stranger stranger;
	int answers[FLOWS];

	(void)state;
	start(SP_TCP, "127.0.0.1");
	stranger = attach_idle();
	expect_foreign(stranger.prog_id, "(stranger) is attached instead.");
	sp_run("sync", NAME, "--replace");
	assert_string_equal(sp_crew_program(&crew), "steadyport");
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_answers(&crowd, answers);
	for (size_t i = 0; i < FLOWS; i++)
		assert_in_range(answers[i], 0, WORKERS - 1);
	assert_true(sp_counters_outcomes(NAME) >= FLOWS);
	sp_crowd_close(&crowd);
}

static void e2e__detached_behind_our_back__sync_attaches_again_and_nobody_moves(void **state)
{
	const struct sp_run *run;
	int unused = 0;

	(void)state;
	start(SP_UDP, "127.0.0.1");
	set_for_group(SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused));
	assert_false(sp_status_bool(NAME, "attached"));
	run = sp_run("status", NAME);
	assert_non_null(strstr(run->out, "not attached any more, so the kernel's own hash decides"));
	assert_non_null(strstr(run->out, "steadyport sync " NAME));
	sp_crowd_ask(&crowd, before);
	run = sp_run("sync", NAME);
	assert_non_null(strstr(run->out, "again: the group had been without it"));
	assert_non_null(strstr(run->out, "none has moved"));
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_status_wait_settled(NAME);
	sp_run("sync", NAME);
	sp_crowd_stays(&crowd, &crew, before, after);
	sp_crowd_close(&crowd);
}

/* --- holding the members' sockets --- */

static void e2e__only_the_program_holds_the_sockets__replaced_with_all_of_them(void **state)
{
	struct stranger stranger;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	stranger = attach_holding(0);
	sp_close_fd(&stranger.array);
	sp_close_fd(&stranger.prog);
	sp_run("attach", NAME, crew.endpoint, "--replace");
	assert_string_equal(sp_crew_program(&crew), "steadyport");
	assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS);
}

enum keeper {
	KEEPS_ARRAY, /* an open descriptor */
	KEEPS_PROGRAM,
	KEEPS_PIN, /* nobody has it open */
};

static void keep_only(struct stranger *stranger, enum keeper keeper)
{
	if (keeper == KEEPS_PIN)
		assert_int_equal(bpf_obj_pin(stranger->array, PIN), 0);
	if (keeper != KEEPS_ARRAY)
		sp_close_fd(&stranger->array);
	if (keeper != KEEPS_PROGRAM)
		sp_close_fd(&stranger->prog);
}

static void let_go(struct stranger *stranger)
{
	sp_close_fd(&stranger->array);
	sp_close_fd(&stranger->prog);
	unlink(PIN);
}

/* An array that nobody has any more lets go of its sockets when the kernel frees it, a grace period or two later. */
static void sync_until_enrolled(json_int_t count)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	do
		sp_run("sync", NAME);
	while (sp_status_int(NAME, "enrolled") < count && sp_lab_left_ms(deadline));
	assert_int_equal(sp_status_int(NAME, "enrolled"), count);
}

/* A pin that was removed refers to its map until a grace period is over, too: bpf_free_inode(). */
static void attach_until_done(void)
{
	const char *const words[] = { "steadyport", "attach", NAME, crew.endpoint, "--replace", NULL };
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;
	int status;

	do {
		struct sp_run run;

		sp_run_start(&run, NULL, words);
		sp_run_wait(&run);
		status = run.status;
		sp_run_free(&run);
	} while (status != SP_EXIT_OK && sp_lab_left_ms(deadline));
	assert_int_equal(status, SP_EXIT_OK);
}

/* The stranger steers as before: what it does not let go of would leave the group without any program. */
static void check_keeper(enum sp_protocol protocol, enum keeper keeper)
{
	char what[128], next_step[128];
	struct stranger stranger;

	sp_crew_start(&crew, protocol, "127.0.0.1", 0, WORKERS, NULL);
	stranger = attach_holding(0);
	keep_only(&stranger, keeper);
	sp_world_changed();
	snprintf(
		what, sizeof(what),
		"the sockets of 3 of 3 members are in another BPF sockarray or sockmap: worker-0[%d], worker-1[%d] "
		"and worker-2[%d]",
		crew.workers[0].pid, crew.workers[1].pid, crew.workers[2].pid);
	snprintf(next_step, sizeof(next_step), "bpftool map show id %u and bpftool prog show id %u",
		 stranger.array_id, stranger.prog_id);
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", NAME, crew.endpoint, "--replace"), what, next_step);
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", NAME, crew.endpoint, "--replace", "--partial"), what,
		next_step);
	assert_string_equal(sp_crew_program(&crew), "foreign");

	let_go(&stranger);
	attach_until_done();
	assert_string_equal(sp_crew_program(&crew), "steadyport");
	assert_int_equal(sp_status_int(NAME, "enrolled"), WORKERS);
}

static void e2e__somebody_keeps_the_foreign_sockarray__refused_before_anything_changes(void **state)
{
	(void)state;
	check_keeper(SP_UDP, KEEPS_ARRAY);
}

static void e2e__somebody_keeps_the_foreign_program__refused_before_anything_changes(void **state)
{
	(void)state;
	check_keeper(SP_TCP, KEEPS_PROGRAM);
}

static void e2e__foreign_sockarray_is_pinned__refused_before_anything_changes(void **state)
{
	(void)state;
	check_keeper(SP_TCP, KEEPS_PIN);
}

static void e2e__some_members_in_a_kept_sockarray__the_others_only_if_partial(void **state)
{
	struct stranger stranger;
	const struct sp_run *run;
	int owners[FLOWS];

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	stranger = attach_holding(2);
	sp_world_changed();
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", NAME, crew.endpoint, "--replace"),
		"the sockets of 1 of 3 members are in another BPF sockarray or sockmap: worker-2",
		"--partial");
	run = sp_run("attach", NAME, crew.endpoint, "--replace", "--partial");
	says(run, "1 member of " NAME " in another BPF sockarray or sockmap: no traffic goes there");
	assert_non_null(strstr(run->out, "to 2 members"));
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 0, FLOWS);
	sp_crowd_ask(&crowd, owners);
	sp_crowd_close(&crowd);
	for (size_t i = 0; i < FLOWS; i++)
		assert_in_range(owners[i], 0, 1);

	run = sp_run("sync", NAME);
	assert_non_null(strstr(run->out, "2 of 3 members enrolled"));
	says(run, "1 member of " NAME " in another BPF sockarray or sockmap");
	let_go(&stranger);
	sync_until_enrolled(WORKERS);
	assert_int_equal(sp_status_int(NAME, "unenrolled"), 0);
}

/* All our workers were restarted, and somebody was faster. */
static void e2e__newcomers_in_a_kept_sockarray__sync_replace_refuses_rather_than_empty_the_group(void **state)
{
	struct stranger stranger;
	const struct sp_run *run;

	(void)state;
	start(SP_TCP, "::1");
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_kill(&crew, id);
	for (unsigned int id = 0; id < WORKERS; id++)
		sp_crew_add(&crew, id);
	stranger = attach_holding(0);
	sp_world_changed();
	refuses(sp_run_fails(SP_EXIT_FAILED, "sync", NAME, "--replace"), "the sockets of 3 of 3 members",
		"end that first");
	assert_int_equal(sp_status_int(NAME, "foreign_program_id"), stranger.prog_id);

	/* One that can be had makes it worth while. */
	sp_crew_add(&crew, WORKERS);
	run = sp_run("sync", NAME, "--replace");
	says(run, "3 members of " NAME " in another BPF sockarray or sockmap");
	assert_int_equal(sp_status_int(NAME, "enrolled"), 1);
	let_go(&stranger);
	sync_until_enrolled(WORKERS + 1);
}

/* --- holding them ourselves, under another name --- */

static void expect_other_name(const char *next_step)
{
	sp_world_changed();
	refuses(sp_run_fails(SP_EXIT_FAILED, "attach", "other", crew.endpoint, "--replace"),
		"are in the slots of " NAME ", whose program is not attached", next_step);
}

static void e2e__members_in_the_slots_of_another_name__that_one_is_named(void **state)
{
	int unused = 0;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", NAME, crew.endpoint);
	set_for_group(SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused));
	expect_other_name("steadyport sync " NAME "; or forget it: steadyport detach " NAME);
	attach_idle();
	expect_other_name("steadyport sync " NAME " --replace; or forget it");
	sp_run("detach", NAME);
	sp_run("attach", "other", crew.endpoint, "--replace");
	assert_int_equal(sp_status_int("other", "enrolled"), WORKERS);
}

static int teardown(void **state)
{
	unlink(PIN);
	sp_crowd_close(&crowd);
	return sp_run_teardown(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, sp_world_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(e2e__foreign_ebpf_program__refused_unless_replaced),
		CASE(e2e__foreign_classic_program__refused_unless_replaced),
		CASE(e2e__another_program_takes_the_group_ipv4__named_by_its_id_and_flows_return),
		CASE(e2e__another_program_takes_the_group_ipv6__named_by_its_id_and_flows_return),
		CASE(e2e__classic_program_takes_the_group__said_so_and_flows_return),
		CASE(e2e__another_program_takes_the_group_tcp__taken_back_with_replace),
		CASE(e2e__detached_behind_our_back__sync_attaches_again_and_nobody_moves),
		CASE(e2e__only_the_program_holds_the_sockets__replaced_with_all_of_them),
		CASE(e2e__somebody_keeps_the_foreign_sockarray__refused_before_anything_changes),
		CASE(e2e__somebody_keeps_the_foreign_program__refused_before_anything_changes),
		CASE(e2e__foreign_sockarray_is_pinned__refused_before_anything_changes),
		CASE(e2e__some_members_in_a_kept_sockarray__the_others_only_if_partial),
		CASE(e2e__newcomers_in_a_kept_sockarray__sync_replace_refuses_rather_than_empty_the_group),
		CASE(e2e__members_in_the_slots_of_another_name__that_one_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
