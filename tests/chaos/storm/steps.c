// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Random steps. */
#include "cleanup.h"
#include "journal.h"
#include "state.h"
#include "steps.h"

#define MS 1000000ULL
#define WORKERS_MIN 2
#define SOME 4 /* at most so many at once */
/* TCP: connections gather in the accept queue. UDP: datagrams in the receive buffer, before whom others must wait. */
#define STALL_TCP_MS 250
#define STALL_UDP_MS 30
#define KILL_ONE_IN 8 /* orders that are killed */
#define KILL_WITHIN_PERCENT 120 /* of the time that orders take */
#define BOLD_ONE_IN 40 /* steps that may take away the last usable worker */

static const __u8 step_weights[STORM_STEPS] = {
	[STORM_STEP_START] = 18,    [STORM_STEP_START_SOME] = 6, [STORM_STEP_KILL] = 8,
	[STORM_STEP_KILL_SOME] = 2, [STORM_STEP_LEAVE] = 8,	 [STORM_STEP_STALL] = 14,
	[STORM_STEP_ORDER] = 40,
};

static const __u8 order_weights[STORM_ORDERS] = {
	[STORM_SYNC] = 11,   [STORM_DRAIN] = 8,	 [STORM_UNDRAIN] = 12,
	[STORM_EJECT] = 4,   [STORM_WEIGHT] = 5, [STORM_RETIRE] = 5,
	[STORM_UPGRADE] = 4, [STORM_DETACH] = 2, [STORM_BALANCE] = 4,
};

static __u32 draw_weighted(struct sp_random *r, const __u8 *weights, __u32 count)
{
	__u32 total = 0, drawn, i = 0;

	for (__u32 n = 0; n < count; n++)
		total += weights[n];
	drawn = sp_random_below(r, total);
	while (drawn >= weights[i])
		drawn -= weights[i++];
	return i;
}

enum storm_step storm_step_draw(struct sp_random *r)
{
	return draw_weighted(r, step_weights, STORM_STEPS);
}

/* --- workers --- */

static bool start(struct storm_group *g)
{
	__u32 id;

	if (storm_crew_count(&g->crew) >= g->workers_max)
		return false;
	id = storm_crew_start(&g->crew);
	storm_journal("%s: worker %u started (pid %d)", g->op.name, id, g->model.members[id].pid);
	return true;
}

static bool is_last_usable(const struct storm_group *g, const struct storm_member *a)
{
	return g->model.is_attached && a->is_enrolled && a->standing == STORM_LIVE && g->model.nusable <= 1;
}

/* One that is well; NULL: there are too few, or it is the last one that is usable. */
static struct storm_worker *draw_victim(struct storm_group *g, struct sp_random *r)
{
	struct storm_worker *victims[STORM_ALIVE_MAX], *w;
	bool is_bold = sp_random_one_in(r, BOLD_ONE_IN);
	__u32 drawn = sp_random_next(r) >> 32, n = 0;

	for (__u32 i = 0; i < STORM_ALIVE_MAX; i++) {
		w = &g->crew.worker[i];
		if (w->is_here && !w->is_leaving && !w->stalled_until_ns)
			victims[n++] = w;
	}
	if (n <= WORKERS_MIN)
		return NULL;
	w = victims[drawn % n];
	return !is_bold && is_last_usable(g, &g->model.members[w->id]) ? NULL : w;
}

static void note_end(const struct storm_group *g, const struct storm_worker *w, const char *what)
{
	const struct storm_member *a = &g->model.members[w->id];

	storm_journal("%s: worker %u (slot %d) %s", g->op.name, w->id, a->slot, what);
}

static bool kill_one(struct storm_group *g, struct sp_random *r)
{
	struct storm_worker *w = draw_victim(g, r);

	if (!w)
		return false;
	note_end(g, w, "killed");
	storm_crew_kill(&g->crew, w);
	return true;
}

static bool leave(struct storm_group *g, struct sp_random *r)
{
	struct storm_worker *w = draw_victim(g, r);

	if (!w)
		return false;
	note_end(g, w, "told to leave");
	storm_crew_terminate(&g->crew, w);
	return true;
}

static bool stall(struct storm_group *g, struct sp_random *r)
{
	struct storm_worker *w = draw_victim(g, r);
	static const char *const ends[] = { "goes on", "is killed", "leaves" };
	enum storm_stall_end end = sp_random_below(r, STORM_STALL_ENDS);
	__u32 ms = 1 + sp_random_below(r, g->protocol == SP_TCP ? STALL_TCP_MS : STALL_UDP_MS);

	if (!w)
		return false;
	storm_journal("%s: worker %u stalls for %u ms and %s then", g->op.name, w->id, ms, ends[end]);
	storm_crew_stall(w, sp_now_ns() + ms * MS, end);
	return true;
}

/* --- orders --- */

static bool is_dead(const struct storm_group *g, const struct storm_row *row)
{
	return row->state == STORM_ROW_DEAD ||
	       (row->state != STORM_ROW_FREE && g->model.members[row->member].dead_ns);
}

