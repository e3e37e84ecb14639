// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A steered group's state: its pinned maps, read and written. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "log.h"
#include "plan.h"
#include "state.h"

#define FLOWS_PER_BATCH 4096

/* All elements of an array, with one call. */
static int read_elements(int map, void *values, __u32 count, const char *what)
{
	sp_autofree __u32 *keys = calloc(count, sizeof(*keys));
	__u32 batch;
	int err;

	if (!keys)
		return sp_fail(-ENOMEM, "cannot read %s", what);
	err = bpf_map_lookup_batch(map, NULL, &batch, keys, values, &count, NULL);
	/* -ENOENT: there is nothing behind these. */
	return err && err != -ENOENT ? sp_fail(err, "cannot read %s", what) : 0;
}

/* PLAIN is a word for the program: here each view is a TABLE, whatever becomes of it. */
static int read_views(const struct sp_pins *pins, struct sp_state *state)
{
	int err = read_elements(pins->views, state->views, SP_VIEWS, SP_PIN_VIEWS);

	for (__u32 i = 0; i < SP_VIEWS; i++)
		if (state->views[i].kind == SP_VIEW_PLAIN)
			state->views[i].kind = SP_VIEW_TABLE;
	return err;
}

static int read_cookies(const struct sp_pins *pins, struct sp_state *state)
{
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++) {
		int err;

		/* User space fills a slot after it has marked it. */
		if (state->info[slot].state == SP_SLOT_FREE)
			continue;
		err = bpf_map_lookup_elem(pins->slots, &slot, &state->cookie[slot]);
		if (err == -ENOENT)
			state->cookie[slot] = 0;
		else if (err)
			return sp_fail(err, "cannot read " SP_PIN_SLOTS " of %s", pins->name);
	}
	return 0;
}

int sp_state_read_ctl(const struct sp_pins *pins, struct sp_ctl *ret_ctl)
{
	return read_elements(pins->ctl, ret_ctl, 1, SP_PIN_CTL);
}

int sp_state_read(const struct sp_pins *pins, struct sp_state **ret_state)
{
	sp_autostate struct sp_state *state = calloc(1, sizeof(*state));
	int err;

	if (!state)
		return sp_fail(-ENOMEM, "cannot read the state of %s", pins->name);
	state->views = calloc(SP_VIEWS, sizeof(*state->views));
	state->info = calloc(SP_SLOTS_MAX, sizeof(*state->info));
	state->cookie = calloc(SP_SLOTS_MAX, sizeof(*state->cookie));
	if (!state->views || !state->info || !state->cookie)
		return sp_fail(-ENOMEM, "cannot read the state of %s", pins->name);

	err = sp_state_read_ctl(pins, &state->ctl);
	if (!err)
		err = read_views(pins, state);
	if (!err)
		err = read_elements(pins->info, state->info, SP_SLOTS_MAX, SP_PIN_INFO);
	if (!err)
		err = read_cookies(pins, state);
	if (err)
		return err;
	if (state->ctl.current >= SP_VIEWS) {
		sp_refuse(0, "the state of %s is damaged: it names view %u of %d", pins->name,
			  state->ctl.current, SP_VIEWS);
		sp_hint("start anew: steadyport detach %s, then attach", pins->name);
		return -EPROTO;
	}
	*ret_state = sp_take_ptr(state);
	return 0;
}

void sp_state_free(struct sp_state **state)
{
	if (!*state)
		return;
	free((*state)->views);
	free((*state)->info);
	free((*state)->cookie);
	free(*state);
	*state = NULL;
}

const struct sp_view *sp_state_previous(const struct sp_state *state, __u64 now_ns)
{
	const struct sp_view *current = sp_state_current(state);

	return now_ns < current->learn_until_ns && current->prev < SP_VIEWS ? &state->views[current->prev] :
									      NULL;
}

int sp_state_slot_of(const struct sp_state *state, __u64 cookie)
{
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		if (state->cookie[slot] == cookie)
			return slot;
	return -1;
}

bool sp_state_is_parking(const struct sp_state *state, __u64 cookie)
{
	const struct sp_info *info = &state->info[SP_SLOT_PARK];

	return info->state == SP_SLOT_PARKED &&
	       (cookie == state->cookie[SP_SLOT_PARK] || cookie == info->cookie || cookie == info->died_at);
}

void sp_state_address(const struct sp_state *state, struct sp_address *ret_address)
{
	ret_address->family = state->ctl.family;
	memcpy(ret_address->bytes, state->ctl.addr, sizeof(ret_address->bytes));
}

static __u64 now_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

__u64 sp_now_ns(void)
{
	return now_of(CLOCK_MONOTONIC);
}

__u64 sp_wall_ns(void)
{
	return now_of(CLOCK_REALTIME);
}

