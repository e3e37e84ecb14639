// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A rolling restart under load, measured. rolling_picture.c shows it. */
#include "rolling.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cleanup.h"
#include "lab_wire.h"
#include "log.h"

#define OPEN_MAX 1024 /* connections at a time; more are opened when some have ended */
#define TICK_MS 1
#define LATE_MS 5000 /* what has no answer so long after the last connection was opened is unanswered */

/* What the client, a process of its own, shares with the one that restarts the workers. */
struct shared {
	__u64 began_ms; /* its first connection; 0: not yet */
	__u32 is_over; /* no more connections */
	__s32 err; /* of the client */
	struct sp_rolling_mode mode;
};

/* --- the client --- */

struct client {
	struct shared *shared;
	const struct sp_rolling_setup *setup;
	struct sockaddr_storage to;
	socklen_t len;
	int epoll;
	int fds[OPEN_MAX]; /* -1: free */
	bool has_asked[OPEN_MAX];
	__u32 nopen;
};

static void note(struct client *c, __u32 i, int owner)
{
	struct sp_rolling_mode *m = &c->shared->mode;
	__u32 bin = (sp_lab_now_ms() - c->shared->began_ms) / SP_ROLLING_BIN_MS;

	bin = bin < SP_ROLLING_BINS ? bin : SP_ROLLING_BINS - 1;
	if (owner >= 0) {
		m->answered++;
		m->answered_in[bin]++;
	} else {
		m->reset += owner == SP_LAB_RESET;
		m->refused += owner == SP_LAB_REFUSED;
		m->closed += owner == SP_LAB_CLOSED;
		m->unanswered += owner == SP_LAB_SILENT;
		m->failed_in[bin]++;
	}
	sp_close_fd(&c->fds[i]);
	c->nopen--;
}

static int fate_of_error(int err)
{
	return err == -ECONNREFUSED ? SP_LAB_REFUSED : SP_LAB_RESET;
}

static int open_one(struct client *c)
{
	__u32 i = 0;

	while (c->fds[i] >= 0)
		i++;
	c->fds[i] = open_socket(SP_TCP, c->to.ss_family);
	if (c->fds[i] < 0)
		return c->fds[i];
	c->has_asked[i] = false;
	c->nopen++;
	c->shared->mode.connections++;
	if (connect(c->fds[i], (struct sockaddr *)&c->to, c->len) && errno != EINPROGRESS) {
		note(c, i, fate_of_error(-errno));
		return 0;
	}
	return watch(c->epoll, EPOLL_CTL_ADD, c->fds[i], EPOLLOUT, i);
}

/* It is connected, has failed, or has an answer. */
static int follow(struct client *c, __u32 i)
{
	int err, owner;

	if (c->has_asked[i]) {
		owner = sp_lab_hear(c->fds[i]);
		if (owner != UNKNOWN)
			note(c, i, owner);
		return 0;
	}
	err = sp_lab_pending_error(c->fds[i]);
	err = err ?: sp_lab_send_request(c->fds[i]);
	if (err) {
		note(c, i, fate_of_error(err));
		return 0;
	}
	c->has_asked[i] = true;
	return watch(c->epoll, EPOLL_CTL_MOD, c->fds[i], EPOLLIN, i);
}

static int wait_and_follow(struct client *c, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(c->epoll, events, EVENTS, timeout_ms), err = 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int e = 0; !err && e < n; e++)
		err = follow(c, events[e].data.u32);
	return err;
}

static int run_client(struct client *c)
{
	struct shared *shared = c->shared;
	__u64 opened = 0, late;
	int err = 0;

	shared->began_ms = sp_lab_now_ms();
	while (!err && !__atomic_load_n(&shared->is_over, __ATOMIC_RELAXED)) {
		__u64 due = (sp_lab_now_ms() - shared->began_ms) * c->setup->rate / 1000;

		for (; !err && opened < due && c->nopen < OPEN_MAX; opened++)
			err = open_one(c);
		err = err ?: wait_and_follow(c, TICK_MS);
	}
	late = sp_lab_now_ms() + LATE_MS;
	while (!err && c->nopen && sp_lab_left_ms(late))
		err = wait_and_follow(c, sp_lab_left_ms(late));
	for (__u32 i = 0; i < OPEN_MAX; i++) {
		if (!err && c->fds[i] >= 0)
			note(c, i, SP_LAB_SILENT);
	}
	return err;
}

/* Ends with the process that started it. */
static void become_client(const struct sp_rolling_setup *setup, const struct sp_lab_worker *first,
			  struct shared *shared, pid_t parent)
{
	static struct client c;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	c.shared = shared;
	c.setup = setup;
	c.len = sp_address_to_sockaddr(&first->address, first->port, &c.to);
	memset(c.fds, -1, sizeof(c.fds));
	c.epoll = epoll_create1(EPOLL_CLOEXEC);
	/* 64: whatever else the process has open */
	shared->err = c.epoll < 0 ? -errno : sp_lab_reserve_files(OPEN_MAX + 64);
	shared->err = shared->err ?: run_client(&c);
	_exit(shared->err ? 1 : 0);
}

