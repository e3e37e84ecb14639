// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who is not root, and what he cannot do. docs/SECURITY.md has the list. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "run.h"

#define NOBODY 65534
#define WORKERS 4
#define FLOWS 400
#define ROOM 1024 /* for kept flows */
#define SPOOFED 16384

static struct sp_crew crew;
static char place[64]; /* a bpffs of its own, or where one is to be */

static int set_up(void **state)
{
	(void)state;
	strcpy(place, "/tmp/sp-security-XXXXXX");
	return mkdtemp(place) && chmod(place, 0755) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	char path[128];

	umount2(place, MNT_DETACH);
	snprintf(path, sizeof(path), "%s/there", place);
	umount2(path, MNT_DETACH);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/link", place);
	unlink(path);
	rmdir(place);
	return sp_run_teardown(state);
}

static void become_nobody(void *unused)
{
	(void)unused;
	if (setgid(NOBODY) || setuid(NOBODY))
		_exit(126);
}

/* Runs a function as nobody; it returns 0 or an errno. */
static int as_nobody(int (*call)(const char *path), const char *path)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		become_nobody(NULL);
		_exit(call(path));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* --- the place of the pins --- */

static void mount_bpffs(const char *mode)
{
	assert_int_equal(mount("bpf", place, "bpf", 0, mode), 0);
}

static void require_refused(const char *bpffs, const char *why)
{
	const char *const commands[] = { "list", "attach" };
	const struct sp_run *run;

	for (size_t i = 0; i < SP_ARRAY_SIZE(commands); i++) {
		if (i == 0)
			run = sp_run_fails(SP_EXIT_FAILED, "list", "--bpffs", bpffs);
		else
			run = sp_run_fails(SP_EXIT_FAILED, "attach", "web", crew.endpoint, "--bpffs", bpffs);
		if (!strstr(run->err, "cannot be trusted: ") || !strstr(run->err, why))
			fail_msg("%s: not \"%s\", but: %s", commands[i], why, run->err);
	}
	assert_string_equal(sp_crew_program(&crew), "none");
}

static void pins__of_a_steered_group__are_roots_alone(void **state)
{
	static const char *const directories[] = { "/sys/fs/bpf/steadyport", "/sys/fs/bpf/steadyport/web" };
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", "web", crew.endpoint);
	for (size_t i = 0; i < SP_ARRAY_SIZE(directories); i++) {
		dir = opendir(directories[i]);
		assert_non_null(dir);
		assert_int_equal(fstat(dirfd(dir), &st), 0);
		assert_int_equal(st.st_uid, 0);
		assert_int_equal(st.st_mode & 0077, 0);
		while ((entry = readdir(dir))) {
			if (entry->d_name[0] == '.')
				continue;
			assert_int_equal(fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
			assert_int_equal(st.st_uid, 0);
			assert_int_equal(st.st_mode & 0077, 0);
		}
		closedir(dir);
	}
}

static int make_directory(const char *path)
{
	return mkdir(path, 0755) ? errno : 0;
}

static int make_link(const char *path)
{
	return symlink("/tmp", path) ? errno : 0;
}

/* Anybody can make directories and links in a bpffs that was mounted as its default has it. */
static void root__made_by_somebody_else__refused(void **state)
{
	char path[128];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	mount_bpffs("mode=1777");
	snprintf(path, sizeof(path), "%s/steadyport", place);
	assert_int_equal(as_nobody(make_directory, path), 0);
	require_refused(place, "it belongs to another user");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(as_nobody(make_link, path), 0);
	require_refused(place, "it is not a directory");
	assert_int_equal(unlink(path), 0);

	sp_run("attach", "web", crew.endpoint, "--bpffs", place);
	sp_run("detach", "web", "--bpffs", place);
	assert_int_equal(chmod(path, 0777), 0);
	require_refused(place, "others may write to it");
}

static void root__in_a_directory_where_others_may_rename__refused(void **state)
{
	char path[128];

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	/* A mount is sticky, whatever its mode; but that is no law. */
	mount_bpffs("mode=0777");
	assert_int_equal(chmod(place, 0777), 0);
	snprintf(path, sizeof(path), "%s/steadyport", place);
	assert_int_equal(mkdir(path, 0700), 0);
	require_refused(place, "others may write to it");
}

/* A bpffs is mounted where there is none: not where somebody else lets a path lead. */
static void bpffs__path_is_a_link_or_anothers__nothing_is_mounted(void **state)
{
	char there[128], link[128];
	const struct sp_run *run;
	struct stat before, after;

	(void)state;
	sp_crew_start(&crew, SP_TCP, "127.0.0.1", 0, WORKERS, NULL);
	snprintf(there, sizeof(there), "%s/there", place);
	snprintf(link, sizeof(link), "%s/link", place);
	assert_int_equal(mkdir(there, 0755), 0);
	assert_int_equal(symlink(there, link), 0);
	assert_int_equal(stat(there, &before), 0);
	run = sp_run_fails(SP_EXIT_FAILED, "attach", "web", crew.endpoint, "--bpffs", link);
	assert_non_null(strstr(run->err, "it is not a directory, but a link or a file"));
	assert_int_equal(chown(there, NOBODY, NOBODY), 0);
	run = sp_run_fails(SP_EXIT_FAILED, "attach", "web", crew.endpoint, "--bpffs", there);
	assert_non_null(strstr(run->err, "it belongs to another user"));
	assert_int_equal(stat(there, &after), 0);
	assert_int_equal(after.st_dev, before.st_dev);
	assert_int_equal(chown(there, 0, 0), 0);
	sp_run("attach", "web", crew.endpoint, "--bpffs", there);
	assert_int_equal(stat(there, &after), 0);
	assert_int_not_equal(after.st_dev, before.st_dev);
	sp_run("detach", "web", "--bpffs", there);
}

/* --- somebody without privileges --- */

static int open_pin(const char *path)
{
	return bpf_obj_get(path) >= 0 ? 0 : errno;
}

static int join_group(const char *unused)
{
	(void)unused;
	/* Not through sp_crew_join(), which ends the test. */
	struct sockaddr_storage sa;
	socklen_t len = sp_address_to_sockaddr(&crew.address, crew.port, &sa);
	int one = 1, fd = socket(crew.address.family, SOCK_DGRAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
		return errno;
	return bind(fd, (struct sockaddr *)&sa, len) ? errno : 0;
}

static void nobody__reads_joins_and_changes_nothing(void **state)
{
	static const char *const words[][6] = {
		{ "list" },
		{ "groups" },
		{ "status", "dns" },
		{ "flows", "dns" },
		{ "counters", "dns" },
		{ "snapshot", "dns" },
		{ "sync", "dns" },
		{ "detach", "dns" },
		{ "drain", "dns", "0" },
		{ "upgrade", "dns" },
		{ "where", "dns", "127.0.0.1:1000" },
	};
	const struct sp_run_setup nobody = { .prepare = become_nobody };
	struct sp_run run = { 0 };

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", "dns", crew.endpoint);
	for (size_t i = 0; i < SP_ARRAY_SIZE(words); i++) {
		const char *all[8] = { "steadyport" };

		memcpy(all + 1, words[i], sizeof(words[i]));
		sp_run_start(&run, &nobody, all);
		sp_run_wait(&run);
		assert_int_equal(run.status, SP_EXIT_FAILED);
		assert_string_equal(run.out, "");
		assert_memory_equal(run.err, "error: ", 7);
		sp_run_free(&run);
	}
	assert_int_equal(as_nobody(open_pin, "/sys/fs/bpf/steadyport/dns/sp_flows"), EACCES);
	assert_int_equal(as_nobody(join_group, NULL), EADDRINUSE);
	assert_int_equal(join_group(NULL), 0);
	assert_int_equal(sp_status_int("dns", "enrolled"), WORKERS);
}

/* --- somebody who can send any packets --- */

/* From addresses and ports of his choice, as many flows as he likes, in the worst moment. */
static void spoof(void)
{
	struct sockaddr_storage sa;
	socklen_t len = sp_address_to_sockaddr(&crew.address, crew.port, &sa);

	for (__u32 i = 0; i < SPOOFED; i++) {
		const struct sockaddr_in from = {
			.sin_family = AF_INET,
			.sin_port = htons(1024 + i % 16),
			.sin_addr.s_addr = htonl(0x7f010000 + i / 16),
		};
		sp_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0);
		assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof(from)), 0);
		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&sa, len), 1);
	}
}

