/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `top` looks at: a steered group to a sample. */
#ifndef STEADYPORT_TOP_LOOK_H
#define STEADYPORT_TOP_LOOK_H

#include "members.h"
#include "top_model.h"

/**
 * sp_top_look - read a steered group
 * @groups: a scan, of now or of a while ago: it tells owners, queues and drops
 * Returns 0; -ENOENT (logged) when NAME is not steered; other -errno (logged).
 */
int sp_top_look(const char *bpffs, const char *name, const struct sp_groups *groups,
		struct sp_top_sample *ret_sample);

#endif
