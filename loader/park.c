// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The parking socket: a place to wait for connections while a group has no worker. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "group.h"
#include "log.h"
#include "netns.h"
#include "notify.h"
#include "park.h"
#include "passed.h"
#include "sibling.h"
#include "state.h"

#define MIGRATE_SYSCTL "/proc/sys/net/ipv4/tcp_migrate_req"
#define RENEW_PAUSE_NS \
	1000000000ULL /* what waits though workers are live would wait again: not in a busy loop */
#define RETRY_NS 1000000000ULL /* after a socket could not be opened */

static const __u32 slot = SP_SLOT_PARK;

struct sp_park {
	char name[SP_NAME_MAX + 1];
	struct sp_park_memory memory;
	struct sp_park_look look; /* of the last update */
	int fd; /* -1: none is open */
	__u64 cookie;
	int told; /* the error of the last try, which was logged */
	__u64 retry_ns; /* 0: the last try did not fail */
	bool is_inherited; /* from a daemon before this one, whose mark it still bears */
};

/* --- what to do --- */

enum sp_park_action sp_park_decide(struct sp_park_memory *memory, const struct sp_park_look *look)
{
	bool was_alone = memory->alone_since_ns;

	if (!look->is_open) {
		memory->alone_since_ns = 0;
		return memory->patience_ns && look->is_attached && look->live && look->has_room ?
			       SP_PARK_OPEN :
			       SP_PARK_KEEP;
	}
	if (!look->is_attached)
		return SP_PARK_LEAVE;
	if (!memory->patience_ns)
		return SP_PARK_CLOSE;
	if (!look->live) {
		if (!was_alone)
			memory->alone_since_ns = look->now_ns;
		return look->now_ns - memory->alone_since_ns < memory->patience_ns ? SP_PARK_KEEP :
										     SP_PARK_EXPIRE;
	}
	memory->alone_since_ns = 0;
	/* Half-open connections are not counted, but there may be some: a gap is reason enough. */
	if (!was_alone && (!look->waiting || look->now_ns - memory->renewed_ns < RENEW_PAUSE_NS))
		return SP_PARK_KEEP;
	memory->renewed_ns = look->now_ns;
	return SP_PARK_RENEW;
}

__u64 sp_park_deadline_ns(const struct sp_park_memory *memory, const struct sp_park_look *look)
{
	if (!look->is_open)
		return 0;
	if (memory->alone_since_ns)
		return memory->alone_since_ns + memory->patience_ns;
	return look->waiting ? memory->renewed_ns + RENEW_PAUSE_NS : 0;
}

/* --- the slot --- */

/* @ret_cookie: 0: it is empty */
static int read_slot(int slots, __u64 *ret_cookie)
{
	int err = bpf_map_lookup_elem(slots, &slot, ret_cookie);

	if (err)
		*ret_cookie = 0;
	return err == -ENOENT ? 0 : err;
}

/* Free, or marked by a daemon that has died since. */
static bool has_room(const struct sp_pins *pins)
{
	struct sp_info info;
	__u64 cookie;

	return !read_slot(pins->slots, &cookie) && !cookie &&
	       !bpf_map_lookup_elem(pins->info, &slot, &info) &&
	       (info.state == SP_SLOT_FREE || info.state == SP_SLOT_PARKED);
}

/*
 * Before it listens, so that every parking socket that is a member is known by its cookie: whichever of the two is in
 * the slot, the record names both. The service manager may keep both for longer than this daemon lives.
 */
static int mark_slot(const struct sp_pins *pins, __u64 cookie)
{
	struct sp_info info;
	__u64 before;
	int err = read_slot(pins->slots, &before);

	err = err ?: bpf_map_lookup_elem(pins->info, &slot, &info);
	if (err)
		return err;
	info.incarnation++;
	info.state = SP_SLOT_PARKED;
	info.weight = 0;
	info.pid = getpid();
	info.cookie = cookie;
	memset(info.comm, 0, sizeof(info.comm));
	prctl(PR_GET_NAME, info.comm);
	info.enrolled_at = sp_wall_ns();
	info.died_at = before;
	return bpf_map_update_elem(pins->info, &slot, &info, BPF_ANY);
}

static void unmark_slot(const struct sp_pins *pins)
{
	struct sp_info info;

	if (bpf_map_lookup_elem(pins->info, &slot, &info) || info.state != SP_SLOT_PARKED)
		return;
	info.state = SP_SLOT_FREE;
	info.died_at = 0;
	bpf_map_update_elem(pins->info, &slot, &info, BPF_ANY);
}

