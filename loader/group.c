// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Acting on a kernel group through its members' sockets. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "group.h"
#include "log.h"
#include "netns.h"

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

const char *sp_group_endpoint(const struct sp_group *group, char buf[SP_ENDPOINT_STRLEN])
{
	char address[SP_ENDPOINT_STRLEN];

	snprintf(buf, SP_ENDPOINT_STRLEN, "%s:%.*s", sp_protocol_name(group->protocol),
		 SP_ENDPOINT_STRLEN - 5,
		 sp_address_format(&group->address, group->ifindex, group->port, address));
	return buf;
}

static bool fits(const struct sp_group *g, const struct sp_endpoint *endpoint)
{
	return sp_endpoint_matches(endpoint, g->protocol, &g->address, g->ifindex, g->port);
}

/* "0.0.0.0:8080 (nginx)" */
static void describe(const struct sp_group *g, char *buf, size_t size)
{
	char address[SP_ENDPOINT_STRLEN];

	snprintf(buf, size, "%s (%s)", sp_address_format(&g->address, g->ifindex, g->port, address),
		 g->nmembers && g->members[0].nowners ? g->members[0].owners[0].comm : "?");
}

static int refuse_several(const struct sp_groups *groups, const struct sp_endpoint *endpoint,
			  __u64 netns_cookie, const struct sp_group *first, size_t count)
{
	char list[1024] = "", one[SP_ENDPOINT_STRLEN + 32], text[SP_ENDPOINT_STRLEN];
	size_t len = 0, seen = 0;

	for (size_t i = 0; i < groups->ngroups && len < sizeof(list); i++) {
		const struct sp_group *g = &groups->groups[i];

		if (!g->has_group || g->netns_cookie != netns_cookie || !fits(g, endpoint))
			continue;
		describe(g, one, sizeof(one));
		len += snprintf(list + len, sizeof(list) - len, "%s%s",
				seen == 0	  ? "" :
				seen + 1 == count ? " and " :
						    ", ",
				one);
		seen++;
	}
	sp_refuse(0, "%s:%u fits %zu groups: %s", sp_protocol_name(endpoint->protocol), endpoint->port, count,
		  list);
	sp_hint("say which: steadyport attach NAME %s", sp_group_endpoint(first, text));
	return -EEXIST;
}

/* Nothing fits: the most telling of what is there instead. */
static int refuse_none(const struct sp_groups *groups, const struct sp_endpoint *endpoint, __u64 netns_cookie)
{
	const struct sp_group *lone = NULL, *elsewhere = NULL, *other = NULL;
	char one[SP_ENDPOINT_STRLEN + 32], text[SP_ENDPOINT_STRLEN], netns[SP_NETNS_STRLEN];

	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];

		if (!fits(g, endpoint)) {
			if (g->has_group && g->port == endpoint->port && g->protocol == endpoint->protocol &&
			    g->netns_cookie == netns_cookie)
				other = g;
		} else if (g->netns_cookie != netns_cookie) {
			if (g->has_group)
				elsewhere = g;
		} else {
			lone = g;
		}
	}
	if (lone && lone->is_mptcp) {
		describe(lone, one, sizeof(one));
		sp_refuse(0, "tcp %s listens with MPTCP: the sockets of its group are the kernel's own", one);
		sp_hint("make the server use plain TCP; Go: GODEBUG=multipathtcp=0");
	} else if (lone) {
		describe(lone, one, sizeof(one));
		sp_refuse(0, "%s %s listens without SO_REUSEPORT: there is no group to steer",
			  sp_protocol_name(lone->protocol), one);
		sp_hint("make the server set it, e.g. nginx: listen ... reuseport; then restart it");
	} else if (elsewhere && elsewhere->nmembers && elsewhere->members[0].nowners) {
		describe(elsewhere, one, sizeof(one));
		sp_refuse(0, "no such group in this network namespace; in %s there is %s",
			  sp_netns_name(elsewhere->netns_inode, netns), one);
		sp_hint("add: --netns %u", elsewhere->members[0].owners[0].pid);
	} else if (other) {
		describe(other, one, sizeof(one));
		sp_refuse(0, "no reuseport group has that address; on this port there is %s", one);
		sp_hint("say: %s", sp_group_endpoint(other, text));
	} else {
		sp_refuse(0, "no reuseport group listens on %s port %u", sp_protocol_name(endpoint->protocol),
			  endpoint->port);
		sp_hint("see those there are: steadyport groups");
	}
	return -ENOENT;
}

/* @ret_group: the first that fits, also of several */
static size_t find(const struct sp_groups *groups, const struct sp_endpoint *endpoint, __u64 netns_cookie,
		   const struct sp_group **ret_group)
{
	const struct sp_group *found = NULL, *on_all_devices = NULL;
	size_t count = 0, unbound = 0;

	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];

		if (!g->has_group || g->netns_cookie != netns_cookie || !fits(g, endpoint))
			continue;
		found = found ?: g;
		count++;
		if (!g->ifindex) {
			on_all_devices = g;
			unbound++;
		}
	}
	/* An address without a device names the group that is bound to none, if there is one. */
	if (count > 1 && endpoint->has_address && unbound == 1) {
		found = on_all_devices;
		count = 1;
	}
	*ret_group = found;
	return count;
}

