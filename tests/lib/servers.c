// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Other people's servers: their processes and sockets. */
#include "servers.h"

#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"

#define CHILDREN_MAX 64

/* --- processes --- */

static void die_with_parent(void *ctx)
{
	(void)ctx;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		_exit(126);
}

void sp_server_start(struct sp_run *run, const char *const *words)
{
	const struct sp_run_setup setup = { .prepare = die_with_parent };

	sp_run_start(run, &setup, words);
}

void sp_server_end(struct sp_run *run)
{
	pid_t children[CHILDREN_MAX];
	size_t count;

	if (!run->pid)
		return;
	count = sp_server_children(run->pid, children, CHILDREN_MAX);
	/* The parent first: it would start others in their place. */
	kill(run->pid, SIGKILL);
	for (size_t i = 0; i < count; i++)
		kill(children[i], SIGKILL);
	sp_run_free(run);
}

size_t sp_server_children(pid_t pid, pid_t *ret, size_t max)
{
	sp_autofile FILE *file = NULL;
	size_t count = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "r");
	while (file && count < max && fscanf(file, "%d", &ret[count]) == 1)
		count++;
	return count;
}

bool sp_server_is_among(pid_t pid, const pid_t *pids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

bool sp_server_catches(pid_t pid, int signal)
{
	sp_autofile FILE *file = NULL;
	char path[64], line[128];
	unsigned long long caught = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SigCgt: %llx", &caught) == 1)
			break;
	return caught >> (signal - 1) & 1;
}

static bool is_stopped(pid_t pid)
{
	sp_autofile FILE *file = NULL;
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
	return state == 'T';
}

/* --- sockets --- */

#define STATES_LISTENING (1 << TCP_LISTEN)
/* Ones that a process may hold. Those in TIME_WAIT are many, and of no interest. */
#define STATES_CONNECTED                                                                      \
	(1 << TCP_ESTABLISHED | 1 << TCP_SYN_SENT | 1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | \
	 1 << TCP_CLOSE_WAIT | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING)

/* Calls @see for each IPv4 TCP socket of this network namespace in one of these states. */
static void each_socket(__u32 states, void (*see)(const struct inet_diag_msg *socket, void *ctx), void *ctx)
{
	const struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} ask = {
		.header = { .nlmsg_len = sizeof(ask),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.request = { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = states },
	};
	sp_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	static _Alignas(struct nlmsghdr) char answer[32768];

	assert_true(fd >= 0);
	assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
	for (;;) {
		ssize_t left = recv(fd, answer, sizeof(answer), 0);

		assert_true(left > 0);
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return;
			assert_int_equal(h->nlmsg_type, SOCK_DIAG_BY_FAMILY);
			see(NLMSG_DATA(h), ctx);
		}
	}
}

struct listening {
	__u16 port;
	size_t count;
	__u32 longest;
};

static void see_listener(const struct inet_diag_msg *socket, void *ctx)
{
	struct listening *l = ctx;

	if (ntohs(socket->id.idiag_sport) != l->port)
		return;
	l->count++;
	if (socket->idiag_rqueue > l->longest)
		l->longest = socket->idiag_rqueue;
}

size_t sp_server_listeners(__u16 port)
{
	struct listening l = { .port = port };

	each_socket(STATES_LISTENING, see_listener, &l);
	return l.count;
}

static __u32 longest_queue(__u16 port)
{
	struct listening l = { .port = port };

	each_socket(STATES_LISTENING, see_listener, &l);
	return l.longest;
}

/* Of the clients to a port, or of the servers of it. */
struct connected {
	__u16 port;
	bool is_server;
	struct sp_open *open;
};

static void see_connection(const struct inet_diag_msg *socket, void *ctx)
{
	struct connected *c = ctx;

	/* What waits to be accepted, or is closed by its process, has no inode. */
	if (!socket->idiag_inode ||
	    ntohs(c->is_server ? socket->id.idiag_sport : socket->id.idiag_dport) != c->port)
		return;
	assert_true(c->open->count < SP_ARRAY_SIZE(c->open->inodes));
	c->open->inodes[c->open->count++] = socket->idiag_inode;
}

static void list_connections(__u16 port, bool is_server, struct sp_open *ret)
{
	struct connected c = { .port = port, .is_server = is_server, .open = ret };

	ret->count = 0;
	each_socket(STATES_CONNECTED, see_connection, &c);
}

void sp_server_connections(__u16 port, struct sp_open *ret)
{
	list_connections(port, false, ret);
}

static bool holds(const struct sp_open *open, __u32 inode)
{
	for (size_t i = 0; i < open->count; i++)
		if (open->inodes[i] == inode)
			return true;
	return false;
}

bool sp_server_have_ended(__u16 port, const struct sp_open *open)
{
	struct sp_open now;

	sp_server_connections(port, &now);
	for (size_t i = 0; i < now.count; i++)
		if (holds(open, now.inodes[i]))
			return false;
	return true;
}

static size_t count_accepted(pid_t pid, __u16 port)
{
	char path[64], target[64];
	struct dirent *entry;
	struct sp_open open;
	size_t count = 0;
	unsigned int inode;
	DIR *fds;

	list_connections(port, true, &open);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	fds = opendir(path);
	assert_non_null(fds);
	while ((entry = readdir(fds))) {
		ssize_t len = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (len <= 0)
			continue;
		target[len] = '\0';
		count += sscanf(target, "socket:[%u]", &inode) == 1 && holds(&open, inode);
	}
	closedir(fds);
	return count;
}

void sp_server_pause(pid_t pid, __u16 port, __u32 waiting)
{
	/* 0 would stop the test's own process group. */
	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	sp_wait_for(is_stopped(pid));
	sp_wait_for(longest_queue(port) >= waiting);
}

size_t sp_server_kill(pid_t pid, __u16 port, __u32 waiting)
{
	size_t accepted;

	sp_server_pause(pid, port, waiting);
	accepted = count_accepted(pid, port);
	assert_int_equal(kill(pid, SIGKILL), 0);
	return accepted;
}
