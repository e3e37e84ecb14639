// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Looks at a steered group. */
#include "scene.h"

#include <dirent.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <steadyport/choose.h>
#include "cleanup.h"
#include "group.h"
#include "members.h"
#include "netns.h"
#include "pin.h"
#include "steer.h"

#define LINK_MAX_LEN 64 /* "socket:[123456789]" */

void sp_scene_open(struct sp_scene *scene)
{
	sp_crew_start(&scene->crew, SP_UDP, "127.0.0.1", 0, SP_SCENE_WORKERS, NULL);
	sp_crowd_open(&scene->crowd, &scene->crew, "127.0.0.1", NULL, 0, SP_SCENE_FLOWS);
	sp_crowd_ask(&scene->crowd, scene->before);
}

void sp_scene_close(struct sp_scene *scene)
{
	sp_crowd_close(&scene->crowd);
	sp_crew_dismiss(&scene->crew);
}

void sp_scene_check_flows(struct sp_scene *scene)
{
	sp_crowd_stays(&scene->crowd, &scene->crew, scene->before, scene->after);
}

/* The id of the program that the group runs; 0: none. */
static __u32 attached_program(const struct sp_scene *scene)
{
	static struct sp_scanner *scanner;
	sp_autogroups struct sp_groups *groups = NULL;
	__u64 netns_cookie;
	__u32 inode, id = 0;

	if (!scanner)
		assert_int_equal(sp_scanner_open(0, &scanner), 0);
	assert_int_equal(sp_netns_resolve(NULL, &netns_cookie, &inode), 0);
	assert_int_equal(sp_scanner_scan(scanner, &groups), 0);
	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];

		if (g->netns_cookie == netns_cookie && g->port == scene->crew.port &&
		    g->protocol == scene->crew.protocol && g->has_group)
			id = g->prog_id;
	}
	return id;
}

bool sp_scene_is_attached(const struct sp_scene *scene)
{
	return attached_program(scene) != 0;
}

static unsigned int count_mounts(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *entry;
	unsigned int count = 0;

	assert_non_null(mounts);
	while ((entry = getmntent(mounts)))
		count += !strcmp(entry->mnt_dir, SP_KILL_BPFFS);
	endmntent(mounts);
	return count;
}

void sp_scene_check_pins(const struct sp_scene *scene)
{
	bool has_pins = sp_left_pins(SP_SCENE_NAME);
	static unsigned int mounts;

	mounts = mounts ?: count_mounts();
	assert_int_equal(count_mounts(), mounts);
	assert_true(has_pins || !sp_scene_is_attached(scene));
}

static bool look(struct sp_pins *pins, struct sp_state **ret_state)
{
	return sp_pin_exists(SP_KILL_BPFFS, SP_SCENE_NAME) &&
	       !sp_pin_open(SP_KILL_BPFFS, SP_SCENE_NAME, pins) && !sp_state_read(pins, ret_state);
}

bool sp_scene_is_steered(const struct sp_scene *scene, unsigned int enrolled)
{
	sp_autostate struct sp_state *state = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	unsigned int count = 0;
	__u32 id;

	if (!look(&pins, &state) || sp_steer_program_id(&pins, &id) || !state->ctl.attached_at)
		return false;
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		count += sp_slot_is_live(state, slot) && state->info[slot].state != SP_SLOT_PARKED &&
			 (sp_is_usable(sp_state_current(state), slot) ||
			  state->info[slot].state != SP_SLOT_LIVE);
	return count == enrolled && !sp_left_staging(SP_SCENE_NAME) && attached_program(scene) == id;
}

struct sp_info sp_scene_slot(__u32 slot)
{
	sp_autostate struct sp_state *state = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;

	return look(&pins, &state) ? state->info[slot] : (struct sp_info){ 0 };
}

__u32 sp_scene_idle_s(void)
{
	sp_autostate struct sp_state *state = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;

	return look(&pins, &state) ? state->ctl.flow_idle_s : 0;
}

