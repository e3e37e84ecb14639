// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The capabilities of this process, and what each is for. */
#include "privilege.h"

#include <sys/syscall.h>
#include <unistd.h>
#include "log.h"

#define LOW_PORT 1024 /* net.ipv4.ip_unprivileged_port_start, unless somebody has changed it */

enum where {
	NETNS,
	UNIT,
};

const struct sp_privilege_facts sp_privileges[SP_PRIVILEGES] = {
#define SP_PRIVILEGE(name, where, use, without) { "CAP_" #name, CAP_##name, where == UNIT, use, without },
#include "privileges.def"
#undef SP_PRIVILEGE
};

bool sp_privilege_has(enum sp_privilege privilege)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	unsigned int cap = sp_privileges[privilege].cap;

	if (syscall(SYS_capget, &header, data) < 0)
		return true;
	return data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

static bool is_needed(enum sp_privilege privilege, const struct sp_config_group *group)
{
	switch (privilege) {
	case SP_PRIVILEGE_NET_ADMIN:
		return group->endpoint.protocol == SP_UDP;
	case SP_PRIVILEGE_SETUID:
		return group->park_ns;
	case SP_PRIVILEGE_NET_BIND_SERVICE:
		return group->park_ns && group->endpoint.port < LOW_PORT;
	case SP_PRIVILEGE_SYS_ADMIN:
		return group->netns[0];
	default:
		return true;
	}
}

const struct sp_config_group *sp_privilege_needed_by(enum sp_privilege privilege,
						     const struct sp_config *config)
{
	for (size_t i = 0; i < config->ngroups; i++)
		if (is_needed(privilege, &config->groups[i]))
			return &config->groups[i];
	return NULL;
}

void sp_privilege_warn(const struct sp_config *config)
{
	for (int i = 0; i < SP_PRIVILEGES; i++) {
		const struct sp_config_group *group = sp_privilege_needed_by(i, config);

		/* CAP_SYS_ADMIN implies both, see bpf_capable() and perfmon_capable(); without any of them it does not start. */
		if (i == SP_PRIVILEGE_BPF || i == SP_PRIVILEGE_PERFMON || !group || sp_privilege_has(i))
			continue;
		sp_warn("%s is missing: %s needs it for %s; without it %s", sp_privileges[i].name,
			group->name, sp_privileges[i].use, sp_privileges[i].without);
		sp_hint("run it as root, or with CapabilityBoundingSet=%s in its unit%s",
			sp_privileges[i].name, sp_privileges[i].is_in_unit ? "" : " (netns.conf does that)");
	}
}