int sp_state_write_view(const struct sp_pins *pins, __u32 index, const struct sp_view *view)
{
	struct sp_view written = *view;
	int err;

	if (sp_plan_is_plain(view))
		written.kind = SP_VIEW_PLAIN;
	err = bpf_map_update_elem(pins->views, &index, &written, BPF_ANY);
	return err ? sp_fail(err, "cannot write view %u of %s", index, pins->name) : 0;
}

int sp_state_write_info(const struct sp_pins *pins, __u32 slot, const struct sp_info *info)
{
	int err = bpf_map_update_elem(pins->info, &slot, info, BPF_ANY);

	return err ? sp_fail(err, "cannot write slot %u of %s", slot, pins->name) : 0;
}

void sp_state_empty_slots(int slots)
{
	for (__u32 s = 0; slots >= 0 && s < SP_SLOTS_MAX; s++)
		bpf_map_delete_elem(slots, &s);
}

int sp_state_map_ctl(const struct sp_pins *pins, struct sp_ctl **ret_ctl)
{
	struct sp_ctl *ctl = mmap(NULL, sizeof(*ctl), PROT_READ | PROT_WRITE, MAP_SHARED, pins->ctl, 0);

	if (ctl == MAP_FAILED)
		return sp_fail(-errno, "cannot map " SP_PIN_CTL " of %s", pins->name);
	*ret_ctl = ctl;
	return 0;
}

void sp_state_unmap_ctl(struct sp_ctl *ctl)
{
	munmap(ctl, sizeof(*ctl));
}

int sp_state_publish(const struct sp_pins *pins, __u32 index)
{
	struct sp_ctl *ctl;
	int err = sp_state_map_ctl(pins, &ctl);

	if (err)
		return err;
	__atomic_store_n(&ctl->current, index, __ATOMIC_RELEASE);
	sp_state_unmap_ctl(ctl);
	return 0;
}

int sp_state_set_times(const struct sp_pins *pins, __u64 learn_ns, __u32 flow_idle_s)
{
	struct sp_ctl *ctl;
	int err = sp_state_map_ctl(pins, &ctl);

	if (err)
		return err;
	__atomic_store_n(&ctl->learn_ns, learn_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&ctl->flow_idle_s, flow_idle_s, __ATOMIC_RELAXED);
	sp_state_unmap_ctl(ctl);
	return 0;
}

int sp_state_mark_attached(const struct sp_pins *pins, __u32 uid)
{
	struct sp_ctl *ctl;
	int err = sp_state_map_ctl(pins, &ctl);

	if (err)
		return err;
	__atomic_store_n(&ctl->uid, uid, __ATOMIC_RELAXED);
	__atomic_store_n(&ctl->attached_at, sp_wall_ns(), __ATOMIC_RELAXED);
	sp_state_unmap_ctl(ctl);
	return 0;
}

int sp_state_each_flow(const struct sp_pins *pins,
		       int (*each)(void *ctx, __u64 hash, const struct sp_flow *flow), void *ctx)
{
	sp_autofree struct sp_flow *flows = calloc(FLOWS_PER_BATCH, sizeof(*flows));
	sp_autofree __u64 *hashes = calloc(FLOWS_PER_BATCH, sizeof(*hashes));
	__u32 batch, count, room = FLOWS_PER_BATCH;
	bool first = true;
	int err = 0, stop;

	if (!flows || !hashes)
		return sp_fail(-ENOMEM, "cannot read the kept flows of %s", pins->name);
	while (err != -ENOENT) {
		count = room;
		err = bpf_map_lookup_batch(pins->flows, first ? NULL : &batch, &batch, hashes, flows, &count,
					   NULL);
		if (err == -ENOSPC && room < (1U << 24)) {
			/* One hash chain is longer than the buffer: it comes whole or not at all. */
			room *= 2;
			free(flows);
			free(hashes);
			flows = calloc(room, sizeof(*flows));
			hashes = calloc(room, sizeof(*hashes));
			if (!flows || !hashes)
				return sp_fail(-ENOMEM, "cannot read the kept flows of %s", pins->name);
			err = 0;
			continue;
		}
		if (err && err != -ENOENT)
			return sp_fail(err, "cannot read the kept flows of %s", pins->name);
		for (__u32 i = 0; i < count; i++) {
			stop = each(ctx, hashes[i], &flows[i]);
			if (stop)
				return stop;
		}
		first = false;
	}
	return 0;
}

static void add_counters(struct sp_counters *sum, const struct sp_counters *one)
{
#define SP_COUNTER(name, kind, text) sum->name += one->name;
#include <steadyport/counters.def>
#undef SP_COUNTER
}

/*
 * Adds the rows of one map, a row for each slot and then the group's. Rows of another ABI version are a prefix of
 * ours, or ours of them.
 */