__u64 sp_scene_parking(void)
{
	sp_autostate struct sp_state *state = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;

	return look(&pins, &state) && state->info[SP_SLOT_PARK].state == SP_SLOT_PARKED ?
		       state->cookie[SP_SLOT_PARK] :
		       0;
}

int sp_scene_slot_of(const struct sp_scene *scene, unsigned int id)
{
	sp_autostate struct sp_state *state = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;

	return look(&pins, &state) ? sp_state_slot_of(state, scene->crew.workers[id].cookie) : -1;
}

__u32 sp_scene_program(void)
{
	__u32 ids[2];

	assert_int_equal(sp_pin_program_ids(SP_KILL_BPFFS, SP_SCENE_NAME, ids), 0);
	return ids[0];
}

static __u64 mix(__u64 hash, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 1099511628211ULL; /* FNV-1a */
	return hash;
}

__u64 sp_scene_fingerprint(const struct sp_scene *scene)
{
	sp_autostate struct sp_state *state = NULL;
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	__u64 hash = 14695981039346656037ULL;
	__u64 facts[] = {
		0, /* identity */
		sp_left_staging(SP_SCENE_NAME),
		attached_program(scene),
		sp_scene_program(),
	};

	assert_int_equal(sp_pin_identity(SP_KILL_BPFFS, SP_SCENE_NAME, &facts[0]), 0);
	hash = mix(hash, facts, sizeof(facts));
	if (!look(&pins, &state))
		return hash;
	hash = mix(hash, &state->ctl, sizeof(state->ctl));
	hash = mix(hash, state->views, SP_VIEWS * sizeof(*state->views));
	hash = mix(hash, state->info, SP_SLOTS_MAX * sizeof(*state->info));
	return mix(hash, state->cookie, SP_SLOTS_MAX * sizeof(*state->cookie));
}

/* Calls for each descriptor of a process, with what it is. */
static unsigned int each_file(pid_t pid, bool (*is_counted)(const char *link, const void *ctx),
			      const void *ctx)
{
	char path[64], link[LINK_MAX_LEN];
	struct dirent *entry;
	unsigned int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		if (len < 0)
			continue;
		link[len] = '\0';
		count += is_counted(link, ctx);
	}
	closedir(dir);
	return count;
}

static bool is_any(const char *link, const void *ctx)
{
	(void)link, (void)ctx;
	return true;
}

static bool is_same(const char *link, const void *ctx)
{
	return !strncmp(link, "socket:", 7) && !strcmp(link, ctx);
}

struct comparison {
	pid_t other;
};

static bool is_shared(const char *link, const void *ctx)
{
	const struct comparison *c = ctx;

	return each_file(c->other, is_same, link) > 0;
}

bool sp_scene_holds_none(const struct sp_scene *scene, pid_t pid)
{
	const struct comparison with_other = { pid };

	for (unsigned int id = 0; id < scene->crew.size; id++)
		if (scene->crew.workers[id].pid &&
		    each_file(scene->crew.workers[id].pid, is_shared, &with_other))
			return false;
	return true;
}

unsigned int sp_scene_count_files(pid_t pid)
{
	return each_file(pid, is_any, NULL);
}

int sp_scene_run_side_by_side(const struct CMUnitTest *tests, size_t count)
{
	const char *only = getenv("FAULTS_ONLY");
	int failed = 0, status;

	for (size_t i = 0; i < count; i++) {
		pid_t pid;

		if (only && !strstr(tests[i].name, only))
			continue;
		pid = fork();
		if (pid < 0)
			failed++;
		if (pid)
			continue;
		if (sp_lab_enter(SP_KILL_BPFFS))
			_exit(EXIT_FAILURE);
		exit(_cmocka_run_group_tests(tests[i].name, &tests[i], 1, NULL, NULL));
	}
	while (wait(&status) > 0)
		failed += status != 0;
	return failed;
}
