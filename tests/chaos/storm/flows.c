// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The storm's UDP flows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "flows.h"
#include "journal.h"
#include "lab_wire.h"
#include "strays.h"

/* Questions open at once: a receive buffer holds more than twice as many, so none is dropped for want of room. */
#define OPEN_MAX 128
#define ASK_MAX 64 /* in one go, before answers are read */
#define CHURN 25 /* one question in so many is the first one of a new flow */

#define BEHIND_PERCENT 60 /* of the learn window, in which the flows have not come round */

#define MS 1000000ULL
#define SILENCE_LOOK_NS (10 * MS)
/* A dead worker's last answers are on their way to nowhere but our sockets: if not there now, they never will be. */
#define DEAD_PATIENCE_NS (100 * MS)
#define LOST_PATIENCE_NS (1000 * MS) /* when it is not known which worker was asked */
#define PATIENCE_NS (20000 * MS)

static void describe(const struct storm_flow *flow, __u16 port, char *buf, size_t size)
{
	char own[SP_ENDPOINT_STRLEN], target[SP_ENDPOINT_STRLEN];

	sp_address_format(&flow->source.own, 0, flow->source.port, own);
	sp_address_format(&flow->source.target, 0, port, target);
	snprintf(buf, size, "flow udp %.80s -> %.80s", own, target);
}

static const char *describe_worker(const struct storm_model *m, int id, char buf[120])
{
	const struct storm_member *a;

	if (id == STORM_NOBODY)
		return "nobody";
	a = &m->members[id];
	snprintf(buf, 120, "worker %d (pid %d, slot %d%s)", id, a->pid, a->slot,
		 a->dead_ns  ? ", dead" :
		 a->dying_ns ? ", dying" :
			       "");
	return buf;
}

static void violation(const struct storm_flows *f, const struct storm_flow *flow,
		      const struct storm_asked *asked, int by, __u64 now, const char *why)
{
	char name[200], old[120], new[120];

	describe(flow, f->port, name, sizeof(name));
	storm_violation(
		"%s: had %s, which was asked %.1f ms ago; asked again %.1f ms ago, and the answer is from %s: %s",
		name, describe_worker(f->model, asked->owner, old), (now - asked->owner_ns) / 1e6,
		(now - asked->asked_ns) / 1e6, describe_worker(f->model, by, new), why);
}

static void open_flow(struct storm_flows *f, struct storm_flow *flow)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = f->tag + (flow - f->flow) };

	*flow = (struct storm_flow){ .asked = { .owner = STORM_NOBODY } };
	storm_sources_take(f->sources, &flow->source);
	flow->fd = storm_source_connect(&flow->source, SP_UDP, f->port);
	if (flow->fd < 0)
		storm_violation("cannot open flow number %llu: %s", f->nopened, strerror(-flow->fd));
	assert_int_equal(epoll_ctl(f->epoll, EPOLL_CTL_ADD, flow->fd, &event), 0);
	f->nopened++;
}

void storm_flows_open(struct storm_flows *f, __u32 count, __u64 now)
{
	f->flow = calloc(count, sizeof(*f->flow));
	f->open = calloc(OPEN_MAX, sizeof(*f->open));
	assert_non_null(f->flow);
	assert_non_null(f->open);
	for (__u32 i = 0; i < count; i++)
		open_flow(f, &f->flow[i]);
	f->count = count;
	f->strays = sp_strays_start(f->port);
	f->dropped_before = sp_strays_overrun();
	f->next_ns = f->pass_ns = now;
}

void storm_flows_close(struct storm_flows *f)
{
	for (__u32 i = 0; i < f->count; i++)
		sp_close_fd(&f->flow[i].fd);
	sp_strays_stop(f->strays);
	free(f->flow);
	free(f->open);
	f->count = 0;
}

static void ask(struct storm_flows *f, __u32 i, __u64 now)
{
	struct storm_flow *flow = &f->flow[i];
	struct question question = { .round = ++flow->round, .flow = i };

	if (send(flow->fd, &question, sizeof(question), MSG_NOSIGNAL) < 0) {
		flow->asked.asked_ns = now;
		violation(f, flow, &flow->asked, STORM_NOBODY, now, strerror(errno));
	}
	flow->asked.asked_ns = now;
	flow->place = f->nopen;
	f->open[f->nopen++] = i;
	f->nasked++;
}

/* Not more of them than the kernel says that it has dropped, whosever they were. */
static bool may_be_dropped(const struct storm_flows *f)
{
	return f->ndropped < sp_strays_overrun() - f->dropped_before;
}

/* The question is not open any more. */
static void close_question(struct storm_flows *f, struct storm_flow *flow)
{
	__u32 last = f->open[--f->nopen];

	f->open[flow->place] = last;
	f->flow[last].place = flow->place;
	flow->asked.asked_ns = 0;
}

static void take_for_lost(struct storm_flows *f, struct storm_flow *flow)
{
	flow->lost_ns = flow->asked.asked_ns;
	flow->lost_round = flow->round;
	close_question(f, flow);
}

/* One for each worker that has ended at most: to one it happens in some hundred. */
static bool has_strayed(const struct storm_flows *f, const struct storm_flow *flow)
{
	struct question question = { .round = flow->round, .flow = flow - f->flow };

	return sp_strays_took(f->strays, flow->source.port, &question) &&
	       f->model->last_death_ns >= flow->asked.asked_ns && f->nstrays < f->model->ndead;
}

