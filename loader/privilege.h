/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The capabilities of this process, and what each is for. */
#ifndef STEADYPORT_PRIVILEGE_H
#define STEADYPORT_PRIVILEGE_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include "config.h"

/* Those of privileges.def, in its order. */
enum sp_privilege {
#define SP_PRIVILEGE(name, where, use, without) SP_PRIVILEGE_##name,
#include "privileges.def"
#undef SP_PRIVILEGE
	SP_PRIVILEGES,
};

struct sp_privilege_facts {
	const char *name; /* "CAP_BPF" */
	unsigned int cap;
	bool is_in_unit; /* packaging/steadyport.service has it */
	const char *use;
	const char *without;
};

extern const struct sp_privilege_facts sp_privileges[SP_PRIVILEGES];

/* True when this process has it, or when that cannot be told: then the kernel answers later. */
bool sp_privilege_has(enum sp_privilege privilege);

/* The first group that needs it, or NULL. Pure. */
const struct sp_config_group *sp_privilege_needed_by(enum sp_privilege privilege,
						     const struct sp_config *config);

/* Logs a warning for each that some group needs and this process has not: what will not work, and what to do. */
void sp_privilege_warn(const struct sp_config *config);

#endif
