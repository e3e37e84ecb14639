// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Orders to steadyport, and what came of them. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "cleanup.h"
#include "journal.h"
#include "orders.h"
#include "state.h"
#include "value.h"

#define MS 1000000ULL
#define DEADLINE_NS (SP_RUN_DEADLINE_MS * MS)
#define PIPE_SIZE (256 * 1024) /* more than a status of STORM_SLOTS slots */
#define TYPICAL_NS (80 * MS) /* how long an order takes, before any was given */
#define SLOTS_MAX 12 /* that one order names */
#define FLOWS_ROOM "262144" /* more flows than come in --flow-idle: none that is kept is ever pushed out */

static const char *const order_names[] = {
	[STORM_ATTACH] = "attach",   [STORM_SYNC] = "sync",	  [STORM_DRAIN] = "drain",
	[STORM_UNDRAIN] = "undrain", [STORM_EJECT] = "eject",	  [STORM_WEIGHT] = "weight",
	[STORM_RETIRE] = "retire",   [STORM_UPGRADE] = "upgrade", [STORM_BALANCE] = "balance",
	[STORM_DETACH] = "detach",
};

const char *storm_order_name(enum storm_order order)
{
	return order_names[order];
}

/* --- giving an order --- */

static void run(struct storm_operator *op, const char *const *words)
{
	sp_run_start(&op->run, NULL, words);
	/* Nobody reads before it has ended. */
	assert_true(fcntl(op->run.out_fd, F_SETPIPE_SZ, PIPE_SIZE) >= PIPE_SIZE);
	op->is_busy = true;
}

static void start(struct storm_operator *op, const char *const *words)
{
	char line[160] = "";
	size_t len = 0;

	for (size_t i = 1; words[i] && len < sizeof(line) - 1; i++)
		len += snprintf(line + len, sizeof(line) - len, " %s", words[i]);
	storm_journal("%s:%s%s", op->name, line, op->kill_ns ? "  (to be killed)" : "");
	run(op, words);
}

static size_t add_slots(const struct storm_operator *op, const char **words, char (*text)[16])
{
	size_t n = 0;

	for (__u32 s = 0; s < STORM_SLOTS; s++) {
		if (!op->command.asked[s])
			continue;
		assert_true(n < SLOTS_MAX);
		if (op->command.order == STORM_WEIGHT)
			snprintf(text[n], sizeof(text[n]), "%u=%u", s, op->command.weight);
		else
			snprintf(text[n], sizeof(text[n]), "%u", s);
		words[n] = text[n];
		n++;
	}
	return n;
}

void storm_operator_order(struct storm_operator *op, const struct storm_command *command, __u64 kill_ns)
{
	const char *words[SP_RUN_WORDS_MAX] = { "steadyport", order_names[command->order], op->name };
	char text[SLOTS_MAX][16];
	size_t n = 3;

	assert_false(op->is_busy);
	op->command = *command;
	op->kill_ns = kill_ns;
	if (command->order == STORM_ATTACH) {
		words[n++] = op->endpoint;
		words[n++] = "--hash";
		words[n++] = op->hash;
		op->balance = op->attach_balance;
		words[n++] = "--balance";
		words[n++] = sp_value_balance_name(op->balance);
		if (op->model->protocol == SP_UDP) {
			words[n++] = "--learn";
			words[n++] = op->learn;
			words[n++] = "--track";
			words[n++] = op->track;
			words[n++] = "--flows";
			words[n++] = FLOWS_ROOM;
		}
	}
	if (command->order == STORM_BALANCE)
		words[n++] = sp_value_balance_name(command->balance);
	add_slots(op, words + n, text);
	op->ngiven[command->order]++;
	op->order_ns = sp_now_ns();
	if (!op->unseen_ns)
		op->unseen_ns = op->order_ns;
	/* What a detach leaves when it is killed is anyone's guess, also which worker has which slot. */
	if (command->order == STORM_DETACH)
		op->is_unknown = true;
	storm_model_order(op->model, command->order, command->asked, op->order_ns);
	start(op, words);
}

static void look_at_status(struct storm_operator *op)
{
	const char *const words[] = { "steadyport", "status", op->name, "--json", NULL };

	sp_run_free(&op->run);
	op->is_looking = true;
	op->kill_ns = 0;
	run(op, words);
}

/* --- what it came to --- */

static const struct storm_row free_row = { .member = STORM_NOBODY, .weight = SP_WEIGHT_DEFAULT };

/* There are no pins, and no slots. */
static void forget(struct storm_operator *op)
{
	for (__u32 s = 0; s < STORM_SLOTS; s++)
		op->row[s] = free_row;
	op->is_unknown = false;
	op->has_killed = false;
	op->unseen_ns = 0;
}

void storm_operator_init(struct storm_operator *op)
{
	forget(op);
	op->typical_ns = TYPICAL_NS;
}