static void look_for_silence(struct storm_flows *f, __u64 now)
{
	for (__u32 n = f->nopen; n-- > 0;) {
		struct storm_flow *flow = &f->flow[f->open[n]];
		const struct storm_asked *asked = &flow->asked;
		__u64 waited = now - asked->asked_ns, dead_ns = 0;
		enum storm_verdict verdict;

		if (waited < DEAD_PATIENCE_NS)
			continue;
		verdict = storm_model_judge_silence(f->model, asked);
		if (asked->owner != STORM_NOBODY)
			dead_ns = f->model->members[asked->owner].dead_ns;
		if (verdict == STORM_LOST &&
		    (waited >= LOST_PATIENCE_NS ||
		     (dead_ns >= asked->asked_ns && now - dead_ns >= DEAD_PATIENCE_NS))) {
			f->nlost++;
			take_for_lost(f, flow);
		} else if (verdict != STORM_LOST && waited >= LOST_PATIENCE_NS && has_strayed(f, flow)) {
			f->nstrays++;
			close_question(f, flow);
		} else if (verdict != STORM_LOST && waited >= LOST_PATIENCE_NS && may_be_dropped(f)) {
			f->ndropped++;
			take_for_lost(f, flow);
		} else if (waited >= PATIENCE_NS) {
			violation(f, flow, asked, STORM_NOBODY, now,
				  "no worker died that could have left it unread");
		}
	}
}

void storm_flows_pump(struct storm_flows *f, __u64 now)
{
	if (now - f->silence_ns >= SILENCE_LOOK_NS) {
		look_for_silence(f, now);
		f->silence_ns = now;
	}
	if (f->is_paused) {
		f->next_ns = f->pass_ns = now;
		return;
	}
	for (int n = 0; n < ASK_MAX && f->nopen < OPEN_MAX && f->next_ns <= now; n++) {
		struct storm_flow *flow = &f->flow[f->cursor];

		if (!flow->asked.asked_ns) {
			if (sp_random_one_in(&f->random, CHURN)) {
				sp_close_fd(&flow->fd);
				open_flow(f, flow);
			}
			ask(f, f->cursor, now);
		}
		f->next_ns += f->period_ns / f->count;
		if (++f->cursor < f->count)
			continue;
		f->cursor = 0;
		f->last_pass_ns = now - f->pass_ns;
		f->pass_ns = now;
		/* What was missed while we were late is not made up for: the flows come round as fast as they can. */
		if (f->next_ns + f->period_ns < now)
			f->next_ns = now;
	}
}

__u64 storm_flows_due_ns(const struct storm_flows *f)
{
	return f->is_paused || f->nopen == OPEN_MAX ? UINT64_MAX : f->next_ns;
}

bool storm_flows_are_behind(const struct storm_flows *f, __u64 now)
{
	__u64 pass_ns = now - f->pass_ns;

	if (pass_ns < f->last_pass_ns)
		pass_ns = f->last_pass_ns;
	return pass_ns > f->model->learn_ns * BEHIND_PERCENT / 100;
}

/* An answer to a question that was taken for lost: the worker that it came from must have been there at that time. */
static void hear_late(struct storm_flows *f, struct storm_flow *flow, __u32 by, __u64 now)
{
	const struct storm_asked asked = { .owner = by, .owner_ns = now, .asked_ns = flow->lost_ns };
	const char *why;

	if (storm_model_judge(f->model, &asked, by, now, &why) != STORM_RIGHT)
		violation(f, flow, &asked, by, now, why);
	flow->lost_round = 0;
	f->nlost--;
	f->nlate++;
}

static void hear_answer(struct storm_flows *f, struct storm_flow *flow, __u32 by, __u64 now)
{
	struct storm_asked *asked = &flow->asked;
	const char *why;

	switch (storm_model_judge(f->model, asked, by, now, &why)) {
	case STORM_RIGHT:
		break;
	case STORM_TOO_SLOW:
		violation(
			f, flow, asked, by, now,
			"THE MACHINE IS TOO SLOW FOR THIS STORM: the flow was unheard of for a learn window");
		break;
	default:
		violation(f, flow, asked, by, now, why);
	}
	/* Only a window makes it matter. */
	if (f->model->windows_end_ns >= asked->owner_ns && asked->owner == (int)by &&
	    now - asked->owner_ns > f->gap_ns)
		f->gap_ns = now - asked->owner_ns;
	f->nbound += storm_model_is_bound(f->model, asked);
	f->nmoved += asked->owner != STORM_NOBODY && asked->owner != (int)by;
	asked->owner = by;
	asked->owner_ns = asked->asked_ns;
	close_question(f, flow);
}

void storm_flows_hear(struct storm_flows *f, __u32 i, __u64 now)
{
	struct storm_flow *flow = &f->flow[i];
	struct answer answer;
	ssize_t len = recv(flow->fd, &answer, sizeof(answer), 0);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len < 0)
		violation(f, flow, &flow->asked, STORM_NOBODY, now, strerror(errno));
	if (len != sizeof(answer) || answer.question.flow != i)
		violation(f, flow, &flow->asked, answer.id, now, "it answers what was not asked here");
	if (flow->asked.asked_ns && answer.question.round == flow->round)
		hear_answer(f, flow, answer.id, now);
	else if (flow->lost_round && answer.question.round == flow->lost_round)
		hear_late(f, flow, answer.id, now);
	else
		violation(f, flow, &flow->asked, answer.id, now, "it was answered before");
}
