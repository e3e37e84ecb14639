// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Flows of the laboratory: client sockets, and who answers them. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include "cleanup.h"
#include "lab.h"
#include "lab_wire.h"

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

/* Starts the connection. One that sends with its SYN has sent when it is in progress. */
static int start_flow(int fd, enum sp_lab_manner manner, const struct sockaddr_storage *sa, socklen_t len)
{
	const struct sockaddr *to = (const struct sockaddr *)sa;
	ssize_t err;

	if (manner == SP_LAB_ASKS_AT_ONCE)
		err = sendto(fd, request_line, sizeof(request_line) - 1, MSG_FASTOPEN | MSG_NOSIGNAL, to,
			     len);
	else
		err = connect(fd, to, len);
	return err < 0 && errno != EINPROGRESS ? -errno : 0;
}

static int open_flow(struct sp_lab_flows *flows, size_t i, enum sp_lab_manner manner,
		     const struct sockaddr_storage *sa, socklen_t len, __u16 source_port)
{
	int err;

	flows->fds[i] = open_socket(flows->protocol, sa->ss_family);
	if (flows->fds[i] < 0)
		return flows->fds[i];
	if (source_port) {
		struct sp_address any = { .family = sa->ss_family };
		struct sockaddr_storage own;
		socklen_t own_len = sp_address_to_sockaddr(&any, source_port + i, &own);

		err = set_option(flows->fds[i], SOL_SOCKET, SO_REUSEADDR);
		if (err)
			return err;
		if (bind(flows->fds[i], (struct sockaddr *)&own, own_len))
			return -errno;
	}
	err = start_flow(flows->fds[i], manner, sa, len);
	if (err)
		return err;
	/* Once: a connection must not be counted twice while the others complete. */
	return watch(flows->epoll, EPOLL_CTL_ADD, flows->fds[i],
		     flows->protocol == SP_TCP ? EPOLLOUT | EPOLLONESHOT : EPOLLIN, i);
}

int sp_lab_pending_error(int fd)
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

int sp_lab_send_request(int fd)
{
	return send(fd, request_line, sizeof(request_line) - 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int require_syn_data(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return -errno;
	return info.tcpi_options & TCPI_OPT_SYN_DATA ? 0 : -EPROTO;
}

/* TCP: completes the handshakes and sends the request lines. */
static int finish_connecting(struct sp_lab_flows *flows, enum sp_lab_manner manner, __u64 deadline)
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
			int err = sp_lab_pending_error(flows->fds[i]);

			if (!err && manner == SP_LAB_ASKS)
				err = sp_lab_send_request(flows->fds[i]);
			else if (!err && manner == SP_LAB_ASKS_AT_ONCE)
				err = require_syn_data(flows->fds[i]);
			if (err)
				return err;
		}
	}
	for (size_t i = 0; i < flows->count; i++) {
		int err = watch(flows->epoll, EPOLL_CTL_MOD, flows->fds[i], EPOLLIN, i);

		if (err)
			return err;
	}
	return 0;
}

int sp_lab_ask(struct sp_lab_flows *flows)
{
	int err = 0;

	for (size_t i = 0; !err && i < flows->count; i++)
		err = sp_lab_send_request(flows->fds[i]);
	return err;
}

int sp_lab_open(enum sp_protocol protocol, const struct sp_address *target, __u16 port, __u16 source_port,
		size_t count, int timeout_ms, struct sp_lab_flows *ret)
{
	return sp_lab_open_as(SP_LAB_ASKS, protocol, target, port, source_port, count, timeout_ms, ret);
}

int sp_lab_open_as(enum sp_lab_manner manner, enum sp_protocol protocol, const struct sp_address *target,
		   __u16 port, __u16 source_port, size_t count, int timeout_ms, struct sp_lab_flows *ret)
{
	struct sp_lab_flows flows = { .protocol = protocol, .count = count, .epoll = -1 };
	__u64 deadline = sp_lab_now_ms() + timeout_ms;
	struct sockaddr_storage sa;
	socklen_t len = sp_address_to_sockaddr(target, port, &sa);
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
		err = open_flow(&flows, i, manner, &sa, len, source_port);
		if (err)
			goto failed;
	}
	if (protocol == SP_TCP)
		err = finish_connecting(&flows, manner, deadline);
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
	sp_lab_pending_error(flows->fds[i]);
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

int sp_lab_hear(int fd)
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
			int owner = sp_lab_hear(flows->fds[i]), err;

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
