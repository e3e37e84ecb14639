// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Views change at full speed while flows run: a packet sees the one or the other, never a mix (I4). */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <steadyport/choose.h>
#include "fixture.h"
#include "kernel.h"
#include "run.h"

#define FLOWS 200
#define WORKERS 4
#define ROUNDS 20
#define FLIPS \
	50000 /* that a writer does at least while the flows run; one that stores a word does far more */
#define REWRITES 20 /* each waits for a grace period */

/* Two functions that differ for every flow. */
static void make_views(struct sp_fixture *fx, struct sp_view views[2])
{
	views[0] = *sp_state_current(fx->state);
	views[0].prev = SP_VIEW_NONE;
	views[0].learn_until_ns = 0;
	memset(views[0].moving, 0, sizeof(views[0].moving));
	views[1] = views[0];
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		views[1].owner[b] = (views[0].owner[b] + 1) % WORKERS;
}

/* Stores the index of the one and the other view, as fast as it can. */
static void flip(struct sp_fixture *fx, const struct sp_view views[2], volatile __u64 *count)
{
	const __u32 index[2] = { fx->state->ctl.current ? 0 : 1, 3 };
	struct sp_ctl *ctl = mmap(NULL, sizeof(*ctl), PROT_READ | PROT_WRITE, MAP_SHARED, fx->pins.ctl, 0);

	if (ctl == MAP_FAILED || sp_state_write_view(&fx->pins, index[0], &views[0]) ||
	    sp_state_write_view(&fx->pins, index[1], &views[1]))
		_exit(1);
	for (;; ++*count)
		__atomic_store_n(&ctl->current, index[*count % 2], __ATOMIC_RELEASE);
}

/*
 * As the loader does it: writes a place that no packet can see, publishes it, waits until the old one
 * is unseen.
 */
static void rewrite(struct sp_fixture *fx, const struct sp_view views[2], volatile __u64 *count)
{
	for (__u32 at = fx->state->ctl.current + 1;; at++) {
		/* The place holds an older view of the other kind until then. */
		if (sp_state_write_view(&fx->pins, at % 3, &views[*count % 2]) ||
		    sp_state_publish(&fx->pins, at % 3) || sp_kernel_wait_readers())
			_exit(1);
		++*count;
	}
}

static int take_live(void *state, __u32 slot)
{
	return sp_slot_is_live(state, slot) ? 0 : -ENOENT;
}

static void require_one_of_two(struct sp_fixture *fx, const struct sp_flow_set *set,
			       const struct sp_view views[2], size_t seen[2])
{
	for (size_t i = 0; i < set->count; i++) {
		int owner = set->owners[i], which = -1;

		assert_in_range(owner, 0, WORKERS - 1);
		for (int v = 0; v < 2; v++) {
			int choice = sp_choose(&views[v], set->hashes[i], fx->state, take_live);

			if (fx->state->cookie[SP_CHOICE_SLOT(choice)] == fx->workers[owner].cookie)
				which = v;
		}
		if (which < 0)
			fail_msg("flow %zu was answered by worker %d, which neither view names", i, owner);
		seen[which]++;
	}
}

static void run_with_writer(struct sp_fixture *fx, __u64 enough,
			    void (*writer)(struct sp_fixture *, const struct sp_view *, volatile __u64 *))
{
	struct sp_view *views = calloc(2, sizeof(*views));
	volatile __u64 *count;
	struct sp_flow_set *set;
	size_t seen[2] = { 0 };
	__u64 deadline = sp_lab_now_ms() + (__u64)SP_FIXTURE_PATIENCE_MS * sp_run_slowness();
	pid_t pid;

	assert_non_null(views);
	sp_fixture_attach(fx);
	sp_fixture_settle(fx);
	make_views(fx, views);
	count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(count != MAP_FAILED);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		writer(fx, views, count);
	}
	/* Not before: the writer would hold the clients' sockets, too, and their ports with them. */
	set = sp_fixture_flows(fx, FLOWS);

	for (int round = 0; round < ROUNDS || *count < enough || !seen[0] || !seen[1]; round++) {
		assert_true(sp_lab_left_ms(deadline) > 0);
		sp_fixture_round(fx, set);
		require_one_of_two(fx, set, views, seen);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	print_message("  %llu changes; %zu answers by the one view and %zu by the other\n",
		      (unsigned long long)*count, seen[0], seen[1]);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
	munmap((void *)count, sizeof(*count));
	free(views);
}

static void steer__i4_index_stored_at_full_speed__every_answer_is_of_one_view(struct sp_fixture *fx)
{
	run_with_writer(fx, FLIPS, flip);
}

static void steer__i4_views_rewritten_and_published__every_answer_is_of_one_view(struct sp_fixture *fx)
{
	run_with_writer(fx, REWRITES, rewrite);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__i4_index_stored_at_full_speed__every_answer_is_of_one_view,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4 | SP_PLACE_V6, .workers = WORKERS),
		SP_CASE(steer__i4_views_rewritten_and_published__every_answer_is_of_one_view,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4, .workers = WORKERS),
	};

	return sp_fixture_main("publish", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
