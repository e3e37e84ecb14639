// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tables of docs/benchmarks-balance.md, on stdout:
 *
 *	queue [--workers 8,64] [--utilisation 0.3,...] [--service 0|1] [--rounds N] [--seconds S] [--gunicorn | --cost]
 *
 * To be run by tests/bench/queue.sh, as root in namespaces of its own. A round asks every contender the same requests,
 * one contender after the other; told are the median of the rounds and the lowest and highest of them. --gunicorn: the
 * workers are gunicorn's.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "lab.h"
#include "live.h"

#define ROUNDS_MAX 16
#define LIST_MAX 16
#define PORT 7800
#define NAME "queue"
#define SERVERS "tests/bench/queue/servers.sh"
#define SIMULATED_REQUESTS 2000000
#define COST_ROUNDS 5

static const char *binary;
static unsigned int nrounds = 3;
static double seconds = 8; /* of arrivals */

struct contender {
	const char *text;
	const char *balance; /* NULL: steadyport is not there */
	const char *servers; /* what tests/bench/queue/servers.sh starts; NULL: workers of this program */
};

static const struct contender own[] = {
	{ "kernel's hash", NULL, NULL },
	{ "`hash`", "hash", NULL },
	{ "`least-queue`", "least-queue", NULL },
	{ "`least-conn`", "least-conn", NULL },
};

static const struct contender gunicorns[] = {
	{ "kernel's hash", NULL, "group" },
	{ "`least-queue`", "least-queue", "group" },
	{ "`least-conn`", "least-conn", "group" },
	{ "HAProxy in front, `leastconn`", NULL, "haproxy" },
	{ "one socket for all workers", NULL, "shared" },
};

#define NCONTENDERS_MAX 5

/* One quantile of one contender in every round. */
struct rounds {
	double value[ROUNDS_MAX];
};

