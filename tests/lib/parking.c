// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon's part of parking, played by a test. */
#include "parking.h"

#include <fcntl.h>
#include <unistd.h>
#include "group.h"
#include "members.h"
#include "steer.h"

enum sp_park_action sp_parking_pass_seeing(struct sp_fixture *fx, struct sp_park *park, bool is_attached,
					   __u32 live)
{
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autoclose int lock = -1;
	enum sp_park_action action;
	__u32 id;

	sp_fixture_look(fx);
	require_ok(sp_pin_lock(SP_FIXTURE_BPFFS, &lock));
	require_ok(sp_steer_program_id(&fx->pins, &id));
	require_ok(sp_members_scan(0, &groups));
	action = sp_park_update(park, &fx->pins, sp_group_at(groups, &fx->state->ctl, id), is_attached, live);
	sp_fixture_look(fx);
	return action;
}

enum sp_park_action sp_parking_pass(struct sp_fixture *fx, struct sp_park *park)
{
	return sp_parking_pass_seeing(fx, park, true, fx->result.live);
}

struct sp_park *sp_parking_new(__u64 patience_ns)
{
	struct sp_park *park;

	require_ok(sp_park_new(SP_FIXTURE_NAME, SP_TCP, patience_ns, &park));
	return park;
}

void sp_require_parking(struct sp_fixture *fx, const struct sp_park *park, __u32 waiting)
{
	const struct sp_info *info = &fx->state->info[SP_SLOT_PARK];

	assert_true(sp_park_fd(park) >= 0);
	assert_int_equal(fcntl(sp_park_fd(park), F_GETFD), FD_CLOEXEC);
	assert_int_equal(info->state, SP_SLOT_PARKED);
	assert_int_equal(info->pid, getpid());
	assert_int_equal(info->cookie, sp_fixture_cookie(sp_park_fd(park)));
	assert_int_equal(fx->state->cookie[SP_SLOT_PARK], info->cookie);
	assert_int_equal(sp_park_waiting(park), waiting);
}

void sp_require_no_parking(struct sp_fixture *fx, const struct sp_park *park)
{
	sp_fixture_look(fx);
	assert_int_equal(sp_park_fd(park), -1);
	assert_int_equal(sp_park_waiting(park), 0);
	assert_int_equal(sp_park_next_ns(park), 0);
	assert_int_equal(fx->state->info[SP_SLOT_PARK].state, SP_SLOT_FREE);
	assert_int_equal(fx->state->cookie[SP_SLOT_PARK], 0);
}

void sp_require_all_from(struct sp_fixture *fx, struct sp_flow_set *set, __u32 id)
{
	sp_fixture_answers(fx, set);
	assert_int_equal(sp_fixture_count(set, id), set->count);
}

struct sp_flow_set *sp_parking_queue(struct sp_fixture *fx)
{
	bool before = fx->is_paused;
	struct sp_flow_set *set;

	fx->is_paused = true;
	set = sp_fixture_flows(fx, SP_PARKING_CONNECTIONS);
	fx->is_paused = before;
	return set;
}

struct sp_flow_set *sp_parking_handover(struct sp_fixture *fx, struct sp_park *park, __u32 *ret_worker)
{
	struct sp_flow_set *set;

	sp_fixture_attach(fx);
	assert_int_equal(sp_parking_pass(fx, park), SP_PARK_OPEN);
	sp_fixture_kill(fx, 0);
	set = sp_parking_queue(fx);
	*ret_worker = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_require_parking(fx, park, SP_PARKING_CONNECTIONS);
	return set;
}
