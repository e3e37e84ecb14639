// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Facts to findings: each of findings.def has its facts here, and a healthy machine and group have none. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "findings.h"
#include "value.h"

#define WORKERS 4

static struct sp_machine_facts machine;
static struct sp_group_facts *group; /* steered or not, as the case says */
static struct sp_member_facts members[WORKERS + 1];
static struct sp_findings findings;

static void make_healthy_machine(void)
{
	machine = (struct sp_machine_facts){
		.release = "6.18.44",
		.has_btf = true,
		.bpffs = "/sys/fs/bpf",
		.sees_all_processes = true,
		.jit = 1,
		.wake = SP_WAKE_NOT_NEEDED,
	};
}

static void make_healthy_group(void)
{
	*group = (struct sp_group_facts){
		.name = "h3",
		.endpoint = "udp:[::]:443",
		.bpffs = "/sys/fs/bpf",
		.protocol = SP_UDP,
		.has_group = true,
		.program = "program 71 (sp_steer)",
		.is_our_program = true,
		.size = WORKERS,
		.members = members,
		.nmembers = WORKERS,
		.migrate_req = 0,
		.watch_ns = SP_NS_PER_S,
		.abi = SP_ABI_VERSION,
		.is_attached = true,
		.was_attached = true,
		.learn_ns = 5 * SP_NS_PER_S,
		.attached_for_ns = 3600 * SP_NS_PER_S,
		.serial = 12,
		.room = 65536,
	};
	for (int i = 0; i < WORKERS; i++) {
		members[i] = (struct sp_member_facts){
			.position = i,
			.slot = i,
			.nprocesses = 1,
			.backlog = 100,
			.backlog_max = 1000,
			.share = 1.0 / WORKERS,
			.arrived = 1000,
			.flows = 10,
		};
		sprintf(members[i].who, "h3d[441%d]", i);
		group->slots[i] = SP_SLOT_LIVE;
	}
}

/* The same group, and nobody steers it. */
static void make_plain_group(void)
{
	make_healthy_group();
	group->name[0] = '\0';
	group->program[0] = '\0';
	group->is_our_program = false;
	for (int i = 0; i < WORKERS; i++) {
		members[i].slot = -1;
		members[i].share = 0;
	}
}

/* --- one change to the healthy facts for each finding --- */

static void old_kernel(void)
{
	machine.is_too_old = true;
}

static void no_btf(void)
{
	machine.has_btf = false;
}

static void lacks_vital(void)
{
	machine.lacks[SP_PRIVILEGE_BPF] = true;
}

static void lacks(void)
{
	machine.lacks[SP_PRIVILEGE_SYS_PTRACE] = true;
}

static void bpffs_untrusted(void)
{
	machine.bpffs_state = SP_BPFFS_UNTRUSTED;
}

static void no_bpffs(void)
{
	machine.bpffs_state = SP_BPFFS_MISSING;
}

static void pid_namespace(void)
{
	machine.sees_all_processes = false;
}

static void no_jit(void)
{
	machine.jit = 0;
}

static void needs_waking(void)
{
	machine.wake = SP_WAKE_NEEDED;
}

static void waking_unknown(void)
{
	machine.wake = SP_WAKE_UNKNOWN;
	strcpy(machine.wake_why, "cannot make a private network: Operation not permitted");
}

static void broken_pins(void)
{
	group->pins = SP_PINS_BROKEN;
}

static void old_pins(void)
{
	group->pins = SP_PINS_OLD;
	group->abi = SP_ABI_VERSION - 1;
}

static void new_pins(void)
{
	group->pins = SP_PINS_NEW;
	group->abi = SP_ABI_VERSION + 1;
}

static void foreign(void)
{
	group->is_attached = false;
	strcpy(group->program, "program 9 (stranger)");
}

static void other_user(void)
{
	group->is_attached = false;
	group->program[0] = '\0';
	group->is_other_user = true;
	group->uid = 65534;
}

static void never_attached(void)
{
	group->is_attached = group->was_attached = false;
	group->program[0] = '\0';
}

static void detached(void)
{
	group->is_attached = false;
	group->program[0] = '\0';
}

static void gone(void)
{
	group->has_group = group->is_attached = false;
	group->nmembers = group->size = 0;
	for (int i = 0; i < WORKERS; i++)
		group->slots[i] = SP_SLOT_DEAD;
}

