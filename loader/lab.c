// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The laboratory: private namespaces, worker processes and flows, by system calls alone. */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "cleanup.h"
#include "lab.h"
#include "log.h"

#define CONTROL_TIMEOUT_MS 5000 /* a worker that does not answer its parent for so long is broken */
#define EVENTS 256

__u64 sp_lab_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000 + (__u64)now.tv_nsec / 1000000;
}

int sp_lab_left_ms(__u64 deadline_ms)
{
	__u64 now = sp_lab_now_ms();

	return now < deadline_ms ? (int)(deadline_ms - now) : 0;
}

int sp_lab_address(const char *text, struct sp_address *ret)
{
	struct sp_address address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	if (inet_pton(address.family, text, address.bytes) != 1)
		return -EINVAL;
	*ret = address;
	return 0;
}

static socklen_t to_sockaddr(const struct sp_address *address, __u16 port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = address->family;
	if (address->family == AF_INET) {
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, address->bytes, sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, address->bytes, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

static int open_socket(enum sp_protocol protocol, int family)
{
	int type = protocol == SP_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int set_option(int fd, int level, int name)
{
	int one = 1;

	return setsockopt(fd, level, name, &one, sizeof(one)) ? -errno : 0;
}

/* ---- namespaces and addresses ---- */

static int bring_up_loopback(void)
{
	sp_autoclose int fd = open_socket(SP_UDP, AF_INET);
	struct ifreq request = { .ifr_name = "lo" };

	if (fd < 0)
		return fd;
	if (ioctl(fd, SIOCGIFFLAGS, &request))
		return -errno;
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) ? -errno : 0;
}

int sp_lab_enter(const char *bpffs)
{
	int err;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		err = sp_fail(-errno, "cannot make a private network");
		if (err == -EPERM)
			sp_hint("run as root: namespaces of one's own need CAP_SYS_ADMIN");
		else if (err == -EINVAL || err == -ENOSPC)
			sp_hint("this kernel has no network namespaces, or no more of them");
		return err;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return sp_fail(-errno, "cannot make the mounts of the new namespace private");
	if (bpffs && mount("bpf", bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700")) {
		err = sp_fail(-errno, "cannot mount a private bpffs at %s", bpffs);
		if (err == -ENOENT)
			sp_hint("say where: --bpffs DIR, an existing directory");
		return err;
	}
	err = bring_up_loopback();
	if (err)
		return sp_fail(err, "cannot bring up the private loopback device");
	return 0;
}

int sp_lab_add_address(const struct sp_address *address)
{
	struct {
		struct nlmsghdr header;
		struct ifaddrmsg message;
		struct rtattr attribute;
		__u8 bytes[16];
	} request = { 0 };
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[256];
	} reply;
	sp_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	size_t len = address->family == AF_INET ? 4 : 16;
	ssize_t got;

	if (fd < 0)
		return -errno;
	request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.message)) + RTA_LENGTH(len);
	request.header.nlmsg_type = RTM_NEWADDR;
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	request.message.ifa_family = address->family;
	request.message.ifa_prefixlen = len * 8;
	request.message.ifa_index = if_nametoindex("lo");
	/* Usable at once: no duplicate address detection. */
	request.message.ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0;
	request.attribute.rta_type = IFA_LOCAL;
	request.attribute.rta_len = RTA_LENGTH(len);
	memcpy(request.bytes, address->bytes, len);
	if (send(fd, &request, request.header.nlmsg_len, 0) < 0)
		return -errno;
	got = recv(fd, &reply, sizeof(reply), 0);
	if (got < 0)
		return -errno;
	if ((size_t)got < sizeof(reply.header) + sizeof(reply.error) ||
	    reply.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return reply.error.error;
}

int sp_lab_reserve_files(size_t nfiles)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	if (limit.rlim_cur >= nfiles)
		return 0;
	if (limit.rlim_max < nfiles)
		return -EMFILE;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;
}

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

/*
 * The whole of what a datagram carries. A reply is the worker's id and the same again. The round tells late
 * answers from those of this round.
 */
struct question {
	__u32 round;
	__u32 flow;
};

struct answer {
	__u32 id;
	struct question question;
};

