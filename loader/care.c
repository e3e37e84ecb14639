// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the daemon does for its steered groups between and after its passes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <bpf/bpf.h>
#include "care.h"
#include "cleanup.h"
#include "events.h"
#include "log.h"
#include "park.h"
#include "privilege.h"
#include "state.h"
#include "wake.h"

#define EVENTS 64 /* of one epoll_wait() */
#define RETRY_NS 1000000000ULL /* after what failed, though nothing else asks for a pass */

/* What one of its descriptors is, in the low bits of a pointer to the group. */
enum source {
	SOURCE_EVENTS,
	SOURCE_PARK,
	SOURCE_MASK = 1,
};

struct sp_cared {
	struct sp_care *care;
	struct sp_cared *next;
	enum sp_protocol protocol;
	struct sp_pins pins; /* the name and the slots, as of the last pass */
	__u32 map_id; /* of the ring; 0: not listened to */
	struct sp_events *events;
	struct sp_wake *wake; /* NULL: this kernel wakes by itself */
	struct sp_park *park; /* NULL: never configured */
	bool is_due;
	__u64 retry_ns; /* CLOCK_MONOTONIC; 0: nothing has failed */
};

struct sp_care {
	int epoll;
	bool does_wake;
	bool is_pass_needed;
	struct sp_cared *first;
};

/* --- all groups --- */

int sp_care_open(struct sp_care **ret_care)
{
	struct sp_care *care = calloc(1, sizeof(*care));
	void (*tell)(const char *fmt, ...); /* what its unit does not allow it is no reason for a warning */
	char why[SP_WAKE_WHY_LEN];

	if (!care)
		return sp_fail(-ENOMEM, "cannot listen to programs");
	care->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (care->epoll < 0) {
		free(care);
		return sp_fail(-errno, "cannot listen to programs");
	}
	switch (sp_wake_probe(why)) {
	case SP_WAKE_NOT_NEEDED:
		sp_note("this kernel wakes whoever gets the connections of a closed listener");
		break;
	case SP_WAKE_NEEDED:
		sp_tell("this kernel does not wake whoever gets the connections of a closed listener: it is done here");
		care->does_wake = true;
		break;
	case SP_WAKE_UNKNOWN:
		tell = sp_privilege_has(SP_PRIVILEGE_SYS_ADMIN) ? sp_warn : sp_tell;
		tell("cannot tell whether this kernel wakes whoever gets the connections of a closed listener (%s): "
		     "it is done here, which does no harm",
		     why);
		care->does_wake = true;
		break;
	}
	*ret_care = care;
	return 0;
}

void sp_care_free(struct sp_care **care)
{
	if (!*care)
		return;
	sp_close_fd(&(*care)->epoll);
	free(*care);
	*care = NULL;
}

int sp_care_fd(const struct sp_care *care)
{
	return care->epoll;
}

static void hear(void *ctx, const struct sp_event *event)
{
	struct sp_cared *cared = ctx;

	if (event->kind == SP_EVENT_EMPTY)
		cared->care->is_pass_needed = true;
	else if (event->kind == SP_EVENT_MIGRATED && cared->wake)
		sp_wake_note(cared->wake, event->slot, sp_now_ns());
}

static void hear_all(struct sp_cared *cared)
{
	if (sp_events_read(cared->events, hear, cared) && cared->wake)
		sp_wake_note_all(cared->wake, sp_now_ns());
}

bool sp_care_read(struct sp_care *care)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(care->epoll, events, EVENTS, 0);

	for (int i = 0; i < n; i++) {
		struct sp_cared *cared = (void *)(events[i].data.u64 & ~(__u64)SOURCE_MASK);

		if ((events[i].data.u64 & SOURCE_MASK) == SOURCE_EVENTS) {
			hear_all(cared);
		} else {
			cared->is_due = true;
			care->is_pass_needed = true;
		}
	}
	if (!care->is_pass_needed)
		return false;
	care->is_pass_needed = false;
	return true;
}

__u64 sp_care_next_ns(const struct sp_care *care)
{
	__u64 first = 0;

	for (const struct sp_cared *cared = care->first; cared; cared = cared->next) {
		__u64 next = cared->wake ? sp_wake_next_ns(cared->wake) : 0;

		if (next && (!first || next < first))
			first = next;
	}
	return first;
}

void sp_care_wake(struct sp_care *care, const struct sp_groups *groups)
{
	for (struct sp_cared *cared = care->first; cared; cared = cared->next)
		if (cared->wake)
			sp_wake_dispatch(cared->wake, &cared->pins, groups, true, sp_now_ns());
}

/* --- one group --- */

static int watch(struct sp_cared *cared, enum source source, int fd, __u32 events)
{
	struct epoll_event event = { .events = events, .data.u64 = (__u64)cared | source };

	if (!epoll_ctl(cared->care->epoll, EPOLL_CTL_ADD, fd, &event) || errno == EEXIST)
		return 0;
	return sp_fail(-errno, "%s: cannot wait for news", cared->pins.name);
}

struct sp_cared *sp_care_take(struct sp_care *care, const char *name, enum sp_protocol protocol)
{
	struct sp_cared *cared = calloc(1, sizeof(*cared));

