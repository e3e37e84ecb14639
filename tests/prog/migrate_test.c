// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections that wait in a listener when it closes, and what user space is told about it. */
#include <errno.h>
#include <string.h>
#include <bpf/libbpf.h>
#include "fixture.h"

#define CONNECTIONS 400
#define WORKERS 4
#define EVENTS_MAX 2048

struct events {
	struct ring_buffer *ring;
	struct sp_event list[EVENTS_MAX];
	size_t count;
};

static int note_event(void *ctx, void *data, size_t size)
{
	struct events *events = ctx;

	if (size < sizeof(struct sp_event) || events->count == EVENTS_MAX)
		return -ENOSPC;
	memcpy(&events->list[events->count++], data, sizeof(struct sp_event));
	return 0;
}

/* All that has not been read before; events are submitted before the packet that caused them goes on. */
static struct events *read_events(struct sp_fixture *fx)
{
	struct events *events = calloc(1, sizeof(*events));
	int err;

	assert_non_null(events);
	events->ring = ring_buffer__new(fx->pins.events, note_event, events, NULL);
	assert_non_null(events->ring);
	err = ring_buffer__consume(events->ring);
	ring_buffer__free(events->ring);
	assert_true(err >= 0);
	return events;
}

static size_t count_events(const struct events *events, enum sp_event_kind kind, __u32 slot,
			   __u32 incarnation)
{
	size_t n = 0;

	for (size_t i = 0; i < events->count; i++) {
		const struct sp_event *e = &events->list[i];

		n += e->kind == kind && e->slot == slot && e->incarnation == incarnation;
	}
	return n;
}

static __u32 waiting_in_all(struct sp_fixture *fx)
{
	__u32 sum = 0;

	for (__u32 id = 0; id < fx->nworkers; id++)
		if (!fx->is_dead[id])
			sum += sp_fixture_waiting(fx, id);
	return sum;
}

static void require_one_event_each(struct sp_fixture *fx)
{
	sp_autofree struct events *events = read_events(fx);
	size_t migrated = 0;

	for (__u32 id = 0; id < WORKERS; id++) {
		__u32 slot = sp_fixture_slot(fx, id);
		size_t told =
			count_events(events, SP_EVENT_MIGRATED, slot, fx->state->info[slot].incarnation);

		assert_int_equal(told, sp_fixture_row(fx, slot, migrated));
		migrated += told;
		assert_true(count_events(events, SP_EVENT_EMPTY, slot, fx->state->info[slot].incarnation) <=
			    fx->is_dead[id]);
	}
	assert_int_equal(migrated, sp_fixture_sum(fx, migrated));
	for (size_t i = 0; i < events->count; i++)
		assert_in_range(events->list[i].time_ns, 1, sp_now_ns());
	assert_int_equal(sp_fixture_sum(fx, events_lost), 0);
}

static void
steer__i1_listener_killed_with_connections_waiting__all_are_answered_by_others(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 queued;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	assert_int_equal(waiting_in_all(fx), CONNECTIONS);
	queued = sp_fixture_waiting(fx, 1);
	assert_true(queued > 0);
	sp_fixture_kill(fx, 1);
	assert_int_equal(sp_fixture_sum(fx, migrated), queued);
	assert_int_equal(waiting_in_all(fx), CONNECTIONS);

	/* Where the SYN would go now: both calls of the program hash alike. */
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	sp_require_agreement(fx, set);
	sp_require_asked(fx, sp_fixture_sum(fx, steered), CONNECTIONS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
	require_one_event_each(fx);
}

static void steer__listeners_killed_one_after_another__connections_migrate_again(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 queued = 0;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	for (__u32 dead = 0; dead < WORKERS - 1; dead++) {
		queued += sp_fixture_waiting(fx, dead);
		sp_fixture_kill(fx, dead);
		assert_int_equal(sp_fixture_sum(fx, migrated), queued);
		assert_int_equal(waiting_in_all(fx), CONNECTIONS);
	}
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, WORKERS - 1), CONNECTIONS);
	require_one_event_each(fx);
}

