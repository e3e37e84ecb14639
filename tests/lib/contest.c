// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A change to a server under wrk's clients, without steadyport and with it. */
#include "contest.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "placing.h"

#define NAME "web"
#define WAITING 150
#define TEXT_OF(number) #number
#define NUMBER_TEXT(number) TEXT_OF(number)

static struct sp_contest running; /* for the teardown after a failure half-way, too */
static bool is_running;
static bool is_steered;
static struct sp_keeper keeper;
static struct sp_run wrk;

/* It counts what is slower than the timeout as failed, and never ends by itself. */
static void start_clients(__u16 port)
{
	char url[64];
	const char *const words[] = { "wrk",
				      "--threads",
				      "1",
				      "--connections",
				      NUMBER_TEXT(SP_CONTEST_CLIENTS),
				      "--duration",
				      "1h",
				      "--timeout",
				      "30s",
				      "--header",
				      "Connection: close",
				      url,
				      NULL };

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", port);
	sp_server_start(&wrk, words);
}

/* wrk leaves out the lines that would say 0. */
static void read_numbers(const char *out, struct sp_contest_side *side)
{
	unsigned long connect = 0, read = 0, write = 0, timeout = 0, status = 0;
	const char *requests = strstr(out, " requests in "), *at;

	if (!requests)
		fail_msg("wrk said: %s", out);
	while (requests > out && requests[-1] != '\n' && requests[-1] != ' ')
		requests--;
	side->requests = strtoul(requests, NULL, 10);
	at = strstr(out, "Socket errors:");
	if (at)
		assert_int_equal(sscanf(at, "Socket errors: connect %lu, read %lu, write %lu, timeout %lu",
					&connect, &read, &write, &timeout),
				 4);
	at = strstr(out, "Non-2xx or 3xx responses:");
	if (at)
		assert_int_equal(sscanf(at, "Non-2xx or 3xx responses: %lu", &status), 1);
	side->failed = connect + read + write + timeout + status;
}

/*
 * wrk does not count a request that is neither answered nor refused when it ends. So each connection that was open at
 * the last change is seen to its end before.
 */
static void stop_clients(__u16 port, struct sp_contest_side *side)
{
	struct sp_open open;

	sp_server_connections(port, &open);
	assert_true(open.count > 0);
	sp_wait_for(sp_server_have_ended(port, &open));
	/* The end of the clients is not the server's loss. */
	side->raced = sp_losses_read();
	assert_int_equal(kill(wrk.pid, SIGINT), 0);
	sp_run_wait(&wrk);
	assert_int_equal(wrk.status, 0);
	read_numbers(wrk.out, side);
	sp_run_free(&wrk);
}

static json_int_t count_migrated(void)
{
	json_t *counters = sp_run_json("counters", NAME), *row;
	json_int_t count = 0;
	size_t i;

	json_array_foreach(sp_json_array(counters, "slots"), i, row)
		count += sp_json_int(sp_json_object(row, "counters"), "migrated");
	json_decref(counters);
	return count;
}

static size_t count_live(void)
{
	json_t *status = sp_run_json("status", NAME), *slot;
	size_t count = 0, i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		count += !strcmp(sp_json_text(slot, "state"), "live");
	json_decref(status);
	return count;
}

void sp_contest_wait_members(size_t count)
{
	sp_wait_for(sp_server_listeners(running.port) == count);
	if (!is_steered)
		return;
	sp_keeper_wait_enrolled(NAME, count);
	sp_wait_for(count_live() == count);
}

__u32 sp_contest_waiting(void)
{
	return is_steered ? sp_placing_queue(WAITING) : WAITING;
}

/* The slot of a socket that this process alone holds. */
static json_int_t slot_of(const json_t *status, pid_t pid)
{
	json_t *slot;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, slot)
		if (sp_json_int(json_array_get(sp_json_array(slot, "owners"), 0), "pid") == pid)
			return sp_json_int(slot, "slot");
	fail_msg("process %d has no slot", pid);
	return -1;
}

void sp_contest_drain(pid_t pid)
{
	json_t *status;
	char number[16];

	if (!is_steered)
		return;
	status = sp_run_json("status", NAME);
	snprintf(number, sizeof(number), "%lld", (long long)slot_of(status, pid));
	json_decref(status);
	sp_run("drain", NAME, number, "--wait", "30s");
}

static void run_side(const struct sp_contest *contest, bool with, struct sp_contest_side *side)
{
	char config[256];

	running = *contest;
	is_running = true;
	is_steered = false;
	contest->start();
	sp_contest_wait_members(contest->members);
	if (with) {
		snprintf(config, sizeof(config),
			 "[daemon]\non-exit = detach\n[group " NAME "]\nendpoint = tcp:127.0.0.1:%d\n",
			 contest->port);
		sp_keeper_start(&keeper, config);
		is_steered = true;
		sp_contest_wait_members(contest->members);
	}
	sp_losses_start(contest->port);
	start_clients(contest->port);
	side->doomed = contest->change();
	stop_clients(contest->port, side);
	if (with) {
		side->migrated = count_migrated();
		sp_keeper_stop(&keeper);
	}
	sp_losses_stop();
	contest->stop();
	is_running = false;
}

static void print_side(const char *how, const struct sp_contest_side *side)
{
	print_message("    %-18s %7lu requests answered, %4lu failed", how, side->requests, side->failed);
	if (side->doomed)
		print_message("; %zu accepted by a killed process", side->doomed);
	if (side->raced)
		print_message("; %zu while their listener closed", side->raced);
	print_message("\n");
}

size_t sp_contest_bound(const struct sp_contest_side *side)
{
	return side->doomed + side->raced;
}

void sp_contest_run(const struct sp_contest *contest, struct sp_contest_result *ret)
{
	sp_run_need("wrk");
	sp_run_need(contest->program);
	memset(ret, 0, sizeof(*ret));
	run_side(contest, false, &ret->without);
	run_side(contest, true, &ret->with);
	print_message("  %s\n", contest->what);
	print_side("without steadyport", &ret->without);
	print_side("with steadyport", &ret->with);
	assert_in_range(ret->with.failed, 0, sp_contest_bound(&ret->with));
}

int sp_contest_teardown(void **state)
{
	sp_run_free(&wrk);
	sp_losses_stop();
	if (is_running)
		running.stop();
	is_running = false;
	return sp_keeper_teardown(state);
}
