/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Planned changes of slots, as an operator asks for them. Pure. */
#ifndef STEADYPORT_CHANGE_H
#define STEADYPORT_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>

enum sp_change_kind {
	SP_CHANGE_DRAIN, /* no new flows, old ones stay */
	SP_CHANGE_UNDRAIN, /* new flows again, after drain or eject */
	SP_CHANGE_EJECT, /* everything leaves at once, UDP flows too */
	SP_CHANGE_RETIRE, /* forget a dead slot: its share goes to the others */
	SP_CHANGE_WEIGHT, /* another share */
};

struct sp_change {
	enum sp_change_kind kind;
	bool is_asked[SP_SLOTS_MAX];
	__u16 weight[SP_SLOTS_MAX]; /* WEIGHT: of the slots that are asked */
};

#define SP_CHANGE_WHY_LEN 160

/**
 * sp_change_parse - words to a change
 * @words: "3" or "4-7"; for WEIGHT "3=50" or "4-7=50"
 * @ret_why: on error a sentence that says what is wrong
 * Returns 0, or -EINVAL with @ret untouched.
 */
int sp_change_parse(enum sp_change_kind kind, const char *const *words, int nwords, struct sp_change *ret,
		    char ret_why[SP_CHANGE_WHY_LEN]);

/**
 * sp_change_apply - do it to the slots' records
 * @info:   SP_SLOTS_MAX records, changed in place
 * @cookie: SP_SLOTS_MAX, 0: the slot holds no socket
 * @ret_is_changed: per slot, whether its record is another now; asking for what is already so changes nothing
 * Returns 0, or -EINVAL with nothing changed and @ret_why saying which slot cannot be changed so, and why.
 */
int sp_change_apply(const struct sp_change *change, struct sp_info *info, const __u64 *cookie,
		    bool ret_is_changed[SP_SLOTS_MAX], char ret_why[SP_CHANGE_WHY_LEN]);

/* What is true of a slot afterwards: "slot 3 is ..." */
const char *sp_change_did(enum sp_change_kind kind);

#endif
