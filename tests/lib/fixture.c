// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The fixture of the tests of the steering program. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "group.h"
#include "kept.h"
#include "kernel.h"
#include "members.h"
#include "netns.h"
#include "placing.h"
#include "steer.h"

#define KEPT_FLOWS_MAX 65536
#define FILES_MAX 4096 /* of all flow sets of a case; what a process that began as init may have */

static const struct {
	const char *name, *bind, *target;
	bool is_v6only;
} places[] = {
	{ "127.0.0.1", "127.0.0.1", "127.0.0.1", false },
	{ "0.0.0.0", "0.0.0.0", "127.0.0.1", false },
	{ "192.0.2.7", "192.0.2.7", "192.0.2.7", false },
	{ "[::1]", "::1", "::1", true },
	{ "[::] v6only", "::", "2001:db8::7", true },
	{ "[2001:db8::7]", "2001:db8::7", "2001:db8::7", true },
	{ "[::] over IPv4", "::", "192.0.2.7", false },
	{ "[::] over IPv6", "::", "::1", false },
};

_Static_assert(1 << SP_ARRAY_SIZE(places) == SP_PLACE_ALL + 1, "each place has a bit");

/* What cmocka hands to the functions of one case. */
struct instance {
	const struct sp_case *what;
	enum sp_protocol protocol;
	size_t place;
	struct sp_fixture *fx;
};

static __u16 next_port = SP_FIXTURE_FIRST_PORT;

/* --- what must hold after each case --- */

__u64 sp_fixture_cookie(int fd)
{
	__u64 cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) ? 0 : cookie;
}

/* Files that this process has open; with a fixture also checks that none is a worker's socket (I6). */
static size_t count_files(const struct sp_fixture *fx)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);
		__u64 cookie;

		if (entry->d_name[0] == '.' || fd == dirfd(dir))
			continue;
		count++;
		cookie = fx ? sp_fixture_cookie(fd) : 0;
		for (__u32 i = 0; cookie && i < fx->nworkers; i++)
			if (sp_fixture_holds(fx, i, cookie))
				fail_msg("fd %d is a socket of worker %u (I6)", fd, i);
	}
	closedir(dir);
	return count;
}

static void check_accounts(struct sp_fixture *fx)
{
	__u64 outcomes, runs;

	if (fx->pins.prog < 0)
		return;
	outcomes = sp_fixture_outcomes(fx);
	runs = sp_fixture_runs(fx);
	if (outcomes != runs)
		fail_msg("%llu outcomes were counted in %llu runs (I8)", outcomes, runs);
}

/* --- setting up and tearing down --- */

static int set_up_case(void **state)
{
	struct instance *instance = *state;
	struct sp_fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	instance->fx = fx;
	fx->nfds = count_files(NULL);
	fx->what = instance->what;
	fx->protocol = instance->protocol;
	fx->is_v6only = places[instance->place].is_v6only;
	fx->port = next_port++;
	fx->next_source = SP_FIXTURE_FIRST_SOURCE;
	fx->learn_ns = SP_FIXTURE_LEARN_NS;
	fx->pins = (struct sp_pins)SP_PINS_NONE;
	fx->is_paused = instance->what->is_paused;
	fx->stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (fx->stats < 0)
		fail_msg("cannot count the runs of BPF programs: %s", strerror(errno));
	require_ok(sp_lab_address(places[instance->place].bind, &fx->address));
	require_ok(sp_lab_address(places[instance->place].target, &fx->target));
	for (__u32 i = 0; i < instance->what->workers; i++)
		sp_fixture_join(fx);
	return 0;
}

static void destroy(struct sp_fixture *fx)
{
	for (size_t i = 0; i < fx->nsets; i++)
		sp_fixture_drop_flows(&fx->sets[i]);
	for (__u32 i = 0; i < fx->nworkers; i++)
		sp_lab_kill(&fx->workers[i]);
	sp_pin_remove(SP_FIXTURE_BPFFS, SP_FIXTURE_NAME);
	sp_pins_close(&fx->pins);
	for (size_t i = 0; i < fx->nfiles; i++)
		sp_close_fd(&fx->files[i]);
	sp_state_free(&fx->state);
	sp_close_fd(&fx->stats);
}

