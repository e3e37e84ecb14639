// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The flows of the fixture, and where they went. */
#include "fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <steadyport/choose.h>

/* The tuple as the program sees it: the client is the source. It may have been reset; what became of it is asked later. */
static __u64 hash_of_client(const struct sp_fixture *fx, int fd)
{
	struct sockaddr_storage src, dst;
	socklen_t src_len = sizeof(src);
	const __u64 *key = fx->state->ctl.key;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&src, &src_len), 0);
	sp_address_to_sockaddr(&fx->target, fx->port, &dst);
	assert_int_equal(src.ss_family, dst.ss_family);
	if (src.ss_family == AF_INET) {
		const struct sockaddr_in *from = (struct sockaddr_in *)&src, *to = (struct sockaddr_in *)&dst;
		const struct sp_tuple4 tuple = {
			.src = from->sin_addr.s_addr,
			.dst = to->sin_addr.s_addr,
			.sport = from->sin_port,
			.dport = to->sin_port,
		};

		return sp_flow_hash4(key, &tuple);
	} else {
		const struct sockaddr_in6 *from = (struct sockaddr_in6 *)&src,
					  *to = (struct sockaddr_in6 *)&dst;
		struct sp_tuple6 tuple = { .sport = from->sin6_port, .dport = to->sin6_port };

		memcpy(tuple.src, &from->sin6_addr, sizeof(tuple.src));
		memcpy(tuple.dst, &to->sin6_addr, sizeof(tuple.dst));
		return sp_flow_hash6(key, &tuple);
	}
}

/*
 * An abort leaves no TIME_WAIT behind, on neither side: the same source port can be used at once. It is not left to
 * close(): another process that walks the open files of all, as every scan on this machine does, may hold one of them
 * at that moment, and the connection would go when it has let go.
 */
static void close_flows(struct sp_lab_flows *flows)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	if (flows->protocol == SP_TCP)
		for (size_t i = 0; flows->fds && i < flows->count; i++)
			connect(flows->fds[i], &nobody, sizeof(nobody));
	sp_lab_close_flows(flows);
}

static void open_flows(struct sp_fixture *fx, struct sp_flow_set *set)
{
	require_ok(sp_lab_open_as(fx->manner, fx->protocol, &fx->target, fx->port, set->source_port,
				  set->count, SP_FIXTURE_PATIENCE_MS, &set->lab));
}

static void hash_flows(struct sp_fixture *fx, struct sp_flow_set *set)
{
	/* Before the attach there is no key. */
	if (!fx->state)
		return;
	for (size_t i = 0; i < set->count; i++)
		set->hashes[i] = hash_of_client(fx, set->lab.fds[i]);
}

static void ask(struct sp_fixture *fx, struct sp_flow_set *set)
{
	int *older = set->before;

	set->before = set->owners;
	set->owners = older;
	if (fx->protocol == SP_UDP)
		require_ok(sp_lab_round(&set->lab, SP_FIXTURE_PATIENCE_MS, set->owners));
	else
		require_ok(sp_lab_answers(&set->lab, SP_FIXTURE_PATIENCE_MS, set->owners));
}

struct sp_flow_set *sp_fixture_flows(struct sp_fixture *fx, size_t count)
{
	struct sp_flow_set *set = &fx->sets[fx->nsets];

	assert_in_range(fx->nsets, 0, SP_FIXTURE_FLOW_SETS - 1);
	*set = (struct sp_flow_set){
		.count = count,
		.owners = calloc(count, sizeof(*set->owners)),
		.before = calloc(count, sizeof(*set->before)),
		.hashes = calloc(count, sizeof(*set->hashes)),
		.lab = SP_LAB_NO_FLOWS,
	};
	fx->nsets++;
	assert_non_null(set->owners);
	assert_non_null(set->before);
	assert_non_null(set->hashes);
	if (fx->protocol == SP_TCP) {
		set->source_port = fx->next_source;
		fx->next_source += count;
		assert_in_range(fx->next_source, SP_FIXTURE_FIRST_SOURCE, SP_FIXTURE_FIRST_PORT - 1);
	}
	open_flows(fx, set);
	hash_flows(fx, set);
	/* Who accepts nothing cannot answer: the case asks when it lets them. */
	if (!fx->is_paused && fx->manner != SP_LAB_WAITS)
		ask(fx, set);
	return set;
}

void sp_fixture_drop_flows(struct sp_flow_set *set)
{
	close_flows(&set->lab);
	free(set->owners);
	free(set->before);
	free(set->hashes);
}

void sp_fixture_round(struct sp_fixture *fx, struct sp_flow_set *set)
{
	if (fx->protocol == SP_TCP) {
		close_flows(&set->lab);
		open_flows(fx, set);
	}
	hash_flows(fx, set);
	ask(fx, set);
}

