// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What theory says: arrivals, service times, and simulated queues. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "queue.h"
#include "seed.h"

#define PARETO_LOW 0.00348 /* so that the mean is 10 ms */
#define PARETO_HIGH 2.0
#define PARETO_ALPHA 1.5

/* Above 0 and at most 1. */
static double uniform(struct sp_random *random)
{
	return ((sp_random_next(random) >> 11) + 1) / (double)(1ULL << 53);
}

static double pareto_moment(double n)
{
	const double low = PARETO_LOW, high = PARETO_HIGH, a = PARETO_ALPHA;

	return pow(low, a) / (1 - pow(low / high, a)) * a / (a - n) * (pow(low, n - a) - pow(high, n - a));
}

static double service_moment(enum service service, double n)
{
	return service == SERVICE_HEAVY_TAIL ? pareto_moment(n) : 0.95 * pow(0.005, n) + 0.05 * pow(0.1, n);
}

double queue_service_mean(enum service service)
{
	return service_moment(service, 1);
}

const char *queue_service_name(enum service service)
{
	return service == SERVICE_HEAVY_TAIL ? "bounded Pareto, 1.5, 3.5 ms to 2 s" : "95 % 5 ms, 5 % 100 ms";
}

static double service_time(enum service service, struct sp_random *random)
{
	double u = uniform(random), cut;

	if (service == SERVICE_SLOW_SOMETIMES)
		return u <= 0.05 ? 0.1 : 0.005;
	cut = pow(PARETO_LOW / PARETO_HIGH, PARETO_ALPHA);
	return PARETO_LOW / pow(1 - (1 - u) * (1 - cut), 1 / PARETO_ALPHA);
}

double queue_mg1_mean(const struct load *load)
{
	double mean = service_moment(load->service, 1), square = service_moment(load->service, 2);

	return mean + load->utilisation / mean * square / (2 * (1 - load->utilisation));
}

struct request *queue_requests(const struct load *load)
{
	struct request *requests = calloc(load->count, sizeof(*requests));
	double rate = load->utilisation * load->workers / queue_service_mean(load->service), at = 0;
	struct sp_random random = { load->seed };

	for (size_t i = 0; requests && i < load->count; i++) {
		at += -log(uniform(&random)) / rate;
		requests[i].at = at;
		requests[i].service = service_time(load->service, &random);
	}
	return requests;
}

/* A worker's requests: it is free when the last one has been served. */
struct line {
	double *ends;
	size_t first, count; /* ends before `first` have passed */
};

static size_t length(struct line *line, double now)
{
	while (line->first < line->count && line->ends[line->first] <= now)
		line->first++;
	return line->count - line->first;
}

static unsigned int choose(struct line *lines, const struct load *load, enum policy policy, double now,
			   struct sp_random *random)
{
	unsigned int own = sp_random_below(random, load->workers), best = own;
	size_t least = length(&lines[own], now);

	if (policy == POLICY_RANDOM)
		return own;
	if (policy == POLICY_LEAST_QUEUE && least)
		least--;
	for (unsigned int i = 1; i < load->workers; i++) {
		unsigned int other = (own + i) % load->workers;
		size_t has = length(&lines[other], now);

		if (policy == POLICY_LEAST_QUEUE && has)
			has--;
		if (has < least) {
			least = has;
			best = other;
		}
	}
	return best;
}

void queue_simulate(const struct load *load, enum policy policy, struct request *requests)
{
	struct line lines[QUEUE_WORKERS_MAX] = { 0 };
	struct sp_random random = { load->seed + 1 };

	for (unsigned int i = 0; i < load->workers; i++)
		lines[i].ends = calloc(load->count, sizeof(double));
	for (size_t i = 0; i < load->count; i++) {
		struct request *r = &requests[i];
		struct line *line = &lines[choose(lines, load, policy, r->at, &random)];
		double begin = line->count ? line->ends[line->count - 1] : 0;

		begin = begin > r->at ? begin : r->at;
		line->ends[line->count++] = begin + r->service;
		r->took = begin + r->service - r->at;
	}
	for (unsigned int i = 0; i < load->workers; i++)
		free(lines[i].ends);
}

static int compare(const void *pa, const void *pb)
{
	const double *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

double queue_quantile(const struct request *requests, size_t count, double quantile)
{
	size_t first = count / QUEUE_WARM_UP, n = count - first;
	double *took = calloc(n, sizeof(*took)), result;

	for (size_t i = 0; i < n; i++)
		took[i] = requests[first + i].took;
	qsort(took, n, sizeof(*took), compare);
	result = took[(size_t)(quantile * (n - 1))];
	free(took);
	return result;
}

double queue_mean(const struct request *requests, size_t count)
{
	size_t first = count / QUEUE_WARM_UP;
	double sum = 0;

	for (size_t i = first; i < count; i++)
		sum += requests[i].took;
	return sum / (count - first);
}
