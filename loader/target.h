/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* NAME|ENDPOINT: a group that is named either by what it is steered as, or by where it listens. */
#ifndef STEADYPORT_TARGET_H
#define STEADYPORT_TARGET_H

#include "members.h"
#include "pin.h"

struct sp_target {
	char name[SP_NAME_MAX + 1]; /* it is steered as; empty: it is not */
	struct sp_groups *groups; /* a scan, with all sockets of the group's port */
	const struct sp_group *
		group; /* in that scan; NULL: no visible process holds a member, or the pins cannot be read */
};

/**
 * sp_target_find - the group that a word of the command line names
 * @word:  a NAME, or an ENDPOINT if it has a colon
 * @netns: of an ENDPOINT: a process id or a path, NULL: our own
 * Returns 0; -EINVAL (logged) when it can be neither; -ENOENT (logged) when there is none, -EEXIST (logged) when there
 * are several; other -errno (logged). To be freed in any case.
 */
int sp_target_find(const char *bpffs, const char *netns, const char *word, struct sp_target *ret);
void sp_target_free(struct sp_target *target);
#define sp_autotarget __attribute__((cleanup(sp_target_free)))

/*
 * The NAME that steers a group: whose program it runs, else the one that was made for this place. Its pins may be of
 * any version. An empty one: none. Returns 0 or -errno (logged).
 */
int sp_target_name_of(const char *bpffs, const struct sp_group *group, char ret_name[SP_NAME_MAX + 1]);

/*
 * Where NAME's group listens, and the ABI version of its pins, whatever that is. Returns 0; -ENOENT (not logged) when
 * there is no such NAME; -EPROTO (not logged) when what is there cannot be read.
 */
int sp_target_place(const char *bpffs, const char *name, struct sp_ctl *ret_ctl, __u32 *ret_abi);

#endif