/* --- opening --- */

static int read_cookie(int fd, __u64 *ret_cookie)
{
	socklen_t len = sizeof(*ret_cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret_cookie, &len) ? -errno : 0;
}

static int read_listening(int fd, int *ret_is_listening)
{
	socklen_t len = sizeof(*ret_is_listening);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ret_is_listening, &len) ? -errno : 0;
}

static int put_in_slot(const struct sp_pins *pins, int fd)
{
	__u64 value = fd;

	return bpf_map_update_elem(pins->slots, &slot, &value, BPF_ANY);
}

/* As soon as it listens, and before a connection can be in it. */
static void store(const struct sp_park *park, int fd, __u64 cookie)
{
	char name[SP_PASSED_NAME_LEN];

	sp_passed_call(park->name, cookie, name);
	sp_notify_store(name, fd);
}

/* Whoever else holds it. With the program: what waits goes where it says. */
static void stop(const struct sp_park *park, int *fd)
{
	char name[SP_PASSED_NAME_LEN];
	__u64 cookie;

	sp_group_stop(*fd);
	if (!read_cookie(*fd, &cookie)) {
		sp_passed_call(park->name, cookie, name);
		sp_notify_remove(name);
	}
	sp_close_fd(fd);
}

/*
 * The worker's socket is held until ours is a member: were it closed before, ours would be the first of a new group,
 * without our program. Holding it for longer would keep a dead worker's listener alive (DESIGN I6).
 */
static int open_beside(struct sp_park *park, const struct sp_pins *pins, const struct sp_member *member)
{
	sp_autoclose int socket = -1, fd = -1;
	int is_listening, err;
	__u64 cookie;

	err = sp_group_socket(member, &socket);
	err = err ?: read_listening(socket, &is_listening);
	if (!err && !is_listening)
		err = -ESTALE;
	err = err ?: sp_sibling_make(socket, &fd);
	err = err ?: read_cookie(fd, &cookie);
	err = err ?: mark_slot(pins, cookie);
	if (err)
		return err;
	/* As many as net.core.somaxconn allows. */
	if (listen(fd, INT_MAX))
		return -errno;
	store(park, fd, cookie);
	err = put_in_slot(pins, fd);
	if (err) {
		stop(park, &fd);
		return err;
	}
	park->fd = sp_take_fd(&fd);
	park->cookie = cookie;
	return 0;
}

/* Beside the first worker whose socket can be had. -ESTALE: there is none any more. */
static int open_socket(struct sp_park *park, const struct sp_pins *pins, const struct sp_group *group)
{
	__u64 own = park->cookie;
	int err = -ESTALE;

	for (size_t i = 0; group && i < group->nmembers; i++) {
		int failed = group->members[i].cookie == own ? -ESTALE :
							       open_beside(park, pins, &group->members[i]);

		if (!failed)
			return 0;
		if (failed != -ESTALE)
			err = failed;
	}
	return err;
}

static void tell_failure(struct sp_park *park, int err)
{
	if (err == park->told)
		return;
	park->told = err;
	sp_warn("%s: cannot open a parking socket: %s", park->name, strerror(-err));
	if (err == -EPERM || err == -EACCES)
		sp_hint("it needs CAP_SETUID and CAP_SYS_PTRACE; CAP_NET_BIND_SERVICE for ports below 1024; "
			"CAP_SYS_ADMIN and CAP_NET_ADMIN for other network namespaces");
}

static int open_park(struct sp_park *park, const struct sp_pins *pins, const struct sp_group *group)
{
	int err = open_socket(park, pins, group);

	park->retry_ns = 0;
	if (err && err != -ESTALE) {
		tell_failure(park, err);
		park->retry_ns = sp_now_ns() + RETRY_NS;
	}
	if (!err)
		park->told = 0;
	return err;
}

/* --- closing --- */

static __u32 count_waiting(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	/* Of a listening socket this is the length of its accept queue: tcp_get_info(). */
	return fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? 0 : info.tcpi_unacked;
}

/*
 * Without it: reuseport_migrate_sock() would let all that wait be reset, unless this switch of the network namespace
 * says that the kernel's hash may choose. It is on for some microseconds; other listeners that are closed in these
 * migrate their connections, too, which is no harm.
 */
