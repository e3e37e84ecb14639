// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Runs the binary under ptrace and kills it after one of its system calls. */
#include "kill.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cleanup.h"
#include "trace.h"

#define ROOT SP_KILL_BPFFS "/steadyport"

/*
 * The loader is killed once after each call that changes what outlives it. Of the others, which leave nothing
 * behind that the one before did not, after every STRIDEth; reads do not count, there are thousands.
 */
#define STRIDE 50

bool sp_kill_run(struct sp_run *run, unsigned int nth, const char *const *words)
{
	enum sp_trace_effect effect = SP_TRACE_READS;
	unsigned int counted = 0, others = 0;
	enum sp_trace_stop stop;
	struct sp_trace trace;

	sp_trace_start(&trace, run, words);
	while ((stop = sp_trace_next(&trace)) != SP_TRACE_END) {
		if (stop == SP_TRACE_ENTRY) {
			effect = sp_trace_effect(&trace);
			continue;
		}
		/* One that failed has changed nothing. */
		if (effect == SP_TRACE_READS || trace.call.exit.is_error)
			continue;
		if (effect == SP_TRACE_PASSES_AWAY && ++others % STRIDE)
			continue;
		if (++counted < nth)
			continue;
		sp_trace_kill(&trace);
		sp_run_wait(run);
		assert_int_equal(run->status, SP_RUN_SIGNALLED + SIGKILL);
		return true;
	}
	sp_trace_end(&trace);
	sp_run_wait(run);
	return false;
}

static const char *const pins[] = { SP_PIN_PROG,  SP_PIN_SLOTS,	   SP_PIN_VIEWS,   SP_PIN_CTL,	 SP_PIN_INFO,
				    SP_PIN_FLOWS, SP_PIN_COUNTERS, SP_PIN_CARRIED, SP_PIN_EVENTS };

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

unsigned int sp_kill_stride(unsigned int calls)
{
	return sp_run_slowness() > 1 ? 3 * calls : calls;
}

bool sp_left_pins(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), ROOT "/%s", name);
	if (!exists(path))
		return false;
	for (size_t i = 0; i < SP_ARRAY_SIZE(pins); i++) {
		snprintf(path, sizeof(path), ROOT "/%s/%s", name, pins[i]);
		if (!exists(path))
			fail_msg("%s is missing", path);
	}
	return true;
}

bool sp_left_staging(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), ROOT "/~%s", name);
	return exists(path);
}

bool sp_left_attached(__u16 port)
{
	json_t *groups = sp_groups_here();
	const char *kind =
		sp_json_text(sp_json_object(sp_json_find(groups, "port", port), "program"), "kind");
	bool is_ours = !strcmp(kind, "steadyport");

	assert_true(is_ours || !strcmp(kind, "none"));
	json_decref(groups);
	return is_ours;
}

void sp_left_nothing(__u16 port)
{
	DIR *dir = opendir(ROOT);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		print_error("%s/%s is left\n", ROOT, entry->d_name);
		fail();
	}
	closedir(dir);
	assert_false(sp_left_attached(port));
}
