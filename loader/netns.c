// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Network namespaces: which one is meant, and what people call it. */
#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "cleanup.h"
#include "log.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

#define NAMED_NETNS "/run/netns" /* where `ip netns add` mounts them */
#define OWN_NETNS "/proc/thread-self/ns/net"

static int read_cookie(__u64 *ret_cookie)
{
	sp_autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	__u64 cookie = 0;
	socklen_t len = sizeof(cookie);

	/* Some kernels have but one family. */
	if (sock < 0)
		sock = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len))
		return -errno;
	*ret_cookie = cookie;
	return 0;
}

static bool is_number(const char *text)
{
	return *text && !text[strspn(text, "0123456789")];
}

static int open_netns(const char *pid_or_path, int *ret_fd)
{
	bool is_pid = is_number(pid_or_path);
	sp_autoclose int fd = -1;
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/%.20s/ns/net", pid_or_path);
	fd = open(is_pid ? path : pid_or_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		if (is_pid && (err == -ENOENT || err == -ESRCH))
			return sp_refuse(-ESRCH, "there is no process %s", pid_or_path);
		sp_fail(err, "cannot open the network namespace of %s", pid_or_path);
		if (err == -ENOENT && !strchr(pid_or_path, '/'))
			sp_hint("one that `ip netns` lists: --netns " NAMED_NETNS "/%s", pid_or_path);
		else if (err == -EACCES || err == -EPERM)
			sp_hint("run it as root, or with CAP_SYS_PTRACE");
		return err;
	}
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return sp_refuse(-EINVAL, "%s is not a network namespace", pid_or_path);
	*ret_fd = sp_take_fd(&fd);
	return 0;
}

/* Two names of one namespace are one inode of nsfs. */
static bool is_same_netns(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

int sp_netns_call(int fd, int (*call)(void *ctx), void *ctx)
{
	sp_autoclose int own = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	int err;

	if (own < 0)
		return -errno;
	/* netns_install() asks for CAP_SYS_ADMIN even of one who is there. */
	if (is_same_netns(own, fd))
		return call(ctx);
	if (setns(fd, CLONE_NEWNET))
		return -errno;
	err = call(ctx);
	return setns(own, CLONE_NEWNET) ? -EXDEV : err;
}

static int call_read_cookie(void *ctx)
{
	return read_cookie(ctx);
}

static int read_cookie_of(int fd, const char *pid_or_path, __u64 *ret_cookie)
{
	int err = sp_netns_call(fd, call_read_cookie, ret_cookie);

	if (err) {
		sp_fail(err, "cannot enter the network namespace of %s", pid_or_path);
		if (err == -EPERM)
			sp_hint("run it as root, or with CAP_SYS_ADMIN");
	}
	return err;
}

int sp_netns_resolve(const char *pid_or_path, __u64 *ret_cookie, __u32 *ret_inode)
{
	sp_autoclose int own = open(OWN_NETNS, O_RDONLY | O_CLOEXEC), fd = -1;
	struct stat own_stat, target;
	__u64 cookie;
	int err;

	if (own < 0 || fstat(own, &own_stat))
		return sp_fail(-errno, "cannot open " OWN_NETNS);
	if (pid_or_path) {
		err = open_netns(pid_or_path, &fd);
		if (err)
			return err;
	}
	if (fstat(fd >= 0 ? fd : own, &target))
		return sp_fail(-errno, "cannot read the identity of the network namespace");

	if (target.st_ino == own_stat.st_ino) {
		err = read_cookie(&cookie);
		if (err)
			return sp_fail(err, "cannot read the cookie of the network namespace");
	} else {
		err = read_cookie_of(fd, pid_or_path, &cookie);
		if (err)
			return err;
	}
	*ret_cookie = cookie;
	*ret_inode = target.st_ino;
	return 0;
}

const char *sp_netns_name(__u32 inode, char buf[SP_NETNS_STRLEN])
{
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	if (stat("/proc/1/ns/net", &st) == 0 && st.st_ino == inode) {
		strcpy(buf, "host");
		return buf;
	}
	snprintf(buf, SP_NETNS_STRLEN, "%u", inode);
	dir = opendir(NAMED_NETNS);
	if (!dir)
		return buf;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, 0) ||
		    st.st_ino != inode)
			continue;
		snprintf(buf, SP_NETNS_STRLEN, "%.*s", SP_NETNS_STRLEN - 1, entry->d_name);
		break;
	}
	closedir(dir);
	return buf;
}