	if (!cared) {
		sp_fail(-ENOMEM, "cannot look after %s", name);
		return NULL;
	}
	cared->care = care;
	cared->protocol = protocol;
	cared->pins = (struct sp_pins)SP_PINS_NONE;
	snprintf(cared->pins.name, sizeof(cared->pins.name), "%s", name);
	cared->next = care->first;
	care->first = cared;
	return cared;
}

/* Before the epoll set could report it once more, every descriptor of the group is closed. */
static void stop_listening(struct sp_cared *cared)
{
	sp_events_free(&cared->events);
	sp_wake_free(&cared->wake);
	sp_close_fd(&cared->pins.slots);
	cared->map_id = 0;
}

void sp_care_drop(struct sp_cared **cared)
{
	struct sp_cared **link;

	if (!*cared)
		return;
	for (link = &(*cared)->care->first; *link != *cared; link = &(*link)->next)
		;
	*link = (*cared)->next;
	stop_listening(*cared);
	sp_park_free(&(*cared)->park);
	free(*cared);
	*cared = NULL;
}

static int start_listening(struct sp_cared *cared, const struct sp_pins *pins, __u32 map_id)
{
	int err;

	stop_listening(cared);
	cared->pins.slots = fcntl(pins->slots, F_DUPFD_CLOEXEC, 0);
	if (cared->pins.slots < 0)
		return sp_fail(-errno, "cannot listen to %s", pins->name);
	err = sp_events_open(pins, &cared->events);
	err = err ?: watch(cared, SOURCE_EVENTS, sp_events_fd(cared->events), EPOLLIN);
	if (err)
		return err;
	if (cared->care->does_wake && cared->protocol == SP_TCP) {
		cared->wake = sp_wake_new();
		if (!cared->wake)
			return -ENOMEM;
		/* Nobody has listened until now. */
		sp_wake_note_all(cared->wake, sp_now_ns());
	}
	cared->map_id = map_id;
	return 0;
}

/* The ring of a group stays for as long as it is steered; a program that is replaced goes on with the same one. */
static int listen_to(struct sp_cared *cared, const struct sp_pins *pins)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(pins->events, &info, &len);

	if (err)
		return sp_fail(err, "cannot listen to %s", pins->name);
	if (info.id == cared->map_id)
		return 0;
	err = start_listening(cared, pins, info.id);
	if (err)
		stop_listening(cared);
	return err;
}

static int park(struct sp_cared *cared, const struct sp_cared_sight *sight)
{
	enum sp_park_action action;
	int err = 0, fd;

	if (!cared->park) {
		if (sight->park_ns && cared->protocol == SP_TCP)
			err = sp_park_new(cared->pins.name, cared->protocol, sight->park_ns, &cared->park);
		if (!cared->park)
			return err;
	}
	sp_park_set_patience(cared->park, sight->park_ns);
	action = sp_park_update(cared->park, sight->pins, sight->group, sight->is_attached, sight->live);
	if (action == SP_PARK_LEAVE && cared->wake)
		sp_wake_note_all(cared->wake, sp_now_ns());
	fd = sp_park_fd(cared->park);
	if (fd < 0)
		return 0;
	/* While no worker is live each connection would ask for a pass; while one is, none should be there. */
	if (sight->live)
		return watch(cared, SOURCE_PARK, fd, EPOLLIN | EPOLLET);
	epoll_ctl(cared->care->epoll, EPOLL_CTL_DEL, fd, NULL);
	return 0;
}

bool sp_cared_inherit(struct sp_cared *cared, __u64 park_ns, __u64 cookie, int *fd)
{
	if (sp_park_new(cared->pins.name, cared->protocol, park_ns, &cared->park))
		return false;
	sp_park_inherit(cared->park, cookie, fd);
	return true;
}

void sp_cared_update(struct sp_cared *cared, const struct sp_cared_sight *sight)
{
	int failed = 0;

	cared->is_due = false;
	if (sight->pins) {
		failed |= listen_to(cared, sight->pins);
		failed |= park(cared, sight);
	} else {
		stop_listening(cared);
		if (cared->park)
			sp_park_close(cared->park, NULL, false);
	}
	cared->retry_ns = failed ? sp_now_ns() + RETRY_NS : 0;
}

void sp_cared_end_parking(struct sp_cared *cared, const struct sp_pins *pins)
{
	if (cared->park)
		sp_park_close(cared->park, pins, true);
}

bool sp_cared_is_due(const struct sp_cared *cared)
{
	return cared->is_due;
}

__u64 sp_cared_next_ns(const struct sp_cared *cared)
{
	__u64 next = cared->park ? sp_park_next_ns(cared->park) : 0;

	return !next || (cared->retry_ns && cared->retry_ns < next) ? cared->retry_ns : next;
}

bool sp_cared_parks(const struct sp_cared *cared)
{
	return cared->park && sp_park_fd(cared->park) >= 0;
}

__u32 sp_cared_parked(const struct sp_cared *cared)
{
	return cared->park ? sp_park_waiting(cared->park) : 0;
}

__u64 sp_cared_wakes(const struct sp_cared *cared)
{
	return cared->wake ? sp_wake_count(cared->wake) : 0;
}
