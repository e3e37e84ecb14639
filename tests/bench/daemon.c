// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The daemon: what it costs while nothing happens, how soon a worker that joins is used; and that a death needs nobody. */
#include "bench.h"
#include "contender.h"
#include "crowd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cleanup.h"
#include "state.h"

#define SECONDS 10 /* of watching: as many sweeps */
#define PATIENCE_S 120
#define POLL_MS 20
#define MANY_GROUPS 256
#define JOINS 40
#define DEATHS 60

/* --- a daemon --- */

struct daemon {
	pid_t pid;
	char config[64];
};

static bool is_settled(const char *name)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	sp_autostate struct sp_state *state = NULL;

	if (!sp_pin_exists(SP_CONTENDER_BPFFS, name) || sp_pin_open(SP_CONTENDER_BPFFS, name, &pins) ||
	    sp_state_read(&pins, &state))
		return false;
	return state->ctl.attached_at && !sp_state_current(state)->learn_until_ns;
}

/* Returns when all groups are attached, and have nothing left to learn. */
static struct daemon start_daemon(const struct sp_bench *bench, const struct sp_contender *groups,
				  size_t count)
{
	struct daemon daemon = { .config = "/tmp/steadyport-bench-XXXXXX" };
	int fd = mkstemp(daemon.config), null;
	double deadline = sp_bench_now() + PATIENCE_S;

	sp_bench_require(fd >= 0);
	dprintf(fd, "[daemon]\nmetrics = off\n");
	for (size_t i = 0; i < count; i++)
		dprintf(fd, "[group %s]\nendpoint = %s:127.0.0.1:%u\nlearn = 0\n", groups[i].name,
			groups[i].protocol == SP_TCP ? "tcp" : "udp", groups[i].target.port);
	close(fd);
	daemon.pid = fork();
	sp_bench_require(daemon.pid >= 0);
	if (daemon.pid == 0) {
		null = open("/dev/null", O_WRONLY);
		if (dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(126);
		execl(bench->binary, bench->binary, "run", "--config", daemon.config, NULL);
		_exit(127);
	}
	for (size_t i = 0; i < count; i++) {
		while (!is_settled(groups[i].name)) {
			if (sp_bench_now() > deadline || waitpid(daemon.pid, NULL, WNOHANG))
				sp_bench_die("the daemon does not steer %s", groups[i].name);
			poll(NULL, 0, POLL_MS);
		}
	}
	return daemon;
}

static void stop_daemon(struct daemon *daemon)
{
	kill(daemon->pid, SIGTERM);
	waitpid(daemon->pid, NULL, 0);
	unlink(daemon->config);
}

/* CPU time so far, in ms. */
static double cpu_ms(const struct daemon *daemon)
{
	unsigned long long ns;
	char path[64];
	sp_autofile FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", daemon->pid);
	file = fopen(path, "r");
	sp_bench_require(file && fscanf(file, "%llu", &ns) == 1);
	return (double)ns / 1e6;
}

static double resident_kib(const struct daemon *daemon)
{
	char path[64], line[128];
	sp_autofile FILE *file = NULL;
	double kib;

	snprintf(path, sizeof(path), "/proc/%d/status", daemon->pid);
	file = fopen(path, "r");
	sp_bench_require(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmRSS: %lf", &kib) == 1)
			return kib;
	}
	sp_bench_die("%s says nothing of memory", path);
}

/* --- doing nothing --- */

static void open_groups(struct sp_contender *groups, size_t count, unsigned int members)
{
	for (size_t i = 0; i < count; i++) {
		char *name;

		sp_bench_require(asprintf(&name, "group%zu", i) > 0);
		groups[i] = (struct sp_contender){ .name = name, .protocol = SP_TCP, .members = members };
		sp_contender_open(&groups[i], NULL);
	}
}

static void close_groups(const struct sp_bench *bench, struct sp_contender *groups, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *const words[] = { bench->binary, "detach", groups[i].name, NULL };

		sp_bench_run(words);
		sp_contender_close(&groups[i]);
		free((char *)groups[i].name);
	}
}

