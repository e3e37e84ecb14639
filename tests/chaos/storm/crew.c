// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Worker processes at storm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <sys/mman.h>
#include "crew.h"
#include "journal.h"
#include "state.h"

void storm_crew_init(struct storm_crew *crew)
{
	size_t size = STORM_ALIVE_MAX * sizeof(*crew->notes);

	crew->notes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(crew->notes, MAP_FAILED);
	for (size_t i = 0; i < STORM_ALIVE_MAX; i++)
		crew->worker[i].notes = &crew->notes[i];
}

void storm_crew_close(struct storm_crew *crew)
{
	for (size_t i = 0; i < STORM_ALIVE_MAX; i++) {
		if (crew->worker[i].is_here)
			sp_lab_kill(&crew->worker[i].lab);
		crew->worker[i].is_here = false;
	}
	munmap(crew->notes, STORM_ALIVE_MAX * sizeof(*crew->notes));
}

__u32 storm_crew_start(struct storm_crew *crew)
{
	struct sp_lab_options options = { .reuseport = true };
	struct storm_worker *w = crew->worker;
	struct sp_lab_notes *notes;
	int err;

	while (w < crew->worker + STORM_ALIVE_MAX && w->is_here)
		w++;
	assert_true(w < crew->worker + STORM_ALIVE_MAX);
	notes = w->notes;
	*w = (struct storm_worker){ .is_here = true, .notes = notes };
	w->id = storm_model_birth(crew->model, sp_now_ns());
	options.id = w->id;
	options.notes = notes;
	err = sp_lab_start(crew->model->protocol, &crew->address, crew->port, &options, &w->lab);
	if (err)
		storm_violation("cannot start worker %u: %s", w->id, strerror(-err));
	crew->port = w->lab.port;
	storm_model_born(crew->model, w->id, w->lab.pid, sp_now_ns());
	crew->nstarted++;
	return w->id;
}

/* Its socket is closed for sure. */
static void announce_death(struct storm_crew *crew, struct storm_worker *w, bool was_killed)
{
	__u64 now = sp_now_ns();

	if (crew->stream)
		storm_stream_listener_closed(crew->stream, was_killed ? w->notes : NULL, now);
	storm_model_dead(crew->model, w->id, now);
	w->is_closed = true;
}

void storm_crew_kill(struct storm_crew *crew, struct storm_worker *w)
{
	storm_model_dying(crew->model, w->id, sp_now_ns());
	sp_lab_kill(&w->lab);
	announce_death(crew, w, true);
	w->is_here = false;
	crew->nkilled++;
}

void storm_crew_terminate(struct storm_crew *crew, struct storm_worker *w)
{
	storm_model_dying(crew->model, w->id, sp_now_ns());
	w->is_leaving = true;
	assert_int_equal(sp_lab_terminate(&w->lab), 0);
	crew->nleft++;
}

void storm_crew_stall(struct storm_worker *w, __u64 until_ns, enum storm_stall_end end)
{
	assert_int_equal(sp_lab_pause(&w->lab), 0);
	w->stalled_until_ns = until_ns;
	w->stall_end = end;
}

static void follow_leaving(struct storm_crew *crew, struct storm_worker *w)
{
	bool has_ended = sp_lab_has_ended(&w->lab);

	if (!w->is_closed && (has_ended || __atomic_load_n(&w->notes->is_closed, __ATOMIC_SEQ_CST)))
		announce_death(crew, w, false);
	w->is_here = !has_ended;
}

static void end_stall(struct storm_crew *crew, struct storm_worker *w)
{
	w->stalled_until_ns = 0;
	if (w->stall_end == STORM_IS_KILLED)
		storm_crew_kill(crew, w);
	else if (w->stall_end == STORM_LEAVES)
		storm_crew_terminate(crew, w);
	else
		assert_int_equal(sp_lab_resume(&w->lab), 0);
}

void storm_crew_look(struct storm_crew *crew, __u64 now)
{
	for (size_t i = 0; i < STORM_ALIVE_MAX; i++) {
		struct storm_worker *w = &crew->worker[i];

		if (!w->is_here)
			continue;
		if (w->is_leaving)
			follow_leaving(crew, w);
		else if (w->stalled_until_ns && w->stalled_until_ns <= now)
			end_stall(crew, w);
	}
}

__u32 storm_crew_count(const struct storm_crew *crew)
{
	__u32 count = 0;

	for (size_t i = 0; i < STORM_ALIVE_MAX; i++)
		count += crew->worker[i].is_here && !crew->worker[i].is_leaving;
	return count;
}

bool storm_crew_is_calm(const struct storm_crew *crew)
{
	for (size_t i = 0; i < STORM_ALIVE_MAX; i++) {
		if (crew->worker[i].is_here &&
		    (crew->worker[i].is_leaving || crew->worker[i].stalled_until_ns))
			return false;
	}
	return true;
}
