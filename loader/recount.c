// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Counting connections again. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "kernel.h"
#include "log.h"
#include "recount.h"
#include "state.h"

#define ACTIVE_SIZE (SP_SLOTS_MAX * sizeof(struct sp_active))

static __u32 tally_of(const struct sp_recount *r)
{
	return __atomic_load_n(&r->ctl->tally, __ATOMIC_RELAXED) & (SP_TALLIES - 1);
}

static int start(const char *bpffs, struct sp_recount *r)
{
	const char *name = r->pins->name;
	int err;

	r->walk = sp_pin_open_recount(bpffs, name);
	if (r->walk < 0)
		return sp_fail(r->walk, "cannot open " SP_PIN_RECOUNT " of %s", name);
	err = sp_state_map_ctl(r->pins, &r->ctl);
	if (err)
		return err;
	r->active = mmap(NULL, ACTIVE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, r->pins->active, 0);
	if (r->active == MAP_FAILED) {
		r->active = NULL;
		return sp_fail(-errno, "cannot map " SP_PIN_ACTIVE " of %s", name);
	}
	return 0;
}

static void finish(struct sp_recount *r)
{
	sp_close_fd(&r->walk);
	if (r->active)
		munmap(r->active, ACTIVE_SIZE);
	if (r->ctl)
		sp_state_unmap_ctl(r->ctl);
	r->active = NULL;
	r->ctl = NULL;
}

/* What is left in the tally to come, by one who was killed, is in none that can be set to 0 this time. */
static void turn(struct sp_recount *r)
{
	__u32 next = !tally_of(r);

	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		r->is_twice |= __atomic_load_n(&r->active[slot].tally[next], __ATOMIC_RELAXED) != 0;
	__atomic_store_n(&r->ctl->tally, next, __ATOMIC_RELEASE);
}

/*
 * The program writes nothing, so one read comes to the end; but for a million sockets (MAX_ITER_OBJECTS), where it says
 * EAGAIN and goes on by their number, past some if others before them went meanwhile.
 */
static int walk(struct sp_recount *r)
{
	sp_autoclose int iter = bpf_iter_create(r->walk);
	ssize_t n;
	char c;

	if (iter < 0)
		return sp_fail(iter, "cannot start " SP_PIN_RECOUNT " of %s", r->pins->name);
	do {
		n = read(iter, &c, sizeof(c));
		r->is_torn |= n < 0 && errno == EAGAIN;
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	return n < 0 ? sp_fail(-errno, "cannot read " SP_PIN_RECOUNT " of %s", r->pins->name) : 0;
}

/* Those that were not taken over are gone, and nobody has seen them go. */
static int forget_moved(const struct sp_recount *r, __u32 tally)
{
	sp_autofree __u64 *gone = NULL;
	__u64 cookie, *at = NULL;
	size_t count = 0;
	struct sp_tag tag;

	while (!bpf_map_get_next_key(r->pins->moved, at, &cookie)) {
		at = &cookie;
		if (bpf_map_lookup_elem(r->pins->moved, &cookie, &tag) || tag.counted != SP_TAG_IN(tally))
			continue;
		/* Full whenever the count is a power of two. */
		if ((count & (count - 1)) == 0) {
			void *grown = reallocarray(gone, count ? count * 2 : 1, sizeof(*gone));

			if (!grown)
				return sp_fail(-ENOMEM, "cannot count the connections of %s", r->pins->name);
			gone = grown;
		}
		gone[count++] = cookie;
	}
	for (size_t i = 0; i < count; i++)
		bpf_map_delete_elem(r->pins->moved, &gone[i]);
	return 0;
}

static int clear(struct sp_recount *r)
{
	__u32 before = !tally_of(r);

	if (r->is_torn)
		return 0;
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		__s32 drift = __atomic_exchange_n(&r->active[slot].tally[before], 0, __ATOMIC_RELAXED);

		r->corrected += drift < 0 ? -drift : drift;
	}
	return forget_moved(r, before);
}

/* A step of those that have not failed. Returns whether there is any. */
static bool each(struct sp_recount *all, size_t count, bool is_again, int (*step)(struct sp_recount *r))
{
	bool is_any = false;

	for (size_t i = 0; i < count; i++) {
		if (all[i].err || (is_again && !all[i].is_twice))
			continue;
		all[i].err = step(&all[i]);
		is_any = true;
	}
	return is_any;
}

static int turn_one(struct sp_recount *r)
{
	turn(r);
	return 0;
}

static void count_once(struct sp_recount *all, size_t count, bool is_again)
{
	int err;

	if (!each(all, count, is_again, turn_one))
		return;
	err = sp_kernel_wait_readers();
	if (!err) {
		each(all, count, is_again, walk);
		err = sp_kernel_wait_readers();
	}
	for (size_t i = 0; i < count; i++)
		all[i].err = all[i].err ?: err;
	each(all, count, is_again, clear);
}

void sp_recount_all(const char *bpffs, struct sp_recount *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		all[i] = (struct sp_recount){ .pins = all[i].pins, .walk = -1 };
		all[i].err = start(bpffs, &all[i]);
	}
	count_once(all, count, false);
	count_once(all, count, true);
	for (size_t i = 0; i < count; i++)
		finish(&all[i]);
}

int sp_recount(const char *bpffs, const struct sp_pins *pins, __u32 *ret_corrected)
{
	struct sp_recount one = { .pins = pins };

	sp_recount_all(bpffs, &one, 1);
	if (!one.err)
		*ret_corrected = one.corrected;
	return one.err;
}
