/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a look at a configured group shows. For tend.c and its parts. */
#ifndef STEADYPORT_TEND_LOOK_H
#define STEADYPORT_TEND_LOOK_H

#include "tend.h"

/* Notes the configured network namespace as it is now, if it is there. Costs a stat() unless it was made anew. */
void sp_tend_look_find_netns(struct sp_tended *tended);

/* Returns the one group of the kernel's that is meant, or NULL. @ret_fit: 0, 1 or 2 as in struct sp_tend_look */
const struct sp_group *sp_tend_look_find_group(const struct sp_tended *tended, const struct sp_groups *groups,
					       __u32 *ret_fit);

/* True while its open connections are counted. */
bool sp_tend_look_is_counting(const struct sp_tended *tended);

/* All that the next look is compared with. */
struct sp_tend_look sp_tend_look_take(const struct sp_tended *tended, const char *bpffs,
				      const struct sp_groups *groups);

#endif
