// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The storm: workers of a UDP and of a TCP group are started, killed and told to leave, and steadyport is ordered
 * about and killed itself, all at random, while thousands of flows run. Each answer is held against a model that knows
 * only what is promised (storm/model.h). Bursts of steps alternate with calms, in which the groups must come to rest
 * and the counters to add up.
 *
 *	CHAOS_SEED=N       the storm to repeat: the same choices in the same order. When each of them meets what it
 *	                   meets is up to the machine.
 *	CHAOS_SECONDS=60   how long it lasts
 *	CHAOS_STEPS=N      ends it after so many steps
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "cleanup.h"
#include "run.h"
#include "seed.h"
#include "state.h"
#include "storm/group.h"
#include "storm/journal.h"
#include "storm/steps.h"
#include "value.h"

#define MS 1000000ULL
#define SECOND 1000000000ULL

#define FLOWS 5000
#define CONNECTIONS_PER_SECOND 400
#define LEARN_MIN_MS 1000
#define LEARN_MAX_MS 3000
#define LEARN_SLOW_MS 2000 /* longer on a machine that does not ask all flows so fast */
#define PERIOD_PERCENT 40 /* of the learn window: each flow asks once in it */

#define LOOK_NS (1 * MS) /* processes are looked after so often */
#define EVENTS_MAX 256
#define STEP_MAX_US 60000 /* between two steps */
#define MEET_ONE_IN 30 /* steps: an order that meets the end of a learn window */
#define MEET_WITHIN_US 200000 /* and is given so long before it, at most */
#define BURST_MIN 20
#define BURST_MAX 200
#define REST_MIN_MS 200
#define REST_MAX_MS 700
#define REST_KILLS 3 /* at most, while nothing is ordered */
#define SETTLE_ORDERS_MAX 8 /* a group comes to rest within so many syncs */
#define PATIENCE_NS (60 * SECOND) /* between two steps, and for a whole calm */
#define COUNT_PATIENCE_NS (5 * SECOND)

#define TAG_FLOW 0ULL
#define TAG_CONNECTION (1ULL << 32)

enum phase {
	BURST,
	ENDING, /* orders and deaths that are on their way */
	SETTLING, /* sync until at rest */
	RESTING, /* traffic, new flows, deaths that nobody is told of */
	STILL, /* no traffic; the counters are read */
};

struct storm {
	struct storm_group udp, tcp;
	struct storm_group *groups[2];
	__u64 seed;
	struct sp_random random;
	int epoll;
	__u64 start_ns, end_ns;
	__u32 steps_max;
	__u64 look_ns;

	enum phase phase;
	__u32 nsteps;
	__u32 nleft; /* in this burst */
	__u64 step_ns; /* the next one */
	bool has_step; /* it is drawn, and waits for an operator */
	enum storm_step step;
	struct storm_group *step_group;
	struct sp_random step_random;
	bool is_over;

	__u64 step_done_ns; /* the last step was, and since the burst's end no more is done */
	__u32 nsettled[2]; /* syncs in this calm */
	bool is_settled[2];
	__u64 rest_end_ns;
	__u32 rest_kills;

	__u64 ndone[STORM_STEPS];
	__u64 nskipped;
	__u64 nheld; /* times that a step waited for the flows to come round */
	__u32 ncalms;
};

static struct storm storm;

/* --- setting up --- */

struct place {
	const char *bound, *asked, *also_asked;
};

static const struct place places[] = {
	{ "127.0.0.1", "127.0.0.1", NULL },
	{ "::1", "::1", NULL },
	{ "0.0.0.0", "127.0.0.1", NULL },
	{ "::", "::1", "127.0.0.1" },
};

