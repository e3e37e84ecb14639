// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What commands take: whole processes, from fork() to their end, beside one that only says its version. */
#include "bench.h"
#include "contender.h"
#include "crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "plan.h"
#include "state.h"
#include "steer.h"

#define NAME "bench"
#define ROUNDS 15
#define FEW 4
#define MANY 1024

enum command {
	VERSION,
	ATTACH,
	SETTLE,
	SYNC,
	STATUS,
	DRAIN,
	UNDRAIN,
	DETACH,
	COMMANDS
};

static const char *const titles[COMMANDS] = { "--version",	     "attach", "sync that settles",
					      "sync, nothing to do", "status", "drain a slot",
					      "undrain a slot",	     "detach" };
static const char *const ids[COMMANDS] = { "version", "attach", "settle",  "sync",
					   "status",  "drain",	"undrain", "detach" };

/* One member count and one number of foreign files; wall clock and CPU time of each command in each round. */
struct site {
	unsigned int members, foreign; /* processes */
	struct sp_rounds wall, cpu;
};

static struct sp_cost run_command(const char *binary, enum command command, const char *endpoint)
{
	const char *const words[COMMANDS][8] = {
		[VERSION] = { binary, "--version" },
		[ATTACH] = { binary, "attach", NAME, endpoint, "--learn", "0" },
		[SETTLE] = { binary, "sync", NAME },
		[SYNC] = { binary, "sync", NAME },
		[STATUS] = { binary, "status", NAME },
		[DRAIN] = { binary, "drain", NAME, "1" },
		[UNDRAIN] = { binary, "undrain", NAME, "1" },
		[DETACH] = { binary, "detach", NAME },
	};

	return sp_bench_run(words[command]);
}

static void visit(const struct sp_bench *bench, struct site *site, size_t round)
{
	struct sp_foreigners foreigners = sp_foreigners_start(site->foreign);
	struct sp_contender group = { .name = NAME, .members = site->members };
	char endpoint[64];

	sp_contender_open(&group, NULL);
	snprintf(endpoint, sizeof(endpoint), "udp:127.0.0.1:%u", group.target.port);
	for (int command = 0; command < COMMANDS; command++) {
		struct sp_cost cost = run_command(bench->binary, command, endpoint);

		*sp_rounds_at(&site->wall, command, round) = cost.wall_ms;
		*sp_rounds_at(&site->cpu, command, round) = cost.cpu_ms;
	}
	sp_contender_close(&group);
	sp_foreigners_end(&foreigners);
}

static void visit_all(struct sp_bench *bench, struct site *sites, size_t count)
{
	size_t nrounds = sp_bench_rounds(bench, ROUNDS);

	for (size_t i = 0; i < count; i++) {
		sites[i].wall = sp_rounds_new(COMMANDS, nrounds);
		sites[i].cpu = sp_rounds_new(COMMANDS, nrounds);
	}
	for (size_t round = 0; round < nrounds; round++) {
		for (size_t i = 0; i < count; i++)
			visit(bench, &sites[i], round);
	}
}

static void free_sites(struct site *sites, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		sp_rounds_free(&sites[i].wall);
		sp_rounds_free(&sites[i].cpu);
	}
}

static void tell_growth(struct sp_bench *bench, const struct site *sites, size_t count, enum command command,
			const char *variable, const double *x)
{
	char name[64], text[96];
	double y[8];

	for (size_t i = 0; i < count; i++)
		y[i] = sp_rounds_value(&sites[i].cpu, command).median;
	snprintf(name, sizeof(name), "%s_by_%s", ids[command], variable);
	snprintf(text, sizeof(text), "%s against %s", titles[command], variable);
	sp_bench_growth(bench, name, text, "ms of CPU", x, y, count);
}

static void tell_site(struct sp_bench *bench, const struct site *site, struct sp_limit attach)
{
	char name[64], text[96];

	for (int command = 1; command < COMMANDS; command++) {
		snprintf(name, sizeof(name), "%s_%u_%u", ids[command], site->members,
			 site->foreign * SP_FOREIGN_FILES);
		snprintf(text, sizeof(text), "%s, %u members, %u files", titles[command], site->members,
			 site->foreign * SP_FOREIGN_FILES);
		sp_bench_ratio(bench, name, text, &site->wall, command, VERSION, "version", "ms",
			       (struct sp_limit){ 0 });
	}
	if (attach.value)
		sp_bench_value(bench, "attach_ms", "attach, 1024 members among 20,000 files",
			       sp_rounds_value(&site->wall, ATTACH), "ms", attach);
}

static void compare_members(struct sp_bench *bench)
{
	static const double members[] = { FEW, 16, 64, 256, MANY };
	struct site sites[SP_ARRAY_SIZE(members)];
	size_t count = SP_ARRAY_SIZE(members);

	for (size_t i = 0; i < count; i++)
		sites[i] = (struct site){ .members = members[i] };
	visit_all(bench, sites, count);
	tell_site(bench, &sites[0], (struct sp_limit){ 0 });
	tell_site(bench, &sites[count - 1], (struct sp_limit){ 0 });
	for (int command = 1; command < COMMANDS; command++)
		tell_growth(bench, sites, count, command, "members", members);
	free_sites(sites, count);
}

