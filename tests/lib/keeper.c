// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `steadyport run` under test. */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "cleanup.h"
#include "manager.h"
#include "placing.h"

#define POLL_MS 10
#define FIRST_PASSED 3 /* SD_LISTEN_FDS_START */

static struct sp_keeper *last; /* whose configuration is there */
static struct sp_keeper *running; /* for the teardown after a case that failed half-way */

static void write_config(struct sp_keeper *k, const char *text)
{
	FILE *file;

	if (!k->directory[0]) {
		strcpy(k->directory, "/tmp/sp-keeper-XXXXXX");
		assert_non_null(mkdtemp(k->directory));
		snprintf(k->config, sizeof(k->config), "%s/steadyport.conf", k->directory);
		last = k;
	}
	if (!text)
		return;
	file = fopen(k->config, "w");
	assert_non_null(file);
	sp_placing_config(text, file);
	assert_false(ferror(file));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(k->config, 0644), 0);
}

/* Also those below another mount: from the last one mounted on. */
static void unmount_cgroups(void)
{
	struct mntent *entry;
	char last[256];
	FILE *mounts;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		_exit(126);
	do {
		last[0] = '\0';
		mounts = setmntent("/proc/self/mounts", "r");
		while (mounts && (entry = getmntent(mounts))) {
			if (!strcmp(entry->mnt_type, "cgroup2"))
				snprintf(last, sizeof(last), "%s", entry->mnt_dir);
		}
		if (!mounts || (last[0] && umount2(last, MNT_DETACH)))
			_exit(126);
		endmntent(mounts);
	} while (last[0]);
}

