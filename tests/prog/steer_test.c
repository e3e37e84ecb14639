// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One packet's way through the program: every arrow of the algorithm outside the learn window. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include "fixture.h"
#include "kernel.h"

#define FLOWS 400
#define WORKERS 4

static void attach_and_settle(struct sp_fixture *fx)
{
	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
}

/* Puts this view in force, in a place that no view in force has. */
static void publish(struct sp_fixture *fx, const struct sp_view *view)
{
	const struct sp_view *current = sp_state_current(fx->state);
	__u32 index = 0;

	while (index == fx->state->ctl.current || index == current->prev)
		index++;
	assert_int_equal(sp_state_write_view(&fx->pins, index, view), 0);
	assert_int_equal(sp_state_publish(&fx->pins, index), 0);
	sp_fixture_look(fx);
}

static void set_all_owners(struct sp_view *view, __u16 owner)
{
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		view->owner[b] = owner;
}

static void steer__i7_steady_state__kernel_and_user_space_choose_alike(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	attach_and_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	sp_require_spread(fx, set);
	for (__u32 id = 0; id < WORKERS; id++)
		sp_require_asked(fx, sp_fixture_row(fx, sp_fixture_slot(fx, id), steered),
				 sp_fixture_count(set, id));
	sp_require_asked(fx, sp_fixture_sum(fx, steered), FLOWS);
	assert_int_equal(sp_fixture_sum(fx, unreadable), 0);
	assert_int_equal(sp_fixture_kept(fx), 0);
}

static bool is_old;

void __real_sp_kernel_ask(struct sp_kernel_offer *ret);
void __wrap_sp_kernel_ask(struct sp_kernel_offer *ret);

void __wrap_sp_kernel_ask(struct sp_kernel_offer *ret)
{
	__real_sp_kernel_ask(ret);
	if (is_old)
		*ret = (struct sp_kernel_offer){ 0 };
}

/* Linux before 6.2 reads packets in another way; of what they hash to, nothing may depend on it. */
static void steer__i7_an_older_kernel__kernel_and_user_space_choose_alike(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	is_old = true;
	attach_and_settle(fx);
	is_old = false;
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	sp_require_asked(fx, sp_fixture_sum(fx, steered), FLOWS);
	assert_int_equal(sp_fixture_sum(fx, unreadable), 0);
}

/* A bucket is the work of the kernel's hash here: the same four numbers come to the same worker. */
static void steer__kernel_hash__steers_every_flow_to_one_worker(struct sp_fixture *fx)
{
	struct sp_flow_set *set;

	attach_and_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_spread(fx, set);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_require_asked(fx, sp_fixture_sum(fx, steered), 2 * FLOWS);
}

static void steer__one_port_over_both_families__each_hashes_as_what_it_is(struct sp_fixture *fx)
{
	struct sp_address other;
	struct sp_flow_set *set;

	attach_and_settle(fx);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_lab_address(fx->target.family == AF_INET ? "::1" : "127.0.0.1", &other), 0);
	fx->target = other;
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	sp_require_asked(fx, sp_fixture_sum(fx, steered), 2 * FLOWS);
}

