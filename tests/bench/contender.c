// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Groups and what steers them. */
#include "contender.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bench.h"
#include "cleanup.h"
#include "endpoint.h"
#include "lab.h"
#include "state.h"
#include "tests/bench/floor.skel.h"
#include "tests/bench/steps.skel.h"

#define FIRST_PORT 4000 /* below the sources' */
#define BACKLOG 4096
#define MEMBERS 4
#define BATCH 64
#define PATIENCE_S 10
#define WORDS_MAX (SP_CONTENDER_OPTIONS_MAX + 8)

static __u16 next_port = FIRST_PORT;

static int open_member(const struct sp_contender *contender, const struct sp_address *address)
{
	int is_tcp = contender->protocol == SP_TCP, one = 1, least = 0;
	int fd = socket(contender->family, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);
	struct sockaddr_storage sa;
	socklen_t len = sp_address_to_sockaddr(address, contender->target.port, &sa);

	sp_bench_require(fd >= 0);
	sp_bench_require(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0);
	if (!contender->is_read)
		sp_bench_require(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)) == 0);
	sp_bench_require(bind(fd, (struct sockaddr *)&sa, len) == 0);
	if (is_tcp)
		sp_bench_require(listen(fd, BACKLOG) == 0);
	return fd;
}

/* The members become the slots, in their order. */
static void attach_program(struct sp_contender *contender, const struct bpf_program *program,
			   const struct bpf_map *slots)
{
	for (__u32 i = 0; i < contender->members; i++) {
		__u64 fd = contender->sockets[i];

		sp_bench_require(bpf_map_update_elem(bpf_map__fd(slots), &i, &fd, BPF_ANY) == 0);
	}
	contender->program = bpf_program__fd(program);
	sp_bench_require(setsockopt(contender->sockets[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF,
				    &contender->program, sizeof(contender->program)) == 0);
}

static void attach_floor(struct sp_contender *contender)
{
	struct bpf_program *program;

	contender->skel = floor__open();
	sp_bench_require(contender->skel);
	contender->skel->rodata->sp_floor_members = contender->members;
	sp_bench_require(bpf_map__set_max_entries(contender->skel->maps.sp_floor_socks, contender->members) ==
			 0);
	sp_bench_require(floor__load(contender->skel) == 0);
	program = contender->steering == SP_STEERED_BY_EMPTY ? contender->skel->progs.sp_empty :
		  contender->steering == SP_STEERED_BY_FLOOR ? contender->skel->progs.sp_floor :
							       contender->skel->progs.sp_modulo;
	attach_program(contender, program, contender->skel->maps.sp_floor_socks);
}

/* Its one view is a settled group's: the slots take turns as owners. */
static void attach_step(struct sp_contender *contender)
{
	struct sp_ctl ctl = { .current = 0, .key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	struct sp_view *view = calloc(1, sizeof(*view));
	struct steps *steps = steps__open();
	__u32 zero = 0;

	sp_bench_require(view && steps);
	contender->steps = steps;
	steps->rodata->sp_step_members = contender->members;
	steps->rodata->sp_counter_slots = contender->members;
	sp_bench_require(bpf_map__set_max_entries(steps->maps.sp_counters, contender->members + 1) == 0);
	sp_bench_require(steps__load(steps) == 0);
	view->kind = SP_VIEW_PLAIN;
	view->nslots = contender->members;
	for (size_t i = 0; i < SP_BUCKETS; i++)
		view->owner[i] = i % contender->members;
	for (__u32 i = 0; i < contender->members; i++)
		view->usable[i / 64] |= 1ULL << i % 64;
	sp_bench_require(bpf_map_update_elem(bpf_map__fd(steps->maps.sp_views), &zero, view, BPF_ANY) == 0);
	sp_bench_require(bpf_map_update_elem(bpf_map__fd(steps->maps.sp_ctl), &zero, &ctl, BPF_ANY) == 0);
	free(view);
	attach_program(contender, bpf_object__find_program_by_name(steps->obj, contender->step),
		       steps->maps.sp_slots);
}

static void attach_classic(const struct sp_contender *contender)
{
	struct sock_filter code[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, SKF_AD_OFF + SKF_AD_RXHASH },
		{ BPF_ALU | BPF_MOD | BPF_K, 0, 0, contender->members },
		{ BPF_RET | BPF_A, 0, 0, 0 },
	};
	struct sock_fprog program = { .len = SP_ARRAY_SIZE(code), .filter = code };

	sp_bench_require(setsockopt(contender->sockets[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
				    sizeof(program)) == 0);
}

/* Steady unless a learn window is asked for: the second pass finds that nothing has to be learned any more. */
static void attach_steadyport(struct sp_contender *contender, const char *binary)
{
	bool is_learning = contender->options[0] && !strcmp(contender->options[0], "--learn");
	const char *sync[] = { binary, "sync", contender->name, NULL };
	const char *words[WORDS_MAX] = { binary, "attach", contender->name };
	char endpoint[64];
	size_t n = 3;

	snprintf(endpoint, sizeof(endpoint), "%s:%s:%u", sp_protocol_name(contender->protocol),
		 contender->family == AF_INET ? "127.0.0.1" : "[::1]", contender->target.port);
	words[n++] = endpoint;
	for (size_t i = 0; i < SP_CONTENDER_OPTIONS_MAX && contender->options[i]; i++)
		words[n++] = contender->options[i];
	if (!is_learning) {
		words[n++] = "--learn";
		words[n++] = "0";
	}
	sp_bench_run(words);
	if (!is_learning)
		sp_bench_run(sync);
	sp_bench_require(sp_pin_open_any(SP_CONTENDER_BPFFS, contender->name, &contender->pins) == 0);
	contender->program = contender->pins.prog;
}

void sp_contender_open(struct sp_contender *contender, const char *binary)
{
	struct sp_address address;

	contender->protocol = contender->protocol ?: SP_UDP;
	contender->family = contender->family ?: AF_INET;
	contender->members = contender->members ?: MEMBERS;
	contender->program = -1;
	contender->pins = (struct sp_pins)SP_PINS_NONE;
	contender->target = (struct sp_packets_target){
		.protocol = contender->protocol,
		.family = contender->family,
		.port = next_port++,
	};
	sp_bench_require(sp_lab_address(contender->family == AF_INET ? "127.0.0.1" : "::1", &address) == 0);
	contender->sockets = calloc(contender->members, sizeof(*contender->sockets));
	sp_bench_require(contender->sockets);
	for (unsigned int i = 0; i < contender->members; i++)
		contender->sockets[i] = open_member(contender, &address);
	switch (contender->steering) {
	case SP_STEERED_BY_NOBODY:
		break;
	case SP_STEERED_BY_CLASSIC:
		attach_classic(contender);
		break;
	case SP_STEERED_BY_STEADYPORT:
	case SP_STEERED_BY_RIVAL:
		attach_steadyport(contender, binary);
		break;
	case SP_STEERED_BY_STEP:
		attach_step(contender);
		break;
	default:
		attach_floor(contender);
	}
	for (unsigned int i = 0; i < contender->dead; i++)
		sp_close_fd(&contender->sockets[i]);
}

void sp_contender_close(struct sp_contender *contender)
{
	for (unsigned int i = 0; i < contender->members; i++)
		sp_close_fd(&contender->sockets[i]);
	free(contender->sockets);
	contender->sockets = NULL;
	if (contender->pins.prog >= 0) {
		sp_pins_close(&contender->pins);
		sp_pin_remove(SP_CONTENDER_BPFFS, contender->name);
	}
	floor__destroy(contender->skel);
	contender->skel = NULL;
	steps__destroy(contender->steps);
	contender->steps = NULL;
}

static size_t drain_datagrams(int fd)
{
	static char buffers[BATCH][64];
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];
	size_t count = 0;
	int n;

	do {
		for (size_t i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ buffers[i], sizeof(buffers[i]) };
			messages[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		}
		n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
		count += n > 0 ? n : 0;
	} while (n == BATCH);
	return count;
}

/* Each ends with a reset, so that nothing is left of it. */
static size_t drain_connections(int listener)
{
	const struct linger abort = { .l_onoff = 1 };
	size_t count = 0;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		sp_bench_require(setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)) == 0);
		close(fd);
		count++;
	}
	return count;
}