static int stop_with_sysctl(void *ctx)
{
	struct sp_park *park = ctx;
	sp_autoclose int sysctl = open(MIGRATE_SYSCTL, O_RDWR | O_CLOEXEC);
	char before = '1';
	int err = 0;

	if (sysctl < 0 || pread(sysctl, &before, 1, 0) != 1 ||
	    (before == '0' && pwrite(sysctl, "1", 1, 0) != 1))
		err = -errno;
	stop(park, &park->fd);
	if (!err && before == '0' && pwrite(sysctl, "0", 1, 0) != 1)
		err = -errno;
	return err;
}

static void leave(struct sp_park *park)
{
	sp_autoclose int netns = ioctl(park->fd, SIOCGSKNS);
	__u32 waiting = count_waiting(park->fd);
	int err = netns < 0 ? -errno : sp_netns_call(netns, stop_with_sysctl, park);

	if (park->fd >= 0)
		stop(park, &park->fd);
	if (!waiting)
		sp_warn("%s: its program is gone, so the parking socket is closed", park->name);
	else if (err)
		sp_warn("%s: its program is gone; %u connection%s of the parking socket %s reset: "
			"cannot set " MIGRATE_SYSCTL ": %s",
			park->name, waiting, waiting == 1 ? "" : "s", waiting == 1 ? "was" : "were",
			strerror(-err));
	else
		sp_warn("%s: its program is gone; %u connection%s of the parking socket went to the members",
			park->name, waiting, waiting == 1 ? "" : "s");
}

static void forget(struct sp_park *park, const struct sp_pins *pins)
{
	sp_close_fd(&park->fd);
	park->cookie = 0;
	if (pins)
		unmark_slot(pins);
}

/* The new one first: should the worker die just now, the connections wait in that. */
static void renew(struct sp_park *park, const struct sp_pins *pins, const struct sp_group *group)
{
	sp_autoclose int old = sp_take_fd(&park->fd);
	__u32 waiting = count_waiting(old);

	if (open_park(park, pins, group)) {
		/* Better in the slot that is not marked than nowhere; the next pass tries again. */
		park->fd = sp_take_fd(&old);
		mark_slot(pins, park->cookie);
		park->memory.alone_since_ns = park->look.now_ns;
		return;
	}
	stop(park, &old);
	if (waiting)
		sp_tell("%s: a worker is back: %u connection%s that waited in the parking socket went there",
			park->name, waiting, waiting == 1 ? "" : "s");
}

static void expire(struct sp_park *park, const struct sp_pins *pins)
{
	__u32 waiting = count_waiting(park->fd);

	stop(park, &park->fd);
	forget(park, pins);
	sp_warn("%s: no worker has come for %llu s: %u connection%s that waited %s given up", park->name,
		park->memory.patience_ns / 1000000000, waiting, waiting == 1 ? "" : "s",
		waiting == 1 ? "is" : "are");
}

/* --- the life of one --- */

int sp_park_new(const char *name, enum sp_protocol protocol, __u64 patience_ns, struct sp_park **ret_park)
{
	struct sp_park *park;

	if (protocol != SP_TCP) {
		sp_refuse(0,
			  "%s: parking is for TCP: a datagram waits in the socket of its worker, or nowhere",
			  name);
		return -EOPNOTSUPP;
	}
	park = calloc(1, sizeof(*park));
	if (!park)
		return sp_fail(-ENOMEM, "cannot park connections of %s", name);
	snprintf(park->name, sizeof(park->name), "%s", name);
	park->memory.patience_ns = patience_ns;
	park->fd = -1;
	*ret_park = park;
	return 0;
}

void sp_park_inherit(struct sp_park *park, __u64 cookie, int *fd)
{
	__u32 waiting = count_waiting(*fd);

	park->fd = sp_take_fd(fd);
	park->cookie = cookie;
	park->is_inherited = true;
	/* A worker that is live now may have been away: what waits is its own. */
	park->memory.alone_since_ns = sp_now_ns();
	sp_tell("%s: the service manager has kept the parking socket, in which %u connection%s wait%s",
		park->name, waiting, waiting == 1 ? "" : "s", waiting == 1 ? "s" : "");
}

void sp_park_set_patience(struct sp_park *park, __u64 patience_ns)
{
	park->memory.patience_ns = patience_ns;
}

/* Somebody has stopped it, or needed its slot for a worker. */
static void drop_if_lost(struct sp_park *park, const struct sp_pins *pins)
{
	int is_listening;
	__u64 cookie;

	/* Where that cannot be told just now the next look will show it. */
	if (park->fd < 0 || read_listening(park->fd, &is_listening) || read_slot(pins->slots, &cookie) ||
	    (is_listening && cookie == park->cookie))
		return;
	sp_note("%s: the parking socket was stopped by a command", park->name);
	stop(park, &park->fd);
	forget(park, pins);
}

