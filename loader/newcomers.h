/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Members of a steered group that are in no slot yet: which of them can be put in one, and why others cannot. */
#ifndef STEADYPORT_NEWCOMERS_H
#define STEADYPORT_NEWCOMERS_H

#include <stdbool.h>
#include <stddef.h>
#include "members.h"
#include "state.h"

struct sp_newcomers {
	const struct sp_member **members; /* that can be enrolled, in the kernel's order */
	size_t count;
	const struct sp_member **taken; /* in another sockarray, and it stays so */
	size_t ntaken;
	__u32 unseen; /* held by no process that is visible from here */
	__u32 forbidden; /* held by processes that may not be looked into */
};

/**
 * sp_newcomers_find - who is new
 * @is_replaced: the program that the group runs will be replaced: what its own sockarray holds is free then
 * Whether a socket can be had is tried now, before anything changes. Returns 0 or -errno (logged).
 * @ret_newcomers is to be freed, and refers to @group.
 */
int sp_newcomers_find(const struct sp_state *state, const struct sp_group *group, bool is_replaced,
		      struct sp_newcomers *ret_newcomers);
void sp_newcomers_free(struct sp_newcomers *newcomers);
#define sp_autonewcomers __attribute__((cleanup(sp_newcomers_free)))

/**
 * sp_newcomers_refuse - say why not all can be enrolled, and what to do
 * @has_others: some can be, so that it is possible to go on without these
 * There must be something to refuse. Returns -EPERM or -EBUSY (logged).
 */
int sp_newcomers_refuse(const struct sp_newcomers *newcomers, const struct sp_group *group, bool has_others);

#endif