static int add_rows(const struct sp_pins *pins, int map, const char *what, struct sp_counters *rows,
		    __u32 nrows)
{
	int ncpus = libbpf_num_possible_cpus();
	struct bpf_map_info info = { 0 };
	sp_autofree char *values = NULL;
	__u32 len = sizeof(info), stride, size;
	int err;

	if (ncpus < 0)
		return sp_fail(ncpus, "cannot count CPUs");
	err = bpf_obj_get_info_by_fd(map, &info, &len);
	if (err)
		return sp_fail(err, "cannot read %s of %s", what, pins->name);
	if (info.type != BPF_MAP_TYPE_PERCPU_ARRAY)
		ncpus = 1;
	stride = (info.value_size + 7) & ~7U;
	size = info.value_size < sizeof(*rows) ? info.value_size : sizeof(*rows);
	values = calloc(info.max_entries, ncpus * stride);
	if (!values)
		return sp_fail(-ENOMEM, "cannot read %s of %s", what, pins->name);
	err = read_elements(map, values, info.max_entries, what);
	if (err)
		return err;

	for (__u32 row = 0; row < info.max_entries; row++) {
		bool is_group = row + 1 == info.max_entries;

		for (int cpu = 0; cpu < ncpus; cpu++) {
			struct sp_counters one = { 0 };

			memcpy(&one, values + ((size_t)row * ncpus + cpu) * stride, size);
			add_counters(&rows[is_group || row >= nrows - 1 ? nrows - 1 : row], &one);
		}
	}
	return 0;
}

int sp_state_counters(const struct sp_pins *pins, struct sp_counters **ret_rows, __u32 *ret_count)
{
	sp_autofree struct sp_counters *rows = NULL;
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info), n;
	int err;

	err = bpf_obj_get_info_by_fd(pins->counters, &info, &len);
	if (err)
		return sp_fail(err, "cannot read " SP_PIN_COUNTERS " of %s", pins->name);
	n = info.max_entries;
	rows = calloc(n, sizeof(*rows));
	if (!rows)
		return sp_fail(-ENOMEM, "cannot read " SP_PIN_COUNTERS " of %s", pins->name);

	err = add_rows(pins, pins->counters, SP_PIN_COUNTERS, rows, n);
	/* Half-way through a replacement what the program before has counted is not carried over, or not for sure. */
	if (!err && pins->old_counters >= 0)
		err = add_rows(pins, pins->old_counters, SP_PIN_COUNTERS, rows, n);
	else if (!err && pins->carried >= 0)
		err = add_rows(pins, pins->carried, SP_PIN_CARRIED, rows, n);
	if (!err && pins->old_carried >= 0)
		err = add_rows(pins, pins->old_carried, SP_PIN_CARRIED, rows, n);
	if (err)
		return err;
	*ret_rows = sp_take_ptr(rows);
	*ret_count = n;
	return 0;
}

int sp_state_carry_counters(const struct sp_pins *pins)
{
	__u32 nslots = sp_state_counter_slots(pins), n = nslots + 1;
	sp_autofree struct sp_counters *rows = calloc(n, sizeof(*rows));
	sp_autofree __u32 *keys = calloc(n, sizeof(*keys));
	int err = 0;

	if (!nslots)
		return -EIO;
	if (!rows || !keys)
		return sp_fail(-ENOMEM, "cannot carry the counters of %s over", pins->name);
	if (pins->old_counters >= 0)
		err = add_rows(pins, pins->old_counters, SP_PIN_COUNTERS, rows, n);
	if (!err && pins->old_carried >= 0)
		err = add_rows(pins, pins->old_carried, SP_PIN_CARRIED, rows, n);
	for (__u32 row = 0; row < n; row++)
		keys[row] = row;
	err = err ?: bpf_map_update_batch(pins->carried, keys, rows, &n, NULL);
	return err ? sp_fail(err, "cannot carry the counters of %s over", pins->name) : 0;
}

__u32 sp_state_counter_slots(const struct sp_pins *pins)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(pins->counters, &info, &len);

	if (err) {
		sp_fail(err, "cannot read " SP_PIN_COUNTERS " of %s", pins->name);
		return 0;
	}
	return info.max_entries - 1;
}

int sp_state_count_forgotten(const struct sp_pins *pins, __u32 slot, __u64 settled, __u64 expired)
{
	struct sp_counters counters = { 0 };
	__u32 nslots, row;
	int err;

	if (!settled && !expired)
		return 0;
	nslots = sp_state_counter_slots(pins);
	if (!nslots)
		return -EIO;
	row = slot < nslots ? slot : nslots;
	err = bpf_map_lookup_elem(pins->carried, &row, &counters);
	counters.settled += settled;
	counters.expired += expired;
	err = err ?: bpf_map_update_elem(pins->carried, &row, &counters, BPF_ANY);
	return err ? sp_fail(err, "cannot write " SP_PIN_CARRIED " of %s", pins->name) : 0;
}