static void tell_full(struct sp_park *park)
{
	const struct sp_park_look *look = &park->look;

	if (look->is_open || look->has_room || !look->is_attached || !park->memory.patience_ns ||
	    park->told == -ENOSPC)
		return;
	park->told = -ENOSPC;
	sp_warn("%s: no parking: all %d slots are taken by workers, so there is none for its socket",
		park->name, SP_SLOTS_MAX);
}

enum sp_park_action sp_park_update(struct sp_park *park, const struct sp_pins *pins,
				   const struct sp_group *group, bool is_attached, __u32 live)
{
	enum sp_park_action action;

	drop_if_lost(park, pins);
	if (park->is_inherited && park->fd >= 0)
		mark_slot(pins, park->cookie);
	park->is_inherited = false;
	park->look = (struct sp_park_look){
		.is_attached = is_attached,
		.is_open = park->fd >= 0,
		.has_room = has_room(pins),
		.live = live,
		.waiting = count_waiting(park->fd),
		.now_ns = sp_now_ns(),
	};
	tell_full(park);
	action = sp_park_decide(&park->memory, &park->look);
	switch (action) {
	case SP_PARK_KEEP:
		break;
	case SP_PARK_OPEN:
		if (open_park(park, pins, group)) {
			unmark_slot(pins);
			action = SP_PARK_KEEP;
		}
		break;
	case SP_PARK_RENEW:
		renew(park, pins, group);
		break;
	case SP_PARK_CLOSE:
	case SP_PARK_LEAVE:
		sp_park_close(park, pins, is_attached);
		break;
	case SP_PARK_EXPIRE:
		expire(park, pins);
		break;
	}
	park->look.is_open = park->fd >= 0;
	park->look.waiting = count_waiting(park->fd);
	return action;
}

int sp_park_fd(const struct sp_park *park)
{
	return park->fd;
}

__u64 sp_park_next_ns(const struct sp_park *park)
{
	__u64 next = sp_park_deadline_ns(&park->memory, &park->look);

	return !next || (park->retry_ns && park->retry_ns < next) ? park->retry_ns : next;
}

__u32 sp_park_waiting(const struct sp_park *park)
{
	return count_waiting(park->fd);
}

void sp_park_close(struct sp_park *park, const struct sp_pins *pins, bool is_attached)
{
	int is_listening;

	if (park->fd < 0)
		return;
	if (is_attached || (!read_listening(park->fd, &is_listening) && !is_listening))
		stop(park, &park->fd);
	else
		leave(park);
	forget(park, pins);
	park->memory.alone_since_ns = 0;
}

void sp_park_free(struct sp_park **park)
{
	if (!*park)
		return;
	if ((*park)->fd >= 0)
		stop(*park, &(*park)->fd);
	free(*park);
	*park = NULL;
}

/* --- from outside --- */

__u64 sp_park_cookie(int slots, int info)
{
	struct sp_info record;
	__u64 cookie;

	if (slots < 0 || info < 0 || bpf_map_lookup_elem(info, &slot, &record) ||
	    record.state != SP_SLOT_PARKED || read_slot(slots, &cookie))
		return 0;
	return cookie;
}

/* -ENOENT: it is not there, or cannot be seen. */
static int stop_member(const struct sp_groups *groups, __u64 cookie)
{
	const struct sp_member *member = cookie ? sp_groups_member(groups, cookie) : NULL;
	sp_autoclose int socket = -1;
	int err;

	if (!member)
		return -ENOENT;
	err = sp_group_socket(member, &socket);
	if (err)
		return err == -ESTALE ? 0 : err;
	return sp_group_stop(socket);
}

int sp_park_stop(int slots, int info, const struct sp_groups *groups)
{
	struct sp_info record;
	__u64 cookie;
	int err;

	if (slots < 0 || info < 0)
		return 0;
	err = bpf_map_lookup_elem(info, &slot, &record);
	if (err || record.state != SP_SLOT_PARKED)
		return err;
	err = read_slot(slots, &cookie);
	if (err)
		return err;
	/* Those in no slot first: what waits in them has more places to go to. */
	if (record.cookie != cookie)
		stop_member(groups, record.cookie);
	if (record.died_at != cookie)
		stop_member(groups, record.died_at);
	if (!cookie)
		return 0;
	err = stop_member(groups, cookie);
	return err == -ENOENT ? -EPERM : err;
}