static void flood__spoofed_flows_in_a_learn_window__table_is_bounded_and_flows_elsewhere_stay(void **state)
{
	int before[FLOWS], after[FLOWS];
	size_t evicted = 0;
	struct sp_crowd crowd;

	(void)state;
	sp_crew_start(&crew, SP_UDP, "127.0.0.1", 0, WORKERS, NULL);
	sp_run("attach", "dns", crew.endpoint, "--flows", "1024", "--learn", sp_run_window(5000));
	sp_status_wait_settled("dns");
	sp_run("sync", "dns");
	/* Only now, so that each goes where its bucket goes: a flood evicts what is kept since the attach. */
	sp_crowd_open(&crowd, &crew, "127.0.0.1", NULL, 20000, FLOWS);
	sp_crowd_ask(&crowd, before);
	assert_int_equal(sp_status_int("dns", "kept_flows"), 0);

	/* A fifth of the buckets moves to the newcomer; flows in these are kept if the table has room for them. */
	sp_crew_add(&crew, WORKERS);
	sp_run("sync", "dns");
	sp_crowd_stays(&crowd, &crew, before, after);
	spoof();
	assert_in_range(sp_status_int("dns", "kept_flows"), 1, ROOM);
	sp_crowd_stays(&crowd, &crew, before, after);
	spoof();
	sp_status_wait_settled("dns");
	sp_crowd_ask(&crowd, after);
	for (size_t i = 0; i < FLOWS; i++) {
		if (after[i] == before[i])
			continue;
		assert_int_equal(after[i], WORKERS);
		evicted++;
	}
	print_message("%zu of %d flows lost their place in the table, and went with their buckets\n", evicted,
		      FLOWS);
	assert_true(evicted < FLOWS / 3);
	sp_crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		CASE(pins__of_a_steered_group__are_roots_alone),
		CASE(root__made_by_somebody_else__refused),
		CASE(root__in_a_directory_where_others_may_rename__refused),
		CASE(bpffs__path_is_a_link_or_anothers__nothing_is_mounted),
		CASE(nobody__reads_joins_and_changes_nothing),
		CASE(flood__spoofed_flows_in_a_learn_window__table_is_bounded_and_flows_elsewhere_stay),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
