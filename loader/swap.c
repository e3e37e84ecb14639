// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Replaces the program of a steered group under traffic. */
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "state.h"
#include "steer.h"
#include "swap.h"
#include "value.h"

static int attach_to(const struct sp_group *group, const struct sp_pins *pins)
{
	char endpoint[SP_ENDPOINT_STRLEN];
	sp_autoclose int socket = -1;
	int err = sp_group_any_socket(group, &socket);

	if (err == -ESTALE)
		return 0; /* its last member was closed meanwhile */
	err = err ?: sp_group_attach(socket, pins->prog);
	return err ? sp_fail(err, "cannot attach the program to %s", sp_group_endpoint(group, endpoint)) : 0;
}

/* Wherever the old program steers, the new one does from now on: one store in reuseport_attach_prog(). */
static int replace_attached(const struct sp_pins *old, const struct sp_pins *pins, bool *ret_was_attached)
{
	sp_autogroups struct sp_groups *groups = NULL;
	__u32 id;
	int err;

	err = sp_steer_program_id(old, &id);
	err = err ?: sp_members_scan(0, &groups);
	*ret_was_attached = false;
	for (size_t i = 0; !err && i < groups->ngroups; i++) {
		if (groups->groups[i].prog_id != id)
			continue;
		err = attach_to(&groups->groups[i], pins);
		*ret_was_attached = true;
	}
	return err;
}

static bool is_balance(enum sp_balance balance)
{
	return sp_value_balance_name(balance)[0] != '?';
}

/* The layout is the same in all versions so far; older ones had other things in places that are read by nobody. */
static int update_ctl(const struct sp_pins *pins)
{
	struct sp_ctl *ctl;
	int err = sp_state_map_ctl(pins, &ctl);

	if (err)
		return err;
	if (ctl->abi < 2)
		ctl->flow_idle_s = SP_FLOW_IDLE_DEFAULT_S;
	ctl->balance = is_balance(ctl->balance_next) ? ctl->balance_next : SP_BALANCE_HASH;
	__atomic_store_n(&ctl->abi, SP_ABI_VERSION, __ATOMIC_RELEASE);
	sp_state_unmap_ctl(ctl);
	return 0;
}

static int complete(const char *bpffs, const struct sp_pins *old, struct sp_pins *pins,
		    bool *ret_was_attached)
{
	int err;

	err = replace_attached(old, pins, ret_was_attached);
	err = err ?: sp_kernel_wait_readers();
	err = err ?: sp_state_carry_counters(pins);
	err = err ?: update_ctl(pins);
	err = err ?: sp_pin_unstage(bpffs, pins->name);
	if (err)
		return err;
	sp_close_fd(&pins->old_counters);
	sp_close_fd(&pins->old_carried);
	pins->old_program_id = 0;
	return 0;
}

int sp_swap_complete(const char *bpffs, struct sp_pins *pins)
{
	sp_autopins struct sp_pins old = SP_PINS_NONE;
	bool has_predecessor, was_attached;
	int err;

	if (!sp_pin_is_staged(bpffs, pins->name))
		return 0;
	err = sp_pin_has_predecessor(bpffs, pins, &has_predecessor);
	if (err)
		return err;
	if (!has_predecessor)
		return sp_pin_unstage(bpffs, pins->name);
	sp_note("completing the replacement of the program of %s", pins->name);
	err = sp_pin_open_staged_program(bpffs, pins->name, &old);
	return err ?: complete(bpffs, &old, pins, &was_attached);
}

/*
 * The balance of the program to come is noted before there is one, and becomes that of the group when it is in force:
 * whoever completes a killed replacement knows it from there.
 */
static int note_balance(const struct sp_pins *pins, enum sp_balance balance)
{
	struct sp_ctl *ctl;
	int err = sp_state_map_ctl(pins, &ctl);

	if (err)
		return err;
	__atomic_store_n(&ctl->balance_next, balance, __ATOMIC_RELEASE);
	sp_state_unmap_ctl(ctl);
	return 0;
}

/* @balance: NULL: as it is */
static int replace(const char *bpffs, struct sp_pins *pins, __u32 nslots, const enum sp_balance *balance,
		   bool *ret_was_attached)
{
	sp_autopins struct sp_pins new = SP_PINS_NONE;
	struct sp_ctl ctl;
	int err;

	err = sp_swap_complete(bpffs, pins);
	err = err ?: sp_state_read_ctl(pins, &ctl);
	if (err)
		return err;
	if (balance)
		ctl.balance = *balance;
	else if (pins->abi < 3)
		ctl.balance = SP_BALANCE_HASH;
	err = note_balance(pins, ctl.balance);
	if (err)
		return err;
	nslots = nslots ?: sp_state_counter_slots(pins);
	err = nslots ? sp_steer_reload(pins, &ctl, nslots, &new) : -EIO;
	err = err ?: sp_pin_exchange(bpffs, &new);
	if (err)
		return err;

	/* From here on @pins is what NAME holds; the old set is the staged one. */
	new.old_counters = sp_take_fd(&pins->counters);
	new.old_carried = sp_take_fd(&pins->carried);
	err = complete(bpffs, pins, &new, ret_was_attached);
	sp_pins_close(pins);
	*pins = new;
	new = (struct sp_pins)SP_PINS_NONE;
	return err;
}

int sp_swap(const char *bpffs, struct sp_pins *pins, __u32 nslots, bool *ret_was_attached)
{
	return replace(bpffs, pins, nslots, NULL, ret_was_attached);
}

int sp_swap_balance(const char *bpffs, struct sp_pins *pins, enum sp_balance balance, bool *ret_was_attached)
{
	return replace(bpffs, pins, 0, &balance, ret_was_attached);
}
