/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pinned state: <bpffs>/steadyport/NAME/ holds the program and its maps, complete or not at all (DESIGN I5).
 *
 * A new group is staged in <bpffs>/steadyport/~NAME/ and published by one rename. bpffs refuses names with a dot,
 * and NAME may not hold a tilde, so a staging name never meets a NAME. Whoever changes anything holds the lock on
 * <bpffs>/steadyport. A daemon holds one on <bpffs>/steadyport/@daemon for as long as it runs.
 */
#ifndef STEADYPORT_PIN_H
#define STEADYPORT_PIN_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>

#define SP_BPFFS_DEFAULT "/sys/fs/bpf"
#define SP_NAME_MAX 63

/* True for 1..63 letters, digits, '_' and '-', not starting with '-'. */
bool sp_name_is_valid(const char *name);

/* The open objects of one steered group. Every fd is -1 or owned by the struct. */
struct sp_pins {
	char name[SP_NAME_MAX + 1];
	__u32 abi; /* of the pins; SP_ABI_VERSION unless they were opened for an upgrade */
	int prog;
	int slots;
	int views;
	int ctl;
	int info;
	int flows;
	int counters;
	int carried;
	int events;
	int socks;
	int tags;
	int active;
	int moved;
	int count; /* links; only of what is to be published, and only if they are needed */
	int recount;
	/* Of the program before, until an upgrade or a growth that replaced it is complete: its counts are in force. */
	int old_counters;
	int old_carried;
	__u32 old_program_id;
};

#define SP_PINS_NONE                                                                                      \
	{                                                                                                 \
		.prog = -1, .slots = -1, .views = -1, .ctl = -1, .info = -1, .flows = -1, .counters = -1, \
		.carried = -1, .events = -1, .socks = -1, .tags = -1, .active = -1, .moved = -1,          \
		.count = -1, .recount = -1, .old_counters = -1, .old_carried = -1                         \
	}

void sp_pins_close(struct sp_pins *pins);
#define sp_autopins __attribute__((cleanup(sp_pins_close)))

/**
 * sp_pin_root - make sure that bpffs is mounted and <bpffs>/steadyport exists
 * Returns 0 or -errno (logged).
 */
int sp_pin_root(const char *bpffs);

/**
 * sp_pin_lock - take the lock of all changing commands; says so on stderr when it has to wait longer than a second
 * @ret_fd: closing it unlocks
 */
int sp_pin_lock(const char *bpffs, int *ret_fd);

/* The same without waiting: -EWOULDBLOCK (not logged) when another has it. */
int sp_pin_try_lock(const char *bpffs, int *ret_fd);

/**
 * sp_pin_lock_daemon - take the place of the one daemon of this bpffs
 * Commands do not wait for it. Returns 0, -EBUSY (logged) when another daemon has it, other -errno (logged).
 */
int sp_pin_lock_daemon(const char *bpffs, int *ret_fd);

/* True when a daemon has its place, as far as its process is visible. Takes no lock, so that it is in nobody's way. */
bool sp_pin_has_daemon(const char *bpffs);

/* True when a bpffs is mounted there. */
bool sp_pin_is_bpffs(const char *bpffs);

/**
 * sp_pin_open - open a steered group
 * Returns 0; -ENOENT (logged) when NAME is not steered; -EPROTO (logged) when its pins are of another ABI version or
 * not steadyport's; other -errno (logged).
 */
int sp_pin_open(const char *bpffs, const char *name, struct sp_pins *ret_pins);

/* The same for a changing command: takes the lock first, so that what it opens stays in force. */
int sp_pin_open_locked(const char *bpffs, const char *name, struct sp_pins *ret_pins, int *ret_lock);

/* The same for an upgrade, and the lock is held: pins since SP_ABI_OLDEST will do; ret_pins->abi says which. */
int sp_pin_open_any(const char *bpffs, const char *name, struct sp_pins *ret_pins);

/* The lock, if NAME is there; else -ENOENT (logged), at once and without mounting anything. */
int sp_pin_lock_group(const char *bpffs, const char *name, int *ret_fd);

/* Only the program, whatever version made it; the other fds stay -1. Returns 0, -ENOENT (not logged), -errno (logged). */
int sp_pin_open_program(const char *bpffs, const char *name, struct sp_pins *ret_pins);

/*
 * The kernel ids of NAME's program and, while that is being replaced, of the one before it, whatever version made
 * them; 0 for one that is not there. Returns 0, or -errno (logged); what could be read is in @ret_ids then.
 */
int sp_pin_program_ids(const char *bpffs, const char *name, __u32 ret_ids[2]);

/* Only the sockarray, the slots' records or sp_ctl, whatever version made it: an fd, or -errno (not logged). */
int sp_pin_open_slots(const char *bpffs, const char *name);
int sp_pin_open_ctl(const char *bpffs, const char *name);
int sp_pin_open_info(const char *bpffs, const char *name);

/*
 * What counts connections may be removed by hand: true when both links are there. Open the one that counts them again:
 * an fd, or -errno (not logged). Put those of @pins, open, in the places of what is left: 0 or -errno (logged).
 */
bool sp_pin_has_links(const char *bpffs, const char *name);
int sp_pin_open_recount(const char *bpffs, const char *name);
int sp_pin_replace_links(const char *bpffs, const struct sp_pins *pins);

/*
 * A number that is another one when NAME is removed and made again, or exchanged; 0: it has no pins. Returns 0, or
 * -errno (logged) when that cannot be told.
 */
int sp_pin_identity(const char *bpffs, const char *name, __u64 *ret_identity);

/* True when NAME has pins, readable or not; also when that cannot be told: whoever opens them learns why. */
bool sp_pin_exists(const char *bpffs, const char *name);

/* True when a killed attach or detach of NAME has left its staging directory, or that cannot be told. */
bool sp_pin_is_staged(const char *bpffs, const char *name);

/* Stage these objects and publish them under pins->name. Removes a stale staging of that name first. */
int sp_pin_publish(const char *bpffs, const struct sp_pins *pins);

/*
 * Stage these objects and let them change places with what pins->name holds, in one step: that is staged then, until
 * sp_pin_unstage(). Removes a stale staging of that name first.
 */
int sp_pin_exchange(const char *bpffs, const struct sp_pins *pins);

/*
 * True when what is staged for NAME is the program before, not yet removed; false also for a successor that a killed
 * command never put in force. The later of the two was loaded later. Returns 0, or -errno (logged).
 */
int sp_pin_has_predecessor(const char *bpffs, const struct sp_pins *pins, bool *ret_has);

/* Removes what is staged for NAME. Removing what is not there is no error. */
int sp_pin_unstage(const char *bpffs, const char *name);

/* The staged program of NAME, as sp_pin_open_program(). */
int sp_pin_open_staged_program(const char *bpffs, const char *name, struct sp_pins *ret_pins);

/* Make NAME vanish in one step, then delete what it held. Removing what is not there is no error. */
int sp_pin_remove(const char *bpffs, const char *name);

/* Names of all steered groups, sorted. @ret_names is one allocation to free(); NULL for none. */
int sp_pin_list(const char *bpffs, char (**ret_names)[SP_NAME_MAX + 1], size_t *ret_count);

#endif
