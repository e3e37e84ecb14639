/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The daemon's part of parking, played by a test of the fixture's. Each function ends the case when it fails. */
#ifndef STEADYPORT_TESTS_PARKING_H
#define STEADYPORT_TESTS_PARKING_H

#include "fixture.h"
#include "park.h"

#define SP_PARKING_CONNECTIONS 100 /* of one sp_parking_queue() */
#define SP_PARKING_PATIENCE_NS (3600 * 1000000000ULL) /* no case outlives it */

struct sp_park *sp_parking_new(__u64 patience_ns);

/* Under the lock: a scan, and sp_park_update(). After sp_fixture_attach() or sp_fixture_sync(). */
enum sp_park_action sp_parking_pass(struct sp_fixture *fx, struct sp_park *park);
/* The same for a daemon that sees something else. */
enum sp_park_action sp_parking_pass_seeing(struct sp_fixture *fx, struct sp_park *park, bool is_attached,
					   __u32 live);

/* Connections that nobody answers yet. */
struct sp_flow_set *sp_parking_queue(struct sp_fixture *fx);

/*
 * For a group of one worker: it has died, connections wait in the parking socket, and the next worker is enrolled; the
 * daemon has yet to hand them over.
 */
struct sp_flow_set *sp_parking_handover(struct sp_fixture *fx, struct sp_park *park, __u32 *ret_worker);

/* It is open, known for what it is, and so many connections wait in it; or it is not. */
void sp_require_parking(struct sp_fixture *fx, const struct sp_park *park, __u32 waiting);
void sp_require_no_parking(struct sp_fixture *fx, const struct sp_park *park);

/* That worker has answered all of them. */
void sp_require_all_from(struct sp_fixture *fx, struct sp_flow_set *set, __u32 id);

#endif