static void steer__i3_every_probe_meets_a_dead_slot__scan_finds_a_usable_one(struct sp_fixture *fx)
{
	sp_autofree struct sp_view *view = malloc(sizeof(*view));
	struct sp_flow_set *set;
	__u32 dead;

	assert_non_null(view);
	attach_and_settle(fx);
	*view = *sp_state_current(fx->state);
	dead = sp_fixture_slot(fx, 1);
	set_all_owners(view, dead);
	publish(fx, view);
	sp_fixture_kill(fx, 1);

	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	/* Whom the scan has found may have more to do than another. */
	sp_require_asked(fx,
			 sp_fixture_sum(fx, scanned) +
				 (sp_fixture_goes_by_hash(fx) ? 0 : sp_fixture_sum(fx, placed)),
			 FLOWS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
	assert_true(sp_fixture_row(fx, dead, empty) >= FLOWS * SP_PROBES);
	for (__u32 id = 0; id < WORKERS; id++)
		assert_int_equal(sp_fixture_count(set, id) > 0, id != 1);
}

static void steer__i3_nothing_usable_is_live__a_slot_that_is_not_usable_takes_it(struct sp_fixture *fx)
{
	sp_autofree struct sp_view *view = malloc(sizeof(*view));
	struct sp_flow_set *set;
	__u32 unusable;

	assert_non_null(view);
	attach_and_settle(fx);
	*view = *sp_state_current(fx->state);
	unusable = sp_fixture_slot(fx, 3);
	view->usable[unusable / 64] &= ~(1ULL << (unusable % 64));
	publish(fx, view);

	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_count(set, 3), 0);
	assert_true(sp_fixture_sum(fx, rerouted) > 0);
	for (__u32 id = 0; id < 3; id++)
		sp_fixture_kill(fx, id);
	sp_fixture_round(fx, set);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_count(set, 3), FLOWS);
	sp_require_asked(fx, sp_fixture_row(fx, unusable, scanned), FLOWS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void steer__i3_no_slot_is_usable__scan_takes_any_that_lives(struct sp_fixture *fx)
{
	sp_autofree struct sp_view *view = malloc(sizeof(*view));
	struct sp_flow_set *set;

	assert_non_null(view);
	attach_and_settle(fx);
	*view = *sp_state_current(fx->state);
	memset(view->usable, 0, sizeof(view->usable));
	publish(fx, view);
	sp_fixture_kill(fx, 0);

	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	sp_require_asked(fx, sp_fixture_sum(fx, scanned), FLOWS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void steer__owner_table_names_garbage__flows_go_to_live_slots(struct sp_fixture *fx)
{
	static const __u16 garbage[] = { SP_SLOTS_MAX, SP_SLOTS_MAX - 1, SP_SLOT_NONE, SP_SLOT_NONE - 1,
					 0x8000 };
	sp_autofree struct sp_view *view = malloc(sizeof(*view));
	struct sp_flow_set *set;

	assert_non_null(view);
	attach_and_settle(fx);
	*view = *sp_state_current(fx->state);
	memset(view->usable, 0xff, sizeof(view->usable));
	/* One entry in eight is left as it was. */
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		if (b % 8)
			view->owner[b] = garbage[b % SP_ARRAY_SIZE(garbage)];
	publish(fx, view);

	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
	assert_true(sp_fixture_sum(fx, steered) > 0);
	assert_true(sp_fixture_sum(fx, rerouted) > 0);

	memset(view->usable, 0, sizeof(view->usable));
	publish(fx, view);
	sp_fixture_round(fx, set);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void require_left_to_kernel(struct sp_fixture *fx, struct sp_flow_set *set)
{
	__u64 before = sp_fixture_row(fx, sp_state_counter_slots(&fx->pins), unselected);

	sp_fixture_round(fx, set);
	for (size_t i = 0; i < set->count; i++)
		assert_in_range(set->owners[i], 0, WORKERS - 1);
	sp_require_asked(fx, sp_fixture_row(fx, sp_state_counter_slots(&fx->pins), unselected),
			 before + set->count);
}

static void steer__view_has_no_slots__kernel_decides(struct sp_fixture *fx)
{
	sp_autofree struct sp_view *view = malloc(sizeof(*view));
	struct sp_flow_set *set;

	assert_non_null(view);
	attach_and_settle(fx);
	*view = *sp_state_current(fx->state);
	set = sp_fixture_flows(fx, FLOWS);
	set_all_owners(view, SP_SLOT_NONE);
	view->nslots = 0;
	publish(fx, view);
	require_left_to_kernel(fx, set);
}

static void steer__views_are_damaged__every_flow_is_answered(struct sp_fixture *fx)
{
	sp_autofree struct sp_view *view = malloc(sizeof(*view));
	struct sp_flow_set *set;

	assert_non_null(view);
	attach_and_settle(fx);
	*view = *sp_state_current(fx->state);
	set = sp_fixture_flows(fx, FLOWS);
	assert_int_equal(sp_state_publish(&fx->pins, SP_VIEWS), 0);
	require_left_to_kernel(fx, set);
	assert_int_equal(sp_state_publish(&fx->pins, SP_VIEW_NONE), 0);
	require_left_to_kernel(fx, set);
	assert_int_equal(sp_state_publish(&fx->pins, fx->state->ctl.current), 0);

	set_all_owners(view, SP_SLOT_NONE);
	view->nslots = 0xffffffff;
	view->prev = 77;
	view->learn_until_ns = -1ULL;
	memset(view->moving, 0xff, sizeof(view->moving));
	publish(fx, view);
	sp_fixture_round(fx, set);
	for (size_t i = 0; i < set->count; i++)
		assert_in_range(set->owners[i], 0, WORKERS - 1);
}

/* A socket of this process on a port of its own; a listening one for TCP. */
static int open_stranger(struct sp_fixture *fx, int family, int type)
{
	int fd = sp_fixture_own(fx, socket(family, type | SOCK_CLOEXEC, 0)), one = 1;
	struct sockaddr_storage own = { .ss_family = family };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own,
			      family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)),
			 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void steer__slots_hold_sockets_of_others__each_refusal_is_counted(struct sp_fixture *fx)
{
	const int type = fx->protocol == SP_TCP ? SOCK_STREAM : SOCK_DGRAM;
	const int other_type = fx->protocol == SP_TCP ? SOCK_DGRAM : SOCK_STREAM;
	const int family = fx->address.family, other_family = family == AF_INET ? AF_INET6 : AF_INET;
	const int strangers[] = {
		open_stranger(fx, family, type),
		open_stranger(fx, family, other_type),
		open_stranger(fx, other_family, type),
	};
	sp_autofree struct sp_view *view = malloc(sizeof(*view));
	struct sp_flow_set *set;

	assert_non_null(view);
	attach_and_settle(fx);
	*view = *sp_state_current(fx->state);
	for (__u32 i = 0; i < SP_ARRAY_SIZE(strangers); i++) {
		__u32 slot = 10 + i;
		__u64 value = strangers[i];

		assert_int_equal(bpf_map_update_elem(fx->pins.slots, &slot, &value, BPF_ANY), 0);
		view->usable[0] |= 1ULL << slot;
	}
	view->nslots = 10 + SP_ARRAY_SIZE(strangers);
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		if (b % 4 != 3)
			view->owner[b] = 10 + b % 4;
	publish(fx, view);

	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
	assert_true(sp_fixture_row(fx, 10, other_group) > 0);
	assert_true(sp_fixture_row(fx, 11, wrong_type) > 0);
	assert_true(sp_fixture_row(fx, 12, wrong_type) > 0);
	assert_int_equal(sp_fixture_sum(fx, other_group), sp_fixture_row(fx, 10, other_group));
	assert_int_equal(sp_fixture_sum(fx, refused), 0);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__i7_steady_state__kernel_and_user_space_choose_alike, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_ALL, .workers = WORKERS),
		SP_CASE(steer__i7_an_older_kernel__kernel_and_user_space_choose_alike,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4 | SP_PLACE_V6 | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
		SP_CASE(steer__kernel_hash__steers_every_flow_to_one_worker, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4 | SP_PLACE_DUAL_V6, .workers = WORKERS, .hash = SP_HASH_KERNEL),
		SP_CASE(steer__one_port_over_both_families__each_hashes_as_what_it_is,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_DUAL_V4, .workers = WORKERS),
		SP_CASE(steer__i3_every_probe_meets_a_dead_slot__scan_finds_a_usable_one,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__i3_nothing_usable_is_live__a_slot_that_is_not_usable_takes_it,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(steer__i3_no_slot_is_usable__scan_takes_any_that_lives, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__owner_table_names_garbage__flows_go_to_live_slots, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__view_has_no_slots__kernel_decides, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__views_are_damaged__every_flow_is_answered, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(steer__slots_hold_sockets_of_others__each_refusal_is_counted,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4 | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
	};

	return sp_fixture_main("steer", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
