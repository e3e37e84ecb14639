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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "cleanup.h"

#define POLL_MS 10

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
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(k->config, 0644), 0);
}

/* An address in the abstract namespace, which is that of the network namespace: tests do not meet there. */
static void open_manager(struct sp_keeper *k)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(address);
	char name[64];

	k->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(k->manager >= 0);
	assert_int_equal(bind(k->manager, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(k->manager, (struct sockaddr *)&address, &len), 0);
	snprintf(name, sizeof(name), "@%.*s", (int)(len - sizeof(sa_family_t) - 1), address.sun_path + 1);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
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
}

void sp_keeper_launch(struct sp_keeper *k, const char *config)
{
	const struct sp_run_setup setup = { .prepare = prepare, .ctx = k };
	const char *words[] = {
		"steadyport", "run", "--config", k->config, k->is_verbose ? "-v" : NULL, NULL
	};

	assert_null(running);
	write_config(k, config);
	open_manager(k);
	k->notified_len = 0;
	k->notified[0] = '\0';
	running = k;
	sp_run_start(&k->run, &setup, words);
	unsetenv("NOTIFY_SOCKET");
}

static void read_notified(struct sp_keeper *k)
{
	ssize_t n;

	for (;;) {
		char *end = k->notified + k->notified_len;

		assert_true(k->notified_len + 2 < sizeof(k->notified));
		n = recv(k->manager, end, sizeof(k->notified) - k->notified_len - 2, 0);
		if (n < 0)
			break;
		end[n] = '\n';
		end[n + 1] = '\0';
		k->notified_len += n + 1;
	}
	assert_int_equal(errno, EAGAIN);
}

bool sp_keeper_has_notified(struct sp_keeper *k, const char *text)
{
	read_notified(k);
	return strstr(k->notified, text);
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

static void end(struct sp_keeper *k, int signal, int status)
{
	assert_ptr_equal(running, k);
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
		unlink(last->config);
		rmdir(last->directory);
		last->directory[0] = '\0';
		last = NULL;
	}
	return sp_run_teardown(state);
}