static void close_case(void **state)
{
	struct instance *instance = *state;
	struct sp_fixture *fx = instance->fx;
	size_t expected = fx->nfds;

	destroy(fx);
	free(fx);
	instance->fx = NULL;
	assert_int_equal(count_files(NULL), expected);
}

static int tear_down_case(void **state)
{
	close_case(state);
	return 0;
}

static void run_case(void **state)
{
	struct instance *instance = *state;

	instance->what->run(instance->fx);
	count_files(instance->fx);
	check_accounts(instance->fx);
}

static int set_up_group(void **state)
{
	static const char *const addresses[] = { "192.0.2.7", "2001:db8::7" };

	(void)state;
	require_ok(sp_lab_reserve_files(FILES_MAX));
	require_ok(sp_kernel_check());
	require_ok(sp_pin_root(SP_FIXTURE_BPFFS));
	for (size_t i = 0; i < SP_ARRAY_SIZE(addresses); i++) {
		struct sp_address address;

		require_ok(sp_lab_address(addresses[i], &address));
		require_ok(sp_lab_add_address(&address));
	}
	return 0;
}

int sp_fixture_main(const char *group, const struct sp_case *cases, size_t ncases, int argc, char **argv)
{
	size_t room = ncases * SP_ARRAY_SIZE(places) * 2, n = 0;
	struct instance *instances = calloc(room, sizeof(*instances));
	struct CMUnitTest *tests = calloc(room, sizeof(*tests));
	char(*names)[192] = calloc(room, sizeof(*names));
	int failed;

	if (!instances || !tests || !names)
		return 1;
	for (size_t c = 0; c < ncases; c++) {
		for (size_t p = 0; p < SP_ARRAY_SIZE(places) * 2; p++) {
			bool is_udp = p >= SP_ARRAY_SIZE(places);
			size_t place = p % SP_ARRAY_SIZE(places);

			if (!(cases[c].protocols & (is_udp ? SP_CASE_UDP : SP_CASE_TCP)) ||
			    !(cases[c].places & 1U << place))
				continue;
			instances[n] = (struct instance){
				.what = &cases[c],
				.protocol = is_udp ? SP_UDP : SP_TCP,
				.place = place,
			};
			snprintf(names[n], sizeof(names[n]), "%s (%s %s)", cases[c].name,
				 is_udp ? "udp" : "tcp", places[place].name);
			tests[n] = (struct CMUnitTest){
				.name = names[n],
				.test_func = run_case,
				.setup_func = set_up_case,
				.teardown_func = tear_down_case,
				.initial_state = &instances[n],
			};
			n++;
		}
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	failed = _cmocka_run_group_tests(group, tests, n, set_up_group, NULL);
	free(names);
	free(tests);
	free(instances);
	return failed ? 1 : 0;
}

int sp_fixture_own(struct sp_fixture *fx, int fd)
{
	assert_true(fd >= 0);
	assert_in_range(fx->nfiles, 0, SP_FIXTURE_FILES - 1);
	fx->files[fx->nfiles++] = fd;
	return fd;
}

/* --- the loader's part --- */

void sp_fixture_look(struct sp_fixture *fx)
{
	sp_state_free(&fx->state);
	require_ok(sp_state_read(&fx->pins, &fx->state));
}

__u32 sp_fixture_slot(struct sp_fixture *fx, __u32 id)
{
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		if (fx->state->info[slot].cookie == fx->workers[id].cookie)
			return slot;
	fail_msg("worker %u is in no slot", id);
	return SP_SLOT_NONE;
}

enum sp_balance sp_fixture_balance(const struct sp_fixture *fx)
{
	if (fx->protocol == SP_UDP)
		return SP_BALANCE_HASH;
	return fx->what->balance ?: sp_placing_ask();
}

bool sp_fixture_goes_by_hash(const struct sp_fixture *fx)
{
	return sp_fixture_balance(fx) == SP_BALANCE_HASH;
}

static void ctl_of(const struct sp_fixture *fx, const struct sp_group *group, struct sp_ctl *ret_ctl)
{
	*ret_ctl = (struct sp_ctl){
		.netns_cookie = group->netns_cookie,
		.netns_inode = group->netns_inode,
		.ifindex = group->ifindex,
		.protocol = group->protocol,
		.family = group->address.family,
		.port = group->port,
		.uid = group->uid,
		.hash = fx->what->hash,
		.track = fx->what->track,
		.balance = sp_fixture_balance(fx),
		.learn_ns = fx->learn_ns,
		.key = { 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL },
	};
	memcpy(ret_ctl->addr, group->address.bytes, sizeof(ret_ctl->addr));
}

void sp_fixture_load(struct sp_fixture *fx)
{
	const struct sp_endpoint endpoint = {
		.protocol = fx->protocol,
		.has_address = true,
		.address = fx->address,
		.port = fx->port,
	};
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;
	__u64 netns_cookie;
	__u32 netns_inode;
	struct sp_ctl ctl;

	require_ok(sp_netns_resolve(NULL, &netns_cookie, &netns_inode));
	require_ok(sp_members_scan(fx->port, &groups));
	require_ok(sp_group_find(groups, &endpoint, netns_cookie, &group));
	ctl_of(fx, group, &ctl);
	require_ok(sp_steer_load(SP_FIXTURE_NAME, &ctl, group->size, KEPT_FLOWS_MAX, &fx->pins));
	require_ok(sp_pin_publish(SP_FIXTURE_BPFFS, &fx->pins));
	sp_fixture_look(fx);
}

void sp_fixture_sync(struct sp_fixture *fx)
{
	const struct sp_reconcile_options options = { 0 };
	sp_autoclose int lock = -1;

	require_ok(sp_pin_lock(SP_FIXTURE_BPFFS, &lock));
	require_ok(sp_reconcile(&fx->pins, &options, &fx->result));
	count_files(fx);
	sp_fixture_look(fx);
}

void sp_fixture_attach(struct sp_fixture *fx)
{
	sp_fixture_load(fx);
	sp_fixture_sync(fx);
	assert_true(fx->result.did_attach);
}

void sp_fixture_end_window(struct sp_fixture *fx)
{
	struct sp_view *view;

	sp_fixture_look(fx);
	view = &fx->state->views[fx->state->ctl.current];
	if (!view->learn_until_ns)
		return;
	/* Not 0, which says that all is settled. */
	view->learn_until_ns = 1;
	require_ok(sp_state_write_view(&fx->pins, fx->state->ctl.current, view));
}

void sp_fixture_settle(struct sp_fixture *fx)
{
	sp_fixture_end_window(fx);
	sp_fixture_sync(fx);
	assert_false(fx->result.is_learning);
}

/* --- accounts --- */

static __u64 counter(struct sp_fixture *fx, int row, size_t offset)
{
	sp_autofree struct sp_counters *rows = NULL;
	__u64 sum = 0;
	__u32 count;

	require_ok(sp_state_counters(&fx->pins, &rows, &count));
	assert_true(row < (int)count);
	for (__u32 i = 0; i < count; i++)
		if (row < 0 || i == (__u32)row)
			sum += *(__u64 *)((char *)&rows[i] + offset);
	return sum;
}

/* With $TEST_BALANCE, what a case knows as steered may have been placed elsewhere. */
__u64 sp_fixture_counter(struct sp_fixture *fx, int row, size_t offset)
{
	if (offset == offsetof(struct sp_counters, steered) && fx->what->balance != sp_fixture_balance(fx))
		return counter(fx, row, offset) + counter(fx, row, offsetof(struct sp_counters, placed));
	return counter(fx, row, offset);
}

__u64 sp_fixture_outcomes(struct sp_fixture *fx)
{
	enum {
		OUTCOME = 1,
		DETAIL = 0
	};
	__u64 sum = 0;

#define SP_COUNTER(name, kind, text) \
	if (kind)                    \
		sum += counter(fx, -1, offsetof(struct sp_counters, name));
#include <steadyport/counters.def>
#undef SP_COUNTER
	return sum;
}

__u64 sp_fixture_runs(struct sp_fixture *fx)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fx->pins.prog, &info, &len), 0);
	return info.run_cnt;
}

void sp_fixture_require_asked(struct sp_fixture *fx, __u64 actual, __u64 requests, const char *file, int line)
{
	if (fx->protocol == SP_UDP)
		_assert_int_equal(actual, requests, file, line);
	else
		_assert_true(actual >= requests, "asked at least once for each request", file, line);
}

__u64 sp_fixture_kept(struct sp_fixture *fx)
{
	__u64 count = 0;

	sp_fixture_look(fx);
	require_ok(sp_kept_count(&fx->pins, fx->state, &count));
	return count;
}