/* A worker in one of the slots had begun to die before the order was over: it may have been refused for that. */
static bool has_dying(const struct storm_operator *op)
{
	for (__u32 s = 0; s < STORM_SLOTS; s++) {
		if (op->command.asked[s] && op->row[s].member != STORM_NOBODY &&
		    op->model->members[op->row[s].member].dying_ns)
			return true;
	}
	return false;
}

static enum storm_outcome outcome_of(const struct storm_operator *op)
{
	bool is_for_slots = op->command.order == STORM_DRAIN || op->command.order == STORM_UNDRAIN ||
			    op->command.order == STORM_EJECT;

	if (op->run.status == SP_EXIT_OK)
		return STORM_DONE;
	if (op->run.status == SP_RUN_SIGNALLED + SIGKILL && op->kill_ns)
		return STORM_KILLED;
	/* After an attach or a detach that was killed there may be no pins. */
	if (op->run.status == SP_EXIT_NO_GROUP && op->command.order == STORM_SYNC && !op->model->is_attached)
		return STORM_NO_GROUP;
	if (op->run.status == SP_EXIT_FAILED && is_for_slots && has_dying(op))
		return STORM_REFUSED;
	storm_violation("%s: %s ended with status %d:\n%s%s", op->name, order_names[op->command.order],
			op->run.status, op->run.out, op->run.err);
}

/* What the order makes of the slots that it names, before new workers take any. */
static struct storm_row order_row(const struct storm_command *command, struct storm_row row)
{
	switch (command->order) {
	case STORM_DRAIN:
		if (row.state == STORM_ROW_LIVE)
			row.state = STORM_ROW_DRAINING;
		break;
	case STORM_UNDRAIN:
		row.state = STORM_ROW_LIVE;
		break;
	case STORM_EJECT:
		row.state = STORM_ROW_EJECTED;
		break;
	case STORM_WEIGHT:
		row.weight = command->weight;
		break;
	case STORM_RETIRE:
		row.state = STORM_ROW_FREE;
		row.weight = SP_WEIGHT_DEFAULT;
		break;
	default:
		break;
	}
	return row;
}

static void end_order(struct storm_operator *op, __u64 now)
{
	enum storm_outcome outcome = outcome_of(op);

	op->over_ns = now;
	if (outcome == STORM_DONE)
		op->typical_ns = (3 * op->typical_ns + now - op->order_ns) / 4;
	if (now - op->order_ns > op->slowest_ns)
		op->slowest_ns = now - op->order_ns;
	storm_journal("%s: %s %s after %.0f ms", op->name, order_names[op->command.order],
		      outcome == STORM_DONE	? "done" :
		      outcome == STORM_REFUSED	? "refused" :
		      outcome == STORM_NO_GROUP ? "found no group" :
						  "killed",
		      (now - op->order_ns) / 1e6);
	storm_model_order_over(op->model, op->command.order, outcome, now);
	op->nkilled += outcome == STORM_KILLED;
	op->nrefused += outcome == STORM_REFUSED;
	op->was_done = outcome == STORM_DONE;
	if (outcome == STORM_NO_GROUP || (op->was_done && op->command.order == STORM_DETACH)) {
		forget(op);
		return;
	}
	if (outcome == STORM_KILLED) {
		/* A sync that shall repair it and is killed, too, asks nothing. */
		if (!op->has_killed)
			op->killed = op->command;
		op->has_killed = true;
		return;
	}
	if (op->was_done && op->command.order == STORM_BALANCE)
		op->balance = op->command.balance;
	for (__u32 s = 0; op->was_done && s < STORM_SLOTS; s++) {
		if (op->command.asked[s])
			op->row[s] = order_row(&op->command, op->row[s]);
	}
	look_at_status(op);
}

/* --- what is seen --- */

static enum storm_row_state parse_state(const char *text)
{
	static const char *const names[] = {
		[STORM_ROW_DEAD] = "dead",
		[STORM_ROW_LIVE] = "live",
		[STORM_ROW_DRAINING] = "draining",
		[STORM_ROW_EJECTED] = "ejected",
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(names); i++) {
		if (names[i] && !strcmp(names[i], text))
			return i;
	}
	storm_violation("there is no slot state %s", text);
}

static int find_member(const struct storm_model *m, pid_t pid)
{
	for (__u32 id = m->nmembers; id-- > 0;) {
		if (m->members[id].pid == pid)
			return id;
	}
	return STORM_NOBODY;
}

static bool has_begun_to_die(const struct storm_operator *op, int member)
{
	return member != STORM_NOBODY && op->model->members[member].dying_ns;
}

static bool is_same(const struct storm_row *a, const struct storm_row *b)
{
	return a->state == b->state && a->weight == b->weight;
}

