// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The workers of the fixture. */
#include "fixture.h"

static __u32 start_worker(struct sp_fixture *fx, int adopted)
{
	struct sp_lab_options options = fx->options;

	assert_in_range(fx->nworkers, 0, SP_FIXTURE_WORKERS - 1);
	options.id = fx->nworkers;
	options.reuseport = true;
	options.is_v6only = fx->is_v6only;
	options.is_paused |= fx->is_paused;
	options.adopted = adopted;
	require_ok(sp_lab_start(fx->protocol, &fx->address, fx->port, &options, &fx->workers[fx->nworkers]));
	return fx->nworkers++;
}

__u32 sp_fixture_join(struct sp_fixture *fx)
{
	return start_worker(fx, 0);
}

__u32 sp_fixture_fork(struct sp_fixture *fx, __u32 id)
{
	assert_in_range(fx->nworkers, 0, SP_FIXTURE_WORKERS - 1);
	require_ok(sp_lab_fork(&fx->workers[id], fx->nworkers, &fx->workers[fx->nworkers]));
	return fx->nworkers++;
}

__u32 sp_fixture_share(struct sp_fixture *fx, __u32 id)
{
	sp_autoclose int socket = sp_fixture_borrow(fx, id);

	return start_worker(fx, socket);
}

void sp_fixture_kill(struct sp_fixture *fx, __u32 id)
{
	sp_lab_kill(&fx->workers[id]);
	fx->is_dead[id] = true;
}

void sp_fixture_resume(struct sp_fixture *fx)
{
	fx->is_paused = false;
	for (__u32 id = 0; id < fx->nworkers; id++)
		if (!fx->is_dead[id])
			require_ok(sp_lab_resume(&fx->workers[id]));
}

int sp_fixture_borrow(struct sp_fixture *fx, __u32 id)
{
	int socket = -1;

	require_ok(sp_lab_lend(&fx->workers[id], &socket));
	return socket;
}

__u32 sp_fixture_waiting(struct sp_fixture *fx, __u32 id)
{
	__u32 count = 0;

	require_ok(sp_lab_waiting(&fx->workers[id], &count));
	return count;
}

bool sp_fixture_holds(const struct sp_fixture *fx, __u32 id, __u64 cookie)
{
	const struct sp_lab_worker *worker = &fx->workers[id];

	for (__u32 i = 0; i < worker->nsockets; i++)
		if (worker->cookies[i] == cookie)
			return true;
	return false;
}
