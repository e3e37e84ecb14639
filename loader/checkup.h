/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The facts that findings are made from, gathered: of this machine, and of a group that is watched for a while. */
#ifndef STEADYPORT_CHECKUP_H
#define STEADYPORT_CHECKUP_H

#include "findings.h"
#include "target.h"

/* What can be told without looking into the kernel; takes some milliseconds, for it tries the wake-up. */
void sp_checkup_machine(const char *bpffs, struct sp_machine_facts *ret);

/* A group between two looks. */
struct sp_checkup {
	const char *bpffs, *netns, *word; /* of the command line */
	struct sp_target before;
	__u64 started_ns;
	struct sp_counters *rows; /* of a steered group, at the first look */
	__u32 nrows;
};

/**
 * sp_checkup_start - the first look at a group
 * @word: as for sp_target_find(), whose errors it returns. To be freed in any case.
 */
int sp_checkup_start(const char *bpffs, const char *netns, const char *word, struct sp_checkup *ret);

/* The second look, and what has happened between them. Returns 0 or -errno (logged). @ret is to be freed in any case. */
int sp_checkup_end(const struct sp_checkup *checkup, struct sp_group_facts *ret);

void sp_checkup_free(struct sp_checkup *checkup);

#endif
