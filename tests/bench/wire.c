// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The whole way of a packet or a connection, from the client's system call to the server's, on one CPU: what the program
 * adds to all that the kernel does anyway. Client and server are one thread, so that no scheduler has a say in it.
 */
#include "bench.h"
#include "contender.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "cleanup.h"

#define CLIENTS 64
#define TURNS 32 /* of each client in a round */
#define UDP_ROUNDS 500
#define CONNECTIONS 128 /* in a round */
#define TCP_ROUNDS 1200
#define ROUNDS_TOGETHER 8 /* give one value of each quantile */
#define SIZE 16 /* bytes of a datagram */

struct lane {
	struct sp_contender contender;
	bool migrates; /* net.ipv4.tcp_migrate_req */
	struct sp_limit limit;
	int clients[CLIENTS];
};

static struct sockaddr_in address_of(const struct sp_contender *contender)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(contender->target.port),
	};
}

static int open_client(const struct lane *lane)
{
	const struct sockaddr_in to = address_of(&lane->contender);
	const struct linger abort = { .l_onoff = 1 };
	bool is_tcp = lane->contender.protocol == SP_TCP;
	int fd = socket(AF_INET, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

	sp_bench_require(fd >= 0);
	if (is_tcp)
		sp_bench_require(setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)) == 0);
	sp_bench_require(connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

/* Packets a second. */
static double play_udp(struct lane *lane)
{
	static const char datagram[SIZE];
	double start = sp_bench_now();

	for (int turn = 0; turn < TURNS; turn++) {
		for (int i = 0; i < CLIENTS; i++)
			sp_bench_require(send(lane->clients[i], datagram, SIZE, 0) == SIZE);
		sp_contender_drain(&lane->contender, CLIENTS, NULL);
	}
	return CLIENTS * TURNS / (sp_bench_now() - start);
}

static void set_migrate(bool on)
{
	sp_autofile FILE *file = fopen("/proc/sys/net/ipv4/tcp_migrate_req", "w");

	sp_bench_require(file && fprintf(file, "%d\n", on) > 0);
}

/* Connections a second; @ret_seconds: how long connect() took for each. */
static double play_tcp(struct lane *lane, double ret_seconds[CONNECTIONS])
{
	double start, seconds;

	if (lane->migrates)
		set_migrate(true);
	start = sp_bench_now();
	for (int done = 0; done < CONNECTIONS; done += CLIENTS) {
		for (int i = 0; i < CLIENTS; i++) {
			double before = sp_bench_now();

			lane->clients[i] = open_client(lane);
			ret_seconds[done + i] = sp_bench_now() - before;
		}
		sp_contender_drain(&lane->contender, CLIENTS, NULL);
		for (int i = 0; i < CLIENTS; i++)
			sp_close_fd(&lane->clients[i]);
	}
	seconds = sp_bench_now() - start;
	if (lane->migrates)
		set_migrate(false);
	return CONNECTIONS / seconds;
}

#define AT_LEAST(x)                            \
	{                                      \
		.value = (x), .is_least = true \
	}
#define LANE(id, says, how, ...)                                                                             \
	{                                                                                                    \
		.contender = { .name = id, .text = says, .steering = SP_STEERED_BY_##how, .is_read = true }, \
		##__VA_ARGS__                                                                                \
	}
#define LANE_HASH_KERNEL(id, says)                            \
	{                                                     \
		.contender = {                                \
			.name = id,                           \
			.text = says,                         \
			.steering = SP_STEERED_BY_STEADYPORT, \
			.is_read = true,                      \
			.options = { "--hash", "kernel" }     \
		}                                             \
	}

static void open_lanes(const struct sp_bench *bench, struct lane *lanes, size_t count,
		       enum sp_protocol protocol)
{
	for (size_t i = 0; i < count; i++) {
		lanes[i].contender.protocol = protocol;
		sp_contender_open(&lanes[i].contender, bench->binary);
		for (int k = 0; protocol == SP_UDP && k < CLIENTS; k++)
			lanes[i].clients[k] = open_client(&lanes[i]);
	}
}

static void close_lanes(struct lane *lanes, size_t count, enum sp_protocol protocol)
{
	for (size_t i = 0; i < count; i++) {
		for (int k = 0; protocol == SP_UDP && k < CLIENTS; k++)
			sp_close_fd(&lanes[i].clients[k]);
		sp_contender_close(&lanes[i].contender);
	}
}

static void compare_udp(struct sp_bench *bench)
{
	struct lane lanes[] = {
		LANE("udp_pps_none", "UDP packets/s: no program", NOBODY),
		LANE("udp_pps_empty", "UDP packets/s: empty program", EMPTY),
		LANE("udp_pps_floor", "UDP packets/s: one select", FLOOR),
		LANE("udp_pps_modulo", "UDP packets/s: select by hash", MODULO),
		LANE("udp_pps_classic", "UDP packets/s: classic BPF", CLASSIC),
		LANE("udp_pps", "UDP packets/s: steadyport", STEADYPORT, .limit = AT_LEAST(0.98)),
		LANE_HASH_KERNEL("udp_pps_kernel", "UDP packets/s: --hash kernel"),
	};
	size_t count = SP_ARRAY_SIZE(lanes);
	struct sp_rounds rounds = sp_rounds_new(count, sp_bench_rounds(bench, UDP_ROUNDS));

	open_lanes(bench, lanes, count, SP_UDP);
	for (size_t round = 0; round < rounds.nrounds; round++) {
		for (size_t i = 0; i < count; i++) {
			size_t turn = (round + i) % count;

			*sp_rounds_at(&rounds, turn, round) = play_udp(&lanes[turn]);
		}
	}
	for (size_t i = 0; i < count; i++)
		sp_bench_ratio(bench, lanes[i].contender.name, lanes[i].contender.text, &rounds, i, 0,
			       lanes[0].contender.name, "/s", lanes[i].limit);
	close_lanes(lanes, count, SP_UDP);
	sp_rounds_free(&rounds);
}

/* How long connect() takes for most, for one of a hundred and for one of a thousand. */
static const struct {
	const char *name;
	double part;
} quantiles[] = { { "p50", 0.5 }, { "p99", 0.99 }, { "p99.9", 0.999 } };

#define NQUANTILES SP_ARRAY_SIZE(quantiles)

static void note_quantiles(const struct sp_rounds times[NQUANTILES], size_t lane, size_t round,
			   double *seconds)
{
	for (size_t q = 0; q < NQUANTILES && round < times[q].nrounds; q++)
		*sp_rounds_at(&times[q], lane, round) =
			sp_stats_quantile(seconds, ROUNDS_TOGETHER * CONNECTIONS, quantiles[q].part) * 1e6;
}

static void tell_quantiles(struct sp_bench *bench, const struct lane *lanes, size_t count,
			   const struct sp_rounds times[NQUANTILES])
{
	for (size_t q = 0; q < NQUANTILES; q++) {
		for (size_t i = 0; i < count; i++) {
			char name[64], text[96];

			snprintf(name, sizeof(name), "%s_%s", lanes[i].contender.name, quantiles[q].name);
			snprintf(text, sizeof(text), "connect() %s%s", quantiles[q].name,
				 strchr(lanes[i].contender.text, ':'));
			sp_bench_ratio(bench, name, text, &times[q], i, 0, lanes[0].contender.name, "us",
				       (struct sp_limit){ 0 });
		}
	}
}

static void compare_tcp(struct sp_bench *bench)
{
	struct lane lanes[] = {
		LANE("tcp_cps_none", "TCP connections/s: no program", NOBODY),
		LANE("tcp_cps_migrate", "TCP connections/s: tcp_migrate_req=1", NOBODY, .migrates = true),
		LANE("tcp_cps_empty", "TCP connections/s: empty program", EMPTY),
		LANE("tcp_cps_floor", "TCP connections/s: one select", FLOOR),
		LANE("tcp_cps_modulo", "TCP connections/s: select by hash", MODULO),
		LANE("tcp_cps_classic", "TCP connections/s: classic BPF", CLASSIC),
		LANE("tcp_cps", "TCP connections/s: steadyport", STEADYPORT, .limit = AT_LEAST(0.99)),
		LANE_HASH_KERNEL("tcp_cps_kernel", "TCP connections/s: --hash kernel"),
	};
	size_t count = SP_ARRAY_SIZE(lanes);
	struct sp_rounds rounds = sp_rounds_new(count, sp_bench_rounds(bench, TCP_ROUNDS)), times[NQUANTILES];
	sp_autofree double(*seconds)[ROUNDS_TOGETHER][CONNECTIONS] = calloc(count, sizeof(*seconds));

	sp_bench_require(seconds);
	for (size_t q = 0; q < NQUANTILES; q++)
		times[q] = sp_rounds_new(count, rounds.nrounds / ROUNDS_TOGETHER);
	open_lanes(bench, lanes, count, SP_TCP);
	for (size_t round = 0; round < rounds.nrounds; round++) {
		for (size_t i = 0; i < count; i++) {
			size_t turn = (round + i) % count;

			size_t part = round % ROUNDS_TOGETHER;

			*sp_rounds_at(&rounds, turn, round) = play_tcp(&lanes[turn], seconds[turn][part]);
			if (part == ROUNDS_TOGETHER - 1)
				note_quantiles(times, turn, round / ROUNDS_TOGETHER, seconds[turn][0]);
		}
	}
	for (size_t i = 0; i < count; i++)
		sp_bench_ratio(bench, lanes[i].contender.name, lanes[i].contender.text, &rounds, i, 0,
			       lanes[0].contender.name, "/s", lanes[i].limit);
	tell_quantiles(bench, lanes, count, times);
	close_lanes(lanes, count, SP_TCP);
	sp_rounds_free(&rounds);
	for (size_t q = 0; q < NQUANTILES; q++)
		sp_rounds_free(&times[q]);
}

void sp_bench_wire(struct sp_bench *bench)
{
	sp_bench_pin(sp_bench_sender_cpu());
	compare_udp(bench);
	compare_tcp(bench);
}