/* By an order that was killed, so that it may have been done or not. */
static bool may_be_asked(const struct storm_operator *op, __u32 slot)
{
	return op->has_killed && op->killed.asked[slot];
}

/* The slot is held by the worker that it was known to be held by. */
static bool is_expected(const struct storm_operator *op, __u32 slot, const struct storm_row *seen)
{
	const struct storm_row *known = &op->row[slot];
	struct storm_row changed;

	if (is_same(seen, known))
		return true;
	if (!may_be_asked(op, slot))
		return false;
	changed = order_row(&op->killed, *known);
	return is_same(seen, &changed);
}

/* A worker that was in no slot has taken this one. */
static bool is_free_for_newcomer(const struct storm_operator *op, __u32 slot, const struct storm_row *seen)
{
	const struct storm_row *known = &op->row[slot];
	/* A killed order may have retired the slot or given it a weight. */
	bool is_weight_kept = seen->weight == known->weight || may_be_asked(op, slot);

	return seen->state == STORM_ROW_LIVE && is_weight_kept &&
	       (known->state == STORM_ROW_FREE || known->state == STORM_ROW_DEAD ||
		has_begun_to_die(op, known->member));
}

static void see_held(struct storm_operator *op, __u32 slot, struct storm_row *seen, const json_t *json)
{
	static const enum storm_standing standings[] = {
		[STORM_ROW_LIVE] = STORM_LIVE,
		[STORM_ROW_DRAINING] = STORM_DRAINING,
		[STORM_ROW_EJECTED] = STORM_EJECTED,
	};
	const json_t *owner = json_array_get(sp_json_array(json, "owners"), 0);
	const struct storm_row *known = &op->row[slot];
	const struct storm_member *a;

	seen->member = find_member(op->model, sp_json_int(owner, "pid"));
	if (seen->member == STORM_NOBODY)
		storm_violation("%s: slot %u is held by process %lld, which is no worker", op->name, slot,
				sp_json_int(owner, "pid"));
	a = &op->model->members[seen->member];
	if (!op->is_unknown && a->is_enrolled && a->slot != (int)slot)
		storm_violation("%s: worker %d was in slot %d and is in slot %u now", op->name, seen->member,
				a->slot, slot);
	if (!op->is_unknown &&
	    !(seen->member == known->member ? is_expected : is_free_for_newcomer)(op, slot, seen))
		storm_violation(
			"%s: slot %u has state %d, weight %u and worker %d, but had state %d, weight %u and worker %d",
			op->name, slot, seen->state, seen->weight, seen->member, known->state, known->weight,
			known->member);
	/* TCP counts other things there, too: segments of connections that are gone. */
	if (op->model->protocol == SP_UDP && sp_json_int(json, "drops"))
		storm_violation("%s: slot %u: %lld datagrams did not fit in the receive buffer", op->name,
				slot, sp_json_int(json, "drops"));
	if (!a->dead_ns)
		storm_model_seen(op->model, seen->member, slot, standings[seen->state], op->over_ns,
				 sp_now_ns());
}

static void see_dead(struct storm_operator *op, __u32 slot, struct storm_row *seen)
{
	const struct storm_row *known = &op->row[slot];

	seen->member = known->member;
	if (op->is_unknown || known->state == STORM_ROW_DEAD || has_begun_to_die(op, known->member))
		return;
	/* Enrolled by the order and dead before the look: it was never seen in the slot. */
	if (op->model->last_death_ns >= op->unseen_ns)
		return;
	storm_violation("%s: slot %u is dead, but worker %d lives", op->name, slot, known->member);
}

static void see_missing(struct storm_operator *op, __u32 slot)
{
	const struct storm_row *known = &op->row[slot];
	bool may_be_retired = may_be_asked(op, slot) && op->killed.order == STORM_RETIRE;

	if (!op->is_unknown && known->state != STORM_ROW_FREE && !may_be_retired)
		storm_violation("%s: slot %u with worker %d is gone", op->name, slot, known->member);
	op->row[slot] = free_row;
}

/* Each usable slot has its part by weight, but for one bucket of 16384; the buckets of the others are spread likewise. */
static void check_balance(const struct storm_operator *op, const json_t *slots)
{
	double weights = 0, shares = 0;
	__u32 nusable = 0;
	json_t *slot;
	size_t i;

	json_array_foreach(slots, i, slot) {
		if (strcmp(sp_json_text(slot, "state"), "live"))
			continue;
		weights += sp_json_int(slot, "weight");
		nusable++;
	}
	if (!weights)
		return;
	json_array_foreach(slots, i, slot) {
		double share = sp_json_real(slot, "share"), weight = sp_json_int(slot, "weight"), even;
		double reached, all = 0;
		json_t *other;
		size_t j;

		if (strcmp(sp_json_text(slot, "state"), "live"))
			continue;
		json_array_foreach(slots, j, other)
			all += sp_json_int(other, "weight");
		even = weight / weights;
		/* Buckets of the usable slots, at least; each of the two numbers is off by one for each slot. */
		reached = SP_BUCKETS * weights / all - nusable;
		if (reached > 1 && fabs(share - even) > (1 + even * nusable) / reached + 1e-9)
			storm_violation(
				"%s: slot %lld has %.6f of the new flows, but its weight is %.6f of all",
				op->name, sp_json_int(slot, "slot"), share, even);
		shares += share;
	}
	if (fabs(shares - 1) > 1e-6)
		storm_violation("%s: the shares add up to %.6f", op->name, shares);
}