static void nobody_live(void)
{
	memset(group->slots, 0, sizeof(group->slots));
}

static void hidden(void)
{
	group->nhidden = 1;
}

static void unenrolled(void)
{
	members[3].slot = -1;
}

static void taken(void)
{
	members[3].slot = -1;
	members[3].is_taken = true;
}

static void outside(void)
{
	group->noutside = 1;
	strcpy(group->outside, "h3d[1]");
}

static void connected(void)
{
	members[3].is_connected = true;
	group->had_connected = true;
}

static void had_connected(void)
{
	group->had_connected = true;
}

static void shared(void)
{
	members[0].nprocesses = 2;
}

static void single(void)
{
	group->size = group->nmembers = 1;
}

static void full(void)
{
	members[2].backlog = 950;
}

static void dropping(void)
{
	members[2].drops = 50;
	members[2].new_drops = 7;
}

static void dropped(void)
{
	members[2].drops = 50;
}

/* Of 4 slots with a quarter each one gets 2.5 times that. */
static void make_uneven(void)
{
	members[0].arrived = 2500;
	members[1].arrived = members[2].arrived = members[3].arrived = 500;
}

static void few_flows(void)
{
	make_uneven();
	group->knows_flows = true;
	members[0].flows = 5;
	members[1].flows = members[2].flows = members[3].flows = 1;
}

static void heavy_flows(void)
{
	make_uneven();
	group->knows_flows = true;
}

static void uneven(void)
{
	make_uneven();
}

static void dead(void)
{
	group->slots[2] = SP_SLOT_DEAD;
	group->slots[5] = SP_SLOT_DEAD;
}

static void ejected(void)
{
	group->slots[2] = SP_SLOT_EJECTED;
}

static void draining(void)
{
	group->slots[2] = SP_SLOT_DRAINING;
}

static void endless(void)
{
	group->is_learning = true;
	group->serial = 1500;
}

static void unsettled(void)
{
	group->unsettled_for_ns = 60 * SP_NS_PER_S;
}

static void forgets(void)
{
	group->forgotten = 17;
}

static void migrate_failed(void)
{
	group->protocol = SP_TCP;
	group->migrate_failed = 3;
}

static void orphaned(void)
{
	strcpy(group->program, "program 71 (sp_steer)");
	group->is_our_program = true;
}

static void other_program(void)
{
	strcpy(group->program, "program 9 (stranger)");
}

static void tcp(void)
{
	group->protocol = SP_TCP;
}

static void nothing(void)
{
}

enum of_what {
	MACHINE,
	STEERED,
	PLAIN,
};

