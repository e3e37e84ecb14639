// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What one run of the steering program costs, by the kernel's own clock, beside programs that do less. */
#include "bench.h"
#include "runs.h"

#include <stdio.h>
#include <sys/socket.h>
#include <steadyport/choose.h>
#include "cleanup.h"
#include "state.h"

#define MANY_FLOWS 100000
#define FEW_FLOWS 64
#define FLOWS 1000
#define LONG "24h" /* a learn window that outlives the measurement */
#define ROOM_FOR_MANY "2097152" /* kept flows */
#define AT_MOST(x)           \
	{                    \
		.value = (x) \
	}

static void compare_udp(struct sp_bench *bench)
{
	enum {
		FLOOR_,
		EMPTY_,
		MODULO_,
		STEADY
	};
	struct sp_entry entries[] = {
		{ SP_CONTENDER("udp_floor", "UDP: one select, nothing else", FLOOR) },
		{ SP_CONTENDER("udp_empty", "UDP: empty program", EMPTY) },
		{ SP_CONTENDER("udp_modulo", "UDP: select by the kernel's hash", MODULO) },
		{ SP_CONTENDER("udp_steady", "UDP: steady", STEADYPORT), .limit = AT_MOST(1.5) },
		{ SP_CONTENDER("udp_kernel", "UDP: --hash kernel", STEADYPORT,
			       .options = { "--hash", "kernel" }),
		  .limit = AT_MOST(1.15) },
		{ SP_CONTENDER("udp_orphans", "UDP: owner dead, 1 of 4", STEADYPORT, .dead = 1),
		  .traffic = SP_TRAFFIC_ORPHANS, .baseline = STEADY },
		{ SP_CONTENDER("udp_kept", "UDP: kept flows, all buckets moving", STEADYPORT,
			       .options = { "--learn", LONG }),
		  .traffic = SP_TRAFFIC_KEPT, .baseline = STEADY, .limit = AT_MOST(1.5) },
		{ SP_CONTENDER("udp_moving", "UDP: all buckets moving", STEADYPORT,
			       .options = { "--learn", LONG }),
		  .baseline = STEADY },
		{ SP_CONTENDER("udp_always", "UDP: --track always", STEADYPORT,
			       .options = { "--track", "always" }),
		  .traffic = SP_TRAFFIC_KEPT, .baseline = STEADY },
		{ SP_CONTENDER("udp_rival", "UDP: steady, the other build", RIVAL) },
		{ SP_CONTENDER("udp_rival_kernel", "UDP: --hash kernel, the other build", RIVAL,
			       .options = { "--hash", "kernel" }) },
	};

	sp_runs_compare(bench, entries, SP_ARRAY_SIZE(entries) - (bench->rival ? 0 : 2));
}

/* What the way round a dead owner asks, by the same steps as the program: extra probes, over all flows. */
static void count_probes(struct sp_bench *bench)
{
	struct sp_contender group = { .name = "probes", .steering = SP_STEERED_BY_STEADYPORT, .dead = 1 };
	sp_autostate struct sp_state *state = NULL;
	const struct sp_view *view;
	double extra = 0;

	sp_contender_open(&group, bench->binary);
	sp_bench_require(sp_state_read(&group.pins, &state) == 0);
	view = sp_state_current(state);
	for (__u32 flow = 0; flow < MANY_FLOWS; flow++) {
		__u64 hash = sp_contender_hash(&group, &state->ctl, flow);

		for (__u32 i = 0; i < SP_PROBES && !sp_slot_is_live(state, sp_probe(view, hash, i)); i++)
			extra++;
	}
	extra /= MANY_FLOWS;
	sp_bench_value(bench, "probes", "extra probes of a packet, 1 worker of 4 dead",
		       sp_stats_summarise(&extra, 1), "probes", (struct sp_limit)AT_MOST(1));
	sp_contender_close(&group);
}

