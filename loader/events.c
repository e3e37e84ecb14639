// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the steering program of one group tells user space. */
#include <errno.h>
#include <fcntl.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "events.h"
#include "log.h"

struct sp_events {
	int map; /* an own descriptor: epoll forgets the ring when the last one of its open file is closed */
	struct ring_buffer *ring;
	__u32 room; /* records that fit */
	__u32 count; /* records of this read */
	void (*each)(void *ctx, const struct sp_event *event);
	void *ctx;
};

static int pass_on(void *ctx, void *data, size_t size)
{
	struct sp_events *events = ctx;

	events->count++;
	if (size >= sizeof(struct sp_event))
		events->each(events->ctx, data);
	return 0;
}

static int open_ring(const struct sp_pins *pins, struct sp_events *events)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int err;

	events->map = fcntl(pins->events, F_DUPFD_CLOEXEC, 0);
	if (events->map < 0)
		return -errno;
	err = bpf_obj_get_info_by_fd(events->map, &info, &len);
	if (err)
		return err;
	/* bpf_ringbuf_reserve() lets the producer be less than the whole size ahead of the reader. */
	events->room = (info.max_entries - 1) / (sizeof(struct sp_event) + BPF_RINGBUF_HDR_SZ);
	events->ring = ring_buffer__new(events->map, pass_on, events, NULL);
	return events->ring ? 0 : -errno;
}

int sp_events_open(const struct sp_pins *pins, struct sp_events **ret_events)
{
	sp_autoevents struct sp_events *events = calloc(1, sizeof(*events));
	int err;

	if (!events)
		return sp_fail(-ENOMEM, "cannot listen to %s", pins->name);
	events->map = -1;
	err = open_ring(pins, events);
	if (err)
		return sp_fail(err, "cannot listen to " SP_PIN_EVENTS " of %s", pins->name);
	*ret_events = sp_take_ptr(events);
	return 0;
}

int sp_events_fd(const struct sp_events *events)
{
	return ring_buffer__epoll_fd(events->ring);
}

int sp_events_read(struct sp_events *events, void (*each)(void *ctx, const struct sp_event *event), void *ctx)
{
	events->each = each;
	events->ctx = ctx;
	events->count = 0;
	ring_buffer__consume(events->ring);
	/* Whoever found no room left a full ring behind, and all of that is in this read or the next. */
	return events->count < events->room ? 0 : -EOVERFLOW;
}

void sp_events_free(struct sp_events **events)
{
	if (!*events)
		return;
	ring_buffer__free((*events)->ring);
	sp_close_fd(&(*events)->map);
	free(*events);
	*events = NULL;
}
