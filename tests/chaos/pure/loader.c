// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the loader asks of the kernel, answered by the simulated one. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include "group.h"
#include "kernel.h"
#include "loader.h"
#include "log.h"
#include "members.h"
#include "report.h"
#include "steer.h"

#define PROGRAM_ID 7
#define CALLS_MAX 100000 /* a thousand newcomers take a few thousand */
#define DEAD (-EIO) /* nothing that a dead loader does has an effect; this makes it come to its end */

/* Descriptors that no real file has. */
enum {
	FD_FIRST = 1 << 20,
	FD_PROG = FD_FIRST,
	FD_SLOTS,
	FD_VIEWS,
	FD_CTL,
	FD_INFO,
	FD_FLOWS,
	FD_COUNTERS,
	FD_CARRIED,
	FD_SOCKS,
	FD_SOCKET,
};

static const struct sp_pins pins = {
	.name = "sim",
	.prog = FD_PROG,
	.slots = FD_SLOTS,
	.views = FD_VIEWS,
	.ctl = FD_CTL,
	.info = FD_INFO,
	.flows = FD_FLOWS,
	.counters = FD_COUNTERS,
	.carried = FD_CARRIED,
	.events = -1,
	.socks = FD_SOCKS,
	.tags = -1,
	.active = -1,
	.moved = -1,
	.count = -1,
	.old_counters = -1,
	.old_carried = -1,
};

static struct {
	const struct sp_sim_run *run;
	__u32 ncalls;
	bool is_dead;
	__u32 held;
	__u32 readable; /* bits: views that a packet may be reading */
	struct sp_table_entry taken; /* out of the flow table, to be put back as it is in use; hash 0: none */
} loader;

bool sp_sim_is_reconciling(void)
{
	return loader.run && !loader.is_dead;
}

__u32 sp_sim_held(void)
{
	return loader.held;
}

/* It was not put back. Being killed in between is bad luck that it shares with the evicted. */
static void settle_taken(enum sp_sim_loss why)
{
	const struct sp_table_entry taken = loader.taken;

	loader.taken.hash = 0;
	if (taken.hash)
		sp_sim_lose(&taken, why);
}

/* Others act, then the loader does; or it is killed first. */
static bool may_call(enum sp_sim_call call)
{
	if (loader.is_dead)
		return false;
	if (loader.ncalls++ == loader.run->calls) {
		sp_report_event("the loader is killed before its call %u", loader.ncalls - 1);
		loader.is_dead = true;
		loader.held = 0;
		settle_taken(SP_SIM_EVICTED);
		return false;
	}
	sp_require(loader.ncalls < CALLS_MAX, "the loader comes to no end");
	if (loader.run->between)
		loader.run->between(call);
	return true;
}

static __u32 views_in_force(void)
{
	__u32 prev = sp_sim_view()->prev;

	return 1U << sp_sim.ctl.current | (prev < SP_VIEWS ? 1U << prev : 0);
}

enum sp_sim_end sp_sim_reconcile(const struct sp_sim_run *run, struct sp_reconcile_result *ret_result,
				 int *ret_err)
{
	const struct sp_reconcile_options options = { .change = run->change };

	loader.run = run;
	loader.ncalls = 0;
	loader.is_dead = false;
	loader.held = 0;
	loader.readable = views_in_force();
	*ret_err = sp_reconcile(&pins, &options, ret_result);
	settle_taken(SP_SIM_DROPPED);
	loader.run = NULL;
	if (loader.is_dead)
		return SP_SIM_KILLED;
	return *ret_err ? SP_SIM_REFUSED : SP_SIM_DONE;
}

/* --- libbpf --- */

struct array {
	void *values;
	size_t size;
	__u32 count;
};

static struct array array_of(int fd)
{
	switch (fd) {
	case FD_CTL:
		return (struct array){ &sp_sim.ctl, sizeof(sp_sim.ctl), 1 };
	case FD_VIEWS:
		return (struct array){ sp_sim.views, sizeof(sp_sim.views[0]), SP_VIEWS };
	case FD_INFO:
		return (struct array){ sp_sim.info, sizeof(sp_sim.info[0]), SP_SLOTS_MAX };
	case FD_SOCKS:
		return (struct array){ sp_sim.socks, sizeof(sp_sim.socks[0]), SP_SLOTS_MAX };
	case FD_CARRIED:
		return (struct array){ sp_sim.carried, sizeof(sp_sim.carried[0]), SP_SLOTS_MAX + 1 };
	default:
		sp_report_violation("the loader reads a map that is not simulated");
	}
}

/* One of a thousand cells: no place for others to act, or they would do nothing else. */
static int read_slot(__u32 slot, __u64 *ret_cookie)
{
	if (!sp_sim.in_slot[slot])
		return -ENOENT;
	*ret_cookie = sp_sim.in_slot[slot];
	return 0;
}

int __wrap_bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	__u32 index = *(const __u32 *)key;
	struct array array;

	if (loader.is_dead)
		return DEAD;
	if (fd == FD_SLOTS)
		return read_slot(index, value);
	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	array = array_of(fd);
	memcpy(value, (char *)array.values + index * array.size, array.size);
	return 0;
}