static void compare_files(struct sp_bench *bench)
{
	static const double processes[] = { 5, 50, 500 };
	struct site sites[] = {
		{ .members = FEW, .foreign = 5 },
		{ .members = FEW, .foreign = 50 },
		{ .members = FEW, .foreign = 500 },
		{ .members = MANY, .foreign = 500 },
	};
	size_t count = SP_ARRAY_SIZE(processes);
	double files[SP_ARRAY_SIZE(processes)];

	for (size_t i = 0; i < count; i++)
		files[i] = processes[i] * SP_FOREIGN_FILES;
	visit_all(bench, sites, count + 1);
	tell_site(bench, &sites[count], (struct sp_limit){ .value = 150 });
	for (int command = 1; command < COMMANDS; command++)
		tell_growth(bench, sites, count, command, "files", files);
	free_sites(sites, count + 1);
}

/* --- in this process --- */

#define PLANS 200

/* Half of the slots come anew: the longest way through the planning. */
static void compare_plans(struct sp_bench *bench)
{
	static struct sp_plan_slots before, after;
	static struct sp_view current, next, copy;
	struct sp_rounds rounds = sp_rounds_new(2, sp_bench_rounds(bench, PLANS));

	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		after.slot[slot] =
			(struct sp_plan_slot){ .is_assigned = true, .is_live = true, .weight = 100 };
		if (slot % 2)
			before.slot[slot] = after.slot[slot];
	}
	sp_plan_first(&before, &current);
	for (size_t round = 0; round < rounds.nrounds; round++) {
		double start = sp_bench_now(), end;

		memcpy(&copy, &current, sizeof(copy));
		__asm__ volatile("" : : "r"(&copy) : "memory");
		end = sp_bench_now();
		*sp_rounds_at(&rounds, 0, round) = (end - start) * 1e3;
		sp_bench_require(sp_plan_next(&current, &current, false, NULL, &after, &next) ==
				 SP_BUCKETS / 2);
		*sp_rounds_at(&rounds, 1, round) = (sp_bench_now() - end) * 1e3;
	}
	sp_bench_ratio(bench, "plan", "plan, 1024 slots, ratio to a copy of the view", &rounds, 1, 0,
		       "memcpy", "ms", (struct sp_limit){ 0 });
	sp_bench_value(bench, "plan_ms", "plan, 1024 slots, half of them new", sp_rounds_value(&rounds, 1),
		       "ms", (struct sp_limit){ .value = 2 });
	sp_rounds_free(&rounds);
}

/* --- memory --- */

/* What the kernel says that a map or a program takes. */
static double kib_of(int fd)
{
	char path[64], line[128];
	sp_autofile FILE *file = NULL;
	unsigned long long bytes;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	sp_bench_require(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			return (double)bytes / 1024;
	}
	sp_bench_die("%s says nothing of memory", path);
}

static double kib_of_group(enum sp_protocol protocol, __u32 slots)
{
	const struct sp_ctl ctl = { .protocol = protocol };
	sp_autopins struct sp_pins pins = SP_PINS_NONE;

	sp_bench_require(sp_steer_load(NAME, &ctl, slots, 65536, &pins) == 0);
	return kib_of(pins.prog) + kib_of(pins.slots) + kib_of(pins.views) + kib_of(pins.ctl) +
	       kib_of(pins.info) + kib_of(pins.flows) + kib_of(pins.counters) + kib_of(pins.carried) +
	       kib_of(pins.events);
}

static void tell_memory(struct sp_bench *bench)
{
	static const double slots[] = { FEW, 64, MANY };
	double tcp[SP_ARRAY_SIZE(slots)], udp[SP_ARRAY_SIZE(slots)], slot;

	for (size_t i = 0; i < SP_ARRAY_SIZE(slots); i++) {
		tcp[i] = kib_of_group(SP_TCP, slots[i]);
		udp[i] = kib_of_group(SP_UDP, slots[i]);
	}
	slot = (tcp[2] - tcp[1]) / (slots[2] - slots[1]);
	sp_bench_growth(bench, "memory_tcp", "kernel memory of a TCP group against slots", "KiB", slots, tcp,
			SP_ARRAY_SIZE(slots));
	sp_bench_growth(bench, "memory_udp", "the same, UDP, room for 65536 kept flows", "KiB", slots, udp,
			SP_ARRAY_SIZE(slots));
	sp_bench_value(bench, "memory_slot", "kernel memory of a slot", sp_stats_summarise(&slot, 1), "KiB",
		       (struct sp_limit){ 0 });
}

void sp_bench_commands(struct sp_bench *bench)
{
	compare_members(bench);
	compare_files(bench);
	compare_plans(bench);
	tell_memory(bench);
}