/* --- the restarts --- */

static void wait_until(__u64 ms)
{
	while (sp_lab_left_ms(ms))
		poll(NULL, 0, sp_lab_left_ms(ms));
}

/* As a service manager does it: stop, wait for its end, start the next one. */
static int restart(const struct sp_rolling_setup *setup, enum sp_demo_mode mode, struct sp_demo_crew *crew,
		   struct shared *shared, __u32 i)
{
	__u64 when = shared->began_ms + SP_ROLLING_CALM_MS + i * SP_ROLLING_STEP_MS;
	struct sp_lab_worker *worker = &crew->workers[i];
	struct sp_lab_options options = { .id = setup->workers + i, .reuseport = true };
	struct sp_lab_worker next;
	int err;

	wait_until(when - SP_ROLLING_BUSY_MS);
	err = sp_lab_pause(worker);
	if (err)
		return sp_fail(err, "cannot make worker %u busy", i);
	wait_until(when);
	shared->mode.stopped_ms[i] = sp_lab_now_ms() - shared->began_ms;
	err = sp_lab_leave(worker);
	err = err ?: sp_lab_start(SP_TCP, &worker->address, worker->port, &options, &next);
	if (err)
		return sp_fail(err, "cannot restart worker %u", i);
	*worker = next;
	return mode == SP_DEMO_STEADYPORT ? sp_demo_sync(&setup->demo) : 0;
}

static int wait_for_client(struct shared *shared)
{
	__u64 deadline = sp_lab_now_ms() + LATE_MS;

	while (!__atomic_load_n(&shared->began_ms, __ATOMIC_RELAXED)) {
		if (!sp_lab_left_ms(deadline))
			return sp_fail(-ETIMEDOUT, "the client does not start");
		poll(NULL, 0, 1);
	}
	return 0;
}

static int restart_all(const struct sp_rolling_setup *setup, enum sp_demo_mode mode,
		       struct sp_demo_crew *crew, struct shared *shared)
{
	int err = wait_for_client(shared);

	for (__u32 i = 0; !err && i < setup->workers; i++)
		err = restart(setup, mode, crew, shared, i);
	if (!err)
		wait_until(shared->began_ms + 2 * SP_ROLLING_CALM_MS +
			   (setup->workers - 1) * SP_ROLLING_STEP_MS);
	return err;
}

static int measure_with_client(const struct sp_rolling_setup *setup, enum sp_demo_mode mode,
			       struct sp_demo_crew *crew, struct shared *shared)
{
	pid_t parent = getpid(), client;
	int err;

	fflush(NULL);
	client = fork();
	if (client < 0)
		return sp_fail(-errno, "cannot start a client");
	if (client == 0)
		become_client(setup, &crew->workers[0], shared, parent);
	err = restart_all(setup, mode, crew, shared);
	__atomic_store_n(&shared->is_over, 1, __ATOMIC_RELAXED);
	if (err)
		kill(client, SIGKILL);
	while (waitpid(client, NULL, 0) < 0 && errno == EINTR)
		;
	if (!err && shared->err)
		err = sp_fail(shared->err, "cannot open connections");
	return err;
}

static int measure_mode(const struct sp_rolling_setup *setup, enum sp_demo_mode mode,
			struct sp_rolling_mode *ret)
{
	struct shared *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sp_demo_crew crew;
	int err;

	if (shared == MAP_FAILED)
		return sp_fail(-errno, "cannot remember connections");
	err = sp_demo_start(SP_TCP, setup->workers, false, &crew);
	if (!err) {
		if (mode == SP_DEMO_STEADYPORT)
			err = sp_demo_attach(&setup->demo, &crew);
		err = err ?: measure_with_client(setup, mode, &crew, shared);
		if (!err && mode == SP_DEMO_STEADYPORT)
			err = sp_demo_detach(&setup->demo);
		sp_demo_dismiss(&crew);
	}
	if (!err)
		*ret = shared->mode;
	munmap(shared, sizeof(*shared));
	return err;
}

int sp_rolling_measure(const struct sp_rolling_setup *setup, struct sp_rolling_result *ret)
{
	sp_autofree struct sp_rolling_result *result = calloc(1, sizeof(*result));
	struct utsname name;

	if (!result)
		return sp_fail(-ENOMEM, "cannot remember a result");
	result->workers = setup->workers;
	result->rate = setup->rate;
	result->bins =
		(2 * SP_ROLLING_CALM_MS + (setup->workers - 1) * SP_ROLLING_STEP_MS) / SP_ROLLING_BIN_MS;
	if (!uname(&name))
		snprintf(result->kernel, sizeof(result->kernel), "%.64s", name.release);
	for (enum sp_demo_mode mode = SP_DEMO_KERNEL; mode < SP_DEMO_MODES; mode++) {
		int err = measure_mode(setup, mode, &result->mode[mode]);

		if (err)
			return err;
	}
	*ret = *result;
	return 0;
}