static void start_group(struct storm *s, struct storm_group *g, enum sp_protocol protocol, const char *name,
			__u16 port, __u64 learn_ns)
{
	static const __u8 sizes[] = { 4, 6, 8, 16, 32, 64 };
	const struct place *place = &places[sp_random_below(&s->random, SP_ARRAY_SIZE(places))];
	__u32 workers;
	char text[SP_ENDPOINT_STRLEN];

	g->protocol = protocol;
	g->address = place->bound;
	g->workers_max = sizes[sp_random_below(&s->random, SP_ARRAY_SIZE(sizes))];
	g->op.name = name;
	g->op.model = &g->model;
	g->op.hash = sp_random_one_in(&s->random, 3) ? "kernel" : "siphash";
	g->op.track = sp_random_one_in(&s->random, 3) ? "always" : "transition";
	if (protocol == SP_TCP)
		g->op.attach_balance = sp_random_below(&s->random, SP_BALANCE_LEAST_CONN + 1);
	snprintf(g->op.learn, sizeof(g->op.learn), "%llums", learn_ns / MS);
	storm_operator_init(&g->op);
	storm_model_init(&g->model, protocol, learn_ns);
	storm_sources_init(&g->sources, place->asked, place->also_asked);
	g->crew.model = &g->model;
	g->crew.stream = protocol == SP_TCP ? &g->stream : NULL;
	g->crew.port = port;
	assert_int_equal(sp_lab_address(place->bound, &g->crew.address), 0);
	storm_crew_init(&g->crew);
	sp_address_format(&g->crew.address, 0, port, text);
	snprintf(g->op.endpoint, sizeof(g->op.endpoint), "%s:%.80s", sp_protocol_name(protocol), text);
	workers = 2 + sp_random_below(&s->random, g->workers_max - 1);
	for (__u32 i = 0; i < workers; i++)
		storm_crew_start(&g->crew);
}

static void start_storm(struct storm *s)
{
	__u64 seconds = sp_seed_setting("CHAOS_SECONDS", 60), learn_ns;
	char title[400];

	memset(s, 0, sizeof(*s));
	s->seed = sp_seed();
	s->random.state = s->seed;
	s->steps_max = sp_seed_setting("CHAOS_STEPS", UINT32_MAX);
	s->groups[0] = &s->udp;
	s->groups[1] = &s->tcp;
	assert_int_equal(sp_lab_reserve_files(FLOWS + STORM_CONNECTIONS + 1000), 0);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	assert_true(s->epoll >= 0);

	learn_ns = (LEARN_MIN_MS + sp_random_below(&s->random, LEARN_MAX_MS - LEARN_MIN_MS + 1)) * MS;
	if (sp_run_slowness() > 1)
		learn_ns += LEARN_SLOW_MS * MS;
	storm_journal_start("");
	start_group(s, &s->udp, SP_UDP, "udp", 8053, learn_ns);
	start_group(s, &s->tcp, SP_TCP, "tcp", 8080, 0);
	snprintf(
		title, sizeof(title),
		"%s, up to %u workers, --learn %s --track %s --hash %s; %s, up to %u workers, --hash %s --balance %s",
		s->udp.op.endpoint, s->udp.workers_max, s->udp.op.learn, s->udp.op.track, s->udp.op.hash,
		s->tcp.op.endpoint, s->tcp.workers_max, s->tcp.op.hash,
		sp_value_balance_name(s->tcp.op.attach_balance));
	storm_journal_start(title);
	printf("%s\n", title);

	s->start_ns = s->step_done_ns = sp_now_ns();
	s->end_ns = s->start_ns + seconds * SECOND;
	s->udp.flows = (struct storm_flows){
		.model = &s->udp.model,
		.sources = &s->udp.sources,
		.random = { sp_random_next(&s->random) },
		.port = s->udp.crew.port,
		.epoll = s->epoll,
		.tag = TAG_FLOW,
		.period_ns = learn_ns * PERIOD_PERCENT / 100,
	};
	storm_flows_open(&s->udp.flows, FLOWS, s->start_ns);
	s->tcp.stream = (struct storm_stream){
		.model = &s->tcp.model,
		.sources = &s->tcp.sources,
		.random = { sp_random_next(&s->random) },
		.port = s->tcp.crew.port,
		.epoll = s->epoll,
		.tag = TAG_CONNECTION,
		.interval_ns = SECOND / CONNECTIONS_PER_SECOND,
	};
	storm_stream_init(&s->tcp.stream, s->start_ns);
	s->nleft = BURST_MAX;
	/* The flows have found their workers by then. */
	s->step_ns = s->start_ns + learn_ns;
}

static int end_storm(void **state)
{
	struct storm *s = &storm;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(s->groups); i++) {
		storm_operator_close(&s->groups[i]->op);
		storm_crew_close(&s->groups[i]->crew);
		storm_model_free(&s->groups[i]->model);
	}
	storm_flows_close(&s->udp.flows);
	storm_stream_close(&s->tcp.stream);
	close(s->epoll);
	return sp_run_teardown(state);
}

/* --- bursts --- */

/* An order is planned while a window is open, and in force when it is not. */
static void await_window_end(struct storm *s)
{
	__u64 end_ns = s->udp.model.windows_end_ns;

	s->step = STORM_STEP_ORDER;
	s->step_group = &s->udp;
	/* Before the first window there is none to meet, and while an order is on its way nobody knows when it ends. */
	if (end_ns && end_ns != UINT64_MAX)
		s->step_ns = end_ns - sp_random_below(&s->step_random, MEET_WITHIN_US) * 1000ULL;
}

