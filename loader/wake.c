// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Wakes workers to which the kernel has migrated connections. */
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "log.h"
#include "wake.h"

#define SOON_NS 1000000ULL
/* For a kernel thread that was held up between asking the program and queueing the connection. */
#define LATE_NS 20000000ULL

/* Times of CLOCK_MONOTONIC; 0: not due. */
struct due {
	__u64 soon;
	__u64 late;
};

struct sp_wake {
	struct due due[SP_SLOTS_MAX];
	__u64 count;
};

struct sp_wake *sp_wake_new(void)
{
	struct sp_wake *wake = calloc(1, sizeof(*wake));

	if (!wake)
		sp_fail(-ENOMEM, "cannot note which workers are to be woken");
	return wake;
}

void sp_wake_free(struct sp_wake **wake)
{
	free(*wake);
	*wake = NULL;
}

void sp_wake_note(struct sp_wake *wake, __u32 slot, __u64 now_ns)
{
	if (slot >= SP_SLOTS_MAX)
		return;
	if (!wake->due[slot].soon)
		wake->due[slot].soon = now_ns + SOON_NS;
	wake->due[slot].late = now_ns + LATE_NS;
}

void sp_wake_note_all(struct sp_wake *wake, __u64 now_ns)
{
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		sp_wake_note(wake, slot, now_ns);
}

__u64 sp_wake_next_ns(const struct sp_wake *wake)
{
	__u64 next = 0;

	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		__u64 due = wake->due[slot].soon ?: wake->due[slot].late;

		if (due && (!next || due < next))
			next = due;
	}
	return next;
}

static bool is_due(const struct due *due, __u64 now_ns)
{
	return (due->soon && due->soon <= now_ns) || (due->late && due->late <= now_ns);
}

static void settle(struct due *due, __u64 now_ns)
{
	if (due->soon <= now_ns)
		due->soon = 0;
	if (due->late <= now_ns)
		due->late = 0;
}

/* Whoever is in the slot now: a successor of the member that the event was about is woken for nothing. */
static int wake_slot(struct sp_wake *wake, const struct sp_pins *pins, const struct sp_groups *groups,
		     __u32 slot)
{
	const struct sp_member *member;
	sp_autoclose int socket = -1;
	__u64 cookie;
	int err;

	if (bpf_map_lookup_elem(pins->slots, &slot, &cookie))
		return 0; /* empty */
	member = sp_groups_member(groups, cookie);
	err = member ? sp_group_socket(member, &socket) : -ESTALE;
	if (err && err != -ESTALE)
		sp_note("cannot wake slot %u of %s: %s", slot, pins->name, strerror(-err));
	if (err)
		return err;
	sp_group_wake(socket);
	wake->count++;
	return 0;
}

int sp_wake_dispatch(struct sp_wake *wake, const struct sp_pins *pins, const struct sp_groups *groups,
		     bool is_fresh, __u64 now_ns)
{
	int err = 0;

	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		if (!is_due(&wake->due[slot], now_ns))
			continue;
		if (wake_slot(wake, pins, groups, slot) == -ESTALE && !is_fresh) {
			err = -EAGAIN;
			continue;
		}
		settle(&wake->due[slot], now_ns);
	}
	return err;
}

__u64 sp_wake_count(const struct sp_wake *wake)
{
	return wake->count;
}
