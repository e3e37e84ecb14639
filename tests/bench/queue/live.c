// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Real workers and a real client. */
#include "live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "pin.h"

#define BACKLOG 4096
#define EVENTS 64
#define LEAD 0.05 /* s from the call to the first request's time 0 */
#define REQUEST_START "GET /%llu" /* nanoseconds */
#define REQUEST_END " HTTP/1.0\r\n\r\n"
#define REQUEST_MAX 64
#define COST_NAME "cost"
#define COST_PORT 7900
#define COST_CONNECTIONS 3000

static pid_t workers[QUEUE_WORKERS_MAX];
static unsigned int nworkers;

void live_die(const char *what)
{
	fprintf(stderr, "queue: %s: %s\n", what, strerror(errno));
	live_end();
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static struct sockaddr_in at(__u16 port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int listen_on(__u16 port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in address = at(port);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG))
		live_die("cannot listen");
	return fd;
}

/* --- workers --- */

static void serve(int listener)
{
	for (;;) {
		sp_autoclose int fd = accept(listener, NULL, NULL);
		char text[REQUEST_MAX] = "";
		unsigned long long ns;

		/* The request is one segment, so it is read whole. */
		if (fd < 0 || recv(fd, text, sizeof(text) - 1, 0) <= 0 ||
		    sscanf(text, REQUEST_START, &ns) != 1)
			continue;
		nanosleep(&(struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 }, NULL);
		send(fd, "", 1, MSG_NOSIGNAL);
	}
}

void live_start(unsigned int count, __u16 port)
{
	for (unsigned int i = 0; i < count; i++) {
		int listener = listen_on(port);
		pid_t pid = fork();

		if (pid < 0)
			live_die("cannot start a worker");
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_TIMERSLACK, 1);
			serve(listener);
		}
		close(listener);
		workers[nworkers++] = pid;
	}
}

void live_end(void)
{
	for (unsigned int i = 0; i < nworkers; i++) {
		kill(workers[i], SIGKILL);
		waitpid(workers[i], NULL, 0);
	}
	nworkers = 0;
}

/* --- the client --- */

static void ask(int epoll, const struct sockaddr_in *address, struct request *request)
{
	const struct linger abort = { .l_onoff = 1 }; /* leaves no TIME_WAIT behind */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.ptr = request };
	char text[REQUEST_MAX];
	int len = snprintf(text, sizeof(text), REQUEST_START REQUEST_END,
			   (unsigned long long)(request->service * 1e9));

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)))
		live_die("cannot make a connection");
	request->took = fd; /* until it is answered */
	/* On the loopback device the handshake is complete when this returns. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno != EINPROGRESS)
		live_die("cannot connect");
	if (send(fd, text, len, MSG_NOSIGNAL) != len)
		live_die("cannot ask");
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		live_die("cannot wait for an answer");
}

static size_t take_answers(int epoll, double since, double wait)
{
	struct epoll_event events[EVENTS];
	const struct timespec left = { .tv_sec = (long)wait, .tv_nsec = (wait - (long)wait) * 1e9 };
	int n = epoll_pwait2(epoll, events, EVENTS, wait < 0 ? NULL : &left, NULL);
	double at = now() - since;
	char answer;

	for (int i = 0; i < n; i++) {
		struct request *request = events[i].data.ptr;
		int fd = request->took;

		if (recv(fd, &answer, 1, 0) != 1)
			live_die("a request was not answered");
		/* Whoever walks all open files may hold it a moment longer than close() does. */
		epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
		close(fd);
		request->took = at - request->at;
	}
	return n > 0 ? n : 0;
}

double live_ask(__u16 port, struct request *requests, size_t count)
{
	sp_autoclose int epoll = epoll_create1(EPOLL_CLOEXEC);
	const struct sockaddr_in address = at(port);
	double since = now() + LEAD, latest = 0;
	size_t asked = 0, answered = 0;

	while (answered < count) {
		double due = asked < count ? requests[asked].at - (now() - since) : -1;

		if (asked < count && due <= 0) {
			latest = -due > latest ? -due : latest;
			ask(epoll, &address, &requests[asked++]);
			continue;
		}
		answered += take_answers(epoll, since, due);
	}
	return latest;
}

/* --- commands --- */

void live_run(const char *fmt, ...)
{
	char command[512], quiet[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	snprintf(quiet, sizeof(quiet), "%s >/dev/null", command);
	if (system(quiet)) {
		errno = 0;
		live_die(command);
	}
}

/* --- cost of a connection --- */

static void read_runtime(const char *bpffs, __u64 *ret_ns, __u64 *ret_runs)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	if (sp_pin_open_program(bpffs, COST_NAME, &pins) || bpf_obj_get_info_by_fd(pins.prog, &info, &len))
		live_die("cannot read the program");
	*ret_ns = info.run_time_ns;
	*ret_runs = info.run_cnt;
}

static void take_one(const int *listeners, unsigned int slots)
{
	for (unsigned int i = 0; i < slots; i++) {
		int fd = accept4(listeners[i], NULL, NULL, SOCK_NONBLOCK);

		if (fd < 0)
			continue;
		close(fd);
		return;
	}
}

double live_cost(const char *binary, const char *balance, unsigned int slots, int is_idle)
{
	sp_autoclose int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	const struct sockaddr_in address = at(COST_PORT);
	const struct linger abort = { .l_onoff = 1 };
	sp_autofree int *listeners = calloc(slots, sizeof(*listeners));
	sp_autofree int *clients = calloc(COST_CONNECTIONS, sizeof(*clients));
	__u64 ns[2], runs[2];

	for (unsigned int i = 0; i < slots; i++) {
		listeners[i] = listen_on(COST_PORT);
		fcntl(listeners[i], F_SETFL, O_NONBLOCK);
	}
	live_run("%s attach " COST_NAME " tcp:127.0.0.1:%d --balance %s", binary, COST_PORT, balance);
	read_runtime(SP_BPFFS_DEFAULT, &ns[0], &runs[0]);
	for (size_t i = 0; i < COST_CONNECTIONS; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(clients[i], SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
		if (connect(clients[i], (const struct sockaddr *)&address, sizeof(address)))
			live_die("cannot connect");
		if (is_idle)
			take_one(listeners, slots);
	}
	read_runtime(SP_BPFFS_DEFAULT, &ns[1], &runs[1]);
	live_run("%s detach " COST_NAME, binary);
	for (unsigned int i = 0; i < slots; i++)
		close(listeners[i]);
	for (size_t i = 0; i < COST_CONNECTIONS; i++)
		close(clients[i]);
	return (double)(ns[1] - ns[0]) / (runs[1] - runs[0]);
}