int sp_group_lookup(const struct sp_groups *groups, const struct sp_endpoint *endpoint, __u64 netns_cookie,
		    const struct sp_group **ret_group)
{
	const struct sp_group *group;
	size_t count = find(groups, endpoint, netns_cookie, &group);

	if (count != 1)
		return count ? -EEXIST : -ENOENT;
	*ret_group = group;
	return 0;
}

int sp_group_find(const struct sp_groups *groups, const struct sp_endpoint *endpoint, __u64 netns_cookie,
		  const struct sp_group **ret_group)
{
	const struct sp_group *group;
	size_t count = find(groups, endpoint, netns_cookie, &group);

	if (count == 0)
		return refuse_none(groups, endpoint, netns_cookie);
	if (count > 1)
		return refuse_several(groups, endpoint, netns_cookie, group, count);
	*ret_group = group;
	return 0;
}

static bool is_at(const struct sp_group *g, const struct sp_ctl *place)
{
	return g->netns_cookie == place->netns_cookie && g->protocol == place->protocol &&
	       g->port == place->port && g->ifindex == place->ifindex && g->address.family == place->family &&
	       !memcmp(g->address.bytes, place->addr, sizeof(place->addr));
}

const struct sp_group *sp_group_at(const struct sp_groups *groups, const struct sp_ctl *place, __u32 prog_id)
{
	const struct sp_group *found = NULL;

	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];

		if (g->has_group && is_at(g, place) && (!found || g->prog_id == prog_id))
			found = g;
	}
	return found;
}

const struct sp_member *sp_group_outside(const struct sp_groups *groups, const struct sp_ctl *place,
					 const struct sp_group *group, __u32 *ret_count)
{
	const struct sp_member *found = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < groups->ngroups && place->protocol == SP_UDP; i++) {
		const struct sp_group *g = &groups->groups[i];

		/* An IPv6-only group beside a dual-stack one is there on purpose. */
		if (g == group || !is_at(g, place) || (group && g->is_v6only != group->is_v6only))
			continue;
		for (size_t m = 0; m < g->nmembers; m++) {
			if (g->members[m].is_connected)
				continue;
			found = found ?: &g->members[m];
			++*ret_count;
		}
	}
	return found;
}

static int socket_of(const struct sp_owner *owner, __u64 cookie, int *ret_fd)
{
	sp_autoclose int pidfd = syscall(SYS_pidfd_open, owner->pid, 0);
	sp_autoclose int fd = -1;
	socklen_t len = sizeof(__u64);
	__u64 actual = 0;

	if (pidfd < 0)
		return errno == ESRCH ? -ESTALE : -errno;
	fd = syscall(SYS_pidfd_getfd, pidfd, owner->fd, 0);
	if (fd < 0)
		return errno == EBADF || errno == ESRCH ? -ESTALE : -errno;
	/* The number may name another file by now. */
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &actual, &len))
		return errno == ENOTSOCK ? -ESTALE : -errno;
	if (actual != cookie)
		return -ESTALE;
	*ret_fd = sp_take_fd(&fd);
	return 0;
}

int sp_group_socket(const struct sp_member *member, int *ret_fd)
{
	int err = -ESTALE;

	for (size_t i = 0; i < member->nowners; i++) {
		int failed = socket_of(&member->owners[i], member->cookie, ret_fd);

		if (!failed)
			return 0;
		if (failed != -ESTALE)
			err = failed;
	}
	return err;
}

/* A listener that was shut down since the scan is no member any more. */
static bool is_member_still(const struct sp_group *group, int fd)
{
	socklen_t len = sizeof(int);
	int listens = 0;

	return group->protocol != SP_TCP ||
	       (!getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && listens);
}

int sp_group_any_socket(const struct sp_group *group, int *ret_fd)
{
	int err = -ESTALE;

	for (size_t i = 0; i < group->nmembers; i++) {
		sp_autoclose int fd = -1;
		int failed = sp_group_socket(&group->members[i], &fd);

		if (!failed && !is_member_still(group, fd))
			continue;
		if (!failed) {
			*ret_fd = sp_take_fd(&fd);
			return 0;
		}
		if (failed != -ESTALE)
			err = failed;
	}
	return err;
}

int sp_group_attach(int socket, int prog)
{
	return setsockopt(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog, sizeof(prog)) ? -errno : 0;
}

int sp_group_detach(int socket)
{
	int unused = 0;

	return setsockopt(socket, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused)) ? -errno : 0;
}

int sp_group_wake(int socket)
{
	return shutdown(socket, SHUT_WR) ? -errno : 0;
}

/* inet_shutdown() disconnects a socket that listens: tcp_disconnect() ends with inet_csk_listen_stop(), as close() does. */
int sp_group_stop(int socket)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	/* Each ends it. Should one fail the other must do: what waits there would wait for nobody. */
	return shutdown(socket, SHUT_RD) && connect(socket, &nowhere, sizeof(nowhere)) ? -errno : 0;
}