static void draw_step(struct storm *s)
{
	/* Each step has numbers of its own: what one draws does not depend on what the others found. */
	s->step_random.state = s->seed + 0x100000001b3ULL * ++s->nsteps;
	storm_journal_step(s->nsteps);
	s->step_group = s->groups[sp_random_below(&s->step_random, 2)];
	s->step = storm_step_draw(&s->step_random);
	s->has_step = true;
	if (sp_random_one_in(&s->step_random, MEET_ONE_IN))
		await_window_end(s);
}

static void go_on_with_burst(struct storm *s, __u64 now)
{
	if (!s->has_step && (s->nleft == 0 || now >= s->end_ns || s->nsteps >= s->steps_max)) {
		s->phase = ENDING;
		s->step_done_ns = now;
		return;
	}
	if (now < s->step_ns)
		return;
	if (storm_flows_are_behind(&s->udp.flows, now)) {
		s->nheld++;
		s->step_ns = now + 10 * MS;
		return;
	}
	if (!s->has_step)
		draw_step(s);
	if (now < s->step_ns || (s->step == STORM_STEP_ORDER && s->step_group->op.is_busy))
		return;
	if (storm_step_do(s->step_group, s->step, &s->step_random))
		s->ndone[s->step]++;
	else
		s->nskipped++;
	s->has_step = false;
	s->nleft--;
	s->step_done_ns = sp_now_ns();
	s->step_ns = s->step_done_ns + sp_random_below(&s->step_random, STEP_MAX_US) * 1000ULL;
}

/* --- calms --- */

static bool has_ended(const struct storm_group *g)
{
	return !g->op.is_busy && !g->op.has_killed && storm_crew_is_calm(&g->crew);
}

static void sync_group(struct storm_group *g)
{
	const struct storm_command command = { .order = STORM_SYNC };

	storm_operator_order(&g->op, &command, 0);
}

/* Something that should end does not. */
static void check_patience(const struct storm *s, __u64 now)
{
	static const char *const names[] = { "burst", "ending", "settling", "resting", "still" };

	if (now - s->step_done_ns < PATIENCE_NS)
		return;
	storm_violation("nothing goes on: it is %s; orders on their way: %d and %d; crews calm: %d and %d; "
			"windows end in %.1f and %.1f s; %u questions and %u connections open",
			names[s->phase], s->udp.op.is_busy, s->tcp.op.is_busy,
			storm_crew_is_calm(&s->udp.crew), storm_crew_is_calm(&s->tcp.crew),
			(double)(__s64)(s->udp.model.windows_end_ns - now) / 1e9,
			(double)(__s64)(s->tcp.model.windows_end_ns - now) / 1e9, s->udp.flows.nopen,
			s->tcp.stream.nopen);
}

static void go_on_with_ending(struct storm *s)
{
	bool is_ended = true;

	for (size_t i = 0; i < SP_ARRAY_SIZE(s->groups); i++) {
		struct storm_group *g = s->groups[i];

		if (!g->op.is_busy && g->op.has_killed)
			sync_group(g);
		is_ended &= has_ended(g);
	}
	if (!is_ended)
		return;
	s->phase = SETTLING;
	memset(s->nsettled, 0, sizeof(s->nsettled));
	memset(s->is_settled, 0, sizeof(s->is_settled));
}

/* Only buckets that hold a kept flow are asked for in the flow table; with --track always every flow is one. */
static void check_rest(const struct storm_group *g)
{
	const struct storm_sight *sight = &g->op.sight;

	if (strcmp(g->op.track, "always") && sight->moving_buckets > sight->kept_flows)
		storm_violation("%s: at rest %u buckets are moving, but there are only %u kept flows",
				g->op.name, sight->moving_buckets, sight->kept_flows);
}

/* True when the group is at rest: the window is over and a sync has found nothing to do. */
static bool settle(struct storm_group *g, __u32 *nsyncs, __u64 now)
{
	if (g->model.is_detached)
		return true;
	if (g->op.is_busy)
		return false;
	if (*nsyncs && !g->op.sight.is_learning && g->op.sight.serial == g->serial) {
		check_rest(g);
		return true;
	}
	if (*nsyncs == SETTLE_ORDERS_MAX)
		storm_violation("%s: does not come to rest: view %u after %u syncs", g->op.name,
				g->op.sight.serial, *nsyncs);
	if (now <= g->model.windows_end_ns)
		return false;
	g->serial = g->op.sight.serial;
	++*nsyncs;
	sync_group(g);
	return false;
}