static int compare(const void *pa, const void *pb)
{
	const double *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static double median(const struct rounds *rounds)
{
	struct rounds sorted = *rounds;

	qsort(sorted.value, nrounds, sizeof(double), compare);
	return nrounds % 2 ? sorted.value[nrounds / 2] :
			     (sorted.value[nrounds / 2 - 1] + sorted.value[nrounds / 2]) / 2;
}

/* "6.9 (6.1-7.4)": milliseconds */
static const char *cell(const struct rounds *rounds, char buf[64])
{
	struct rounds sorted = *rounds;

	qsort(sorted.value, nrounds, sizeof(double), compare);
	snprintf(buf, 64, "%.1f (%.1f-%.1f)", median(rounds) * 1e3, sorted.value[0] * 1e3,
		 sorted.value[nrounds - 1] * 1e3);
	return buf;
}

/* Of each round, and the median of these. */
static double ratio(const struct rounds *a, const struct rounds *b)
{
	struct rounds ratios;

	for (unsigned int i = 0; i < nrounds; i++)
		ratios.value[i] = a->value[i] / b->value[i];
	return median(&ratios);
}

static void measure(const struct contender *contender, const struct load *load, double *ret_p50,
		    double *ret_p99, double *late)
{
	sp_autofree struct request *requests = queue_requests(load);
	double latest;

	if (contender->servers)
		live_run(SERVERS " start %s %u %d", contender->servers, load->workers, PORT);
	else
		live_start(load->workers, PORT);
	if (contender->balance)
		live_run("%s attach " NAME " tcp:127.0.0.1:%d --balance %s", binary, PORT,
			 contender->balance);
	latest = live_ask(PORT, requests, load->count);
	if (contender->balance)
		live_run("%s detach " NAME, binary);
	if (contender->servers)
		live_run(SERVERS " stop");
	live_end();
	*ret_p50 = queue_quantile(requests, load->count, 0.5);
	*ret_p99 = queue_quantile(requests, load->count, 0.99);
	*late = latest > *late ? latest : *late;
}

static void simulate(const struct load *load, enum policy policy, double *ret_p50, double *ret_p99)
{
	struct load longer = *load;
	sp_autofree struct request *requests = NULL;

	longer.count = SIMULATED_REQUESTS;
	requests = queue_requests(&longer);
	queue_simulate(&longer, policy, requests);
	*ret_p50 = queue_quantile(requests, longer.count, 0.5);
	*ret_p99 = queue_quantile(requests, longer.count, 0.99);
}

static void print_row(const struct load *load, const char *who, const char *p50, const char *p99,
		      const char *ratio50, const char *ratio99)
{
	printf("| %.2f | %s | %s | %s | %s | %s |\n", load->utilisation, who, p50, p99, ratio50, ratio99);
	fflush(stdout);
}

static void print_theory(const struct load *load, const char *who, enum policy policy)
{
	char text50[64], text99[64];
	double p50, p99;

	simulate(load, policy, &p50, &p99);
	snprintf(text50, sizeof(text50), "%.1f", p50 * 1e3);
	snprintf(text99, sizeof(text99), "%.1f", p99 * 1e3);
	print_row(load, who, text50, text99, "", "");
}

static void compare_at(struct load *load, const struct contender *contenders, size_t count)
{
	struct rounds p50[NCONTENDERS_MAX], p99[NCONTENDERS_MAX];
	char a[64], b[64], c[16], d[16];
	double late = 0;

	load->count = seconds * load->utilisation * load->workers / queue_service_mean(load->service);
	for (unsigned int round = 0; round < nrounds; round++) {
		load->seed = 1 + round;
		for (size_t i = 0; i < count; i++)
			measure(&contenders[i], load, &p50[i].value[round], &p99[i].value[round], &late);
	}
	for (size_t i = 0; i < count; i++) {
		snprintf(c, sizeof(c), "%.2f", ratio(&p50[i], &p50[0]));
		snprintf(d, sizeof(d), "%.2f", ratio(&p99[i], &p99[0]));
		print_row(load, contenders[i].text, cell(&p50[i], a), cell(&p99[i], b), c, d);
	}
	print_theory(load, "theory: M/G/1", POLICY_RANDOM);
	print_theory(load, "theory: shortest accept queue", POLICY_LEAST_QUEUE);
	print_theory(load, "theory: JSQ", POLICY_SHORTEST);
	fprintf(stderr, "%u workers, utilisation %.2f: %zu requests in each round, the latest %.1f ms late\n",
		load->workers, load->utilisation, load->count, late * 1e3);
}

static void print_cost(void)
{
	static const unsigned int slots[] = { 2, 8, 32, 1024 };
	static const char *const balances[] = { "hash", "least-queue", "least-conn" };

	printf("| slots | `hash` | `least-queue`, nothing waits | the same, all queues are long | `least-conn`, the same |\n"
	       "|---|---|---|---|---|\n");
	nrounds = COST_ROUNDS;
	for (size_t i = 0; i < SP_ARRAY_SIZE(slots); i++) {
		struct rounds cost[4];

		for (unsigned int round = 0; round < nrounds; round++) {
			cost[0].value[round] = live_cost(binary, balances[0], slots[i], 1);
			cost[1].value[round] = live_cost(binary, balances[1], slots[i], 1);
			cost[2].value[round] = live_cost(binary, balances[1], slots[i], 0);
			cost[3].value[round] = live_cost(binary, balances[2], slots[i], 0);
		}
		printf("| %u | %.0f ns | %.0f ns | %.0f ns | %.0f ns |\n", slots[i], median(&cost[0]),
		       median(&cost[1]), median(&cost[2]), median(&cost[3]));
		fflush(stdout);
	}
}

static size_t parse_list(const char *text, double *ret)
{
	size_t n = 0;

	for (char *end; n < LIST_MAX && *text; text = *end ? end + 1 : end)
		ret[n++] = strtod(text, &end);
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "workers", required_argument, NULL, 'w' }, { "utilisation", required_argument, NULL, 'u' },
		{ "service", required_argument, NULL, 's' }, { "rounds", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 't' }, { "cost", no_argument, NULL, 'c' },
		{ "gunicorn", no_argument, NULL, 'g' },	     { NULL, 0, NULL, 0 },
	};
	double workers[LIST_MAX] = { 8, 64 }, utilisation[LIST_MAX] = { 0.3, 0.5, 0.7, 0.85, 0.9 };
	size_t nworkers = 2, nutilisation = 5;
	struct load load = { .service = SERVICE_SLOW_SOMETIMES };
	int option, is_cost = 0, is_real = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'w':
			nworkers = parse_list(optarg, workers);
			break;
		case 'u':
			nutilisation = parse_list(optarg, utilisation);
			break;
		case 's':
			load.service = atoi(optarg) ? SERVICE_HEAVY_TAIL : SERVICE_SLOW_SOMETIMES;
			break;
		case 'r':
			nrounds = atoi(optarg);
			break;
		case 't':
			seconds = atof(optarg);
			break;
		case 'c':
			is_cost = 1;
			break;
		case 'g':
			is_real = 1;
			break;
		default:
			return 2;
		}
	}
	binary = getenv("STEADYPORT") ?: "build/steadyport";
	if (nrounds < 1 || nrounds > ROUNDS_MAX || sp_lab_reserve_files(18000))
		return 2;
	if (is_cost) {
		print_cost();
		return 0;
	}
	for (size_t w = 0; w < nworkers; w++) {
		load.workers = workers[w];
		printf("\n%u workers%s; service times: %s\n\n"
		       "| utilisation | placed by | p50 ms | p99 ms | p50 to the kernel's | p99 to the kernel's |\n"
		       "|---|---|---|---|---|---|\n",
		       load.workers, is_real ? " of gunicorn" : "", queue_service_name(load.service));
		for (size_t u = 0; u < nutilisation; u++) {
			load.utilisation = utilisation[u];
			if (is_real)
				compare_at(&load, gunicorns, SP_ARRAY_SIZE(gunicorns));
			else
				compare_at(&load, own, SP_ARRAY_SIZE(own));
		}
	}
	return 0;
}
