// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is forgiven, and why:
 *
 * - A flow whose worker's end was ordered before the answer came.
 * - A flow whose worker was, or may have been, ejected since it answered last.
 * - All flows that were heard before the end of a disturbance, which is any time in which
 *	- a detach is on its way: the kernel's own hash takes over;
 *	- the group is not steered and a member comes or goes: the kernel's hash is scaled anew;
 *	- an attach is on its way and a member came or went since it began: the order of members that the attach has read
 *	  and the one that the kernel hashes over are two;
 *	- no usable slot lives: there is no promise then but that flows are answered.
 *
 * An attach by itself is no disturbance: it moves nobody.
 */
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include "model.h"

void storm_model_init(struct storm_model *m, enum sp_protocol protocol, __u64 learn_ns)
{
	memset(m, 0, sizeof(*m));
	m->protocol = protocol;
	m->learn_ns = learn_ns;
	m->is_detached = true;
}

void storm_model_free(struct storm_model *m)
{
	free(m->members);
	memset(m, 0, sizeof(*m));
}

static bool is_usable(const struct storm_member *a)
{
	return a->is_enrolled && a->standing == STORM_LIVE && !a->dying_ns;
}

/* After every change: what is counted, and whether a disturbance has begun or ended. */
static void recount(struct storm_model *m, __u64 now)
{
	bool is_disturbed;

	m->ndying = 0;
	m->nusable = 0;
	for (__u32 i = 0; i < m->nalive; i++) {
		const struct storm_member *a = &m->members[m->alive[i]];

		m->ndying += a->dying_ns != 0;
		m->nusable += is_usable(a);
	}
	is_disturbed = m->is_detaching || (m->is_attached ? !m->nusable : m->ndying) ||
		       (m->is_attaching && m->was_attach_crossed);
	if (m->is_disturbed && !is_disturbed)
		m->disturbed_until_ns = now;
	m->is_disturbed = is_disturbed;
}

/* A member came or went. */
static void shift(struct storm_model *m, __u64 now)
{
	if (!m->is_attached) {
		m->disturbed_until_ns = now;
		m->was_attach_crossed |= m->is_attaching;
	}
	recount(m, now);
}

__u32 storm_model_birth(struct storm_model *m, __u64 now)
{
	struct storm_member *a;

	assert_true(m->nalive < STORM_ALIVE_MAX);
	/* Full whenever the count is a power of two. */
	if ((m->nmembers & (m->nmembers - 1)) == 0) {
		m->members = reallocarray(m->members, m->nmembers ? m->nmembers * 2 : 1, sizeof(*m->members));
		assert_non_null(m->members);
	}
	a = &m->members[m->nmembers];
	*a = (struct storm_member){ .slot = STORM_NOBODY };
	if (m->is_changing)
		a->maybe_enrolled_ns = now;
	m->alive[m->nalive++] = m->nmembers;
	return m->nmembers++;
}

void storm_model_born(struct storm_model *m, __u32 id, pid_t pid, __u64 now)
{
	m->members[id].pid = pid;
	shift(m, now);
}

void storm_model_dying(struct storm_model *m, __u32 id, __u64 now)
{
	m->members[id].dying_ns = now;
	shift(m, now);
}

void storm_model_dead(struct storm_model *m, __u32 id, __u64 now)
{
	__u32 i = 0;

	while (m->alive[i] != id)
		i++;
	m->alive[i] = m->alive[--m->nalive];
	m->members[id].dead_ns = now;
	m->last_death_ns = now;
	m->ndead++;
	shift(m, now);
}

static void order_member(struct storm_member *a, enum storm_order order, __u64 now)
{
	switch (order) {
	case STORM_DRAIN:
		if (a->standing == STORM_LIVE)
			a->standing = STORM_UNSURE;
		break;
	case STORM_UNDRAIN:
		if (a->standing != STORM_LIVE)
			a->standing = STORM_UNSURE;
		break;
	case STORM_EJECT:
		if (a->standing == STORM_EJECTED)
			break;
		a->standing = STORM_UNSURE;
		a->ejecting_ns = now;
		a->readmitted_ns = 0;
		break;
	default:
		break;
	}
}

static void forget_slots(struct storm_model *m)
{
	for (__u32 i = 0; i < m->nalive; i++) {
		struct storm_member *a = &m->members[m->alive[i]];

		a->slot = STORM_NOBODY;
		a->is_enrolled = false;
		a->maybe_enrolled_ns = 0;
		a->standing = STORM_UNSURE;
		a->ejecting_ns = 0;
	}
}

void storm_model_order(struct storm_model *m, enum storm_order order, const bool *asked, __u64 now)
{
	m->is_changing = true;
	m->windows_end_ns = m->learn_ns ? UINT64_MAX : 0;
	if (order == STORM_DETACH) {
		m->is_attached = false;
		m->is_detaching = true;
		forget_slots(m);
	} else if (!m->is_attached && !m->is_attaching) {
		m->is_attaching = true;
		m->was_attach_crossed = m->ndying;
	}
	m->is_detached = false;
	for (__u32 i = 0; i < m->nalive; i++) {
		struct storm_member *a = &m->members[m->alive[i]];

		if (!a->maybe_enrolled_ns && order != STORM_DETACH)
			a->maybe_enrolled_ns = now;
		if (a->is_enrolled && asked[a->slot])
			order_member(a, order, now);
	}
	recount(m, now);
}

