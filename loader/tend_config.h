/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A group that is steered, and how it is configured: what of it can change, and what cannot. For tend.c and its parts. */
#ifndef STEADYPORT_TEND_CONFIG_H
#define STEADYPORT_TEND_CONFIG_H

#include "endpoint.h"
#include "tend.h"

/* --- how it is steered --- */

/**
 * sp_tend_config_apply - give what is pinned all that can change without moving a flow
 * What cannot is told. Weights are left to the job, in @tended->change. Returns 0 or -errno (logged).
 */
int sp_tend_config_apply(struct sp_tended *tended);

/* --- where it is steered --- */

/* True if the endpoint that is configured is this place. */
bool sp_tend_config_is_place(const struct sp_tended *tended, const struct sp_ctl *ctl);

/* Returns 0, or -EEXIST (logged) when the name is steered elsewhere. Follows a network namespace that was made anew. */
int sp_tend_config_check_place(struct sp_tended *tended, const struct sp_groups *groups);

/* A configuration that has come since @before and names another place is refused that, with a message. */
void sp_tend_config_keep_place(struct sp_tended *tended, const struct sp_config_group *before,
			       const char *path);

/* "tcp:127.0.0.1:8080" */
void sp_tend_config_format_place(const struct sp_ctl *ctl, char buf[SP_ENDPOINT_STRLEN]);

#endif
