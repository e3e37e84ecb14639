// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The demonstration: real workers, real flows, and what became of them. demo_picture.c shows it. */
#include "demo.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "render.h"

#define ROUND_MS 5000 /* a round of 8,000 flows takes a quarter of a second; what is later is lost */
#define COMMAND_MS 60000 /* for a steadyport of our own */
#define NAME "demo"
#define LEARN "2s" /* the round that follows an attach is over long before */

/* ---- workers ---- */

int sp_demo_start(enum sp_protocol protocol, __u32 size, bool is_paused, struct sp_demo_crew *ret)
{
	struct sp_demo_crew crew = { 0 };
	struct sp_address address;
	int err = sp_lab_address("127.0.0.1", &address);

	for (__u32 i = 0; !err && i < size; i++) {
		struct sp_lab_options options = { .id = i, .reuseport = true, .is_paused = is_paused };

		err = sp_lab_start(protocol, &address, i ? crew.workers[0].port : 0, &options,
				   &crew.workers[i]);
		if (!err)
			crew.size++;
	}
	if (err) {
		sp_fail(err, "cannot start %s worker %u of %u", sp_protocol_name(protocol), crew.size, size);
		sp_demo_dismiss(&crew);
		return err;
	}
	*ret = crew;
	return 0;
}

void sp_demo_dismiss(struct sp_demo_crew *crew)
{
	for (__u32 i = 0; i < crew->size; i++)
		sp_lab_kill(&crew->workers[i]);
	crew->size = 0;
}

static void kill_victims(struct sp_demo_crew *crew, __u32 killed)
{
	for (__u32 i = 0; i < crew->size; i++)
		if (sp_demo_is_victim(killed, i))
			sp_lab_kill(&crew->workers[i]);
}

/* ---- a steadyport of our own ---- */

/* On stderr, each line set off from what this process says itself. */
static void show_output(int fd)
{
	sp_autofile FILE *file = fdopen(dup(fd), "r");
	char line[512];

	if (!file)
		return;
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		sp_hint("%s", line);
	}
}