static void check_all_enrolled(const struct storm_operator *op)
{
	for (__u32 i = 0; i < op->model->nalive; i++) {
		__u32 id = op->model->alive[i];
		const struct storm_member *a = &op->model->members[id];

		if (!a->is_enrolled && !a->dying_ns && a->maybe_enrolled_ns &&
		    a->maybe_enrolled_ns <= op->order_ns)
			storm_violation("%s: worker %u was there before the order and is not enrolled",
					op->name, id);
	}
}

/* One that was killed may have been done, or the sync after it has completed it. */
static void see_balance(struct storm_operator *op, const char *seen)
{
	if (op->has_killed && op->killed.order == STORM_BALANCE &&
	    !strcmp(seen, sp_value_balance_name(op->killed.balance)))
		op->balance = op->killed.balance;
	if (strcmp(seen, sp_value_balance_name(op->balance)))
		storm_violation("%s: its balance is %s, but %s was asked for", op->name, seen,
				sp_value_balance_name(op->balance));
}

static void see(struct storm_operator *op, const json_t *status, __u64 now)
{
	const json_t *slots = sp_json_array(status, "slots");
	__u64 deaths_ns = op->model->last_death_ns;
	bool is_seen[STORM_SLOTS] = { false };
	json_t *slot;
	size_t i;

	if (!sp_json_bool(status, "attached"))
		storm_violation("%s: %s was done, but the group is not attached", op->name,
				order_names[op->command.order]);
	see_balance(op, sp_json_text(status, "balance"));
	json_array_foreach(slots, i, slot) {
		struct storm_row seen = { .state = parse_state(sp_json_text(slot, "state")),
					  .weight = sp_json_int(slot, "weight") };
		__u32 number = sp_json_int(slot, "slot");

		assert_true(number < STORM_SLOTS);
		is_seen[number] = true;
		if (seen.state == STORM_ROW_DEAD)
			see_dead(op, number, &seen);
		else
			see_held(op, number, &seen, slot);
		op->row[number] = seen;
	}
	for (__u32 s = 0; s < STORM_SLOTS; s++) {
		if (!is_seen[s])
			see_missing(op, s);
	}
	/* An upgrade is the one order that looks at no member. */
	if (op->was_done && op->command.order != STORM_UPGRADE)
		check_all_enrolled(op);
	if (deaths_ns < op->order_ns && !op->model->ndying)
		check_balance(op, slots);
	op->sight = (struct storm_sight){ .is_learning = sp_json_bool(status, "learning"),
					  .kept_flows = sp_json_int(status, "kept_flows"),
					  .moving_buckets = sp_json_int(status, "moving_buckets"),
					  .serial = sp_json_int(status, "view_serial") };
	storm_model_seen_all(op->model, op->sight.is_learning, now);
	op->has_killed = false;
	op->is_unknown = false;
	op->unseen_ns = 0;
}

static void end_look(struct storm_operator *op, __u64 now)
{
	json_t *status;

	op->is_looking = false;
	if (op->run.status != SP_EXIT_OK)
		storm_violation("%s: status ended with %d:\n%s%s", op->name, op->run.status, op->run.out,
				op->run.err);
	status = sp_run_parse(__FILE__, __LINE__, &op->run);
	see(op, status, now);
	json_decref(status);
}

void storm_operator_look(struct storm_operator *op, __u64 now)
{
	if (!op->is_busy)
		return;
	if (op->kill_ns && now >= op->kill_ns && op->run.pid)
		kill(op->run.pid, SIGKILL);
	if (!sp_run_has_ended(&op->run)) {
		if (now - op->order_ns > DEADLINE_NS)
			storm_violation("%s: %s does not end", op->name, order_names[op->command.order]);
		return;
	}
	sp_run_wait(&op->run);
	op->is_busy = false;
	now = sp_now_ns();
	if (op->is_looking)
		end_look(op, now);
	else
		end_order(op, now);
	if (!op->is_busy)
		sp_run_free(&op->run);
}

void storm_operator_close(struct storm_operator *op)
{
	if (op->is_busy)
		sp_run_free(&op->run);
	op->is_busy = false;
}
