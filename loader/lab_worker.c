// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Worker processes of the laboratory: what a worker does, and how its parent commands it. */
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "cleanup.h"
#include "lab.h"
#include "lab_wire.h"

#define CONTROL_TIMEOUT_MS 5000 /* a worker that does not answer its parent for so long is broken */

/* ---- the worker's side ---- */

enum command {
	CMD_PAUSE = 1,
	CMD_RESUME,
	CMD_CLOSE,
	CMD_WAITING,
	CMD_STOP,
};

/*
 * One SOCK_SEQPACKET message each way: the command as a __u32, then this. The first one comes unasked:
 * "ready".
 */
struct reply {
	__s32 err;
	__u32 value; /* ready: the port */
	__u64 cookie;
};

struct server {
	struct sp_lab_options options;
	enum sp_protocol protocol;
	int control;
	int socket; /* -1: closed */
	int epoll;
	bool is_paused;
};

static int open_server(const struct server *server, const struct sp_address *address, __u16 port, int *ret_fd)
{
	const struct sp_lab_options *options = &server->options;
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
	if (server->protocol == SP_TCP && listen(fd, options->backlog ? (int)options->backlog : 4096))
		return -errno;
	*ret_fd = sp_take_fd(&fd);
	return 0;
}

static int describe_socket(int fd, struct reply *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa), cookie_len = sizeof(ret->cookie);
	struct reply reply = { 0 };

	if (getsockname(fd, (struct sockaddr *)&sa, &len))
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &reply.cookie, &cookie_len))
		return -errno;
	reply.value = ntohs(sa.ss_family == AF_INET ? ((struct sockaddr_in *)&sa)->sin_port :
						      ((struct sockaddr_in6 *)&sa)->sin6_port);
	*ret = reply;
	return 0;
}

static int count_waiting(const struct server *server, __u32 *ret)
{
	__u32 memory[SK_MEMINFO_VARS] = { 0 };
	struct tcp_info info = { 0 };
	socklen_t len;

	if (server->socket < 0)
		return -EBADF;
	if (server->protocol == SP_TCP) {
		len = sizeof(info);
		/* On a listening socket this field is the length of the accept queue: tcp_get_info(). */
		if (getsockopt(server->socket, IPPROTO_TCP, TCP_INFO, &info, &len))
			return -errno;
		*ret = info.tcpi_unacked;
		return 0;
	}
	/* Not SIOCINQ, which is the size of the first datagram only. */
	len = sizeof(memory);
	if (getsockopt(server->socket, SOL_SOCKET, SO_MEMINFO, memory, &len))
		return -errno;
	*ret = memory[SK_MEMINFO_RMEM_ALLOC];
	return 0;
}

static int pause_server(struct server *server, bool is_paused)
{
	server->is_paused = is_paused;
	if (server->socket < 0)
		return -EBADF;
	return watch(server->epoll, EPOLL_CTL_MOD, server->socket, is_paused ? 0 : EPOLLIN, server->socket);
}

/* False: the worker is to end. */
static bool obey(struct server *server)
{
	struct reply reply = { 0 };
	__u32 command;

	if (recv(server->control, &command, sizeof(command), 0) != sizeof(command))
		return false;
	switch (command) {
	case CMD_PAUSE:
	case CMD_RESUME:
		reply.err = pause_server(server, command == CMD_PAUSE);
		break;
	case CMD_CLOSE:
	case CMD_STOP:
		sp_close_fd(&server->socket);
		break;
	case CMD_WAITING:
		reply.err = count_waiting(server, &reply.value);
		break;
	default:
		reply.err = -EINVAL;
	}
	if (send(server->control, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
		return false;
	return command != CMD_STOP;
}

static void echo(const struct server *server)
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
		ssize_t len = recvmsg(server->socket, &message, 0);

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
		sendmsg(server->socket, &message, MSG_NOSIGNAL);
	}
}

static void accept_all(const struct server *server)
{
	for (;;) {
		int fd = accept4(server->socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		if (fd < 0)
			return;
		if (watch(server->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, fd))
			close(fd);
	}
}

static void answer(const struct server *server, int fd)
{
	char line[256];
	ssize_t len = recv(fd, line, sizeof(line), 0);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len > 0 && line[len - 1] != '\n')
		return;
	if (len > 0)
		send(fd, &server->options.id, sizeof(server->options.id), MSG_NOSIGNAL);
	close(fd);
}

/* Serves until told to stop. */
static void serve(struct server *server)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		/*
		 * Wakes up by itself, too: some kernels, 6.1.174 is one, queue a migrated connection without
		 * waking anybody. Such a connection should be late here, not lost.
		 */
		int n = epoll_wait(server->epoll, events, EVENTS, 50);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.u32;

			if (fd == server->control) {
				if (!obey(server))
					return;
			} else if (fd != server->socket && server->protocol == SP_TCP) {
				answer(server, fd);
			}
		}
		if (server->socket < 0 || server->is_paused)
			continue;
		if (server->protocol == SP_TCP)
			accept_all(server);
		else
			echo(server);
	}
}