/* CPU time of each second; the daemon sweeps in each. @ret_kib: its memory. */
static struct sp_summary watch(const struct sp_bench *bench, size_t count, unsigned int members,
			       unsigned int foreign, double *ret_kib)
{
	struct sp_foreigners foreigners = sp_foreigners_start(foreign);
	sp_autofree struct sp_contender *groups = calloc(count, sizeof(*groups));
	size_t seconds = bench->is_quick ? SECONDS / 2 : SECONDS;
	struct daemon daemon;
	double ms[SECONDS];

	sp_bench_require(groups);
	open_groups(groups, count, members);
	daemon = start_daemon(bench, groups, count);
	/* What it learned of itself while it attached is not the daily work. */
	poll(NULL, 0, 2000);
	for (size_t i = 0; i < seconds; i++) {
		double before = cpu_ms(&daemon), start = sp_bench_now();

		poll(NULL, 0, 1000);
		ms[i] = (cpu_ms(&daemon) - before) / (sp_bench_now() - start);
	}
	*ret_kib = resident_kib(&daemon);
	stop_daemon(&daemon);
	close_groups(bench, groups, count);
	sp_foreigners_end(&foreigners);
	return sp_stats_summarise(ms, seconds);
}

static struct sp_summary scaled(struct sp_summary s, double factor)
{
	double *const fields[] = { &s.min, &s.quarter, &s.median, &s.three_quarters, &s.max, &s.low, &s.high };

	for (size_t i = 0; i < SP_ARRAY_SIZE(fields); i++)
		*fields[i] *= factor;
	return s;
}

static void tell_watching(struct sp_bench *bench)
{
	double one, many, ignored;
	struct sp_summary second;

	sp_bench_value(bench, "sweep", "sweep, 1 group of 4", watch(bench, 1, 4, 0, &one), "ms of CPU",
		       (struct sp_limit){ .value = 5 });
	sp_bench_value(bench, "sweep_members", "sweep, 1 group of 1024", watch(bench, 1, 1024, 0, &ignored),
		       "ms of CPU", (struct sp_limit){ .value = 5 });
	sp_bench_value(bench, "sweep_files", "sweep, 1 group of 4, 20,000 files",
		       watch(bench, 1, 4, 500, &ignored), "ms of CPU", (struct sp_limit){ 0 });
	second = watch(bench, MANY_GROUPS, 4, 0, &many);
	sp_bench_value(bench, "watched", "256 groups watched", scaled(second, 0.1), "% of a core",
		       (struct sp_limit){ .value = 2 });
	many = (many - one) / (MANY_GROUPS - 1);
	sp_bench_value(bench, "daemon_memory", "memory of the daemon", sp_stats_summarise(&one, 1), "KiB",
		       (struct sp_limit){ 0 });
	sp_bench_value(bench, "daemon_memory_group", "the same, for each further group",
		       sp_stats_summarise(&many, 1), "KiB", (struct sp_limit){ 0 });
}

/* --- a worker joins, a worker dies --- */

static struct sockaddr_in address_of(const struct sp_contender *contender)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(contender->target.port),
	};
}

static int new_socket(int type)
{
	int one = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	sp_bench_require(fd >= 0);
	sp_bench_require(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0);
	return fd;
}

static void connect_once(const struct sockaddr_in *to)
{
	const struct linger abort = { .l_onoff = 1 };
	sp_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sp_bench_require(fd >= 0);
	sp_bench_require(setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)) == 0);
	sp_bench_require(connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0);
}

