// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The tour: what sockets do, shown by doing it. */

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "log.h"
#include "tour.h"

#define WAIT_MS 5000
#define SERVERS 4
#define FLOWS 16
#define COLUMN 12 /* of the table of addresses: as wide as EADDRINUSE and a gap */
#define OWN_ADDRESS "192.0.2.10" /* TEST-NET-1, RFC 5737: nobody's */
#define NOBODY 65534

static const char *const addresses[] = { "127.0.0.1", OWN_ADDRESS, "0.0.0.0", "::1", "::" };

struct tour {
	FILE *out;
	bool has_colour;
	const struct sp_demo_setup *setup;
};

static void title(const struct tour *tour, const char *text)
{
	fprintf(tour->out, "%s%s%s\n", tour->has_colour ? "\033[1m" : "", text,
		tour->has_colour ? "\033[0m" : "");
}

static const char *outcome(int err)
{
	const char *name = strerrorname_np(-err);

	if (!err)
		return "ok";
	return name ? name : "unknown error";
}

/* A TCP listener in a process of its own. */
static int listen_on(const char *text, __u16 port, const struct sp_lab_options *options,
		     struct sp_lab_worker *ret)
{
	struct sp_address address;
	int err = sp_lab_address(text, &address);

	return err ? err : sp_lab_start(SP_TCP, &address, port, options, ret);
}

/* ---- 1: addresses ---- */

static void show_meetings(const struct tour *tour)
{
	fprintf(tour->out, "   %-12s", "");
	for (size_t column = 0; column < SP_ARRAY_SIZE(addresses); column++)
		fprintf(tour->out, "%*s%s", column ? COLUMN - (int)strlen(addresses[column - 1]) : 0, "",
			addresses[column]);
	fputc('\n', tour->out);
	for (size_t row = 0; row < SP_ARRAY_SIZE(addresses); row++) {
		const struct sp_lab_options plain = { .id = 0 };
		struct sp_lab_worker first = { 0 };
		int err = listen_on(addresses[row], 0, &plain, &first);

		fprintf(tour->out, "   %-12s", addresses[row]);
		/* E.g. a machine without IPv6. */
		if (err) {
			fprintf(tour->out, "cannot listen at all: %s\n", outcome(err));
			continue;
		}
		for (size_t column = 0; column < SP_ARRAY_SIZE(addresses); column++) {
			bool is_last = column == SP_ARRAY_SIZE(addresses) - 1;
			struct sp_lab_worker second = { 0 };

			err = listen_on(addresses[column], first.port, &plain, &second);
			fprintf(tour->out, "%s%*s", outcome(err),
				is_last ? 0 : COLUMN - (int)strlen(outcome(err)), "");
			sp_lab_kill(&second);
		}
		fputc('\n', tour->out);
		sp_lab_kill(&first);
	}
}

/* Which worker answers one connection to this address. */
static int ask_once(const char *text, __u16 port, int *ret_owner)
{
	struct sp_lab_flows flows = SP_LAB_NO_FLOWS;
	struct sp_address address;
	int err = sp_lab_address(text, &address);

	if (!err)
		err = sp_lab_open(SP_TCP, &address, port, 0, 1, WAIT_MS, &flows);
	if (!err)
		err = sp_lab_answers(&flows, WAIT_MS, ret_owner);
	sp_lab_close_flows(&flows);
	return err;
}

/* Both can listen only with SO_REUSEPORT; then the more specific address gets what is sent to it. */
static int show_specific_wins(const struct tour *tour)
{
	static const char *const listen_at[] = { "0.0.0.0", "127.0.0.1" };
	static const char *const asked[] = { "127.0.0.1", OWN_ADDRESS };
	struct sp_lab_worker workers[2] = { 0 };
	int err = 0;

	for (__u32 i = 0; !err && i < 2; i++) {
		const struct sp_lab_options options = { .id = i, .reuseport = true };

		err = listen_on(listen_at[i], workers[0].port, &options, &workers[i]);
	}
	for (size_t i = 0; !err && i < SP_ARRAY_SIZE(asked); i++) {
		int owner;

		err = ask_once(asked[i], workers[0].port, &owner);
		if (!err)
			fprintf(tour->out, "   both listen; a client of %-10s is served by %s\n", asked[i],
				owner < 0 ? "none" : listen_at[owner]);
	}
	sp_lab_kill(&workers[0]);
	sp_lab_kill(&workers[1]);
	return err ? sp_fail(err, "cannot compare 0.0.0.0 and 127.0.0.1") : 0;
}

static int show_addresses(const struct tour *tour)
{
	struct sp_address own;
	int err = sp_lab_address(OWN_ADDRESS, &own);

	if (!err)
		err = sp_lab_add_address(&own);
	if (err)
		return sp_fail(err, "cannot give %s to the loopback device", OWN_ADDRESS);
	title(tour, "1. One port: the first process listens on the row's address,\n"
		    "   the second on the column's. " OWN_ADDRESS " is an interface's own.");
	show_meetings(tour);
	return show_specific_wins(tour);
}

/* ---- 2, 3: two processes, one address ---- */

/* A second listener beside a first one on 127.0.0.1; what became of it is a line. */
static int show_second(const struct tour *tour, bool first_shares, bool second_shares, __u32 uid)
{
	const struct sp_lab_options first_options = { .id = 0, .reuseport = first_shares };
	const struct sp_lab_options second_options = { .id = 1, .reuseport = second_shares, .uid = uid };
	const char *how = second_shares ? "with:" : "without:";
	struct sp_lab_worker first = { 0 }, second = { 0 };
	int err = listen_on("127.0.0.1", 0, &first_options, &first);

	if (err)
		return sp_fail(err, "cannot listen on 127.0.0.1");
	err = listen_on("127.0.0.1", first.port, &second_options, &second);
	if (uid)
		how = "with, but another user:";
	fprintf(tour->out, "   first %-8s second %-24s %s\n", first_shares ? "with," : "without,", how,
		err ? outcome(err) : "ok, both listen");
	sp_lab_kill(&second);
	sp_lab_kill(&first);
	return 0;
}