/*
 * The first steps of the new process. It has nothing of its parent's open but standard streams and the
 * control.
 */
static int settle(struct server *server, int control, pid_t parent)
{
	char name[16];

	if (control != 3) {
		if (dup2(control, 3) < 0)
			return -errno;
		server->control = 3;
	}
	if (syscall(SYS_close_range, 4U, ~0U, 0U))
		return -errno;
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

static void run_worker(struct server *server, const struct sp_address *address, __u16 port, pid_t parent)
{
	struct reply reply = { 0 };
	int err = settle(server, server->control, parent);

	if (!err)
		err = open_server(server, address, port, &server->socket);
	if (!err)
		err = describe_socket(server->socket, &reply);
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!err && server->epoll < 0)
		err = -errno;
	if (!err)
		err = watch(server->epoll, EPOLL_CTL_ADD, server->control, EPOLLIN, server->control);
	if (!err)
		err = watch(server->epoll, EPOLL_CTL_ADD, server->socket, server->is_paused ? 0 : EPOLLIN,
			    server->socket);
	reply.err = err;
	if (send(server->control, &reply, sizeof(reply), MSG_NOSIGNAL) == sizeof(reply) && !err)
		serve(server);
	_exit(err ? 1 : 0);
}

/* ---- the parent's side of a worker ---- */

static int wait_reply(int control, struct reply *ret)
{
	struct pollfd ready = { .fd = control, .events = POLLIN };
	__u64 deadline = sp_lab_now_ms() + CONTROL_TIMEOUT_MS;
	struct reply reply;
	ssize_t len;
	int n;

	do
		n = poll(&ready, 1, sp_lab_left_ms(deadline));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	len = recv(control, &reply, sizeof(reply), 0);
	if (len < 0)
		return -errno;
	if (len != sizeof(reply))
		return -EPIPE;
	if (reply.err)
		return reply.err;
	*ret = reply;
	return 0;
}

static int command_worker(const struct sp_lab_worker *worker, enum command command, struct reply *ret)
{
	__u32 message = command;

	if (!worker->pid)
		return -ESRCH;
	if (send(worker->control, &message, sizeof(message), MSG_NOSIGNAL) < 0)
		return -errno;
	return wait_reply(worker->control, ret);
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPROTO;
}

int sp_lab_start(enum sp_protocol protocol, const struct sp_address *address, __u16 port,
		 const struct sp_lab_options *options, struct sp_lab_worker *ret)
{
	struct server server = {
		.options = *options,
		.protocol = protocol,
		.socket = -1,
		.epoll = -1,
		.is_paused = options->is_paused,
	};
	pid_t parent = getpid(), pid;
	struct reply ready;
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	sp_autoclose int ours = pair[0];
	sp_autoclose int theirs = pair[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		server.control = theirs;
		run_worker(&server, address, port, parent);
	}
	sp_close_fd(&theirs);
	err = wait_reply(ours, &ready);
	if (err) {
		kill(pid, SIGKILL);
		reap(pid);
		return err;
	}
	*ret = (struct sp_lab_worker){
		.pid = pid,
		.control = sp_take_fd(&ours),
		.id = options->id,
		.protocol = protocol,
		.address = *address,
		.port = ready.value,
		.cookie = ready.cookie,
	};
	return 0;
}

int sp_lab_pause(struct sp_lab_worker *worker)
{
	struct reply reply;

	return command_worker(worker, CMD_PAUSE, &reply);
}

int sp_lab_resume(struct sp_lab_worker *worker)
{
	struct reply reply;

	return command_worker(worker, CMD_RESUME, &reply);
}

int sp_lab_close(struct sp_lab_worker *worker)
{
	struct reply reply;

	return command_worker(worker, CMD_CLOSE, &reply);
}

int sp_lab_waiting(struct sp_lab_worker *worker, __u32 *ret)
{
	struct reply reply;
	int err = command_worker(worker, CMD_WAITING, &reply);

	if (err)
		return err;
	*ret = reply.value;
	return 0;
}

int sp_lab_stop(struct sp_lab_worker *worker)
{
	struct pollfd gone = { .fd = worker->control };
	struct reply reply;
	int err;

	if (!worker->pid)
		return 0;
	err = command_worker(worker, CMD_STOP, &reply);
	/*
	 * Its end of the control closes when it exits; only then may waitpid() be asked without a deadline.
	 */
	if (err || poll(&gone, 1, CONTROL_TIMEOUT_MS) != 1)
		kill(worker->pid, SIGKILL);
	err = reap(worker->pid);
	sp_close_fd(&worker->control);
	worker->pid = 0;
	return err;
}

void sp_lab_kill(struct sp_lab_worker *worker)
{
	if (!worker->pid)
		return;
	kill(worker->pid, SIGKILL);
	reap(worker->pid);
	sp_close_fd(&worker->control);
	worker->pid = 0;
}