static void steer__listener_closed_by_a_process_that_lives__connections_migrate(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 queued;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	queued = sp_fixture_waiting(fx, 2);
	assert_int_equal(sp_lab_close(&fx->workers[2]), 0);
	assert_int_equal(sp_fixture_sum(fx, migrated), queued);
	sp_lab_kill(&fx->workers[2]);
	fx->is_dead[2] = true;
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	sp_require_agreement(fx, set);
	require_one_event_each(fx);
}

/* The slot is dead, a newcomer takes it, and what waits elsewhere stays there. */
static void steer__newcomer_takes_the_slot__waiting_connections_stay(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 newcomer, elsewhere = 0;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	sp_fixture_kill(fx, 3);
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(sp_fixture_waiting(fx, newcomer), 0);
	for (__u32 id = 0; id < 3; id++)
		elsewhere += sp_fixture_waiting(fx, id);
	assert_int_equal(elsewhere, CONNECTIONS);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, newcomer), 0);
	for (size_t i = 0; i < set->count; i++)
		assert_in_range(set->owners[i], 0, 2);
}

/*
 * User space cannot compute the kernel's hash; a new connection with the same four numbers has it, too.
 * Not so where the listener is bound to any address: for a SYN inet_lookup_listener() hashes that
 * address, for the connection inet_ehashfn() the real one.
 */
static void steer__kernel_hash__migrated_connection_lands_where_its_syn_would(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 queued;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	queued = sp_fixture_waiting(fx, 0);
	assert_in_range(queued, 1, CONNECTIONS / 2);
	sp_fixture_kill(fx, 0);
	assert_int_equal(sp_fixture_sum(fx, migrated), queued);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_count_before(set, 0), 0);
	require_one_event_each(fx);
}

static void steer__kernel_hash_and_any_address__all_are_answered_by_others(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 queued;

	sp_fixture_attach(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	queued = sp_fixture_waiting(fx, 0);
	assert_in_range(queued, 1, CONNECTIONS / 2);
	sp_fixture_kill(fx, 0);
	assert_int_equal(sp_fixture_sum(fx, migrated), queued);
	sp_fixture_resume(fx);
	sp_fixture_answers(fx, set);
	for (size_t i = 0; i < set->count; i++)
		assert_in_range(set->owners[i], 1, WORKERS - 1);
	require_one_event_each(fx);
}

static void event__slot_found_empty__is_told_once_in_each_life(struct sp_fixture *fx)
{
	struct sp_flow_set *set;
	__u32 slot, victim = 1, incarnation;

	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	set = sp_fixture_flows(fx, CONNECTIONS);
	slot = sp_fixture_slot(fx, victim);
	incarnation = fx->state->info[slot].incarnation;
	for (__u32 life = 0; life < 3; life++) {
		struct events *events;

		sp_fixture_kill(fx, victim);
		sp_fixture_round(fx, set);
		sp_fixture_round(fx, set);
		events = read_events(fx);
		assert_int_equal(count_events(events, SP_EVENT_EMPTY, slot, incarnation + life), 1);
		assert_int_equal(events->count, 1);
		free(events);
		sp_fixture_look(fx);
		assert_int_equal(fx->state->info[slot].empty_seen, incarnation + life);

		victim = sp_fixture_join(fx);
		sp_fixture_sync(fx);
		/* What waits for the newcomer is not kept from it by the flows that are known. */
		sp_fixture_settle(fx);
		assert_int_equal(sp_fixture_slot(fx, victim), slot);
	}
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__i1_listener_killed_with_connections_waiting__all_are_answered_by_others,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_ALL, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(steer__listeners_killed_one_after_another__connections_migrate_again,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(steer__listener_closed_by_a_process_that_lives__connections_migrate,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4, .workers = WORKERS,
			.is_paused = true),
		SP_CASE(steer__newcomer_takes_the_slot__waiting_connections_stay, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4, .workers = WORKERS, .is_paused = true),
		SP_CASE(steer__kernel_hash__migrated_connection_lands_where_its_syn_would,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS,
			.is_paused = true, .hash = SP_HASH_KERNEL),
		SP_CASE(steer__kernel_hash_and_any_address__all_are_answered_by_others,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_DUAL_V4, .workers = WORKERS,
			.is_paused = true, .hash = SP_HASH_KERNEL),
		SP_CASE(event__slot_found_empty__is_told_once_in_each_life, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = WORKERS),
	};

	return sp_fixture_main("migrate", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
