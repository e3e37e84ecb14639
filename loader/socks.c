// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Addresses of a group's members, for the steering program. */
#include <errno.h>
#include <bpf/bpf.h>
#include "log.h"
#include "socks.h"

int sp_socks_write(const struct sp_pins *pins, __u32 slot, const struct sp_info *info,
		   const struct sp_member *member)
{
	const struct sp_sock sock = { .address = member->sock, .incarnation = info->incarnation };
	int err = bpf_map_update_elem(pins->socks, &slot, &sock, BPF_ANY);

	return err ? sp_fail(err, "cannot write " SP_PIN_SOCKS " of %s", pins->name) : 0;
}

int sp_socks_refresh(const struct sp_pins *pins, const struct sp_state *state, const struct sp_group *group)
{
	for (size_t i = 0; group && state->ctl.protocol == SP_TCP && i < group->nmembers; i++) {
		const struct sp_member *member = &group->members[i];
		int slot = sp_state_slot_of(state, member->cookie), err;
		struct sp_sock sock;

		if (slot < 0)
			continue;
		err = bpf_map_lookup_elem(pins->socks, &slot, &sock);
		if (err)
			return sp_fail(err, "cannot read " SP_PIN_SOCKS " of %s", pins->name);
		if (sock.address == member->sock && sock.incarnation == state->info[slot].incarnation)
			continue;
		err = sp_socks_write(pins, slot, &state->info[slot], member);
		if (err)
			return err;
	}
	return 0;
}
