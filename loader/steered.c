// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What every command that changes a steered group does. */
#include "log.h"
#include "state.h"
#include "steer.h"
#include "steered.h"
#include "swap.h"

int sp_steered_reconcile(const char *bpffs, struct sp_pins *pins, const struct sp_reconcile_options *options,
			 struct sp_reconcile_result *ret_result)
{
	bool was_attached;
	int err;

	err = sp_swap_complete(bpffs, pins);
	err = err ?: sp_reconcile(pins, options, ret_result);
	if (err || ret_result->nslots <= sp_state_counter_slots(pins))
		return err;
	/* Until then the new slots were counted in the group's row. */
	sp_note("%s: slot %u needs counters of its own: replacing the program", pins->name,
		ret_result->nslots - 1);
	err = sp_swap(bpffs, pins, ret_result->nslots, &was_attached);
	return err ?: sp_steer_program_id(pins, &ret_result->program_id);
}

static const char *plural(__u32 count)
{
	return count == 1 ? "" : "s";
}

void sp_steered_warn(const char *name, const struct sp_reconcile_result *result)
{
	if (result->out_of_reach) {
		sp_warn("%u member%s of %s cannot be reached: no traffic goes there", result->out_of_reach,
			plural(result->out_of_reach), name);
		sp_hint("run it as root in the host's pid namespace");
	}
	if (result->taken) {
		sp_warn("%u member%s of %s in another BPF sockarray: no traffic goes there", result->taken,
			plural(result->taken), name);
		sp_hint("bpftool map show lists them and who has them open");
	}
	if (result->outside) {
		sp_warn("%u socket%s on the address of %s may take its packets: outside the group",
			result->outside, plural(result->outside), name);
		sp_hint("see whose: steadyport status %s", name);
	}
}