/* What is open at these numbers is the test's, close-on-exec, and only moves to another number. */
static void pass_stored(const struct sp_keeper *k)
{
	char names[sizeof(k->store)] = "", text[16];
	int high[SP_KEEPER_STORE_MAX];

	for (size_t i = 0; i < k->nstored; i++) {
		high[i] = fcntl(k->store[i].fd, F_DUPFD_CLOEXEC, FIRST_PASSED + SP_KEEPER_STORE_MAX);
		strcat(strcat(names, i ? ":" : ""), k->store[i].name);
	}
	for (size_t i = 0; i < k->nstored; i++) {
		if (dup2(high[i], FIRST_PASSED + i) < 0)
			_exit(126);
	}
	snprintf(text, sizeof(text), "%d", getpid());
	setenv("LISTEN_PID", text, 1);
	snprintf(text, sizeof(text), "%zu", k->nstored);
	setenv("LISTEN_FDS", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

/* In the child. */
static void prepare(void *ctx)
{
	const struct sp_keeper *k = ctx;
	char text[64];
	struct stat st;

	if (k->watchdog_usec) {
		snprintf(text, sizeof(text), "%llu", k->watchdog_usec);
		setenv("WATCHDOG_USEC", text, 1);
	}
	if (k->has_no_cgroups)
		unmount_cgroups();
	if (k->has_journal && fstat(2, &st) == 0) {
		snprintf(text, sizeof(text), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
		setenv("JOURNAL_STREAM", text, 1);
	}
	if (k->sandbox)
		sp_sandbox_enter(k->sandbox);
	if (k->nstored)
		pass_stored(k);
}

void sp_keeper_launch(struct sp_keeper *k, const char *config)
{
	const struct sp_run_setup setup = { .prepare = prepare, .ctx = k };
	const char *words[] = {
		"steadyport", "run", "--config", k->config, k->is_verbose ? "-v" : NULL, NULL
	};

	assert_null(running);
	write_config(k, config);
	k->manager = sp_manager_open();
	k->notified_len = 0;
	k->notified[0] = '\0';
	running = k;
	sp_run_start(&k->run, &setup, words);
	unsetenv("NOTIFY_SOCKET");
}

static void drop_stored(struct sp_keeper *k, const char *name)
{
	size_t left = 0;

	for (size_t i = 0; i < k->nstored; i++) {
		if (name && strcmp(k->store[i].name, name))
			k->store[left++] = k->store[i];
		else
			close(k->store[i].fd);
	}
	k->nstored = left;
}

/* As manager_invoke_notify_message() of systemd. @fd: that came with the text, or -1; taken */
static void do_as_told(struct sp_keeper *k, const char *text, int fd)
{
	struct sp_keeper_stored one = { .fd = fd };
	const char *name = strstr(text, "FDNAME=");

	if (k->has_store && name && sscanf(name, "FDNAME=%255[^\n]", one.name) == 1) {
		if (strstr(text, "FDSTORE=1")) {
			assert_true(fd >= 0);
			assert_true(k->nstored < SP_KEEPER_STORE_MAX);
			k->store[k->nstored++] = one;
			return;
		}
		if (strstr(text, "FDSTOREREMOVE=1"))
			drop_stored(k, one.name);
	}
	sp_close_fd(&fd);
}

static void read_notified(struct sp_keeper *k)
{
	ssize_t n;

	for (;;) {
		char *end = k->notified + k->notified_len;
		int fd;

		assert_true(k->notified_len + 2 < sizeof(k->notified));
		n = sp_manager_receive(k->manager, end, sizeof(k->notified) - k->notified_len - 1, &fd);
		if (n < 0)
			break;
		do_as_told(k, end, fd);
		end[n] = '\n';
		end[n + 1] = '\0';
		k->notified_len += n + 1;
	}
}

bool sp_keeper_has_notified(struct sp_keeper *k, const char *text)
{
	read_notified(k);
	return strstr(k->notified, text);
}

size_t sp_keeper_stored(struct sp_keeper *k)
{
	if (running == k)
		read_notified(k);
	return k->nstored;
}

bool sp_keeper_has_said(struct sp_keeper *k, const char *text)
{
	sp_run_drain(&k->run);
	return k->run.err && strstr(k->run.err, text);
}

static void wait_until(struct sp_keeper *k, bool (*is_so)(struct sp_keeper *k, const char *text),
		       const char *text)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	while (!is_so(k, text)) {
		sp_run_drain(&k->run);
		if (sp_lab_left_ms(deadline) && !sp_run_has_ended(&k->run)) {
			poll(NULL, 0, POLL_MS);
			continue;
		}
		print_error("the daemon did not say \"%s\"; it said:\n%s%s", text, k->run.err ?: "",
			    k->notified);
		fail();
	}
}

void sp_keeper_wait(struct sp_keeper *k, const char *text)
{
	wait_until(k, sp_keeper_has_said, text);
}

void sp_keeper_wait_notified(struct sp_keeper *k, const char *text)
{
	wait_until(k, sp_keeper_has_notified, text);
}

void sp_keeper_start(struct sp_keeper *k, const char *config)
{
	sp_keeper_launch(k, config);
	sp_keeper_wait_notified(k, "READY=1");
}

void sp_keeper_order(struct sp_keeper *k, const char *config)
{
	write_config(k, config);
	read_notified(k);
	k->notified_len = 0;
	k->notified[0] = '\0';
	assert_int_equal(kill(k->run.pid, SIGHUP), 0);
}

void sp_keeper_reload(struct sp_keeper *k, const char *config)
{
	sp_keeper_order(k, config);
	sp_keeper_wait_notified(k, "RELOADING=1");
	sp_keeper_wait_notified(k, "READY=1");
}

/* @signal: 0: it ends by itself */
static void end(struct sp_keeper *k, int signal, int status)
{
	assert_ptr_equal(running, k);
	if (signal)
		assert_int_equal(kill(k->run.pid, signal), 0);
	sp_run_wait(&k->run);
	read_notified(k);
	sp_close_fd(&k->manager);
	running = NULL;
	if (k->run.status != status)
		print_error("the daemon said:\n%s", k->run.err);
	assert_int_equal(k->run.status, status);
	sp_run_free(&k->run);
}

void sp_keeper_bury(struct sp_keeper *k, int status)
{
	end(k, 0, status);
}

void sp_keeper_fail(struct sp_keeper *k, const char *config)
{
	sp_keeper_launch(k, config);
	end(k, 0, SP_EXIT_FAILED);
}

void sp_keeper_stop(struct sp_keeper *k)
{
	end(k, SIGTERM, SP_EXIT_OK);
}

void sp_keeper_kill(struct sp_keeper *k)
{
	end(k, SIGKILL, SP_RUN_SIGNALLED + SIGKILL);
}

void sp_keeper_wait_enrolled(const char *name, json_int_t count)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;
	const char *const words[] = { "steadyport", "status", name, "--json", NULL };
	json_int_t seen = -1;

	while (seen != count) {
		struct sp_run run;

		sp_run_start(&run, NULL, words);
		sp_run_wait(&run);
		if (run.status == SP_EXIT_OK) {
			json_t *status = json_loads(run.out, 0, NULL);

			seen = sp_json_bool(status, "attached") ? sp_json_int(status, "enrolled") : -1;
			json_decref(status);
		}
		sp_run_free(&run);
		if (sp_lab_left_ms(deadline) == 0) {
			print_error("%s has %lld members enrolled, not %lld\n", name, (long long)seen,
				    (long long)count);
			fail();
		}
	}
}

void sp_keeper_wait_slot(const char *name, unsigned int slot, const char *state)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	while (!sp_status_slot_is(name, slot, state)) {
		if (!sp_lab_left_ms(deadline))
			fail_msg("slot %u of %s does not become \"%s\"", slot, name, state);
		poll(NULL, 0, POLL_MS);
	}
}