static int open_server(const struct server *server, const struct sp_address *address, __u16 port, int *ret_fd)
{
	const struct sp_lab_options *options = &server->options;
	sp_autoclose int fd = open_socket(server->protocol, address->family);
	bool is_v6 = address->family == AF_INET6;
	int v6only = options->is_v6only;
	struct sockaddr_storage sa;
	socklen_t len = to_sockaddr(address, port, &sa);
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

static int watch(int epoll, int op, int fd, __u32 events, __u32 tag)
{
	struct epoll_event event = { .events = events, .data.u32 = tag };

	return epoll_ctl(epoll, op, fd, &event) ? -errno : 0;
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

/* ---- flows ---- */

#define UNKNOWN INT32_MIN /* a flow whose owner is not yet known; never shown to the caller */
#define WINDOW 64 /* datagrams on their way at once: far less than the smallest receive buffer holds */
#define QUIET_MS 50 /* after so long without any answer those on their way are taken for lost */

static const char request_line[] = "who?\n";

void sp_lab_close_flows(struct sp_lab_flows *flows)
{
	for (size_t i = 0; flows->fds && i < flows->count; i++)
		sp_close_fd(&flows->fds[i]);
	free(flows->fds);
	free(flows->owners);
	sp_close_fd(&flows->epoll);
	*flows = (struct sp_lab_flows)SP_LAB_NO_FLOWS;
}

static int open_flow(struct sp_lab_flows *flows, size_t i, const struct sockaddr_storage *sa, socklen_t len,
		     __u16 source_port)
{
	int err;

	flows->fds[i] = open_socket(flows->protocol, sa->ss_family);
	if (flows->fds[i] < 0)
		return flows->fds[i];
	if (source_port) {
		struct sp_address any = { .family = sa->ss_family };
		struct sockaddr_storage own;
		socklen_t own_len = to_sockaddr(&any, source_port + i, &own);

		err = set_option(flows->fds[i], SOL_SOCKET, SO_REUSEADDR);
		if (err)
			return err;
		if (bind(flows->fds[i], (struct sockaddr *)&own, own_len))
			return -errno;
	}
	if (connect(flows->fds[i], (const struct sockaddr *)sa, len) && errno != EINPROGRESS)
		return -errno;
	/* Once: a connection must not be counted twice while the others complete. */
	return watch(flows->epoll, EPOLL_CTL_ADD, flows->fds[i],
		     flows->protocol == SP_TCP ? EPOLLOUT | EPOLLONESHOT : EPOLLIN, i);
}

static int pending_error(int fd)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return -errno;
	return -err;
}

static int wait_events(int epoll, struct epoll_event *events, int timeout_ms)
{
	int n = epoll_wait(epoll, events, EVENTS, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n;
}

/* TCP: completes the handshakes and sends the request lines. */
static int finish_connecting(struct sp_lab_flows *flows, __u64 deadline)
{
	struct epoll_event events[EVENTS];

	for (size_t ready = 0; ready < flows->count;) {
		int left = sp_lab_left_ms(deadline);
		int n = wait_events(flows->epoll, events, left);

		if (n < 0)
			return n;
		if (n == 0 && left == 0)
			return -ETIMEDOUT;
		for (int e = 0; e < n; e++, ready++) {
			__u32 i = events[e].data.u32;
			int err = pending_error(flows->fds[i]);

			if (err)
				return err;
			if (send(flows->fds[i], request_line, sizeof(request_line) - 1, MSG_NOSIGNAL) < 0)
				return -errno;
		}
	}
	for (size_t i = 0; i < flows->count; i++) {
		int err = watch(flows->epoll, EPOLL_CTL_MOD, flows->fds[i], EPOLLIN, i);

		if (err)
			return err;
	}
	return 0;
}

int sp_lab_open(enum sp_protocol protocol, const struct sp_address *target, __u16 port, __u16 source_port,
		size_t count, int timeout_ms, struct sp_lab_flows *ret)
{
	struct sp_lab_flows flows = { .protocol = protocol, .count = count, .epoll = -1 };
	__u64 deadline = sp_lab_now_ms() + timeout_ms;
	struct sockaddr_storage sa;
	socklen_t len = to_sockaddr(target, port, &sa);
	int err;

	/* 64: whatever else the process has open */
	err = sp_lab_reserve_files(count + 64);
	if (err)
		return err;
	flows.fds = malloc((count + 1) * sizeof(*flows.fds));
	flows.owners = malloc((count + 1) * sizeof(*flows.owners));
	flows.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; flows.fds && i < count; i++)
		flows.fds[i] = -1;
	if (!flows.fds || !flows.owners || flows.epoll < 0) {
		err = flows.epoll < 0 ? -errno : -ENOMEM;
		goto failed;
	}
	for (size_t i = 0; i < count; i++) {
		flows.owners[i] = UNKNOWN;
		err = open_flow(&flows, i, &sa, len, source_port);
		if (err)
			goto failed;
	}
	if (protocol == SP_TCP)
		err = finish_connecting(&flows, deadline);
	if (err)
		goto failed;
	*ret = flows;
	return 0;

failed:
	sp_lab_close_flows(&flows);
	return err;
}

static int ask(const struct sp_lab_flows *flows, __u32 i)
{
	struct question question = { .round = flows->round, .flow = i };

	/*
	 * What is left of earlier rounds, e.g. "connection refused", would be taken for the fate of this
	 * datagram.
	 */
	pending_error(flows->fds[i]);
	return send(flows->fds[i], &question, sizeof(question), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Reads all that came on a flow; the owner, or UNKNOWN when the answer to this round is not in it. */
static int hear(const struct sp_lab_flows *flows, __u32 i)
{
	struct answer reply;
	int owner = UNKNOWN;

	for (;;) {
		ssize_t len = recv(flows->fds[i], &reply, sizeof(reply), 0);

		if (len < 0 && errno == ECONNREFUSED && owner == UNKNOWN)
			owner = SP_LAB_REFUSED;
		if (len < 0)
			return owner;
		if (len == sizeof(reply) && reply.question.round == flows->round && reply.question.flow == i)
			owner = reply.id;
	}
}

/* Hands out what is known; what is not is silent. */
static void report(const int *owners, size_t count, int *ret_owners)
{
	for (size_t i = 0; i < count; i++)
		ret_owners[i] = owners[i] == UNKNOWN ? SP_LAB_SILENT : owners[i];
}

int sp_lab_round(struct sp_lab_flows *flows, int timeout_ms, int *ret_owners)
{
	__u64 deadline = sp_lab_now_ms() + timeout_ms;
	struct epoll_event events[EVENTS];
	size_t sent = 0, known = 0, on_their_way = 0;

	if (flows->protocol != SP_UDP)
		return -EPROTOTYPE;
	flows->round++;
	for (size_t i = 0; i < flows->count; i++)
		flows->owners[i] = UNKNOWN;
	while (known < flows->count) {
		int left, quiet, n;

		while (sent < flows->count && on_their_way < WINDOW) {
			int err = ask(flows, sent);

			if (err == -ECONNREFUSED) {
				flows->owners[sent] = SP_LAB_REFUSED;
				known++;
			} else if (err == -EAGAIN) {
				break;
			} else if (err) {
				return err;
			} else {
				on_their_way++;
			}
			sent++;
		}
		left = sp_lab_left_ms(deadline);
		if (left == 0)
			break;
		quiet = sent < flows->count && left > QUIET_MS ? QUIET_MS : left;
		n = wait_events(flows->epoll, events, quiet);
		if (n < 0)
			return n;
		if (n == 0)
			on_their_way = 0;
		for (int e = 0; e < n; e++) {
			__u32 i = events[e].data.u32;
			int owner = hear(flows, i);

			if (owner == UNKNOWN || flows->owners[i] != UNKNOWN)
				continue;
			flows->owners[i] = owner;
			known++;
			if (on_their_way)
				on_their_way--;
		}
	}
	report(flows->owners, flows->count, ret_owners);
	return 0;
}

static int hear_connection(int fd)
{
	__u32 id;
	ssize_t len = recv(fd, &id, sizeof(id), 0);

	if (len == sizeof(id))
		return id;
	if (len >= 0)
		return SP_LAB_CLOSED;
	switch (errno) {
	case ECONNRESET:
	case EPIPE:
		return SP_LAB_RESET;
	case ECONNREFUSED:
		return SP_LAB_REFUSED;
	default:
		return UNKNOWN;
	}
}

int sp_lab_answers(struct sp_lab_flows *flows, int timeout_ms, int *ret_owners)
{
	__u64 deadline = sp_lab_now_ms() + timeout_ms;
	struct epoll_event events[EVENTS];
	size_t known = 0;

	if (flows->protocol != SP_TCP)
		return -EPROTOTYPE;
	for (size_t i = 0; i < flows->count; i++)
		known += flows->owners[i] != UNKNOWN;
	while (known < flows->count) {
		int left = sp_lab_left_ms(deadline);
		int n = wait_events(flows->epoll, events, left);

		if (n < 0)
			return n;
		if (n == 0 && left == 0)
			break;
		for (int e = 0; e < n; e++) {
			__u32 i = events[e].data.u32;
			int owner = hear_connection(flows->fds[i]), err;

			if (owner == UNKNOWN)
				continue;
			flows->owners[i] = owner;
			known++;
			err = watch(flows->epoll, EPOLL_CTL_DEL, flows->fds[i], 0, 0);
			if (err)
				return err;
		}
	}
	report(flows->owners, flows->count, ret_owners);
	return 0;
}

struct sp_lab_moves sp_lab_count_moves(const int *before, const int *after, size_t count, const bool *is_dead,
				       size_t nworkers)
{
	struct sp_lab_moves moves = { 0 };

	for (size_t i = 0; i < count; i++) {
		if (before[i] < 0) {
			moves.stray++;
			continue;
		}
		if ((size_t)before[i] < nworkers && is_dead[before[i]])
			continue;
		moves.survivor_flows++;
		if (after[i] < 0)
			moves.lost++;
		else if (after[i] != before[i])
			moves.moved++;
	}
	return moves;
}
