/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an operator must agree to before a group that does not run our program is given it: --replace. */
#ifndef STEADYPORT_TAKEOVER_H
#define STEADYPORT_TAKEOVER_H

#include <steadyport/abi.h>
#include "members.h"

/**
 * sp_takeover_refuse - is it somebody else's by now?
 * @ctl: of the steered group NAME
 * @group: at its place, without its program
 * Returns 0, or -EBUSY (logged, with the next step) if the group runs another program or is another user's.
 */
int sp_takeover_refuse(const char *name, const struct sp_ctl *ctl, const struct sp_group *group);

#endif