void storm_model_order_over(struct storm_model *m, enum storm_order order, enum storm_outcome outcome,
			    __u64 now)
{
	m->is_changing = false;
	m->windows_end_ns = m->learn_ns ? now + m->learn_ns : 0;
	if (outcome == STORM_NO_GROUP || (order == STORM_DETACH && outcome == STORM_DONE)) {
		m->is_detached = true;
		m->is_detaching = false;
		m->is_attaching = false;
		forget_slots(m);
	}
	recount(m, now);
}

void storm_model_seen(struct storm_model *m, __u32 id, int slot, enum storm_standing standing, __u64 since,
		      __u64 now)
{
	struct storm_member *a = &m->members[id];

	a->slot = slot;
	a->is_enrolled = true;
	if (a->standing != standing || !a->standing_ns)
		a->standing_ns = since;
	a->standing = standing;
	if (standing != STORM_EJECTED && a->ejecting_ns && !a->readmitted_ns)
		a->readmitted_ns = now;
}

void storm_model_seen_all(struct storm_model *m, bool is_learning, __u64 now)
{
	for (__u32 i = 0; i < m->nalive; i++) {
		struct storm_member *a = &m->members[m->alive[i]];

		if (!a->is_enrolled)
			a->maybe_enrolled_ns = 0;
	}
	if (!is_learning && m->learn_ns)
		m->windows_end_ns = now;
	if (!m->is_attached)
		m->attached_ns = now;
	m->is_attached = true;
	m->is_attaching = false;
	m->is_detaching = false;
	recount(m, now);
}

bool storm_model_is_exposed(const struct storm_model *m)
{
	for (__u32 i = 0; i < m->nalive; i++) {
		const struct storm_member *a = &m->members[m->alive[i]];

		if (a->dying_ns && (!m->is_attached || m->attached_ns >= a->dying_ns))
			return true;
	}
	return false;
}

bool storm_model_is_bound(const struct storm_model *m, const struct storm_asked *asked)
{
	const struct storm_member *a;

	if (asked->owner == STORM_NOBODY || m->is_disturbed || m->disturbed_until_ns >= asked->owner_ns)
		return false;
	a = &m->members[asked->owner];
	return !a->dying_ns && (!a->ejecting_ns || (a->readmitted_ns && a->readmitted_ns < asked->owner_ns));
}

/* Whether who answers may be asked at all, given that a better one surely lived all the time. */
static const char *objection(const struct storm_model *m, const struct storm_asked *asked,
			     const struct storm_member *b, bool is_owner)
{
	__u64 since = asked->asked_ns;

	if (!b->maybe_enrolled_ns)
		return "it is not enrolled, and a usable slot lives";
	if (!b->is_enrolled || b->standing_ns > since)
		return NULL;
	if (b->standing == STORM_EJECTED)
		return "it is ejected, and a usable slot lives";
	if (b->standing == STORM_DRAINING && !is_owner && m->windows_end_ns <= since)
		return "it is drained and no learn window is open, but the flow is new to it";
	return NULL;
}

enum storm_verdict storm_model_judge(const struct storm_model *m, const struct storm_asked *asked, __u32 by,
				     __u64 now, const char **ret_why)
{
	const struct storm_member *b = &m->members[by];
	bool is_owner = asked->owner == (int)by;
	const char *why = NULL;

	if (by >= m->nmembers)
		why = "there is no such worker";
	else if (b->dead_ns && b->dead_ns < asked->asked_ns)
		why = "it was dead before it was asked";
	else if (m->is_attached && m->attached_ns <= asked->asked_ns && !m->is_disturbed &&
		 m->disturbed_until_ns < asked->asked_ns)
		why = objection(m, asked, b, is_owner);
	if (!why && !is_owner && storm_model_is_bound(m, asked)) {
		if (now - asked->owner_ns >= m->learn_ns)
			return STORM_TOO_SLOW;
		why = "the flow's worker lives, and nothing has taken the flow away from it";
	}
	if (!why)
		return STORM_RIGHT;
	*ret_why = why;
	return STORM_WRONG;
}

enum storm_verdict storm_model_judge_silence(const struct storm_model *m, const struct storm_asked *asked)
{
	const struct storm_member *a;

	if (asked->owner != STORM_NOBODY) {
		a = &m->members[asked->owner];
		if (a->dead_ns >= asked->asked_ns)
			return STORM_LOST;
		if (storm_model_is_bound(m, asked))
			return STORM_WAIT;
	}
	return m->last_death_ns >= asked->asked_ns ? STORM_LOST : STORM_WAIT;
}
