// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a refused command must leave as it was. */
#include "world.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char world_before[65536], *world;

static int add_path(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	size_t len = strlen(world);

	(void)ftw;
	snprintf(world + len, sizeof(world_before) - len, "%s %d %llu\n", path, kind,
		 (unsigned long long)st->st_ino);
	return 0;
}

static void look_at_world(char *buf)
{
	json_t *groups = sp_groups_here(), *group;
	size_t i, len;

	world = buf;
	*buf = '\0';
	assert_int_equal(nftw("/sys/fs/bpf", add_path, 16, FTW_PHYS), 0);
	json_array_foreach(groups, i, group) {
		char *program = json_dumps(sp_json_object(group, "program"), JSON_SORT_KEYS);

		len = strlen(buf);
		snprintf(buf + len, sizeof(world_before) - len, "%s %s\n", sp_json_text(group, "endpoint"),
			 program);
		free(program);
	}
	json_decref(groups);
}

void sp_world_changed(void)
{
	look_at_world(world_before);
}

/* The directory of all groups appears with the first attach, refused or not: that is no change of a group. */
int sp_world_setup(void **state)
{
	(void)state;
	mkdir("/sys/fs/bpf/steadyport", 0700);
	sp_world_changed();
	return 0;
}

void sp_world_expect_same(const char *file, int line)
{
	static char now[sizeof(world_before)];

	look_at_world(now);
	if (!strcmp(now, world_before))
		return;
	print_error("before:\n%safter:\n%s", world_before, now);
	_fail(file, line);
}

void sp_world_expect_text(const char *file, int line, const struct sp_run *run, const char *text)
{
	if (strstr(run->err, text))
		return;
	print_error("does not say \"%s\":\n%s", text, run->err);
	_fail(file, line);
}

/* A refusal in the house form: the error on one line, the next step on the line below it. */
void sp_world_expect_refusal(const char *file, int line, const struct sp_run *run, const char *what,
			     const char *next_step)
{
	const char *second = strchr(run->err, '\n');

	sp_world_expect_text(file, line, run, what);
	sp_world_expect_text(file, line, run, next_step);
	if (!second || strncmp(run->err, "error: ", 7) || strncmp(second, "\n       ", 8) || run->out[0]) {
		print_error("not an error and the next step below it, or an answer too:\n%s%s", run->out,
			    run->err);
		_fail(file, line);
	}
	sp_world_expect_same(file, line);
}
