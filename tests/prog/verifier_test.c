// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the verifier of this kernel has to do for each program, against bpf/budget.def: instructions that it follows, of
 * which it gives up after 1,000,000, and stack. The programs are loaded as the loader loads them, but the verifier is
 * asked for its statistics on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <cmocka.h>
#include <bpf/libbpf.h>
#include "connections.h"
#include "members.h"
#include "steer.h"
#include "value.h"
#include "watch.h"

#define LOG_STATS 4 /* the kernel's BPF_LOG_STATS */
#define LOG_LEN (64 * 1024)
#define PROGRAMS_MAX 4 /* in one object */
#define REPORT "budget: " /* scripts/verifier-report.sh shows these lines */

struct budget {
	const char *program;
	unsigned int insns, stack;
	bool is_used;
};

static struct budget budgets[] = {
#define SP_BUDGET(program, insns, stack) { #program, insns, stack, false },
#include "../../bpf/budget.def"
#undef SP_BUDGET
};

static const char *variant;
static bool is_by_load;
static unsigned int over;

int __real_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);

static struct budget *budget_of(const char *program)
{
	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++)
		if (!strcmp(budgets[i].program, program))
			return &budgets[i];
	fail_msg("bpf/budget.def has no line for %s", program);
	return NULL;
}

/*
 * "stack depth 104+16+0" is that of the program and of each function it calls; the sum is more than any chain of calls
 * takes, which the kernel limits to 512 bytes.
 */
static unsigned int read_stack(const char *log)
{
	const char *at = strstr(log, "stack depth ");
	unsigned int sum = 0;
	char *end;

	assert_non_null(at);
	for (at += strlen("stack depth ");; at = end + 1) {
		sum += strtoul(at, &end, 10);
		if (*end != '+')
			return sum;
	}
}

static void report(const char *program, const char *log)
{
	struct budget *budget =
		budget_of(is_by_load && !strcmp(program, "sp_steer") ? "sp_steer_by_load" : program);
	const char *at = strstr(log, "processed ");
	unsigned int insns, stack;
	bool is_over;

	if (!at)
		fail_msg("%s: the verifier says nothing of what it processed: %s", program, log);
	insns = strtoul(at + strlen("processed "), NULL, 10);
	stack = read_stack(log);
	is_over = insns > budget->insns || stack > budget->stack;
	printf(REPORT "%-15s %-30s %7u %7u %6u %6u%s\n", program, variant, insns, budget->insns, stack,
	       budget->stack, is_over ? "  OVER" : "");
	budget->is_used = true;
	over += is_over;
}

int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton)
{
	struct bpf_object *object = *skeleton->obj;
	char *logs = calloc(PROGRAMS_MAX, LOG_LEN);
	struct bpf_program *program;
	size_t n = 0;
	int err;

	assert_non_null(logs);
	bpf_object__for_each_program(program, object) {
		assert_true(n < PROGRAMS_MAX);
		assert_int_equal(bpf_program__set_log_level(program, LOG_STATS), 0);
		assert_int_equal(bpf_program__set_log_buf(program, logs + n++ * LOG_LEN, LOG_LEN), 0);
	}
	err = __real_bpf_object__load_skeleton(skeleton);
	n = 0;
	bpf_object__for_each_program(program, object) {
		if (!err && bpf_program__autoload(program))
			report(bpf_program__name(program), logs + n * LOG_LEN);
		n++;
		bpf_program__set_log_buf(program, NULL, 0);
	}
	free(logs);
	return err;
}

static void load_steer(enum sp_protocol protocol, enum sp_hash hash, enum sp_track track,
		       enum sp_balance balance)
{
	const struct sp_ctl ctl = { .protocol = protocol, .hash = hash, .track = track, .balance = balance };
	struct sp_pins pins = SP_PINS_NONE;
	char name[64];

	/* TCP tracks nothing, and UDP has no load. */
	snprintf(name, sizeof(name), "%s %s %s", sp_protocol_name(protocol), sp_value_hash_name(hash),
		 protocol == SP_UDP ? sp_value_track_name(track) : sp_value_balance_name(balance));
	variant = name;
	is_by_load = balance != SP_BALANCE_HASH;
	assert_int_equal(sp_steer_load("budget", &ctl, 4, 1024, &pins), 0);
	is_by_load = false;
	sp_pins_close(&pins);
}

static void verifier__every_program__keeps_its_budget(void **state)
{
	struct sp_connections connections = { 0 };
	struct sp_groups *groups = NULL;
	struct sp_watch *watch = NULL;
	struct utsname kernel;

	(void)state;
	uname(&kernel);
	printf(REPORT "Linux %s\n", kernel.release);
	printf(REPORT "%-15s %-30s %7s %7s %6s %6s\n", "PROGRAM", "", "INSNS", "BUDGET", "STACK", "BUDGET");
	for (enum sp_hash hash = SP_HASH_SIPHASH; hash <= SP_HASH_KERNEL; hash++) {
		for (enum sp_balance balance = SP_BALANCE_HASH; balance <= SP_BALANCE_LEAST_CONN; balance++)
			load_steer(SP_TCP, hash, SP_TRACK_TRANSITION, balance);
		for (enum sp_track track = SP_TRACK_TRANSITION; track <= SP_TRACK_OFF; track++)
			load_steer(SP_UDP, hash, track, SP_BALANCE_HASH);
	}
	variant = "";
	assert_int_equal(sp_members_scan(0, &groups), 0);
	sp_groups_free(&groups);
	assert_int_equal(sp_connections_scan(53, 1, &connections), 0);
	sp_connections_free(&connections);
	assert_int_equal(sp_watch_open(&watch), 0);
	sp_watch_free(&watch);

	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++)
		if (!budgets[i].is_used)
			fail_msg("bpf/budget.def names %s, which was not loaded", budgets[i].program);
	if (over)
		fail_msg(
			"%u programs are over their budget: make them smaller, or say in bpf/budget.def why not",
			over);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifier__every_program__keeps_its_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
