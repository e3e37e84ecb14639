// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Worker processes of the laboratory, the side that starts them and gives them orders. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "cleanup.h"
#include "lab.h"
#include "lab_orders.h"

#define CONTROL_TIMEOUT_MS 5000 /* a worker that does not answer for so long is broken */
#define LEAVE_TIMEOUT_MS 30000 /* those that it has accepted may be slow to ask */

/* A file that comes with the message, if any, is the caller's. */
static int receive_reply(int control, struct reply *ret, int *ret_fd)
{
	char buf[CMSG_SPACE(sizeof(int))];
	struct iovec part = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = buf,
		.msg_controllen = sizeof(buf),
	};
	ssize_t len = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *rights;

	if (len < 0)
		return -errno;
	if (len != sizeof(*ret))
		return -EPIPE;
	*ret_fd = -1;
	rights = CMSG_FIRSTHDR(&message);
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(rights), sizeof(*ret_fd));
	return 0;
}

/* @ret_fd: NULL if no file is expected */
static int wait_reply(int control, struct reply *ret, int *ret_fd)
{
	struct pollfd ready = { .fd = control, .events = POLLIN };
	__u64 deadline = sp_lab_now_ms() + CONTROL_TIMEOUT_MS;
	sp_autoclose int fd = -1;
	struct reply reply;
	int n, err;

	do
		n = poll(&ready, 1, sp_lab_left_ms(deadline));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	err = receive_reply(control, &reply, &fd);
	if (err)
		return err;
	if (reply.err)
		return reply.err;
	if (ret_fd && fd < 0)
		return -EPROTO;
	*ret = reply;
	if (ret_fd)
		*ret_fd = sp_take_fd(&fd);
	return 0;
}

static int give_order(const struct sp_lab_worker *worker, const struct order *order, struct reply *ret,
		      int *ret_fd)
{
	if (!worker->pid)
		return -ESRCH;
	if (send(worker->control, order, sizeof(*order), MSG_NOSIGNAL) < 0)
		return -errno;
	return wait_reply(worker->control, ret, ret_fd);
}

static int command_worker(const struct sp_lab_worker *worker, enum command command, struct reply *ret)
{
	const struct order order = { .command = command };

	return give_order(worker, &order, ret, NULL);
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPROTO;
}

/* Waits until a new process serves; if it does not, none is left. */
static int greet(pid_t pid, int control, const struct sp_lab_worker *like, struct sp_lab_worker *ret)
{
	struct reply ready;
	int err = wait_reply(control, &ready, NULL);

	if (err) {
		kill(pid, SIGKILL);
		reap(pid);
		return err;
	}
	*ret = *like;
	ret->pid = pid;
	ret->control = control;
	ret->port = ready.value;
	ret->cookie = ready.cookies[0];
	ret->nsockets = ready.nsockets;
	memcpy(ret->cookies, ready.cookies, sizeof(ret->cookies));
	return 0;
}

int sp_lab_start(enum sp_protocol protocol, const struct sp_address *address, __u16 port,
		 const struct sp_lab_options *options, struct sp_lab_worker *ret)
{
	const struct sp_lab_worker like = { .id = options->id, .protocol = protocol, .address = *address };
	struct server server = {
		.options = *options,
		.protocol = protocol,
		.sockets = { options->adopted },
		.nsockets = options->adopted ? 1 : 0,
		.epoll = -1,
		.is_paused = options->is_paused,
	};
	pid_t parent = getpid(), pid;
	int pair[2], err;

	if (options->notes)
		*options->notes = (struct sp_lab_notes){ 0 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	sp_autoclose int ours = pair[0];
	sp_autoclose int theirs = pair[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		server.control = theirs;
		sp_lab_run(&server, address, port, parent);
	}
	sp_close_fd(&theirs);
	err = greet(pid, ours, &like, ret);
	if (!err)
		sp_take_fd(&ours);
	return err;
}

int sp_lab_fork(struct sp_lab_worker *worker, __u32 id, struct sp_lab_worker *ret)
{
	const struct order order = { .command = CMD_FORK, .id = id };
	struct sp_lab_worker like = *worker;
	sp_autoclose int control = -1;
	struct reply reply;
	int err;

	err = give_order(worker, &order, &reply, &control);
	like.id = id;
	err = err ?: greet(reply.value, control, &like, ret);
	if (!err)
		sp_take_fd(&control);
	return err;
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

int sp_lab_lend(struct sp_lab_worker *worker, int *ret_fd)
{
	const struct order order = { .command = CMD_LEND };
	struct reply reply;

	return give_order(worker, &order, &reply, ret_fd);
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

/* Its end of the control closes when it exits; only then may waitpid() be asked without a deadline. */
static int wait_end(struct sp_lab_worker *worker, int timeout_ms)
{
	struct pollfd gone = { .fd = worker->control };
	int err;

	if (poll(&gone, 1, timeout_ms) != 1)
		kill(worker->pid, SIGKILL);
	err = reap(worker->pid);
	sp_close_fd(&worker->control);
	worker->pid = 0;
	return err;
}

int sp_lab_stop(struct sp_lab_worker *worker)
{
	struct reply reply;

	if (!worker->pid)
		return 0;
	return wait_end(worker, command_worker(worker, CMD_STOP, &reply) ? 0 : CONTROL_TIMEOUT_MS);
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

int sp_lab_terminate(const struct sp_lab_worker *worker)
{
	if (!worker->pid)
		return -ESRCH;
	return kill(worker->pid, SIGTERM) ? -errno : 0;
}

int sp_lab_leave(struct sp_lab_worker *worker)
{
	int err = sp_lab_terminate(worker);

	return err ?: wait_end(worker, LEAVE_TIMEOUT_MS);
}

bool sp_lab_has_ended(struct sp_lab_worker *worker)
{
	if (!worker->pid)
		return true;
	if (waitpid(worker->pid, NULL, WNOHANG) != worker->pid)
		return false;
	sp_close_fd(&worker->control);
	worker->pid = 0;
	return true;
}
