// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Worker processes of the laboratory: what a worker does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include "cleanup.h"
#include "lab.h"
#include "lab_orders.h"
#include "lab_wire.h"

static int open_server(const struct server *server, const struct sp_address *address, __u16 port, int *ret_fd)
{
	const struct sp_lab_options *options = &server->options;
	/* NOLINTNEXTLINE(clang-analyzer-core.*): without an address the servers are adopted */
	sp_autoclose int fd = open_socket(server->protocol, address->family);
	bool is_v6 = address->family == AF_INET6;
	int v6only = options->is_v6only;
	struct sockaddr_storage sa;
	socklen_t len = sp_address_to_sockaddr(address, port, &sa);
	int err = 0;

	if (fd < 0)
		return fd;
	if (options->reuseport)
		err = set_option(fd, SOL_SOCKET, SO_REUSEPORT);
	if (!err && is_v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)))
		err = -errno;
	/*
	 * The answer must come from the address that was asked, also when that is not the first of the
	 * device.
	 */
	if (!err && server->protocol == SP_UDP)
		err = is_v6 ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO) :
			      set_option(fd, IPPROTO_IP, IP_PKTINFO);
	if (err)
		return err;
	if (bind(fd, (struct sockaddr *)&sa, len))
		return -errno;
	if (options->fastopen &&
	    setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &options->fastopen, sizeof(options->fastopen)))
		return -errno;
	if (server->protocol == SP_TCP && listen(fd, options->backlog ? (int)options->backlog : 4096))
		return -errno;
	*ret_fd = sp_take_fd(&fd);
	return 0;
}

static int describe(const struct server *server, struct reply *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa), cookie_len = sizeof(*ret->cookies);
	struct reply reply = { .nsockets = server->nsockets };

	if (getsockname(server->sockets[0], (struct sockaddr *)&sa, &len))
		return -errno;
	for (__u32 i = 0; i < server->nsockets; i++)
		if (getsockopt(server->sockets[i], SOL_SOCKET, SO_COOKIE, &reply.cookies[i], &cookie_len))
			return -errno;
	/* NOLINTNEXTLINE(clang-analyzer-core.*): getsockname() has filled it */
	reply.value = ntohs(sa.ss_family == AF_INET ? ((struct sockaddr_in *)&sa)->sin_port :
						      ((struct sockaddr_in6 *)&sa)->sin6_port);
	*ret = reply;
	return 0;
}

/* All in one group, so the first one's port is everybody's. */
static int open_servers(struct server *server, const struct sp_address *address, __u16 port)
{
	__u32 wanted = server->options.nsockets ?: 1;
	struct reply first = { .value = port };
	int err = 0;

	if (server->nsockets) /* adopted */
		return 0;
	if (wanted > SP_LAB_SOCKETS_MAX)
		return -EINVAL;
	while (!err && server->nsockets < wanted) {
		err = open_server(server, address, first.value, &server->sockets[server->nsockets]);
		if (!err && server->nsockets++ == 0)
			err = describe(server, &first);
	}
	return err;
}

static int watch_all(const struct server *server, int op)
{
	int err = 0;

	for (__u32 i = 0; !err && i < server->nsockets; i++)
		err = watch(server->epoll, op, server->sockets[i], server->is_paused ? 0 : EPOLLIN,
			    server->sockets[i]);
	return err;
}

static int waiting_in(enum sp_protocol protocol, int socket, __u32 *ret)
{
	__u32 memory[SK_MEMINFO_VARS] = { 0 };
	struct tcp_info info = { 0 };
	socklen_t len;

	if (protocol == SP_TCP) {
		len = sizeof(info);
		/* On a listening socket this field is the length of the accept queue: tcp_get_info(). */
		if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &len))
			return -errno;
		*ret = info.tcpi_unacked;
		return 0;
	}
	/* Not SIOCINQ, which is the size of the first datagram only. */
	len = sizeof(memory);
	if (getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory, &len))
		return -errno;
	*ret = memory[SK_MEMINFO_RMEM_ALLOC];
	return 0;
}

static int count_waiting(const struct server *server, __u32 *ret)
{
	__u32 sum = 0, one = 0;

	if (!server->nsockets)
		return -EBADF;
	for (__u32 i = 0; i < server->nsockets; i++) {
		int err = waiting_in(server->protocol, server->sockets[i], &one);

		if (err)
			return err;
		sum += one;
	}
	*ret = sum;
	return 0;
}

static int pause_server(struct server *server, bool is_paused)
{
	server->is_paused = is_paused;
	return server->nsockets ? watch_all(server, EPOLL_CTL_MOD) : -EBADF;
}

/* In order: what is noted before a system call is noted before its effects. */
static void note(__u32 *place, __u32 value)
{
	__atomic_store_n(place, value, __ATOMIC_SEQ_CST);
}