static bool is_fit(const struct storm_group *g, const struct storm_row *row, enum storm_order order)
{
	bool is_well = row->state >= STORM_ROW_LIVE && !g->model.members[row->member].dying_ns;

	switch (order) {
	case STORM_DRAIN:
		return is_well && row->state == STORM_ROW_LIVE;
	case STORM_UNDRAIN:
		return is_well && row->state != STORM_ROW_LIVE;
	case STORM_EJECT:
		return is_well && row->state != STORM_ROW_EJECTED;
	case STORM_WEIGHT:
		return row->state != STORM_ROW_FREE;
	case STORM_RETIRE:
		return is_dead(g, row);
	default:
		return false;
	}
}

static __u32 count_asked(const struct storm_command *command)
{
	__u32 n = 0;

	for (__u32 s = 0; s < STORM_SLOTS; s++)
		n += command->asked[s];
	return n;
}

/* Usable workers that the order leaves so. */
static __u32 count_left(const struct storm_group *g, const struct storm_command *command)
{
	__u32 n = 0;

	for (__u32 s = 0; s < STORM_SLOTS; s++) {
		const struct storm_row *row = &g->op.row[s];

		n += !command->asked[s] && row->state == STORM_ROW_LIVE &&
		     !g->model.members[row->member].dying_ns;
	}
	return n;
}

static bool leaves_a_weight(const struct storm_group *g, const struct storm_command *command)
{
	if (command->order == STORM_WEIGHT && command->weight)
		return true;
	for (__u32 s = 0; s < STORM_SLOTS; s++) {
		const struct storm_row *row = &g->op.row[s];

		if (!command->asked[s] && row->state != STORM_ROW_FREE && row->weight)
			return true;
	}
	return false;
}

/* Some slots that the order fits. */
static void draw_slots(const struct storm_group *g, struct sp_random *r, struct storm_command *command)
{
	__u32 fit[STORM_SLOTS], nfit = 0, wanted = 1 + sp_random_below(r, SOME);

	for (__u32 s = 0; s < STORM_SLOTS; s++) {
		if (is_fit(g, &g->op.row[s], command->order))
			fit[nfit++] = s;
	}
	while (wanted-- && nfit) {
		__u32 i = sp_random_below(r, nfit);

		command->asked[fit[i]] = true;
		fit[i] = fit[--nfit];
	}
}

static bool draw_order(const struct storm_group *g, struct sp_random *r, struct storm_command *command)
{
	static const __u16 weights[] = { 0, 1, 10, 50, 100, 100, 200, SP_WEIGHT_MAX };
	bool is_bold = sp_random_one_in(r, BOLD_ONE_IN);

	*command = (struct storm_command){ .order = draw_weighted(r, order_weights, STORM_ORDERS) };
	command->weight = weights[sp_random_below(r, SP_ARRAY_SIZE(weights))];
	command->balance = sp_random_below(r, SP_BALANCE_LEAST_CONN + 1);
	if (g->op.has_killed) {
		/* Only that tells what the killed one has done. */
		command->order = STORM_SYNC;
		return true;
	}
	if (g->model.is_detached) {
		command->order = STORM_ATTACH;
		return sp_random_one_in(r, 2);
	}
	if (command->order == STORM_BALANCE)
		return g->protocol == SP_TCP;
	if (command->order == STORM_SYNC || command->order == STORM_UPGRADE || command->order == STORM_DETACH)
		return true;
	draw_slots(g, r, command);
	if (!count_asked(command))
		return false;
	if ((command->order == STORM_DRAIN || command->order == STORM_EJECT) && !is_bold &&
	    count_left(g, command) == 0)
		return false;
	return (command->order != STORM_WEIGHT && command->order != STORM_RETIRE) ||
	       leaves_a_weight(g, command);
}

static bool order(struct storm_group *g, struct sp_random *r)
{
	struct storm_command command;
	__u64 kill_ns = 0;

	if (!draw_order(g, r, &command))
		return false;
	if (sp_random_one_in(r, KILL_ONE_IN))
		kill_ns = sp_now_ns() + g->op.typical_ns / 100 * sp_random_below(r, KILL_WITHIN_PERCENT);
	storm_operator_order(&g->op, &command, kill_ns);
	return true;
}

bool storm_step_do(struct storm_group *g, enum storm_step step, struct sp_random *r)
{
	__u32 many = 1 + sp_random_below(r, SOME);
	bool is_done = false;

	switch (step) {
	case STORM_STEP_START:
		return start(g);
	case STORM_STEP_START_SOME:
		while (many--)
			is_done |= start(g);
		return is_done;
	case STORM_STEP_KILL:
		return kill_one(g, r);
	case STORM_STEP_KILL_SOME:
		while (many--)
			is_done |= kill_one(g, r);
		return is_done;
	case STORM_STEP_LEAVE:
		return leave(g, r);
	case STORM_STEP_STALL:
		return stall(g, r);
	case STORM_STEP_ORDER:
		return order(g, r);
	default:
		return false;
	}
}
