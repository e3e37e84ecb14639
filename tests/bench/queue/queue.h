/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queues at workers that handle one request at a time: how long requests take when connections are placed by the
 * kernel, by the hash or by load; measured on real sockets, and simulated.
 *
 * Open loop: requests come when they come, whether those before them are answered or not. All contenders are asked the
 * same requests at the same times.
 */
#ifndef STEADYPORT_TESTS_QUEUE_H
#define STEADYPORT_TESTS_QUEUE_H

#include <stddef.h>
#include <steadyport/abi.h>

#define QUEUE_WORKERS_MAX 64

enum service {
	SERVICE_SLOW_SOMETIMES, /* 95 % take 5 ms, 5 % take 100 ms */
	SERVICE_HEAVY_TAIL, /* bounded Pareto, exponent 1.5: 3.5 ms to 2 s, 10 ms on the average */
};

/* One request. Times in seconds. */
struct request {
	double at, service;
	double took; /* from connect() to the answer */
};

struct load {
	enum service service;
	unsigned int workers;
	double utilisation;
	size_t count;
	__u64 seed;
};

double queue_service_mean(enum service service);
const char *queue_service_name(enum service service);

/* load->count of them, for free(): the same for the same load. */
struct request *queue_requests(const struct load *load);

/* How a simulated dispatcher chooses among the workers. */
enum policy {
	POLICY_RANDOM, /* so many M/G/1 queues */
	POLICY_LEAST_QUEUE, /* the fewest that wait, who is served not counted; one at random wins all ties */
	POLICY_SHORTEST, /* JSQ: the fewest that wait or are served */
};

/* Fills in `took`, of workers that serve one request at a time in the order in which they came. */
void queue_simulate(const struct load *load, enum policy policy, struct request *requests);

/* Mean time in an M/G/1 queue by Pollaczek and Khinchine, seconds. */
double queue_mg1_mean(const struct load *load);

#define QUEUE_WARM_UP 10 /* one of so many requests, the first ones, are not counted */

/* Quantile of `took`, seconds; and its mean. */
double queue_quantile(const struct request *requests, size_t count, double quantile);
double queue_mean(const struct request *requests, size_t count);

#endif