static void note_peer(const struct server *server, int fd, __u32 peer)
{
	if (server->options.notes && fd < SP_LAB_NOTED_MAX)
		note(&server->options.notes->peers[fd], peer);
}

/* Whoever shares a socket keeps it open, and epoll would tell of it for ever. */
static void close_all(struct server *server)
{
	while (server->nsockets) {
		int *socket = &server->sockets[--server->nsockets];

		watch(server->epoll, EPOLL_CTL_DEL, *socket, 0, 0);
		sp_close_fd(socket);
	}
	if (server->options.notes)
		note(&server->options.notes->is_closed, 1);
}

/* A message with an open file, or without one if it is negative. */
static bool send_reply(int control, const struct reply *reply, int fd)
{
	char buf[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec part = { .iov_base = (void *)reply, .iov_len = sizeof(*reply) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *rights;

	if (fd >= 0) {
		message.msg_control = buf;
		message.msg_controllen = sizeof(buf);
		rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	}
	return sendmsg(control, &message, MSG_NOSIGNAL) == sizeof(*reply);
}

/* CLONE_PARENT: the child is a child of the one who gives the orders, who can wait for it. */
static int fork_worker(const struct server *server, __u32 id, int *ret_control, __u32 *ret_pid)
{
	struct server child = *server;
	pid_t parent = getppid();
	int pair[2];
	long pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	sp_autoclose int ours = pair[0];
	sp_autoclose int theirs = pair[1];

	/* Not fork(), which has no flags. No stack is given, so the child goes on with a copy. */
	pid = syscall(SYS_clone, (unsigned long)(CLONE_PARENT | SIGCHLD), NULL, NULL, NULL, NULL);
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		child.control = theirs;
		child.options.id = id;
		sp_lab_run(&child, NULL, 0, parent);
	}
	*ret_control = sp_take_fd(&ours);
	*ret_pid = pid;
	return 0;
}

/* False: the worker is to end. */
static bool obey(struct server *server)
{
	struct reply reply = { 0 };
	sp_autoclose int control = -1; /* of a child */
	struct order order;
	int lent = -1;

	if (recv(server->control, &order, sizeof(order), 0) != sizeof(order))
		return false;
	switch (order.command) {
	case CMD_PAUSE:
	case CMD_RESUME:
		reply.err = pause_server(server, order.command == CMD_PAUSE);
		break;
	case CMD_CLOSE:
	case CMD_STOP:
		close_all(server);
		break;
	case CMD_WAITING:
		reply.err = count_waiting(server, &reply.value);
		break;
	case CMD_LEND:
		if (server->nsockets)
			lent = server->sockets[0];
		else
			reply.err = -EBADF;
		break;
	case CMD_FORK:
		reply.err = fork_worker(server, order.id, &control, &reply.value);
		lent = control;
		break;
	default:
		reply.err = -EINVAL;
	}
	return send_reply(server->control, &reply, lent) && order.command != CMD_STOP;
}

static void echo(const struct server *server, int socket)
{
	for (;;) {
		char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct sockaddr_storage peer;
		char payload[2048];
		__u32 id = server->options.id;
		struct iovec parts[2] = {
			{ .iov_base = &id, .iov_len = sizeof(id) },
			{ .iov_base = payload, .iov_len = sizeof(payload) },
		};
		struct msghdr message = {
			.msg_name = &peer,
			.msg_namelen = sizeof(peer),
			.msg_iov = &parts[1],
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t len = recvmsg(socket, &message, 0);

		if (len < 0 && errno == EAGAIN)
			return;
		/* The error of an answer that nobody was there to take: no datagram, nothing to do. */
		if (len < 0)
			continue;
		parts[1].iov_len = len;
		message.msg_iov = parts;
		message.msg_iovlen = 2;
		message.msg_flags = 0;
		/*
		 * The packet info that came goes back as it is: destination of the one, source of the other.
		 */
		sendmsg(socket, &message, MSG_NOSIGNAL);
	}
}

static int accept_one(const struct server *server, int socket)
{
	struct sp_lab_notes *notes = server->options.notes;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd;

	if (notes)
		note(&notes->is_accepting, 1);
	fd = accept4(socket, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		note_peer(server, fd, sp_lab_peer(&peer));
	if (notes)
		note(&notes->is_accepting, 0);
	return fd;
}

/* Whoever walks all open files may hold this one for a moment longer, and epoll would tell of it as long. */
static void dismiss(struct server *server, int fd)
{
	note_peer(server, fd, 0);
	watch(server->epoll, EPOLL_CTL_DEL, fd, 0, 0);
	close(fd);
	server->naccepted--;
}

static void accept_all(struct server *server, int socket)
{
	for (;;) {
		int fd = accept_one(server, socket);

		if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		if (fd < 0)
			return;
		server->naccepted++;
		if (watch(server->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, fd))
			dismiss(server, fd);
	}
}

static void answer(struct server *server, int fd)
{
	char line[256];
	ssize_t len = recv(fd, line, sizeof(line), 0);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len > 0 && line[len - 1] != '\n')
		return;
	if (len > 0)
		send(fd, &server->options.id, sizeof(server->options.id), MSG_NOSIGNAL);
	dismiss(server, fd);
}

/* As a server that was written well does on SIGTERM. What waits to be accepted is left to the other listeners. */
static void leave(struct server *server)
{
	struct signalfd_siginfo signal;

	if (read(server->signals, &signal, sizeof(signal)) != sizeof(signal))
		return;
	for (__u32 i = 0; i < server->nsockets && server->protocol == SP_UDP; i++)
		echo(server, server->sockets[i]);
	close_all(server);
	server->is_leaving = true;
}

static bool is_own(const struct server *server, int fd)
{
	for (__u32 i = 0; i < server->nsockets; i++)
		if (server->sockets[i] == fd)
			return true;
	return false;
}

/* Serves until told to stop. */
static void serve(struct server *server)
{
	/*
	 * Wakes up by itself, too: some kernels, 6.1.174 is one, queue a migrated connection without waking anybody.
	 * Such a connection should be late here, not lost.
	 */
	const bool sleeps = server->options.sleeps || server->protocol == SP_UDP;
	struct epoll_event events[EVENTS];

	while (!server->is_leaving || server->naccepted) {
		int n = epoll_wait(server->epoll, events, EVENTS, sleeps ? -1 : 50);
		bool is_called = false, is_ordered = false, is_asked = !sleeps;

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.u32;

			if (fd == server->control) {
				is_ordered = true;
			} else if (fd == server->signals) {
				is_called = true;
			} else if (is_own(server, fd)) {
				is_asked = true;
			} else if (server->protocol == SP_TCP) {
				answer(server, fd);
			}
		}
		/* Only now: there may have been events of the sockets that they close. */
		if (is_ordered && !obey(server))
			return;
		if (is_called)
			leave(server);
		for (__u32 i = 0; i < server->nsockets && is_asked && !server->is_paused; i++) {
			if (server->protocol == SP_TCP)
				accept_all(server, server->sockets[i]);
			else
				echo(server, server->sockets[i]);
		}
	}
}

/* The control becomes 3, the sockets 4 and up; everything else that came from the parent is closed. */
static int keep_files(struct server *server)
{
	enum {
		FIRST = 3,
		AWAY = FIRST + 1 + SP_LAB_SOCKETS_MAX
	};
	int *kept[1 + SP_LAB_SOCKETS_MAX] = { &server->control };
	int n = 1;

	for (__u32 i = 0; i < server->nsockets; i++)
		kept[n++] = &server->sockets[i];
	/* First out of the way of each other. */
	for (int i = 0; i < n; i++) {
		*kept[i] = fcntl(*kept[i], F_DUPFD, AWAY);
		if (*kept[i] < 0)
			return -errno;
	}
	for (int i = 0; i < n; i++) {
		if (dup2(*kept[i], FIRST + i) < 0)
			return -errno;
		*kept[i] = FIRST + i;
	}
	return syscall(SYS_close_range, (unsigned int)(FIRST + n), ~0U, 0U) ? -errno : 0;
}

/* The first steps of a new process, whether it comes from the tests or from another worker. */
static int settle(struct server *server, pid_t parent)
{
	char name[16];
	int err = keep_files(server);

	if (err)
		return err;
	if (server->options.uid && setresuid(server->options.uid, server->options.uid, server->options.uid))
		return -errno;
	/* After setresuid(), which clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return -errno;
	if (getppid() != parent)
		return -ESRCH;
	snprintf(name, sizeof(name), "worker-%u", server->options.id);
	return prctl(PR_SET_NAME, name) ? -errno : 0;
}

static int catch_signals(struct server *server)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &signals, NULL))
		return -errno;
	server->signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (server->signals < 0)
		return -errno;
	return watch(server->epoll, EPOLL_CTL_ADD, server->signals, EPOLLIN, server->signals);
}

void sp_lab_run(struct server *server, const struct sp_address *address, __u16 port, pid_t parent)
{
	struct reply reply = { 0 };
	int err = settle(server, parent);

	if (!err)
		err = open_servers(server, address, port);
	if (!err)
		err = describe(server, &reply);
	/* What its parent has accepted it has not. */
	server->naccepted = 0;
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!err && server->epoll < 0)
		err = -errno;
	if (!err)
		err = watch(server->epoll, EPOLL_CTL_ADD, server->control, EPOLLIN, server->control);
	if (!err)
		err = catch_signals(server);
	if (!err)
		err = watch_all(server, EPOLL_CTL_ADD);
	reply.err = err;
	if (send_reply(server->control, &reply, -1) && !err)
		serve(server);
	_exit(err ? 1 : 0);
}
