// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The directory of all groups: found, made, trusted or not, locked. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include "cleanup.h"
#include "log.h"
#include "pin.h"
#include "pin_root.h"

#define ROOT "steadyport"
#define DAEMON_PREFIX "@" /* no NAME may hold it */
#define LOCK_PATIENCE_MS 1000
#define LOCK_POLL_MS 20

void sp_pin_root_path(const char *bpffs, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" ROOT, bpffs);
}

void sp_pin_group_path(const char *bpffs, const char *prefix, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" ROOT "/%s%s", bpffs, prefix, name);
}

/* Where that cannot be told another bpffs must not be mounted over the one that may be there, with all that is pinned. */
static int look_for_bpffs(const char *path, bool *ret_is_there)
{
	struct statfs fs;

	*ret_is_there = false;
	if (statfs(path, &fs))
		return errno == ENOENT ? 0 : sp_fail(-errno, "cannot look at %s", path);
	*ret_is_there = fs.f_type == BPF_FS_MAGIC;
	return 0;
}

/*
 * Whoever may rename in a directory of ours can put other objects in a group's place. bpffs lets everybody make
 * directories and symbolic links where the mode says so, and its own default mode does.
 * @fd: of the directory itself. Returns 0 or -EPERM (logged).
 */
static int check_directory(int fd, const char *path, mode_t allowed)
{
	const char *why = NULL;
	struct stat st;

	if (fstat(fd, &st))
		return sp_fail(-errno, "cannot look at %s", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		why = "it belongs to another user";
	else if (st.st_mode & (S_IWGRP | S_IWOTH) & ~allowed)
		why = "others may write to it";
	if (!why)
		return 0;
	sp_refuse(0, "%s cannot be trusted: %s", path, why);
	sp_hint("see what is in it; then make it root's (chown root, chmod go-w), or name another place with "
		"--bpffs DIR");
	return -EPERM;
}

/* Returns -ENOENT (not logged) when there is none; a symbolic link is none that can be trusted. */
static int open_own_directory(const char *path, mode_t allowed, int *ret_fd)
{
	sp_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int err;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
		sp_refuse(0, "%s cannot be trusted: it is not a directory, but a link or a file", path);
		sp_hint("see where it leads, then remove it, or name another place with --bpffs DIR");
		return -EPERM;
	}
	if (fd < 0)
		return sp_fail(-errno, "cannot open %s", path);
	err = check_directory(fd, path, allowed);
	if (!err)
		*ret_fd = sp_take_fd(&fd);
	return err;
}