void sp_fixture_answers(struct sp_fixture *fx, struct sp_flow_set *set)
{
	ask(fx, set);
}

static bool is_alive(const struct sp_fixture *fx, int id)
{
	return id >= 0 && (__u32)id < fx->nworkers && !fx->is_dead[id];
}

static bool is_by_load(const struct sp_fixture *fx)
{
	return fx->state && fx->state->ctl.balance != SP_BALANCE_HASH;
}

void sp_fixture_require_still(struct sp_fixture *fx, const struct sp_flow_set *set, const char *file,
			      int line)
{
	const struct sp_lab_moves moves =
		sp_lab_count_moves(set->before, set->owners, set->count, fx->is_dead, fx->nworkers);
	size_t unanswered = 0;

	for (size_t i = 0; i < set->count; i++)
		unanswered += !is_alive(fx, set->owners[i]);
	/* Placed by load a new connection with the old numbers may go anywhere. */
	if ((!moves.moved || is_by_load(fx)) && !moves.lost && !moves.stray && !unanswered)
		return;
	print_error("of %zu flows of workers that live %zu moved and %zu got no answer; %zu of all %zu "
		    "have no worker that lives\n",
		    moves.survivor_flows, moves.moved, moves.lost, unanswered, set->count);
	_fail(file, line);
}

void sp_fixture_require_spread(struct sp_fixture *fx, const struct sp_flow_set *set, const char *file,
			       int line)
{
	static const size_t least_percent[] = {
		[SP_BALANCE_HASH] = 50,
		[SP_BALANCE_LEAST_QUEUE] = 0,
		[SP_BALANCE_LEAST_CONN] = 90,
	};
	size_t nlive = 0, least;

	for (__u32 id = 0; id < fx->nworkers; id++)
		nlive += !fx->is_dead[id];
	least = set->count * least_percent[sp_fixture_balance(fx)] / 100 / nlive;
	for (__u32 id = 0; id < fx->nworkers; id++) {
		size_t count = sp_fixture_count(set, id);

		if (fx->is_dead[id] || count >= least)
			continue;
		print_error("worker %u of %zu has %zu of %zu flows, less than %zu\n", id, nlive, count,
			    set->count, least);
		_fail(file, line);
	}
}

static int take_live(void *state, __u32 slot)
{
	return sp_slot_is_live(state, slot) ? 0 : -ENOENT;
}

/* By load: every flow was answered by a worker that takes new ones, if one that lives does. */
static void require_usable(struct sp_fixture *fx, const struct sp_flow_set *set, const char *file, int line)
{
	const struct sp_view *view = sp_state_current(fx->state);
	bool is_any = false;

	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		is_any |= sp_is_usable(view, slot) && sp_slot_is_live(fx->state, slot);
	for (size_t i = 0; i < set->count; i++) {
		int id = set->owners[i];

		if (is_alive(fx, id) && (!is_any || sp_is_usable(view, sp_fixture_slot(fx, id))))
			continue;
		print_error("flow %zu was answered by %d, which takes nothing new\n", i, id);
		_fail(file, line);
	}
}

void sp_fixture_require_agreement(struct sp_fixture *fx, const struct sp_flow_set *set, const char *file,
				  int line)
{
	size_t wrong = 0;

	sp_fixture_look(fx);
	if (is_by_load(fx) && sp_fixture_sum(fx, placed)) {
		require_usable(fx, set, file, line);
		return;
	}
	for (size_t i = 0; i < set->count; i++) {
		int choice = sp_choose(sp_state_current(fx->state), set->hashes[i], fx->state, take_live);
		__u64 cookie = choice < 0 ? 0 : fx->state->cookie[SP_CHOICE_SLOT(choice)];

		if (is_alive(fx, set->owners[i]) && sp_fixture_holds(fx, set->owners[i], cookie))
			continue;
		if (!wrong++)
			print_error("flow %zu: slot %d was expected, and worker %d answered\n", i,
				    choice < 0 ? -1 : (int)SP_CHOICE_SLOT(choice), set->owners[i]);
	}
	if (!wrong)
		return;
	print_error("the kernel chose other workers for %zu of %zu flows\n", wrong, set->count);
	_fail(file, line);
}

static size_t count_id(const int *owners, size_t count, int id)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += owners[i] == id;
	return n;
}

size_t sp_fixture_count(const struct sp_flow_set *set, int id)
{
	return count_id(set->owners, set->count, id);
}

size_t sp_fixture_count_before(const struct sp_flow_set *set, int id)
{
	return count_id(set->before, set->count, id);
}
