// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The demonstration: measuring first, the picture after it. */
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

/*
 * The second one first: it is neither the first nor the last of the kernel's order, and the last one's end
 * moves less.
 */
static bool is_victim(__u32 killed, __u32 worker)
{
	return worker >= 1 && worker <= killed;
}

static void kill_victims(struct sp_demo_crew *crew, __u32 killed)
{
	for (__u32 i = 0; i < crew->size; i++)
		if (is_victim(killed, i))
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
		is_dead[i] = is_victim(setup->killed, i);
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
		if (is_victim(setup->killed, i))
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

/* ---- the picture ---- */

#define STRIP 14 /* cells of a strip */
#define RESERVE 2 /* cells that a strip may grow by when its parts are rounded up */

struct canvas {
	FILE *out;
	bool has_colour;
};

/* Any worker's colour is also that of every sixth after it: its number is always written, too. */
static int colour_of(__u32 worker)
{
	static const int colours[] = { 36, 33, 35, 32, 34, 31 };

	return colours[worker % SP_ARRAY_SIZE(colours)];
}

/* @worker's number as one character; beyond 0..9a..z the same sign for all */
static char digit_of(__u32 worker)
{
	return worker < 36 ? "0123456789abcdefghijklmnopqrstuvwxyz"[worker] : '?';
}

static void start_colour(const struct canvas *canvas, const char *codes)
{
	if (canvas->has_colour)
		fprintf(canvas->out, "\033[%sm", codes);
}

static void end_colour(const struct canvas *canvas)
{
	if (canvas->has_colour)
		fputs("\033[0m", canvas->out);
}

/* Text in a field of @width, right-aligned; padding is not coloured. */
static void put_field(const struct canvas *canvas, int width, const char *codes, const char *text)
{
	fprintf(canvas->out, "%*s", width - (int)strlen(text), "");
	start_colour(canvas, codes);
	fputs(text, canvas->out);
	end_colour(canvas);
}

/* "412 of 771", red or green: what is counted is always a loss. */
static void put_share(const struct canvas *canvas, int width, __u32 part, __u32 whole)
{
	char a[SP_RENDER_STRLEN], b[SP_RENDER_STRLEN], text[2 * SP_RENDER_STRLEN + 8];

	snprintf(text, sizeof(text), "%s of %s", sp_render_count(part, a), sp_render_count(whole, b));
	put_field(canvas, width, part ? "1;31" : "1;32", text);
}

static void put_row(const struct canvas *canvas, const char *label, const __u32 parts[SP_DEMO_MODES],
		    const __u32 wholes[SP_DEMO_MODES])
{
	fprintf(canvas->out, " %-32s", label);
	for (int mode = 0; mode < SP_DEMO_MODES; mode++) {
		if (wholes[mode])
			put_share(canvas, 17, parts[mode], wholes[mode]);
		else
			put_field(canvas, 17, "2", "-");
	}
	fputc('\n', canvas->out);
}

static void put_headline(const struct canvas *canvas, const struct sp_demo_result *result)
{
	char flows[SP_RENDER_STRLEN], connections[SP_RENDER_STRLEN];

	start_colour(canvas, "1");
	fprintf(canvas->out, "%u of %u workers %s killed (SIGKILL) while ", result->killed, result->workers,
		result->killed == 1 ? "is" : "are");
	sp_render_count(result->flows, flows);
	sp_render_count(result->connections, connections);
	if (result->has_udp && result->has_tcp)
		fprintf(canvas->out, "%s UDP flows run\nand %s TCP connections wait.", flows, connections);
	else if (result->has_udp)
		fprintf(canvas->out, "%s UDP flows run.", flows);
	else
		fprintf(canvas->out, "%s TCP connections wait.", connections);
	end_colour(canvas);
	fputs("\n\n", canvas->out);
}

static void put_table(const struct canvas *canvas, const struct sp_demo_result *result)
{
	const struct sp_demo_udp *udp = result->udp;
	const struct sp_demo_tcp *tcp = result->tcp;
	__u32 n = result->flows, c = result->connections;
	char label[32]; /* a longer name is cut off */

	snprintf(label, sizeof(label), "Linux %.24s", result->kernel);
	fprintf(canvas->out, " %-32s", label);
	put_field(canvas, 17, "1", "kernel hash");
	put_field(canvas, 17, "1", "steadyport");
	fputc('\n', canvas->out);
	if (result->has_udp) {
		put_row(canvas, "UDP flows of survivors, moved", (__u32[]){ udp[0].moved, udp[1].moved },
			(__u32[]){ udp[0].survivor_flows, udp[1].survivor_flows });
		put_row(canvas, "UDP flows, moved by attaching", (__u32[]){ 0, udp[1].moved_by_attach },
			(__u32[]){ 0, n });
		if (udp[0].unanswered || udp[1].unanswered)
			put_row(canvas, "UDP datagrams, unanswered",
				(__u32[]){ udp[0].unanswered, udp[1].unanswered }, (__u32[]){ 2 * n, 3 * n });
	}
	if (result->has_tcp) {
		put_row(canvas, "TCP connections, reset", (__u32[]){ tcp[0].reset, tcp[1].reset },
			(__u32[]){ c, c });
		if (tcp[0].unanswered || tcp[1].unanswered)
			put_row(canvas, "TCP connections, unanswered",
				(__u32[]){ tcp[0].unanswered, tcp[1].unanswered }, (__u32[]){ c, c });
	}
}

/* What a worker has, in flows or connections; a killed one has nothing. */
struct strip {
	__u32 worker;
	__u32 killed; /* workers in all, see is_victim() */
	bool is_dead;
	__u32 own; /* it had these before */
	__u32 inherited; /* these were a dead worker's */
	__u32 strangers; /* these were another living worker's ... */
	const struct sp_demo_udp *udp; /* ... says from whom */
	__u32 reset; /* of a dead one */
};

/* At least one cell for what is not zero: a loss must not be rounded away. */
static __u32 cells_of(__u32 count, __u32 per_cell)
{
	__u32 cells = (count + per_cell / 2) / per_cell;

	return count && !cells ? 1 : cells;
}

/* Repeats a sign, never beyond the width. Returns the cells left. */
static __u32 put_cells(const struct canvas *canvas, const char *codes, __u32 left, __u32 cells, char sign)
{
	if (!cells || !left)
		return left;
	start_colour(canvas, codes);
	for (__u32 i = 0; i < cells && i < left; i++)
		fputc(sign, canvas->out);
	end_colour(canvas);
	return cells < left ? left - cells : 0;
}

/* The strangers' cells, in proportion to where they came from. */
static __u32 put_strangers(const struct canvas *canvas, __u32 left, const struct strip *strip, __u32 cells)
{
	__u32 seen = 0, done = 0;

	for (__u32 from = 0; from < SP_DEMO_WORKERS_MAX && strip->strangers; from++) {
		__u32 count = strip->udp->from_to[from][strip->worker];
		char codes[16];
		__u32 upto;

		if (from == strip->worker || is_victim(strip->killed, from) || !count)
			continue;
		seen += count;
		upto = seen >= strip->strangers ? cells : (__u32)((__u64)seen * cells / strip->strangers);
		snprintf(codes, sizeof(codes), "7;%d", colour_of(from));
		left = put_cells(canvas, codes, left, upto - done, digit_of(from));
		done = upto;
	}
	return left;
}

/* One strip, padded to its width when something follows on the line. */
static void put_strip(const struct canvas *canvas, const struct strip *strip, __u32 per_cell, bool is_last)
{
	__u32 left = STRIP;
	char codes[16];

	snprintf(codes, sizeof(codes), "%d", colour_of(strip->worker));
	if (strip->is_dead) {
		start_colour(canvas, strip->reset ? "1;31" : "2");
		left -= fprintf(canvas->out, strip->reset ? "killed, reset" : "killed");
		end_colour(canvas);
	} else {
		left = put_cells(canvas, codes, left, cells_of(strip->own, per_cell), '#');
		left = put_cells(canvas, "2", left, cells_of(strip->inherited, per_cell), '+');
		left = put_strangers(canvas, left, strip, cells_of(strip->strangers, per_cell));
	}
	if (!is_last)
		fprintf(canvas->out, "%*s", (int)left + 1, "");
}

static struct strip udp_strip(const struct sp_demo_result *result, const struct sp_demo_udp *udp,
			      __u32 worker, bool is_after)
{
	struct strip strip = { .worker = worker, .killed = result->killed, .udp = udp };

	if (!is_after) {
		for (__u32 to = 0; to < result->workers; to++)
			strip.own += udp->from_to[worker][to];
		return strip;
	}
	strip.is_dead = is_victim(result->killed, worker);
	for (__u32 from = 0; from < result->workers; from++) {
		__u32 count = udp->from_to[from][worker];

		if (from == worker)
			strip.own = count;
		else if (is_victim(result->killed, from))
			strip.inherited += count;
		else
			strip.strangers += count;
	}
	return strip;
}

static struct strip tcp_strip(const struct sp_demo_result *result, const struct sp_demo_tcp *tcp,
			      __u32 worker, bool is_after)
{
	struct strip strip = { .worker = worker, .killed = result->killed, .own = tcp->waiting[worker] };

	if (!is_after)
		return strip;
	strip.is_dead = is_victim(result->killed, worker);
	if (strip.is_dead) {
		strip.reset = tcp->reset;
		return strip;
	}
	/* A connection never leaves the queue of a living listener, so what is more was another's. */
	if (tcp->answered_by[worker] < strip.own)
		strip.own = tcp->answered_by[worker];
	strip.inherited = tcp->answered_by[worker] - strip.own;
	return strip;
}

static struct strip strip_of(const struct sp_demo_result *result, enum sp_protocol protocol, int mode,
			     __u32 worker, bool is_after)
{
	if (protocol == SP_UDP)
		return udp_strip(result, &result->udp[mode], worker, is_after);
	return tcp_strip(result, &result->tcp[mode], worker, is_after);
}

static __u32 scale_of(const struct sp_demo_result *result, enum sp_protocol protocol)
{
	__u32 most = 1;

	for (__u32 i = 0; i < result->workers * SP_DEMO_MODES * 2; i++) {
		struct strip strip = strip_of(result, protocol, i & 1, i >> 2, i & 2);
		__u32 sum = strip.own + strip.inherited + strip.strangers;

		if (sum > most)
			most = sum;
	}
	return (most + STRIP - RESERVE - 1) / (STRIP - RESERVE);
}

#define WORKERS_SHOWN 16 /* more lines than that nobody compares */

static void put_strips(const struct canvas *canvas, const struct sp_demo_result *result,
		       enum sp_protocol protocol)
{
	__u32 per_cell = scale_of(result, protocol);

	fprintf(canvas->out, "\n %-10s%-*s  %s\n", sp_protocol_name(protocol), 2 * STRIP + 1, "kernel hash",
		"steadyport");
	fprintf(canvas->out, " %-10s%-*s %-*s  %-*s %s\n", "", STRIP, "before", STRIP, "after", STRIP,
		"before", "after");
	for (__u32 worker = 0; worker < result->workers; worker++) {
		if (worker == WORKERS_SHOWN) {
			fprintf(canvas->out, " ... and %u workers more\n", result->workers - worker);
			break;
		}
		fprintf(canvas->out, " worker %-3u", worker);
		for (int i = 0; i < 2 * SP_DEMO_MODES; i++) {
			struct strip strip = strip_of(result, protocol, i / 2, worker, i % 2);

			put_strip(canvas, &strip, per_cell, i == 2 * SP_DEMO_MODES - 1);
			if (i == 1)
				fputc(' ', canvas->out);
		}
		fputc('\n', canvas->out);
	}
	fprintf(canvas->out, " one sign is about %u %s\n", per_cell,
		protocol == SP_UDP ? "flows" : "connections");
}

/* Any digit in the strips, i.e. a living worker's flow that is with another one? */
static bool has_strangers(const struct sp_demo_result *result)
{
	return result->has_udp && (result->udp[0].moved || result->udp[1].moved);
}

void sp_demo_render(FILE *out, const struct sp_demo_result *result, bool has_colour)
{
	const struct canvas canvas = { .out = out, .has_colour = has_colour };
	char datagrams[SP_RENDER_STRLEN], connections[SP_RENDER_STRLEN];

	put_headline(&canvas, result);
	put_table(&canvas, result);
	if (result->has_udp)
		put_strips(&canvas, result, SP_UDP);
	if (result->has_tcp)
		put_strips(&canvas, result, SP_TCP);
	fprintf(out, "\n # stayed   + was a killed worker's%s\n",
		has_strangers(result) ? "   0-9 came from that living worker" : "");
	/* Two rounds under the kernel, three under steadyport. */
	sp_render_count(5ULL * result->flows, datagrams);
	sp_render_count(2ULL * result->connections, connections);
	fputs("Measured in this run: ", out);
	if (result->has_udp)
		fprintf(out, "%s datagrams", datagrams);
	if (result->has_tcp)
		fprintf(out, "%s%s connections", result->has_udp ? ", " : "", connections);
	fprintf(out, "; exit status %d.\n", sp_demo_holds(result) ? 0 : 1);
}

static json_t *udp_json(const struct sp_demo_result *result, enum sp_demo_mode mode)
{
	const struct sp_demo_udp *udp = &result->udp[mode];
	json_t *object = json_pack("{s:I, s:I, s:I, s:I}", "flows", (json_int_t)result->flows,
				   "survivor_flows", (json_int_t)udp->survivor_flows, "moved",
				   (json_int_t)udp->moved, "unanswered", (json_int_t)udp->unanswered);

	if (object && mode == SP_DEMO_STEADYPORT &&
	    json_object_set_new(object, "moved_by_attach", json_integer(udp->moved_by_attach))) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static json_t *tcp_json(const struct sp_demo_result *result, enum sp_demo_mode mode)
{
	const struct sp_demo_tcp *tcp = &result->tcp[mode];

	return json_pack("{s:I, s:I, s:I, s:I}", "connections", (json_int_t)result->connections, "answered",
			 (json_int_t)tcp->answered, "reset", (json_int_t)tcp->reset, "unanswered",
			 (json_int_t)tcp->unanswered);
}

json_t *sp_demo_json(const struct sp_demo_result *result)
{
	/* "o*" leaves out what is NULL, which is what a protocol that was not asked for is. */
	json_t *udp = NULL, *tcp = NULL;

	if (result->has_udp) {
		udp = json_pack("{s:o, s:o}", "kernel", udp_json(result, SP_DEMO_KERNEL), "steadyport",
				udp_json(result, SP_DEMO_STEADYPORT));
		if (!udp)
			return NULL;
	}
	if (result->has_tcp) {
		tcp = json_pack("{s:o, s:o}", "kernel", tcp_json(result, SP_DEMO_KERNEL), "steadyport",
				tcp_json(result, SP_DEMO_STEADYPORT));
		if (!tcp) {
			json_decref(udp);
			return NULL;
		}
	}
	return json_pack("{s:I, s:I, s:s, s:o*, s:o*, s:b}", "workers", (json_int_t)result->workers, "killed",
			 (json_int_t)result->killed, "kernel_release", result->kernel, "udp", udp, "tcp", tcp,
			 "holds", sp_demo_holds(result));
}