static void go_on_with_settling(struct storm *s, __u64 now)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(s->groups); i++)
		s->is_settled[i] = s->is_settled[i] || settle(s->groups[i], &s->nsettled[i], now);
	if (!s->is_settled[0] || !s->is_settled[1])
		return;
	s->phase = RESTING;
	s->rest_kills = sp_random_below(&s->random, REST_KILLS + 1);
	s->rest_end_ns = now + (REST_MIN_MS + sp_random_below(&s->random, REST_MAX_MS - REST_MIN_MS)) * MS;
	storm_journal("at rest");
}

/* Deaths while nothing is ordered, and flows that are new to a settled group. */
static void go_on_with_rest(struct storm *s, __u64 now)
{
	if (now < s->rest_end_ns)
		return;
	if (s->rest_kills) {
		s->rest_kills--;
		s->rest_end_ns = now + REST_MIN_MS * MS;
		s->ndone[STORM_STEP_KILL] +=
			storm_step_do(s->groups[sp_random_below(&s->random, 2)], STORM_STEP_KILL, &s->random);
		return;
	}
	s->phase = STILL;
	s->udp.flows.is_paused = true;
	s->tcp.stream.is_paused = true;
}

/*
 * UDP questions that the program may not have been asked. Whether a question or its answer was dropped is not known, nor
 * whether one that lay unread in a dead worker's socket is a stray (strays.h): of them there is one for each at most.
 */
static __u64 uncounted(const struct storm_group *g)
{
	return g->flows.ndropped + g->model.ndead;
}

/* I8. TCP asks once for each connection at least: the kernel also looks for a listener for stray segments. */
static bool is_counted(const struct storm_group *g, __u64 counted)
{
	__u64 by_program = counted - g->counted, by_us = storm_group_asked(g) - g->counted_asked;

	if (g->protocol == SP_TCP)
		return by_program >= by_us;
	return by_program <= by_us && by_program + uncounted(g) - g->counted_uncounted >= by_us;
}

static void count(struct storm_group *g)
{
	__u64 deadline = sp_now_ns() + COUNT_PATIENCE_NS, counted = 0;

	if (!g->model.is_attached)
		return;
	do
		counted = sp_counters_outcomes(g->op.name);
	while (g->counted_ns > g->model.attached_ns && !is_counted(g, counted) && sp_now_ns() < deadline);
	if (g->counted_ns > g->model.attached_ns && !is_counted(g, counted))
		storm_violation("%s: %llu asked, but the outcomes add up to %llu", g->op.name,
				storm_group_asked(g) - g->counted_asked, counted - g->counted);
	g->counted_ns = sp_now_ns();
	g->counted = counted;
	g->counted_asked = storm_group_asked(g);
	g->counted_uncounted = uncounted(g);
}

/* Nobody has a connection any more, and of those that count nobody may have missed an end. */
static void check_active(const struct storm_group *g)
{
	__u64 deadline = sp_now_ns() + COUNT_PATIENCE_NS;
	json_int_t left;

	if (!g->model.is_attached || g->op.balance != SP_BALANCE_LEAST_CONN)
		return;
	do {
		json_t *status = sp_run_json("status", g->op.name), *slot;
		size_t i;

		left = 0;
		json_array_foreach(sp_json_array(status, "slots"), i, slot) {
			if (strcmp(sp_json_text(slot, "state"), "dead"))
				left += sp_json_int(slot, "active");
		}
		json_decref(status);
	} while (left && sp_now_ns() < deadline);
	if (left)
		storm_violation("%s: no connection is open, but %lld are counted", g->op.name, left);
}

static void go_on_with_still(struct storm *s, __u64 now)
{
	if (!storm_group_is_silent(&s->udp) || !storm_group_is_silent(&s->tcp))
		return;
	count(&s->udp);
	count(&s->tcp);
	check_active(&s->tcp);
	s->ncalms++;
	s->udp.flows.is_paused = false;
	s->tcp.stream.is_paused = false;
	if (now >= s->end_ns || s->nsteps >= s->steps_max) {
		s->is_over = true;
		return;
	}
	s->phase = BURST;
	s->nleft = BURST_MIN + sp_random_below(&s->random, BURST_MAX - BURST_MIN);
	/* Whoever was silent is heard once before the next window opens. */
	s->step_done_ns = sp_now_ns();
	s->step_ns = s->step_done_ns + s->udp.flows.period_ns;
}

/* --- going on --- */