static int show_sharing(const struct tour *tour)
{
	int err;

	title(tour, "2. Two processes want 127.0.0.1 and the same port, no SO_REUSEPORT");
	err = show_second(tour, false, false, 0);
	if (err)
		return err;
	title(tour, "3. The same with SO_REUSEPORT: all must ask for it, as one user");
	err = show_second(tour, false, true, 0);
	if (!err)
		err = show_second(tour, true, true, 0);
	if (!err)
		err = show_second(tour, true, true, NOBODY);
	return err;
}

/* ---- 4: four numbers ---- */

static int show_client(const struct tour *tour, const struct sp_demo_crew *crew, __u16 source_port)
{
	const struct sp_lab_worker *server = &crew->workers[0];
	struct sp_lab_flows flows = SP_LAB_NO_FLOWS;
	int err = sp_lab_open(SP_UDP, &server->address, server->port, source_port, 1, WAIT_MS, &flows);

	if (err)
		return sp_fail(err, "cannot send from port %u", source_port);
	fprintf(tour->out, "   127.0.0.1 %u -> 127.0.0.1 %u   served by worker", source_port, server->port);
	for (int i = 0; !err && i < 8; i++) {
		int owner;

		err = sp_lab_round(&flows, WAIT_MS, &owner);
		if (!err && owner >= 0)
			fprintf(tour->out, " %d", owner);
		else
			fputs(" -", tour->out);
	}
	fputc('\n', tour->out);
	sp_lab_close_flows(&flows);
	return err ? sp_fail(err, "cannot ask from port %u", source_port) : 0;
}

static int show_hashing(const struct tour *tour)
{
	struct sp_demo_crew crew;
	int err = sp_demo_start(SP_UDP, SERVERS, false, &crew);

	if (err)
		return err;
	title(tour, "4. Four workers share a UDP port. The hash of the four numbers picks\n"
		    "   one: the same numbers, the same worker. Eight datagrams from each.");
	err = show_client(tour, &crew, 5555);
	if (!err)
		err = show_client(tour, &crew, 3456);
	sp_demo_dismiss(&crew);
	return err;
}

/* ---- 5, 6: one of them stops ---- */

static void show_owners(const struct tour *tour, const char *what, const int *owners)
{
	fprintf(tour->out, "   %-18s", what);
	for (int i = 0; i < FLOWS; i++) {
		if (owners[i] >= 0)
			fprintf(tour->out, " %d", owners[i]);
		else
			fputs(" -", tour->out);
	}
	fputc('\n', tour->out);
}

static int show_change(const struct tour *tour, struct sp_demo_crew *crew, struct sp_lab_flows *flows,
		       bool with_steadyport)
{
	static const bool is_dead[SERVERS] = { [1] = true };
	int before[FLOWS], after[FLOWS], err;
	struct sp_lab_moves moves;

	err = sp_lab_round(flows, WAIT_MS, before);
	if (err)
		return sp_fail(err, "cannot ask %d flows", FLOWS);
	show_owners(tour, "served by worker", before);
	if (with_steadyport) {
		err = sp_demo_attach(tour->setup, crew);
		if (err)
			return err;
		err = sp_lab_round(flows, WAIT_MS, after);
		if (err)
			return sp_fail(err, "cannot ask %d flows", FLOWS);
		show_owners(tour, "after the attach", after);
	}
	sp_lab_kill(&crew->workers[1]);
	err = sp_lab_round(flows, WAIT_MS, after);
	if (err)
		return sp_fail(err, "cannot ask %d flows", FLOWS);
	show_owners(tour, "worker 1 killed", after);
	moves = sp_lab_count_moves(before, after, FLOWS, is_dead, SERVERS);
	fprintf(tour->out, "   %zu of %zu flows left a worker that is alive\n", moves.moved + moves.lost,
		moves.survivor_flows);
	return with_steadyport ? sp_demo_detach(tour->setup) : 0;
}

static int show_stop(const struct tour *tour, bool with_steadyport)
{
	struct sp_lab_flows flows = SP_LAB_NO_FLOWS;
	struct sp_demo_crew crew;
	int err = sp_demo_start(SP_UDP, SERVERS, false, &crew);

	if (err)
		return err;
	err = sp_lab_open(SP_UDP, &crew.workers[0].address, crew.workers[0].port, 0, FLOWS, WAIT_MS, &flows);
	if (err)
		sp_fail(err, "cannot open %d flows", FLOWS);
	else
		err = show_change(tour, &crew, &flows, with_steadyport);
	sp_lab_close_flows(&flows);
	sp_demo_dismiss(&crew);
	return err;
}

int sp_tour_run(FILE *out, const struct sp_demo_setup *setup, bool has_colour)
{
	const struct tour tour = { .out = out, .has_colour = has_colour, .setup = setup };
	int err = show_addresses(&tour);

	if (!err)
		err = show_sharing(&tour);
	if (!err)
		err = show_hashing(&tour);
	if (err)
		return err;
	title(&tour, "5. Sixteen flows; one worker stops, and the kernel renumbers the others");
	err = show_stop(&tour, false);
	if (err)
		return err;
	title(&tour, "6. The same under steadyport");
	err = show_stop(&tour, true);
	if (err)
		return err;
	title(&tour, "7. And on a larger scale");
	fputc('\n', out);
	return 0;
}