static void compare_tcp(struct sp_bench *bench)
{
	enum {
		FLOOR_,
		EMPTY_,
		MODULO_,
		STEADY
	};
	struct sp_entry entries[] = {
		{ SP_CONTENDER("tcp_floor", "TCP: one select, nothing else", FLOOR, .protocol = SP_TCP) },
		{ SP_CONTENDER("tcp_empty", "TCP: empty program", EMPTY, .protocol = SP_TCP) },
		{ SP_CONTENDER("tcp_modulo", "TCP: select by the kernel's hash", MODULO,
			       .protocol = SP_TCP) },
		{ SP_CONTENDER("tcp_steady", "TCP: steady", STEADYPORT, .protocol = SP_TCP),
		  .limit = AT_MOST(1.5) },
		{ SP_CONTENDER("tcp_kernel", "TCP: --hash kernel", STEADYPORT, .protocol = SP_TCP,
			       .options = { "--hash", "kernel" }),
		  .limit = AT_MOST(1.15) },
		{ SP_CONTENDER("tcp_orphans", "TCP: owner dead, 1 of 4", STEADYPORT, .protocol = SP_TCP,
			       .dead = 1),
		  .traffic = SP_TRAFFIC_ORPHANS, .baseline = STEADY },
		{ SP_CONTENDER("tcp_rival", "TCP: steady, the other build", RIVAL, .protocol = SP_TCP) },
	};

	sp_runs_compare(bench, entries, SP_ARRAY_SIZE(entries) - (bench->rival ? 0 : 1));
}

static void compare_ipv6(struct sp_bench *bench)
{
	struct sp_entry entries[] = {
		{ SP_CONTENDER("udp6_floor", "UDP, IPv6: one select, nothing else", FLOOR,
			       .family = AF_INET6) },
		{ SP_CONTENDER("udp6_steady", "UDP, IPv6: steady", STEADYPORT, .family = AF_INET6),
		  .limit = AT_MOST(1.5) },
		{ SP_CONTENDER("udp6_kernel", "UDP, IPv6: --hash kernel", STEADYPORT, .family = AF_INET6,
			       .options = { "--hash", "kernel" }),
		  .limit = AT_MOST(1.15) },
	};

	sp_runs_compare(bench, entries, SP_ARRAY_SIZE(entries));
}

static void fit(struct sp_bench *bench, const char *name, const char *text, const struct sp_entry *entries,
		const double *x, size_t count)
{
	double y[8];

	for (size_t i = 0; i < count; i++)
		y[i] = entries[i].ns;
	sp_bench_growth(bench, name, text, "ns", x, y, count);
}

/* The members' own sockets are more, too: what they cost is seen in the program that only selects. */
static void compare_slots(struct sp_bench *bench)
{
	static const double slots[] = { 4, 64, 1024 };
	struct sp_entry entries[] = {
		{ SP_CONTENDER("slots_4", "steady, 4 slots", STEADYPORT) },
		{ SP_CONTENDER("slots_64", "steady, 64 slots", STEADYPORT, .members = 64) },
		{ SP_CONTENDER("slots_1024", "steady, 1024 slots", STEADYPORT, .members = 1024),
		  .limit = AT_MOST(1.10) },
		{ SP_CONTENDER("slots_modulo_4", "select by the kernel's hash, 4 slots", MODULO),
		  .baseline = 3 },
		{ SP_CONTENDER("slots_modulo_64", "select by the kernel's hash, 64 slots", MODULO,
			       .members = 64),
		  .baseline = 3 },
		{ SP_CONTENDER("slots_modulo_1024", "select by the kernel's hash, 1024 slots", MODULO,
			       .members = 1024),
		  .baseline = 3 },
	};

	sp_runs_compare(bench, entries, SP_ARRAY_SIZE(entries));
	fit(bench, "slots", "ns per run against slots", entries, slots, SP_ARRAY_SIZE(slots));
	fit(bench, "slots_modulo", "the same, select by the kernel's hash", entries + SP_ARRAY_SIZE(slots),
	    slots, SP_ARRAY_SIZE(slots));
}

