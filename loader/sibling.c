// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A socket like another process's. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/sockios.h>
#include <steadyport/abi.h>
#include "cleanup.h"
#include "log.h"
#include "netns.h"
#include "sibling.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62 /* Linux 5.0 */
#endif

#define VALUE_MAX 32 /* bytes of the longest option, the name of a congestion control */

struct option {
	int level;
	int name;
	int setter; /* 0: name */
	bool is_doubled; /* what is read is twice what was set: sock_setsockopt(), SO_RCVBUF */
	bool is_vital; /* without it the kernel would not see one group */
};

/* In this order: one option may be needed for the next. */
static const struct option options[] = {
	{ .level = SOL_SOCKET, .name = SO_BINDTOIFINDEX, .is_vital = true },
	{ .level = IPPROTO_IPV6, .name = IPV6_V6ONLY, .is_vital = true },
	{ .level = SOL_SOCKET, .name = SO_REUSEADDR, .is_vital = true },
	{ .level = IPPROTO_IP, .name = IP_TRANSPARENT },
	{ .level = IPPROTO_IPV6, .name = IPV6_TRANSPARENT },
	{ .level = IPPROTO_IP, .name = IP_FREEBIND },
	{ .level = IPPROTO_IPV6, .name = IPV6_FREEBIND },

	{ .level = SOL_SOCKET, .name = SO_MARK },
	{ .level = SOL_SOCKET, .name = SO_PRIORITY },
	{ .level = SOL_SOCKET, .name = SO_RCVBUF, .setter = SO_RCVBUFFORCE, .is_doubled = true },
	{ .level = SOL_SOCKET, .name = SO_SNDBUF, .setter = SO_SNDBUFFORCE, .is_doubled = true },
	{ .level = SOL_SOCKET, .name = SO_RCVLOWAT },
	{ .level = SOL_SOCKET, .name = SO_KEEPALIVE },
	{ .level = SOL_SOCKET, .name = SO_LINGER },
	{ .level = SOL_SOCKET, .name = SO_OOBINLINE },
	{ .level = SOL_SOCKET, .name = SO_MAX_PACING_RATE },
	{ .level = IPPROTO_IP, .name = IP_TOS },
	{ .level = IPPROTO_IP, .name = IP_TTL },
	{ .level = IPPROTO_IP, .name = IP_MTU_DISCOVER },
	{ .level = IPPROTO_IPV6, .name = IPV6_TCLASS },
	{ .level = IPPROTO_IPV6, .name = IPV6_UNICAST_HOPS },
	{ .level = IPPROTO_IPV6, .name = IPV6_MTU_DISCOVER },
	{ .level = IPPROTO_TCP, .name = TCP_CONGESTION },
	{ .level = IPPROTO_TCP, .name = TCP_NODELAY },
	{ .level = IPPROTO_TCP, .name = TCP_MAXSEG },
	{ .level = IPPROTO_TCP, .name = TCP_KEEPIDLE },
	{ .level = IPPROTO_TCP, .name = TCP_KEEPINTVL },
	{ .level = IPPROTO_TCP, .name = TCP_KEEPCNT },
	{ .level = IPPROTO_TCP, .name = TCP_SYNCNT },
	{ .level = IPPROTO_TCP, .name = TCP_LINGER2 },
	{ .level = IPPROTO_TCP, .name = TCP_DEFER_ACCEPT },
	{ .level = IPPROTO_TCP, .name = TCP_USER_TIMEOUT },
	{ .level = IPPROTO_TCP, .name = TCP_NOTSENT_LOWAT },
	{ .level = IPPROTO_TCP, .name = TCP_SAVE_SYN },
};

struct sibling {
	int model;
	int family;
	__u32 uid;
	__u64 netns_cookie;
	int fd;
};

/* The kernel takes the owner of a socket from the file system uid of its maker: sock_alloc(). */
static int open_as(struct sibling *s)
{
	__u32 own = setfsuid(s->uid), now = setfsuid(-1);

	s->fd = now == s->uid ? socket(s->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (now != s->uid)
		errno = EPERM;
	else if (s->fd < 0)
		s->fd = -1;
	setfsuid(own);
	return s->fd < 0 ? -errno : 0;
}

static int call_open_as(void *ctx)
{
	return open_as(ctx);
}

static int read_netns_cookie(int fd, __u64 *ret_cookie)
{
	socklen_t len = sizeof(*ret_cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) ? -errno : 0;
}

/* In our own network namespace, unless that is not the model's. */
static int open_in_place(struct sibling *s)
{
	sp_autoclose int netns = -1;
	__u64 cookie;
	int err;

	err = open_as(s);
	err = err ?: read_netns_cookie(s->fd, &cookie);
	if (err || cookie == s->netns_cookie)
		return err;
	sp_close_fd(&s->fd);
	netns = ioctl(s->model, SIOCGSKNS);
	if (netns < 0)
		return -errno;
	return sp_netns_call(netns, call_open_as, s);
}

static int copy_option(const struct sibling *s, const struct option *option)
{
	char model[VALUE_MAX] = { 0 }, own[VALUE_MAX] = { 0 };
	socklen_t len = sizeof(model), own_len = sizeof(own);
	int halved;

	/* What one of them cannot have (IPv6 options of an IPv4 socket, what is new in later kernels) both have not. */
	if (getsockopt(s->model, option->level, option->name, model, &len) ||
	    getsockopt(s->fd, option->level, option->name, own, &own_len))
		return 0;
	/* Setting a buffer's size to what it is anyway would end its growing by itself. */
	if (len == own_len && !memcmp(model, own, len))
		return 0;
	if (option->is_doubled) {
		memcpy(&halved, model, sizeof(halved));
		halved /= 2;
		memcpy(model, &halved, sizeof(halved));
	}
	return setsockopt(s->fd, option->level, option->setter ?: option->name, model, len) ? -errno : 0;
}

static int copy_options(const struct sibling *s)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(options); i++) {
		int err = copy_option(s, &options[i]);

		if (err && options[i].is_vital)
			return err;
		if (err)
			sp_note("cannot copy socket option %d of level %d: %s", options[i].name,
				options[i].level, strerror(-err));
	}
	return 0;
}

static int bind_beside(const struct sibling *s)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int one = 1;

	if (getsockname(s->model, (struct sockaddr *)&address, &len) ||
	    setsockopt(s->fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) ||
	    bind(s->fd, (struct sockaddr *)&address, len))
		return -errno;
	return 0;
}

int sp_sibling_make(int socket, int *ret_fd)
{
	struct sibling s = { .model = socket, .fd = -1 };
	socklen_t len = sizeof(s.family);
	struct stat st;
	int err;

	if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &s.family, &len) || fstat(socket, &st))
		return -errno;
	s.uid = st.st_uid;
	err = read_netns_cookie(socket, &s.netns_cookie);
	err = err ?: open_in_place(&s);
	err = err ?: copy_options(&s);
	err = err ?: bind_beside(&s);
	if (err) {
		sp_close_fd(&s.fd);
		return err;
	}
	*ret_fd = s.fd;
	return 0;
}