/* The exit status of a child, 128 + signal when one ended it, or -ETIMEDOUT after it was killed. */
static int wait_child(pid_t pid, int timeout_ms)
{
	sp_autoclose int pidfd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd gone = { .fd = pidfd, .events = POLLIN };
	__u64 deadline = sp_lab_now_ms() + timeout_ms;
	bool is_late = false;
	int status, n;

	do
		n = poll(&gone, 1, sp_lab_left_ms(deadline));
	while (n < 0 && errno == EINTR);
	if (n == 0) {
		is_late = true;
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (is_late)
		return -ETIMEDOUT;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_program(const char *program, const char *const argv[])
{
	sp_autoclose int output = memfd_create("output", MFD_CLOEXEC);
	pid_t pid;
	int status;

	if (output < 0)
		return sp_fail(-errno, "cannot make room for the output of steadyport %s", argv[1]);
	pid = fork();
	if (pid < 0)
		return sp_fail(-errno, "cannot start steadyport %s", argv[1]);
	if (pid == 0) {
		if (dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0)
			execv(program, (char *const *)argv);
		_exit(127);
	}
	status = wait_child(pid, COMMAND_MS);
	if (status == 0)
		return 0;
	if (status < 0)
		sp_fail(status, "steadyport %s %s", argv[1], argv[2]);
	else
		sp_refuse(-ECHILD, "steadyport %s %s ended with status %d; it said:", argv[1], argv[2],
			  status);
	show_output(output);
	return status < 0 ? status : -ECHILD;
}

int sp_demo_attach(const struct sp_demo_setup *setup, const struct sp_demo_crew *crew)
{
	const struct sp_lab_worker *first = &crew->workers[0];
	char address[SP_ENDPOINT_STRLEN], endpoint[SP_ENDPOINT_STRLEN + 8];
	const char *const argv[] = { "steadyport", "attach",  NAME,	    endpoint, "--learn",
				     LEARN,	   "--bpffs", setup->bpffs, NULL };

	snprintf(endpoint, sizeof(endpoint), "%s:%s", sp_protocol_name(first->protocol),
		 sp_address_format(&first->address, 0, first->port, address));
	return run_program(setup->program, argv);
}

int sp_demo_detach(const struct sp_demo_setup *setup)
{
	const char *const argv[] = { "steadyport", "detach", NAME, "--bpffs", setup->bpffs, NULL };

	return run_program(setup->program, argv);
}

int sp_demo_sync(const struct sp_demo_setup *setup)
{
	const char *const argv[] = { "steadyport", "sync", NAME, "--bpffs", setup->bpffs, NULL };

	return run_program(setup->program, argv);
}

/* ---- measuring ---- */

static int fail_open(int err, __u32 count, const char *what)
{
	sp_fail(err, "cannot open %u %s", count, what);
	if (err == -EMFILE)
		sp_hint("raise the hard limit of open files (ulimit -Hn), or drive fewer: --flows N");
	return err;
}

static int ask_all(struct sp_lab_flows *flows, const char *when, int *ret_owners)
{
	int err = sp_lab_round(flows, ROUND_MS, ret_owners);

	return err ? sp_fail(err, "cannot ask %zu UDP flows %s", flows->count, when) : 0;
}

static __u32 count_silent(const int *owners, size_t count)
{
	__u32 silent = 0;

	for (size_t i = 0; i < count; i++)
		silent += owners[i] < 0;
	return silent;
}

static __u32 count_moved(const int *before, const int *after, size_t count)
{
	return sp_lab_count_moves(before, after, count, NULL, 0).moved;
}

static void judge_udp(const struct sp_demo_setup *setup, const int *before, const int *after,
		      struct sp_demo_udp *ret)
{
	bool is_dead[SP_DEMO_WORKERS_MAX];
	struct sp_lab_moves moves;

	for (__u32 i = 0; i < setup->workers; i++)
		is_dead[i] = sp_demo_is_victim(setup->killed, i);
	moves = sp_lab_count_moves(before, after, setup->flows, is_dead, setup->workers);
	ret->survivor_flows = moves.survivor_flows;
	ret->moved = moves.moved;
	for (__u32 i = 0; i < setup->flows; i++)
		if (before[i] >= 0 && after[i] >= 0)
			ret->from_to[before[i]][after[i]]++;
}

/* Three rounds, each after what may have moved flows: nothing yet, the attach, the kill. */
static int ask_three_times(const struct sp_demo_setup *setup, enum sp_demo_mode mode,
			   struct sp_demo_crew *crew, struct sp_lab_flows *flows, struct sp_demo_udp *ret)
{
	sp_autofree int *before = calloc(setup->flows, sizeof(int));
	sp_autofree int *attached = calloc(setup->flows, sizeof(int));
	sp_autofree int *after = calloc(setup->flows, sizeof(int));
	int err;

	if (!before || !attached || !after)
		return sp_fail(-ENOMEM, "cannot remember %u flows", setup->flows);
	err = ask_all(flows, "before anything happens", before);
	if (err)
		return err;
	if (mode == SP_DEMO_STEADYPORT) {
		err = sp_demo_attach(setup, crew);
		if (err)
			return err;
		err = ask_all(flows, "after the attach", attached);
		if (err)
			return err;
		ret->moved_by_attach = count_moved(before, attached, setup->flows);
		ret->unanswered += count_silent(attached, setup->flows);
	}
	kill_victims(crew, setup->killed);
	err = ask_all(flows, "after the kill", after);
	if (err)
		return err;
	ret->unanswered += count_silent(before, setup->flows) + count_silent(after, setup->flows);
	judge_udp(setup, mode == SP_DEMO_STEADYPORT ? attached : before, after, ret);
	return mode == SP_DEMO_STEADYPORT ? sp_demo_detach(setup) : 0;
}

static int measure_udp(const struct sp_demo_setup *setup, enum sp_demo_mode mode, struct sp_demo_udp *ret)
{
	struct sp_lab_flows flows = SP_LAB_NO_FLOWS;
	struct sp_demo_crew crew;
	int err = sp_demo_start(SP_UDP, setup->workers, false, &crew);

	if (err)
		return err;
	err = sp_lab_open(SP_UDP, &crew.workers[0].address, crew.workers[0].port, 0, setup->flows, ROUND_MS,
			  &flows);
	if (err)
		fail_open(err, setup->flows, "UDP flows");
	else
		err = ask_three_times(setup, mode, &crew, &flows, ret);
	sp_lab_close_flows(&flows);
	sp_demo_dismiss(&crew);
	return err;
}

/*
 * A client's handshake is complete before the server has queued the connection: wait until all of them are
 * in.
 */
static int wait_until_queued(struct sp_demo_crew *crew, __u32 connections, __u32 *ret_waiting)
{
	__u64 deadline = sp_lab_now_ms() + ROUND_MS;
	__u32 sum;

	do {
		sum = 0;
		for (__u32 i = 0; i < crew->size; i++) {
			int err = sp_lab_waiting(&crew->workers[i], &ret_waiting[i]);

			if (err)
				return sp_fail(err, "cannot read the accept queue of worker %u", i);
			sum += ret_waiting[i];
		}
		if (sum == connections)
			return 0;
	} while (sp_lab_left_ms(deadline));
	return sp_fail(-ETIMEDOUT, "%u of %u connections wait", sum, connections);
}

static void judge_tcp(const struct sp_demo_setup *setup, const int *owners, struct sp_demo_tcp *ret)
{
	for (__u32 i = 0; i < setup->connections; i++) {
		if (owners[i] >= 0) {
			ret->answered++;
			ret->answered_by[owners[i]]++;
		} else if (owners[i] == SP_LAB_SILENT) {
			ret->unanswered++;
		} else {
			ret->reset++;
		}
	}
}

static int kill_while_waiting(const struct sp_demo_setup *setup, enum sp_demo_mode mode,
			      struct sp_demo_crew *crew, struct sp_lab_flows *connections,
			      struct sp_demo_tcp *ret)
{
	sp_autofree int *owners = calloc(setup->connections, sizeof(int));
	int err;

	if (!owners)
		return sp_fail(-ENOMEM, "cannot remember %u connections", setup->connections);
	err = sp_lab_open(SP_TCP, &crew->workers[0].address, crew->workers[0].port, 0, setup->connections,
			  ROUND_MS, connections);
	if (err)
		return fail_open(err, setup->connections, "TCP connections");
	err = wait_until_queued(crew, setup->connections, ret->waiting);
	if (err)
		return err;
	kill_victims(crew, setup->killed);
	for (__u32 i = 0; i < crew->size; i++) {
		if (sp_demo_is_victim(setup->killed, i))
			continue;
		err = sp_lab_resume(&crew->workers[i]);
		if (err)
			return sp_fail(err, "cannot resume worker %u", i);
	}
	err = sp_lab_answers(connections, ROUND_MS, owners);
	if (err)
		return sp_fail(err, "cannot read the answers of %u connections", setup->connections);
	judge_tcp(setup, owners, ret);
	return mode == SP_DEMO_STEADYPORT ? sp_demo_detach(setup) : 0;
}

static int measure_tcp(const struct sp_demo_setup *setup, enum sp_demo_mode mode, struct sp_demo_tcp *ret)
{
	struct sp_lab_flows connections = SP_LAB_NO_FLOWS;
	struct sp_demo_crew crew;
	int err = sp_demo_start(SP_TCP, setup->workers, true, &crew);

	if (err)
		return err;
	if (mode == SP_DEMO_STEADYPORT)
		err = sp_demo_attach(setup, &crew);
	if (!err)
		err = kill_while_waiting(setup, mode, &crew, &connections, ret);
	sp_lab_close_flows(&connections);
	sp_demo_dismiss(&crew);
	return err;
}

int sp_demo_measure(const struct sp_demo_setup *setup, struct sp_demo_result *ret)
{
	sp_autofree struct sp_demo_result *result = calloc(1, sizeof(*result));
	struct utsname name;

	if (!result)
		return sp_fail(-ENOMEM, "cannot remember a result");
	result->workers = setup->workers;
	result->killed = setup->killed;
	result->flows = setup->flows;
	result->connections = setup->connections;
	result->has_udp = setup->has_udp;
	result->has_tcp = setup->has_tcp;
	if (!uname(&name))
		snprintf(result->kernel, sizeof(result->kernel), "%.64s", name.release);
	for (enum sp_demo_mode mode = SP_DEMO_KERNEL; mode < SP_DEMO_MODES; mode++) {
		int err = 0;

		if (setup->has_udp)
			err = measure_udp(setup, mode, &result->udp[mode]);
		if (!err && setup->has_tcp)
			err = measure_tcp(setup, mode, &result->tcp[mode]);
		if (err)
			return err;
	}
	*ret = *result;
	return 0;
}

bool sp_demo_holds(const struct sp_demo_result *result)
{
	const struct sp_demo_udp *udp = &result->udp[SP_DEMO_STEADYPORT];
	const struct sp_demo_tcp *tcp = &result->tcp[SP_DEMO_STEADYPORT];

	if (result->has_udp && (udp->moved || udp->moved_by_attach || udp->unanswered))
		return false;
	return !result->has_tcp || tcp->answered == result->connections;
}
