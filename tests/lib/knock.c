// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Load that comes at its own pace. */
#include "knock.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lab.h"
#include "state.h"

#define OPEN_MAX 8000
#define EVENTS 64
#define PATIENCE_MS 60000 /* for what takes milliseconds on an idle machine */

/* --- the process --- */

struct connection {
	int fd;
	bool is_connected;
	__u64 since_ns;
};

struct crowd {
	struct sp_knocks *seen;
	struct sockaddr_storage target;
	socklen_t target_len;
	int epoll;
	struct connection open[OPEN_MAX]; /* by descriptor */
	__u64 nopen;
};

static void end_connection(struct crowd *c, int fd, __u64 *count)
{
	struct sp_knocks *seen = c->seen;

	if (count != &seen->answered) {
		if (seen->nfailures == SP_KNOCKS_FAILURES)
			_exit(1);
		seen->failures[seen->nfailures++] = (struct sp_knock_failure){
			.is_unanswered = count == &seen->unanswered,
			.is_reset = count == &seen->reset,
			.asked_ns = c->open[fd].since_ns,
			.ended_ns = sp_now_ns(),
		};
	}
	/* Whoever walks all open files may hold it a moment longer than close() does, and it would go on to have events. */
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, fd, NULL);
	close(fd);
	c->nopen--;
	__atomic_add_fetch(count, 1, __ATOMIC_RELEASE);
}

static __u64 *counter_of(struct crowd *c, int err)
{
	return err == ECONNREFUSED ? &c->seen->refused :
	       err == ECONNRESET   ? &c->seen->reset :
				     &c->seen->failed;
}

static void open_one(struct crowd *c)
{
	int fd = socket(c->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.fd = fd };

	if (fd < 0 || fd >= OPEN_MAX)
		_exit(1);
	__atomic_add_fetch(&c->seen->asked, 1, __ATOMIC_RELEASE);
	c->open[fd] = (struct connection){ .fd = fd, .since_ns = sp_now_ns() };
	c->nopen++;
	if (connect(fd, (struct sockaddr *)&c->target, c->target_len) && errno != EINPROGRESS)
		end_connection(c, fd, counter_of(c, errno));
	else if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event))
		_exit(1);
}

static void ask(struct crowd *c, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (!err && send(fd, "who?\n", 5, MSG_NOSIGNAL) != 5)
		err = errno;
	c->open[fd].is_connected = true;
	if (err)
		end_connection(c, fd, counter_of(c, err));
	else if (epoll_ctl(c->epoll, EPOLL_CTL_MOD, fd, &event))
		_exit(1);
}

static void take_answer(struct crowd *c, int fd)
{
	__u32 id;
	ssize_t n = recv(fd, &id, sizeof(id), 0);
	__u64 took = sp_now_ns() - c->open[fd].since_ns;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n == sizeof(id) && took > c->seen->slowest_ns)
		c->seen->slowest_ns = took;
	end_connection(c, fd,
		       n == sizeof(id) ? &c->seen->answered :
		       n < 0	       ? counter_of(c, errno) :
					 &c->seen->unanswered);
}

static void run(struct crowd *c, unsigned int per_s)
{
	struct epoll_event events[EVENTS];
	__u64 next = sp_now_ns();

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (;;) {
		bool is_over = __atomic_load_n(&c->seen->is_over, __ATOMIC_ACQUIRE);
		bool is_held = is_over || __atomic_load_n(&c->seen->is_held, __ATOMIC_ACQUIRE);
		int n = epoll_wait(c->epoll, events, EVENTS, 1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (c->open[fd].is_connected)
				take_answer(c, fd);
			else
				ask(c, fd);
		}
		if (is_over && !c->nopen)
			_exit(0);
		if (is_held || sp_now_ns() < next)
			continue;
		/* What a busy machine has delayed is not made up for. */
		open_one(c);
		next = sp_now_ns() + 1000000000 / per_s;
	}
}

/* --- its parent --- */

void sp_knock_start(struct sp_knocker *k, const struct sp_address *address, __u16 port, unsigned int per_s)
{
	pid_t parent = getpid();

	k->seen = mmap(NULL, sizeof(*k->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(k->seen != MAP_FAILED);
	assert_int_equal(sp_lab_reserve_files(OPEN_MAX), 0);
	k->pid = fork();
	assert_true(k->pid >= 0);
	if (k->pid == 0) {
		static struct crowd crowd;

		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent ||
		    syscall(SYS_close_range, 3U, ~0U, 0U))
			_exit(1);
		crowd.seen = k->seen;
		crowd.target_len = sp_address_to_sockaddr(address, port, &crowd.target);
		run(&crowd, per_s);
	}
}

static __u64 read_count(const __u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

__u64 sp_knock_open(const struct sp_knocker *k)
{
	const struct sp_knocks *seen = k->seen;
	__u64 ended = read_count(&seen->answered) + read_count(&seen->refused) + read_count(&seen->reset) +
		      read_count(&seen->unanswered) + read_count(&seen->failed);

	return read_count(&seen->asked) - ended;
}

void sp_knock_wait(const struct sp_knocker *k, __u64 more)
{
	__u64 deadline = sp_lab_now_ms() + PATIENCE_MS, goal = read_count(&k->seen->asked) + more;

	while (read_count(&k->seen->asked) < goal) {
		if (!sp_lab_left_ms(deadline))
			fail_msg("no load comes any more");
		poll(NULL, 0, 1);
	}
}

void sp_knock_hold(const struct sp_knocker *k, __u64 left)
{
	__u64 deadline = sp_lab_now_ms() + PATIENCE_MS;

	__atomic_store_n(&k->seen->is_held, true, __ATOMIC_RELEASE);
	while (sp_knock_open(k) > left) {
		if (!sp_lab_left_ms(deadline))
			fail_msg("%llu connections have not ended", sp_knock_open(k));
		poll(NULL, 0, 1);
	}
}

void sp_knock_go_on(const struct sp_knocker *k)
{
	__atomic_store_n(&k->seen->is_held, false, __ATOMIC_RELEASE);
}

void sp_knock_stop(struct sp_knocker *k)
{
	int status;

	__atomic_store_n(&k->seen->is_over, true, __ATOMIC_RELEASE);
	sp_knock_hold(k, 0);
	assert_int_equal(waitpid(k->pid, &status, 0), k->pid);
	k->pid = 0;
	assert_int_equal(status, 0);
}

void sp_knock_free(struct sp_knocker *k)
{
	if (k->pid) {
		kill(k->pid, SIGKILL);
		waitpid(k->pid, NULL, 0);
	}
	if (k->seen)
		munmap(k->seen, sizeof(*k->seen));
	*k = (struct sp_knocker){ 0 };
}