static __u32 read_flows(__u64 *hashes, struct sp_flow *flows)
{
	const struct sp_table *t = &sp_sim.flows;

	for (__u32 i = 0; i < t->count; i++) {
		hashes[i] = t->entry[i].hash;
		flows[i] = t->entry[i].flow;
	}
	return t->count;
}

/* The whole map at once: -ENOENT says that nothing is left. */
int __wrap_bpf_map_lookup_batch(int fd, void *in, void *out, void *keys, void *values, __u32 *count,
				const struct bpf_map_batch_opts *opts)
{
	struct array array;

	(void)out;
	(void)opts;
	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	if (fd == FD_FLOWS) {
		sp_require(!in && *count >= sp_sim.flows.count, "the flow table is read in parts");
		*count = read_flows(keys, values);
		return -ENOENT;
	}
	array = array_of(fd);
	sp_require(!in && *count == array.count, "an array is read in parts");
	memcpy(values, array.values, array.size * array.count);
	return -ENOENT;
}

static void write_view(__u32 index, const struct sp_view *view)
{
	sp_require(!(loader.readable >> index & 1) && !(views_in_force() >> index & 1),
		   "I4: view %u is written while packets may read it", index);
	sp_sim.views[index] = *view;
}

static void write_info(__u32 slot, const struct sp_info *info)
{
	const struct sp_info before = sp_sim.info[slot];

	sp_sim.info[slot] = *info;
	sp_sim.hooks->slot_written(slot, &before);
}

/* kernel/bpf/reuseport_array.c, bpf_fd_reuseport_array_update_elem() */
static int put_in_slot(__u32 slot, __u64 fd)
{
	__u32 worker = loader.held;

	sp_require(fd == FD_SOCKET && worker, "the loader puts into slot %u what is no socket", slot);
	if (!sp_sim.is_open[worker])
		return -EINVAL;
	if (sp_sim.slot_of[worker] != SP_SLOT_NONE)
		return -EBUSY;
	sp_require(!sp_sim.in_slot[slot], "slot %u is taken from worker %u, which lives", slot,
		   sp_sim.in_slot[slot]);
	sp_sim.in_slot[slot] = worker;
	sp_sim.slot_of[worker] = slot;
	sp_sim.hooks->slot_taken();
	return 0;
}

/* Back where it was, unless a packet has stored it again. */
static int put_back(__u64 hash, const struct sp_flow *flow)
{
	const struct sp_table_entry taken = loader.taken;

	sp_require(taken.hash == hash && !memcmp(&taken.flow, flow, sizeof(*flow)),
		   "the loader keeps a flow that it has not taken out");
	loader.taken.hash = 0;
	sp_sim.lost[SP_SIM_EVICTED] += sp_table_find(&sp_sim.flows, hash) || sp_table_is_full(&sp_sim.flows);
	if (sp_table_find(&sp_sim.flows, hash))
		return -EEXIST;
	if (!sp_table_is_full(&sp_sim.flows))
		sp_table_put(&sp_sim.flows, hash, flow, taken.worker);
	return 0;
}

int __wrap_bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	__u32 index = *(const __u32 *)key;

	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	sp_require(flags == (fd == FD_FLOWS ? BPF_NOEXIST : BPF_ANY),
		   "the loader updates a map with flags %llu", flags);
	switch (fd) {
	case FD_VIEWS:
		write_view(index, value);
		return 0;
	case FD_INFO:
		write_info(index, value);
		return 0;
	case FD_FLOWS:
		return put_back(*(const __u64 *)key, value);
	case FD_SOCKS:
		memcpy(&sp_sim.socks[index], value, sizeof(sp_sim.socks[0]));
		return 0;
	case FD_CARRIED:
		memcpy(&sp_sim.carried[index], value, sizeof(sp_sim.carried[0]));
		return 0;
	case FD_SLOTS:
		return put_in_slot(index, *(const __u64 *)value);
	default:
		sp_report_violation("the loader updates a map that is not simulated");
	}
}

int __wrap_bpf_map_delete_elem(int fd, const void *key)
{
	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	sp_require(fd == FD_FLOWS, "the loader deletes from a map that is not simulated");
	return sp_sim_forget(*(const __u64 *)key, SP_SIM_DROPPED);
}

int __wrap_bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)
{
	const struct sp_table_entry *found;
	__u64 hash = *(const __u64 *)key;

	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	sp_require(fd == FD_FLOWS, "the loader deletes from a map that is not simulated");
	settle_taken(SP_SIM_DROPPED);
	found = sp_table_find(&sp_sim.flows, hash);
	if (!found)
		return -ENOENT;
	loader.taken = *found;
	memcpy(value, &found->flow, sizeof(found->flow));
	sp_table_remove(&sp_sim.flows, hash);
	if (sp_sim_is_expired(&loader.taken, 0))
		settle_taken(SP_SIM_DROPPED);
	return 0;
}