static int compare(const void *a, const void *b)
{
	const __u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return (x > y) - (x < y);
}

void sp_keeper_joins(struct sp_keeper *k, struct sp_keeper_joins *ret)
{
	size_t count = 0;

	memset(ret, 0, sizeof(*ret));
	sp_run_drain(&k->run);
	for (const char *line = k->run.err; line && *line; line = strchr(line, '\n') + 1) {
		char name[32], by[8];
		unsigned int slot;
		__u64 us;

		if (!strchr(line, '\n'))
			break;
		ret->without_news += sscanf(line, "note: %31[^:]: slot %u: found by a look, without new%1[s]",
					    name, &slot, by) == 3;
		if (sscanf(line, "note: %31[^:]: slot %u: its share %llu us after its %*[^,], by %7s", name,
			   &slot, &us, by) != 4)
			continue;
		assert_in_range(count, 0, SP_ARRAY_SIZE(ret->us) - 1);
		ret->us[count++] = us;
		if (!strcmp(by, "news"))
			ret->by_news++;
		else
			ret->by_sweep++;
	}
	qsort(ret->us, count, sizeof(*ret->us), compare);
}

void sp_keeper_wait_joins(struct sp_keeper *k, size_t count, struct sp_keeper_joins *ret)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	for (;;) {
		sp_keeper_joins(k, ret);
		if (ret->by_news + ret->by_sweep + ret->without_news >= count)
			return;
		if (!sp_lab_left_ms(deadline)) {
			print_error("%zu have not joined; the daemon said:\n%s", count, k->run.err);
			fail();
		}
		poll(NULL, 0, POLL_MS);
	}
}

int sp_keeper_teardown(void **state)
{
	struct sp_keeper *k = running;

	if (k) {
		sp_run_free(&k->run);
		sp_close_fd(&k->manager);
		running = NULL;
	}
	if (last) {
		drop_stored(last, NULL);
		unlink(last->config);
		rmdir(last->directory);
		last->directory[0] = '\0';
		last = NULL;
	}
	return sp_run_teardown(state);
}