static const struct {
	enum of_what of;
	void (*change)(void);
	enum sp_finding_id expected;
	const char *what, *fix; /* in the finding */
} cases[] = {
	{ MACHINE, old_kernel, SP_FINDING_OLD_KERNEL, "Linux 6.18.44 is too old", "5.14" },
	{ MACHINE, no_btf, SP_FINDING_NO_BTF, "vmlinux", "CONFIG_DEBUG_INFO_BTF" },
	{ MACHINE, lacks_vital, SP_FINDING_LACKS_VITAL, "CAP_BPF", "as root" },
	{ MACHINE, lacks, SP_FINDING_LACKS, "CAP_SYS_PTRACE", "CAP_SYS_PTRACE" },
	{ MACHINE, bpffs_untrusted, SP_FINDING_BPFFS_UNTRUSTED, "/sys/fs/bpf/steadyport", "/sys/fs/bpf" },
	{ MACHINE, no_bpffs, SP_FINDING_NO_BPFFS, "on /sys/fs/bpf", "mount -t bpf bpf /sys/fs/bpf" },
	{ MACHINE, pid_namespace, SP_FINDING_PID_NAMESPACE, "pid namespace", "nsenter" },
	{ MACHINE, no_jit, SP_FINDING_NO_JIT, "bpf_jit_enable is 0", "sysctl -w" },
	{ MACHINE, needs_waking, SP_FINDING_NEEDS_WAKING, "does not wake", "systemctl enable" },
	{ MACHINE, waking_unknown, SP_FINDING_WAKING_UNKNOWN, "cannot make a private network", "root" },
	{ STEERED, broken_pins, SP_FINDING_BROKEN_PINS, "pinned as h3", "steadyport detach h3" },
	{ STEERED, old_pins, SP_FINDING_OLD_PINS, "h3 is of ABI version ", "steadyport upgrade h3" },
	{ STEERED, new_pins, SP_FINDING_NEW_PINS, "this steadyport only of version", "that attached it" },
	{ STEERED, foreign, SP_FINDING_FOREIGN, "program 9 (stranger) is attached",
	  "steadyport sync h3 --replace" },
	{ STEERED, other_user, SP_FINDING_OTHER_USER, "uid 65534, and h3 was made for that of uid 0",
	  "steadyport sync h3 --replace" },
	{ STEERED, never_attached, SP_FINDING_NEVER_ATTACHED, "h3", "steadyport attach h3 udp:[::]:443" },
	{ STEERED, detached, SP_FINDING_DETACHED, "h3's program", "steadyport sync h3" },
	{ STEERED, gone, SP_FINDING_GONE, "h3's group", "steadyport sync h3" },
	{ STEERED, nobody_live, SP_FINDING_NOBODY_LIVE, "no slot", "steadyport sync h3" },
	{ STEERED, hidden, SP_FINDING_HIDDEN, "1 of 4", "pid namespace" },
	{ STEERED, unenrolled, SP_FINDING_UNENROLLED, "1 (h3d[4413])", "steadyport sync h3" },
	{ STEERED, taken, SP_FINDING_TAKEN, "1 (h3d[4413])", "bpftool map show" },
	{ STEERED, outside, SP_FINDING_OUTSIDE, "1 (h3d[1])", "close them" },
	{ STEERED, connected, SP_FINDING_CONNECTED, "1 (h3d[4413])", "sendto()" },
	{ STEERED, had_connected, SP_FINDING_HAD_CONNECTED, "has had", "anew" },
	{ STEERED, shared, SP_FINDING_SHARED, "1 (h3d[4410])", "steadyport drain h3" },
	{ STEERED, single, SP_FINDING_SINGLE, "one member", "park = 30s" },
	{ STEERED, full, SP_FINDING_FULL, "1 (h3d[4412])", "SO_RCVBUF" },
	{ STEERED, dropping, SP_FINDING_DROPPING, "last 1 s: 7 (h3d[4412])", "SO_RCVBUF" },
	{ STEERED, dropped, SP_FINDING_DROPPED, "50 (h3d[4412])", "ss -lnmp" },
	{ STEERED, few_flows, SP_FINDING_FEW_FLOWS,
	  "slot 0 gets 2.5 times its share in 1 s: of 8 flows it has 5", "steadyport weight h3 0=50" },
	{ STEERED, heavy_flows, SP_FINDING_HEAVY_FLOWS, "2.5 times its share in 1 s, with 10 of 40 flows",
	  "steadyport weight h3 0=50" },
	{ STEERED, uneven, SP_FINDING_UNEVEN, "as uneven as 4 equally heavy flows", "steadyport flows h3" },
	{ STEERED, dead, SP_FINDING_DEAD, "dead slots: 2 5", "steadyport retire h3 2 5" },
	{ STEERED, ejected, SP_FINDING_EJECTED, "slots: 2", "steadyport undrain h3 2" },
	{ STEERED, draining, SP_FINDING_DRAINING, "slots: 2", "steadyport undrain h3 2" },
	{ STEERED, endless, SP_FINDING_ENDLESS, "1500 views were published in 60 min: a learn window of 5 s",
	  "learn = 1s" },
	{ STEERED, unsettled, SP_FINDING_UNSETTLED, "closed 60 s ago", "steadyport sync h3" },
	{ STEERED, forgets, SP_FINDING_FORGETS, "17; it has room for 65536", "--flows" },
	{ STEERED, migrate_failed, SP_FINDING_MIGRATE_FAILED, "nobody: 3 in", "park = 30s" },
	{ PLAIN, orphaned, SP_FINDING_ORPHANED, "program 71 (sp_steer)",
	  "steadyport attach NAME udp:[::]:443 --replace" },
	{ PLAIN, other_program, SP_FINDING_OTHER_PROGRAM, "program 9 (stranger)", "--replace" },
	{ PLAIN, tcp, SP_FINDING_NO_MIGRATION, "tcp_migrate_req is 0", "steadyport attach NAME" },
	{ PLAIN, nothing, SP_FINDING_NOT_STEERED, "own hash", "steadyport attach NAME udp:[::]:443" },
};