void sp_contender_drain(const struct sp_contender *contender, size_t count, size_t *ret_counts)
{
	double deadline = sp_bench_now() + PATIENCE_S;
	size_t sum = 0;

	do {
		for (unsigned int i = 0; i < contender->members; i++) {
			int fd = contender->sockets[i];
			size_t n = contender->protocol == SP_TCP ? drain_connections(fd) :
								   drain_datagrams(fd);

			if (ret_counts)
				ret_counts[i] += n;
			sum += n;
		}
		if (sum < count && sp_bench_now() > deadline)
			sp_bench_die("%s: %zu came of %zu", contender->name, sum, count);
	} while (sum < count);
}

__u64 sp_contender_hash(const struct sp_contender *contender, const struct sp_ctl *ctl, __u32 flow)
{
	if (contender->family == AF_INET) {
		struct sp_tuple4 tuple = sp_packets_tuple4(flow, contender->target.port);

		return sp_flow_hash4(ctl->key, &tuple);
	} else {
		struct sp_tuple6 tuple = sp_packets_tuple6(flow, contender->target.port);

		return sp_flow_hash6(ctl->key, &tuple);
	}
}

struct sp_runtime sp_contender_runtime(const struct sp_contender *contender)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	sp_bench_require(bpf_obj_get_info_by_fd(contender->program, &info, &len) == 0);
	return (struct sp_runtime){ .ns = info.run_time_ns, .runs = info.run_cnt };
}
