// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The picture of a demonstration, as text and as JSON. Pure: a result in, nothing measured here. */
#include "demo.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "render.h"

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
	__u32 killed; /* workers in all, see sp_demo_is_victim() */
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

		if (from == strip->worker || sp_demo_is_victim(strip->killed, from) || !count)
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
	strip.is_dead = sp_demo_is_victim(result->killed, worker);
	for (__u32 from = 0; from < result->workers; from++) {
		__u32 count = udp->from_to[from][worker];

		if (from == worker)
			strip.own = count;
		else if (sp_demo_is_victim(result->killed, from))
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
	strip.is_dead = sp_demo_is_victim(result->killed, worker);
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