static int mount_bpffs(const char *bpffs)
{
	sp_autoclose int fd = -1;
	char place[64];
	int err;

	if (mkdir(bpffs, 0700) && errno != EEXIST)
		return sp_fail(-errno, "cannot make %s", bpffs);
	err = open_own_directory(bpffs, 0, &fd);
	if (err)
		return err == -ENOENT ? sp_fail(err, "cannot open %s", bpffs) : err;
	/* What was looked at, wherever the path leads by now. */
	snprintf(place, sizeof(place), "/proc/self/fd/%d", fd);
	if (mount("bpf", place, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700")) {
		err = sp_fail(-errno, "cannot mount bpffs on %s", bpffs);
		sp_hint("mount it: mount -t bpf bpf %s, or name another place with --bpffs DIR", bpffs);
		return err;
	}
	sp_note("mounted bpffs on %s", bpffs);
	return 0;
}

int sp_pin_open_root(const char *bpffs, int *ret_fd)
{
	sp_autoclose int parent = -1;
	char path[PATH_MAX];
	struct stat st;
	int err;

	/* In a sticky directory others cannot rename what is not theirs. */
	parent = open(bpffs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return errno == ENOENT ? -ENOENT : sp_fail(-errno, "cannot open %s", bpffs);
	if (fstat(parent, &st))
		return sp_fail(-errno, "cannot look at %s", bpffs);
	err = check_directory(parent, bpffs, st.st_mode & S_ISVTX ? S_IWGRP | S_IWOTH : 0);
	if (err)
		return err;
	sp_pin_root_path(bpffs, path);
	return open_own_directory(path, 0, ret_fd);
}

int sp_pin_root(const char *bpffs)
{
	sp_autoclose int root = -1;
	char path[PATH_MAX];
	bool is_there;
	int err;

	err = look_for_bpffs(bpffs, &is_there);
	if (!err && !is_there)
		err = mount_bpffs(bpffs);
	if (err)
		return err;
	sp_pin_root_path(bpffs, path);
	if (mkdir(path, 0700) && errno != EEXIST)
		return sp_fail(-errno, "cannot make %s", path);
	return sp_pin_open_root(bpffs, &root);
}

/* Returns 0, -EWOULDBLOCK (not logged) when another process has it, other -errno (logged). */
static int try_lock(int fd, const char *path)
{
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	return errno == EWOULDBLOCK ? -EWOULDBLOCK : sp_fail(-errno, "cannot lock %s", path);
}

static int open_to_lock(const char *bpffs, char path[PATH_MAX], int *ret_fd)
{
	int err = sp_pin_open_root(bpffs, ret_fd);

	sp_pin_root_path(bpffs, path);
	return err == -ENOENT ? sp_fail(err, "cannot open %s", path) : err;
}

int sp_pin_lock(const char *bpffs, int *ret_fd)
{
	const struct timespec tick = { .tv_nsec = LOCK_POLL_MS * 1000000L };
	sp_autoclose int fd = -1;
	char path[PATH_MAX];
	int err;

	err = open_to_lock(bpffs, path, &fd);
	err = err ?: try_lock(fd, path);
	for (int waited = 0; err == -EWOULDBLOCK; waited += LOCK_POLL_MS) {
		if (waited >= LOCK_PATIENCE_MS) {
			sp_warn("another steadyport is changing something (it holds %s): waiting for it",
				path);
			while (flock(fd, LOCK_EX))
				if (errno != EINTR)
					return sp_fail(-errno, "cannot lock %s", path);
			err = 0;
			break;
		}
		nanosleep(&tick, NULL);
		err = try_lock(fd, path);
	}
	if (err)
		return err;
	*ret_fd = sp_take_fd(&fd);
	return 0;
}

int sp_pin_try_lock(const char *bpffs, int *ret_fd)
{
	char path[PATH_MAX];
	sp_autoclose int fd = -1;
	int err = open_to_lock(bpffs, path, &fd);

	err = err ?: try_lock(fd, path);
	if (!err)
		*ret_fd = sp_take_fd(&fd);
	return err;
}

int sp_pin_lock_daemon(const char *bpffs, int *ret_fd)
{
	sp_autoclose int fd = -1;
	char path[PATH_MAX];
	int err;

	sp_pin_group_path(bpffs, DAEMON_PREFIX, "daemon", path);
	if (mkdir(path, 0700) && errno != EEXIST)
		return sp_fail(-errno, "cannot make %s", path);
	err = open_own_directory(path, 0, &fd);
	if (err == -ENOENT)
		return sp_fail(err, "cannot open %s", path);
	err = err ?: try_lock(fd, path);
	if (err == -EWOULDBLOCK)
		return sp_refuse(-EBUSY, "a steadyport daemon runs already: another process holds %s", path);
	if (err)
		return err;
	*ret_fd = sp_take_fd(&fd);
	return 0;
}

bool sp_pin_is_bpffs(const char *bpffs)
{
	struct statfs fs;

	return statfs(bpffs, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

bool sp_pin_has_daemon(const char *bpffs)
{
	sp_autofile FILE *locks = fopen("/proc/locks", "re");
	char path[PATH_MAX], line[256], place[64];
	struct stat st;

	sp_pin_group_path(bpffs, DAEMON_PREFIX, "daemon", path);
	if (!locks || stat(path, &st))
		return false;
	/* "1: FLOCK  ADVISORY  WRITE 4711 00:2a:1093 0 EOF" */
	snprintf(place, sizeof(place), " %02x:%02x:%lu ", major(st.st_dev), minor(st.st_dev), st.st_ino);
	while (fgets(line, sizeof(line), locks))
		if (strstr(line, " FLOCK ") && strstr(line, place))
			return true;
	return false;
}