static void look(enum of_what of, void (*change)(void))
{
	sp_findings_free(&findings);
	make_healthy_machine();
	if (of == PLAIN)
		make_plain_group();
	else
		make_healthy_group();
	change();
	if (of == MACHINE)
		sp_findings_of_machine(&machine, &findings);
	else
		sp_findings_of_group(group, &findings);
	assert_false(findings.is_out_of_memory);
}

static const struct sp_finding *find(enum sp_finding_id id)
{
	for (size_t i = 0; i < findings.count; i++)
		if (findings.items[i].id == id)
			return &findings.items[i];
	return NULL;
}

static void findings__healthy__none(void **state)
{
	(void)state;
	look(MACHINE, nothing);
	assert_int_equal(findings.count, 0);
	look(STEERED, nothing);
	assert_int_equal(findings.count, 0);
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not have: %s", text, part);
}

static void findings__each_fact__its_finding_and_no_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		const struct sp_finding *finding;

		look(cases[i].of, cases[i].change);
		finding = find(cases[i].expected);
		if (!finding)
			fail_msg("no finding %s", sp_finding_kinds[cases[i].expected].name);
		/* Nobody steers a plain group, whatever else there is. */
		for (size_t f = 0; f < findings.count; f++)
			if (findings.items[f].id != cases[i].expected &&
			    findings.items[f].id != SP_FINDING_NOT_STEERED)
				fail_msg("%s comes with %s", sp_finding_kinds[cases[i].expected].name,
					 sp_finding_kinds[findings.items[f].id].name);
		has(finding->what, cases[i].what);
		has(finding->fix, cases[i].fix);
		assert_int_equal(findings.counts[sp_finding_kinds[cases[i].expected].severity],
				 1 + (findings.count > 1));
	}
}

static void findings__the_list__each_is_tested_and_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int id = 0; id < SP_FINDING_IDS; id++) {
		const struct sp_finding_kind *kind = &sp_finding_kinds[id];
		size_t tested = 0;

		for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++)
			tested += (int)cases[i].expected == id;
		if (!tested)
			fail_msg("no case makes %s", kind->name);
		for (int other = 0; other < id; other++)
			assert_string_not_equal(kind->name, sp_finding_kinds[other].name);
		assert_true(*kind->what && *kind->why && *kind->fix);
	}
}

/* Values that were forgotten would be read as such: no word in capitals is left but those that are meant. */
static void findings__each_text__no_value_is_missing(void **state)
{
	static const char *const unfilled[] = { "VALUE", "LIMIT", "COUNT", "WHO",    "SLOTS",
						"RATIO", "ITS",	  "EQUAL", "WATCH",  "AGE",
						"LEARN", "USE",	  "BPFFS", "WITHOUT" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		const struct sp_finding *f;

		look(cases[i].of, cases[i].change);
		f = find(cases[i].expected);
		for (size_t w = 0; w < SP_ARRAY_SIZE(unfilled); w++) {
			assert_null(strstr(f->what, unfilled[w]));
			assert_null(strstr(f->why, unfilled[w]));
			assert_null(strstr(f->fix, unfilled[w]));
		}
	}
}

static void everything(void)
{
	hidden();
	dead();
	dropped();
	shared();
	unenrolled();
}

static void findings__several__the_most_urgent_first(void **state)
{
	(void)state;
	look(STEERED, everything);
	assert_int_equal(findings.count, 5);
	for (size_t i = 1; i < findings.count; i++)
		assert_true(findings.items[i - 1].id < findings.items[i].id);
	assert_int_equal(findings.counts[SP_SEVERITY_ERROR], 2);
	assert_int_equal(findings.counts[SP_SEVERITY_WARNING], 2);
	assert_int_equal(findings.counts[SP_SEVERITY_NOTE], 1);
}

/* --- what is near a finding, and is none --- */

static void daemon_wakes(void)
{
	needs_waking();
	machine.has_daemon = true;
}

static void jit_unknown(void)
{
	machine.jit = -1;
}

static void a_little_uneven(void)
{
	members[0].arrived = 1400;
}

