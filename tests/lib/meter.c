// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads a steered group's pinned objects. */
#include "meter.h"

#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "run.h"

#define PINS "/sys/fs/bpf/steadyport"

static int open_pin(const char *name, const char *file)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), PINS "/%s/%s", name, file);
	fd = bpf_obj_get(path);
	if (fd < 0)
		print_error("cannot open %s\n", path);
	assert_true(fd >= 0);
	return fd;
}

static __u64 runs_of(const struct sp_meter *meter)
{
	__u64 sum = 0;

	for (size_t i = 0; i < meter->nprograms; i++) {
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);

		assert_int_equal(bpf_obj_get_info_by_fd(meter->programs[i], &info, &len), 0);
		sum += info.run_cnt;
	}
	return sum;
}

void sp_meter_open(struct sp_meter *meter, const char *name)
{
	*meter = (struct sp_meter){ .name = name, .stats = bpf_enable_stats(BPF_STATS_RUN_TIME) };
	assert_true(meter->stats >= 0);
	sp_meter_follow(meter);
	meter->runs = runs_of(meter);
	meter->outcomes = sp_counters_outcomes(name);
}

void sp_meter_close(struct sp_meter *meter)
{
	while (meter->nprograms)
		sp_close_fd(&meter->programs[--meter->nprograms]);
	sp_close_fd(&meter->stats);
}

void sp_meter_follow(struct sp_meter *meter)
{
	assert_in_range(meter->nprograms, 0, SP_METER_PROGRAMS - 1);
	meter->programs[meter->nprograms++] = open_pin(meter->name, SP_PIN_PROG);
}

void sp_meter_check_sum(const struct sp_meter *meter, __u64 datagrams, const char *file, int line)
{
	__u64 runs = runs_of(meter) - meter->runs;
	__u64 outcomes = sp_counters_outcomes(meter->name) - meter->outcomes;

	if (runs == datagrams && outcomes == datagrams)
		return;
	print_error("%s: %llu datagrams, %llu runs, %llu outcomes\n", meter->name, datagrams, runs, outcomes);
	_fail(file, line);
}

void sp_meter_view(const char *name, struct sp_view *ret_view)
{
	sp_autoclose int views = open_pin(name, SP_PIN_VIEWS);
	sp_autoclose int ctl = open_pin(name, SP_PIN_CTL);
	struct sp_ctl value;
	__u32 zero = 0;

	assert_int_equal(bpf_map_lookup_elem(ctl, &zero, &value), 0);
	assert_int_equal(bpf_map_lookup_elem(views, &value.current, ret_view), 0);
}

void sp_meter_owned(const struct sp_view *view, __u32 ret_owned[SP_SLOTS_MAX])
{
	memset(ret_owned, 0, SP_SLOTS_MAX * sizeof(*ret_owned));
	for (__u32 b = 0; b < SP_BUCKETS; b++) {
		assert_in_range(view->owner[b], 0, SP_SLOTS_MAX - 1);
		ret_owned[view->owner[b]]++;
	}
}

__u32 sp_meter_moved(const struct sp_view *before, const struct sp_view *after)
{
	__u32 moved = 0;

	for (__u32 b = 0; b < SP_BUCKETS; b++)
		moved += before->owner[b] != after->owner[b];
	return moved;
}