int __wrap_bpf_obj_get_info_by_fd(int fd, void *info, __u32 *len)
{
	sp_require(fd == FD_COUNTERS && *len == sizeof(struct bpf_map_info),
		   "the loader asks for the size of a map that is not simulated");
	*(struct bpf_map_info *)info = (struct bpf_map_info){ .max_entries = SP_SLOTS_MAX + 1 };
	return 0;
}

/* --- libc --- */

void *__real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (fd < FD_FIRST)
		return __real_mmap(addr, length, prot, flags, fd, offset);
	sp_require(fd == FD_CTL, "the loader maps a map that is not simulated");
	if (may_call(SP_SIM_QUICK))
		return &sp_sim.ctl;
	errno = -DEAD;
	return MAP_FAILED;
}

int __real_munmap(void *addr, size_t length);
int __wrap_munmap(void *addr, size_t length)
{
	if (addr != &sp_sim.ctl)
		return __real_munmap(addr, length);
	/* The store is done. Packets may still be reading what was in force. */
	loader.readable |= views_in_force();
	may_call(SP_SIM_QUICK);
	return 0;
}

int __real_close(int fd);
int __wrap_close(int fd)
{
	if (fd < FD_FIRST)
		return __real_close(fd);
	sp_require(fd == FD_SOCKET, "the loader closes what it did not open");
	may_call(SP_SIM_QUICK);
	loader.held = 0;
	return 0;
}

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	if (!loader.run)
		return __real_clock_gettime(clock, t);
	t->tv_sec = sp_sim.now_ns / 1000000000;
	t->tv_nsec = sp_sim.now_ns % 1000000000;
	return 0;
}

int __wrap_clock_nanosleep(clockid_t clock, int flags, const struct timespec *t, struct timespec *left)
{
	__u64 until = t->tv_sec * 1000000000ULL + t->tv_nsec;

	(void)left;
	sp_require(clock == CLOCK_MONOTONIC && flags == TIMER_ABSTIME, "the loader sleeps in an unknown way");
	if (may_call(SP_SIM_QUICK) && sp_sim.now_ns < until) {
		sp_sim.now_ns = until;
		sp_sim.hooks->time_passed();
	}
	return 0;
}

/* --- the loader's own ways to the kernel --- */

int __wrap_sp_kernel_wait_readers(void)
{
	if (!may_call(SP_SIM_WAIT))
		return DEAD;
	loader.readable = views_in_force();
	return 0;
}

int __wrap_sp_steer_program_id(const struct sp_pins *of, __u32 *ret_id)
{
	(void)of;
	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	*ret_id = PROGRAM_ID;
	return 0;
}

int __wrap_sp_members_scan(__u16 any_on_port, struct sp_groups **ret_groups)
{
	static struct sp_member_record records[SP_SIM_MEMBERS_MAX];

	(void)any_on_port;
	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	for (__u32 i = 0; i < sp_sim.nmembers; i++)
		records[i] = (struct sp_member_record){
			.cookie = sp_sim.member[i],
			.group = 1,
			.netns_cookie = sp_sim.ctl.netns_cookie,
			.pid = sp_sim.member[i],
			.fd = 3,
			.position = i < SP_SLOTS_MAX ? (int)i : -1,
			.group_size = sp_sim.nmembers,
			.prog_id = sp_sim.is_attached ? PROGRAM_ID : 0,
			.prog_type = sp_sim.is_attached ? BPF_PROG_TYPE_SK_REUSEPORT : 0,
			.family = AF_INET,
			.port = sp_sim.ctl.port,
			.protocol = sp_sim.ctl.protocol,
			.comm = "worker",
		};
	return sp_members_group(records, sp_sim.nmembers, ret_groups);
}

int __wrap_sp_group_socket(const struct sp_member *member, int *ret_fd)
{
	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	if (!sp_sim.is_open[member->cookie])
		return -ESTALE;
	sp_require(!loader.held, "the loader holds two members' sockets at once");
	loader.held = member->cookie;
	*ret_fd = FD_SOCKET;
	return 0;
}

int __wrap_sp_group_any_socket(const struct sp_group *group, int *ret_fd)
{
	int err = -ESTALE;

	for (size_t i = 0; err == -ESTALE && i < group->nmembers; i++)
		err = __wrap_sp_group_socket(&group->members[i], ret_fd);
	return err;
}

int __wrap_sp_group_attach(int socket, int prog)
{
	sp_require(socket == FD_SOCKET && prog == FD_PROG, "the loader attaches something else");
	if (!may_call(SP_SIM_QUICK))
		return DEAD;
	sp_sim_attach();
	return 0;
}

/* --- what it says is not asked for --- */

int __wrap_sp_fail(int err, const char *fmt, ...)
{
	(void)fmt;
	return err;
}

int __wrap_sp_refuse(int err, const char *fmt, ...)
{
	(void)fmt;
	return err;
}

void __wrap_sp_hint(const char *fmt, ...)
{
	(void)fmt;
}

void __wrap_sp_warn(const char *fmt, ...)
{
	(void)fmt;
}

void __wrap_sp_note(const char *fmt, ...)
{
	(void)fmt;
}