/* From listen() until the new member has accepted a connection, in ms; connections come one after another. */
static double join_ms(const struct sp_contender *group)
{
	const struct sockaddr_in to = address_of(group);
	sp_autoclose int listener = new_socket(SOCK_STREAM);
	int accepted;
	double start;

	sp_bench_require(bind(listener, (const struct sockaddr *)&to, sizeof(to)) == 0);
	start = sp_bench_now();
	sp_bench_require(listen(listener, 1024) == 0);
	while ((accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0) {
		connect_once(&to);
		sp_contender_drain(group, 0, NULL);
		sp_bench_require(sp_bench_now() < start + PATIENCE_S);
	}
	start = (sp_bench_now() - start) * 1e3;
	close(accepted);
	return start;
}

static void compare_joins(struct sp_bench *bench)
{
	struct sp_rounds rounds = sp_rounds_new(2, sp_bench_rounds(bench, JOINS));
	struct sp_contender groups[] = {
		{ .name = "nobody", .protocol = SP_TCP, .is_read = true },
		{ .name = "steered", .protocol = SP_TCP, .is_read = true },
	};
	struct daemon daemon;

	for (size_t i = 0; i < SP_ARRAY_SIZE(groups); i++)
		sp_contender_open(&groups[i], NULL);
	daemon = start_daemon(bench, &groups[1], 1);
	for (size_t round = 0; round < rounds.nrounds; round++) {
		for (size_t i = 0; i < SP_ARRAY_SIZE(groups); i++)
			*sp_rounds_at(&rounds, i, round) = join_ms(&groups[i]);
	}
	sp_bench_ratio(bench, "join_none", "first connection of a worker that joins: no program", &rounds, 0,
		       0, "join_none", "ms", (struct sp_limit){ 0 });
	sp_bench_ratio(bench, "join", "the same: the daemon enrols it", &rounds, 1, 0, "join_none", "ms",
		       (struct sp_limit){ 0 });
	stop_daemon(&daemon);
	for (size_t i = 0; i < SP_ARRAY_SIZE(groups); i++)
		sp_contender_close(&groups[i]);
	sp_rounds_free(&rounds);
}

/* One datagram: from send() until a member has it, in us. Sets @ret_member. */
static double ask_us(const struct sp_contender *group, int client, unsigned int *ret_member)
{
	double start = sp_bench_now();
	char c;

	sp_bench_require(send(client, "", 1, 0) == 1);
	while (sp_bench_now() < start + PATIENCE_S) {
		for (unsigned int i = 0; i < group->members; i++) {
			if (group->sockets[i] >= 0 && recv(group->sockets[i], &c, 1, MSG_DONTWAIT) == 1) {
				*ret_member = i;
				return (sp_bench_now() - start) * 1e6;
			}
		}
	}
	sp_bench_die("a datagram got lost");
}

/* The flow's worker dies; the next packet of the flow is the first that is steered anew. Nobody runs in between. */
static void compare_deaths(struct sp_bench *bench)
{
	struct sp_rounds rounds = sp_rounds_new(2, sp_bench_rounds(bench, DEATHS));
	struct sp_contender group = {
		.name = "mortal", .steering = SP_STEERED_BY_STEADYPORT, .is_read = true, .members = 2 * DEATHS
	};
	struct sockaddr_in to;

	sp_contender_open(&group, bench->binary);
	to = address_of(&group);
	for (size_t round = 0; round < rounds.nrounds; round++) {
		sp_autoclose int client = new_socket(SOCK_DGRAM);
		unsigned int member, heir;
		double closing;

		sp_bench_require(connect(client, (const struct sockaddr *)&to, sizeof(to)) == 0);
		ask_us(&group, client, &member);
		*sp_rounds_at(&rounds, 0, round) = ask_us(&group, client, &member);
		closing = sp_bench_now();
		sp_close_fd(&group.sockets[member]);
		closing = (sp_bench_now() - closing) * 1e6;
		*sp_rounds_at(&rounds, 1, round) = closing + ask_us(&group, client, &heir);
		sp_bench_require(heir != member);
	}
	sp_bench_ratio(bench, "death_none", "a packet's way, its worker lives", &rounds, 0, 0, "death_none",
		       "us", (struct sp_limit){ 0 });
	sp_bench_ratio(bench, "death", "its worker's close(), and the next packet's way", &rounds, 1, 0,
		       "death_none", "us", (struct sp_limit){ 0 });
	sp_contender_close(&group);
	sp_rounds_free(&rounds);
}

void sp_bench_daemon(struct sp_bench *bench)
{
	compare_deaths(bench);
	compare_joins(bench);
	tell_watching(bench);
}