static void too_few_to_judge(void)
{
	members[0].arrived = 50;
	members[1].arrived = members[2].arrived = members[3].arrived = 10;
}

static void as_the_weights_say(void)
{
	make_uneven();
	members[0].share = 0.625;
	members[1].share = members[2].share = members[3].share = 0.125;
}

static void of_a_drained_slot(void)
{
	members[0].arrived = 5000;
	members[0].share = 0;
}

static void just_closed(void)
{
	group->unsettled_for_ns = SP_NS_PER_S;
}

/* A change every five seconds, and each is settled: that is the second view. */
static void learning_now(void)
{
	group->is_learning = true;
	group->serial = 1400;
}

static void new_group(void)
{
	group->is_learning = true;
	group->serial = 9;
	group->attached_for_ns = 6 * SP_NS_PER_S;
}

static void parking_socket_is_full(void)
{
	group->protocol = SP_TCP;
	members[3].is_parking = true;
	members[3].backlog = members[3].backlog_max;
}

static void findings__next_to_a_finding__none(void **state)
{
	static const struct {
		enum of_what of;
		void (*change)(void);
	} near[] = {
		{ MACHINE, daemon_wakes },	 { MACHINE, jit_unknown },
		{ STEERED, a_little_uneven },	 { STEERED, too_few_to_judge },
		{ STEERED, as_the_weights_say }, { STEERED, of_a_drained_slot },
		{ STEERED, just_closed },	 { STEERED, learning_now },
		{ STEERED, new_group },		 { STEERED, parking_socket_is_full },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(near); i++) {
		look(near[i].of, near[i].change);
		if (findings.count)
			fail_msg("case %zu: %s: %s", i, sp_finding_kinds[findings.items[0].id].name,
				 findings.items[0].what);
	}
}

/* Many flows, and so many more on one slot that it cannot be chance. */
static void beyond_chance(void)
{
	make_uneven();
	group->knows_flows = true;
	members[0].flows = 2500;
	members[1].flows = members[2].flows = members[3].flows = 500;
}

static void findings__flows_that_chance_does_not_explain__no_reason_is_claimed(void **state)
{
	(void)state;
	look(STEERED, beyond_chance);
	assert_int_equal(findings.count, 1);
	assert_int_equal(findings.items[0].id, SP_FINDING_UNEVEN);
}

static void findings__another_network_namespace__the_command_says_which(void **state)
{
	(void)state;
	make_plain_group();
	strcpy(group->netns_option, "--netns 4711");
	sp_findings_free(&findings);
	sp_findings_of_group(group, &findings);
	has(find(SP_FINDING_NOT_STEERED)->fix, "steadyport attach NAME udp:[::]:443 --netns 4711");
}

static void findings__vital_facts__say_whether_to_look(void **state)
{
	static void (*const blind[])(void) = { old_kernel, no_btf, lacks_vital, bpffs_untrusted };
	static void (*const seeing[])(void) = { nothing, lacks, no_bpffs, pid_namespace, needs_waking };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(blind); i++) {
		look(MACHINE, blind[i]);
		assert_false(sp_machine_can_look(&machine));
		assert_true(findings.counts[SP_SEVERITY_ERROR] > 0);
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(seeing); i++) {
		look(MACHINE, seeing[i]);
		assert_true(sp_machine_can_look(&machine));
		assert_int_equal(findings.counts[SP_SEVERITY_ERROR], 0);
	}
}

static int setup(void **state)
{
	(void)state;
	group = calloc(1, sizeof(*group));
	return group ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(group);
	sp_findings_free(&findings);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(findings__healthy__none),
		cmocka_unit_test(findings__each_fact__its_finding_and_no_other),
		cmocka_unit_test(findings__the_list__each_is_tested_and_has_a_name_of_its_own),
		cmocka_unit_test(findings__each_text__no_value_is_missing),
		cmocka_unit_test(findings__several__the_most_urgent_first),
		cmocka_unit_test(findings__next_to_a_finding__none),
		cmocka_unit_test(findings__flows_that_chance_does_not_explain__no_reason_is_claimed),
		cmocka_unit_test(findings__another_network_namespace__the_command_says_which),
		cmocka_unit_test(findings__vital_facts__say_whether_to_look),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