static void go_on(struct storm *s, __u64 now)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(s->groups); i++) {
		storm_crew_look(&s->groups[i]->crew, now);
		storm_operator_look(&s->groups[i]->op, now);
	}
	now = sp_now_ns();
	check_patience(s, now);
	switch (s->phase) {
	case BURST:
		go_on_with_burst(s, now);
		break;
	case ENDING:
		go_on_with_ending(s);
		break;
	case SETTLING:
		go_on_with_settling(s, now);
		break;
	case RESTING:
		go_on_with_rest(s, now);
		break;
	case STILL:
		go_on_with_still(s, now);
		break;
	}
}

static void hear(struct storm *s, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(s->epoll, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++) {
		__u64 tag = events[i].data.u64;

		if (tag >= TAG_CONNECTION)
			storm_stream_hear(&s->tcp.stream, tag - TAG_CONNECTION, sp_now_ns());
		else
			storm_flows_hear(&s->udp.flows, tag - TAG_FLOW, sp_now_ns());
	}
}

/* A number of this network namespace, from the two lines "TcpExt: NAME..." and "TcpExt: VALUE...". */
static __u64 read_netstat(const char *name)
{
	char names[4096], values[4096], *at_name, *at_value, *key, *value;
	sp_autofile FILE *file = fopen("/proc/net/netstat", "r");

	assert_non_null(file);
	assert_non_null(fgets(names, sizeof(names), file));
	assert_non_null(fgets(values, sizeof(values), file));
	key = strtok_r(names, " \n", &at_name);
	value = strtok_r(values, " \n", &at_value);
	while (key && value && strcmp(key, name)) {
		key = strtok_r(NULL, " \n", &at_name);
		value = strtok_r(NULL, " \n", &at_value);
	}
	return key && value ? strtoull(value, NULL, 10) : 0;
}

static void summarize(const struct storm *s)
{
	const struct storm_flows *f = &s->udp.flows;
	const struct storm_stream *c = &s->tcp.stream;

	printf("%u steps in %.1f s and %u calms (%llu skipped, %llu waits for slow flows)\n", s->nsteps,
	       (sp_now_ns() - s->start_ns) / 1e9, s->ncalms, s->nskipped, s->nheld);
	for (size_t i = 0; i < SP_ARRAY_SIZE(s->groups); i++) {
		const struct storm_operator *op = &s->groups[i]->op;
		const struct storm_crew *crew = &s->groups[i]->crew;

		printf("%s: %llu workers started, %llu killed, %llu left;", op->name, crew->nstarted,
		       crew->nkilled, crew->nleft);
		for (__u32 o = 0; o < STORM_ORDERS; o++)
			printf(" %s %llu,", storm_order_name(o), op->ngiven[o]);
		printf(" of these %llu killed and %llu refused; slowest %.0f ms\n", op->nkilled, op->nrefused,
		       op->slowest_ns / 1e6);
	}
	printf("udp: %llu flows, %llu datagrams; %llu answers had to come from the flow's worker, and did; %llu times another answered, with good reason; %llu lay unread in a dead worker's socket, %llu late, %llu of others were left in one as it closed, %llu dropped by the machine; longest gap %.0f ms of %s\n",
	       f->nopened, f->nasked, f->nbound, f->nmoved, f->nlost, f->nlate, f->nstrays, f->ndropped,
	       f->gap_ns / 1e6, s->udp.op.learn);
	printf("tcp: %llu connections, %llu answered, %llu of them migrated; accepted by a killed process: %llu noted, %llu inside accept(); %llu ended by a close while not steered\n",
	       c->nconnected, c->nanswered, read_netstat("TCPMigrateReqSuccess"), c->naccepted_by_dead,
	       c->ninside_accept, c->nunprotected);
}

static void storm__two_groups__every_promise_is_kept(void **state)
{
	struct storm *s = &storm;

	(void)state;
	start_storm(s);
	while (!s->is_over) {
		__u64 now = sp_now_ns(), due_flow, due_connection;

		storm_flows_pump(&s->udp.flows, now);
		storm_stream_pump(&s->tcp.stream, now);
		due_flow = storm_flows_due_ns(&s->udp.flows);
		due_connection = storm_stream_due_ns(&s->tcp.stream);
		now = sp_now_ns();
		hear(s, due_flow <= now || due_connection <= now ? 0 : 1);
		if (now - s->look_ns < LOOK_NS)
			continue;
		s->look_ns = now;
		go_on(s, now);
	}
	summarize(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(storm__two_groups__every_promise_is_kept, end_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