static void compare_flows(struct sp_bench *bench)
{
	static const double flows[] = { 1, 1000, 10000, 1000000 };
	enum {
		ONE,
		THOUSAND,
		STEADY = 4,
		ALWAYS = STEADY + THOUSAND
	};
	struct sp_entry entries[] = {
		{ SP_CONTENDER("flows_1", "steady, 1 flow", STEADYPORT), .nflows = 1, .baseline = THOUSAND },
		{ SP_CONTENDER("flows_1k", "steady, 1,000 flows", STEADYPORT), .baseline = THOUSAND },
		{ SP_CONTENDER("flows_10k", "steady, 10,000 flows", STEADYPORT), .nflows = 10000,
		  .baseline = THOUSAND },
		{ SP_CONTENDER("flows_1m", "steady, 1,000,000 flows", STEADYPORT), .nflows = 1000000,
		  .baseline = THOUSAND, .limit = AT_MOST(1.25) },
		{ SP_CONTENDER("always_1", "--track always, 1 flow", STEADYPORT,
			       .options = { "--track", "always" }),
		  .traffic = SP_TRAFFIC_KEPT, .nflows = 1, .baseline = ALWAYS },
		{ SP_CONTENDER("always_1k", "--track always, 1,000 flows", STEADYPORT,
			       .options = { "--track", "always" }),
		  .traffic = SP_TRAFFIC_KEPT, .baseline = ALWAYS },
		{ SP_CONTENDER("always_10k", "--track always, 10,000 flows", STEADYPORT,
			       .options = { "--track", "always" }),
		  .traffic = SP_TRAFFIC_KEPT, .nflows = 10000, .baseline = ALWAYS },
		{ SP_CONTENDER("always_1m", "--track always, 1,000,000 flows", STEADYPORT,
			       .options = { "--track", "always", "--flows", ROOM_FOR_MANY }),
		  .traffic = SP_TRAFFIC_KEPT, .nflows = 1000000, .baseline = ALWAYS },
	};

	sp_runs_compare(bench, entries, SP_ARRAY_SIZE(entries));
	fit(bench, "flows", "ns per run against flows", entries, flows, SP_ARRAY_SIZE(flows));
	fit(bench, "flows_always", "the same, --track always", entries + STEADY, flows, SP_ARRAY_SIZE(flows));
}

void sp_bench_steer(struct sp_bench *bench)
{
	sp_runs_begin();
	compare_udp(bench);
	compare_tcp(bench);
	compare_ipv6(bench);
	count_probes(bench);
	sp_runs_end();
}

#define STEP(name, text, program) SP_CONTENDER(name, text, STEP, .step = program)

/* Few flows, whose buckets' owners stay in the first level of the cache; and as many as elsewhere. */
static void compare_steps(struct sp_bench *bench, __u32 nflows)
{
	struct sp_entry entries[] = {
		{ SP_CONTENDER("step_floor", "one select, nothing else", FLOOR) },
		{ STEP("step_select", "of the member that the kernel's hash names", "sp_step_select") },
		{ STEP("step_owner", "of the owner of the hash's bucket in the view in force",
		       "sp_step_owner") },
		{ STEP("step_count", "and counted for its slot", "sp_step_count") },
		{ STEP("step_read", "by the flow's four numbers, added up", "sp_step_read") },
		{ STEP("step_siphash", "by their SipHash", "sp_step_siphash") },
		{ STEP("step_copy", "the same, the addresses copied from the packet", "sp_step_copy") },
		{ SP_CONTENDER("step_kernel", "steadyport --hash kernel", STEADYPORT,
			       .options = { "--hash", "kernel" }) },
		{ SP_CONTENDER("step_steady", "steadyport", STEADYPORT) },
	};
	char texts[SP_ARRAY_SIZE(entries)][128], names[SP_ARRAY_SIZE(entries)][32];

	for (size_t i = 0; i < SP_ARRAY_SIZE(entries); i++) {
		struct sp_contender *contender = &entries[i].contender;

		snprintf(texts[i], sizeof(texts[i]), "%u flows: %s", nflows, contender->text);
		snprintf(names[i], sizeof(names[i]), "%s_%u", contender->name, nflows);
		contender->text = texts[i];
		contender->name = names[i];
		entries[i].nflows = nflows;
	}
	sp_runs_compare(bench, entries, SP_ARRAY_SIZE(entries));
}

void sp_bench_steps(struct sp_bench *bench)
{
	sp_runs_begin();
	compare_steps(bench, FEW_FLOWS);
	compare_steps(bench, FLOWS);
	sp_runs_end();
}

void sp_bench_scale(struct sp_bench *bench)
{
	sp_runs_begin();
	compare_slots(bench);
	compare_flows(bench);
	sp_runs_end();
}
