/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections that stay open, and how many of them each worker has by the count of the kernel's side. */
#ifndef STEADYPORT_TESTS_ACTIVE_H
#define STEADYPORT_TESTS_ACTIVE_H

#include "fixture.h"

/* New connections, accepted at once and open until sp_active_end(). */
struct sp_flow_set *sp_active_open(struct sp_fixture *fx, size_t count);
void sp_active_end(struct sp_fixture *fx, struct sp_flow_set *set);

/* The worker has so many. Waits for that, as a worker that has closed is ahead of what its socket does next. */
void sp_active_require(struct sp_fixture *fx, __u32 id, __u32 expected);

#endif
