// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A machine as it is not, for one run of a program. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "disguise.h"

#define OWN_NETNS "/proc/self/ns/net"

void sp_disguise_must(bool is_done, const char *what)
{
	if (is_done)
		return;
	dprintf(2, "cannot %s: %s\n", what, strerror(errno));
	_exit(126);
}

void sp_disguise_leave_mounts(void)
{
	sp_disguise_must(!unshare(CLONE_NEWNS), "have mounts of its own");
	sp_disguise_must(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make mounts private");
}

void sp_disguise_old_kernel(void *unused)
{
	(void)unused;
	/* uname() says 2.6.40 and up then. */
	sp_disguise_must(personality(UNAME26) >= 0, "set the personality");
}

void sp_disguise_no_btf(void *unused)
{
	(void)unused;
	sp_disguise_leave_mounts();
	sp_disguise_must(!mount("tmpfs", "/sys/kernel/btf", "tmpfs", 0, NULL), "hide the BTF");
}

void sp_disguise_no_membarrier(void *unused)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { .len = SP_ARRAY_SIZE(code), .filter = code };

	(void)unused;
	sp_disguise_must(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), "filter its system calls");
}

void sp_disguise_without(void *caps)
{
	for (const int *cap = caps; *cap >= 0; cap++)
		sp_disguise_must(!prctl(PR_CAPBSET_DROP, *cap), "drop a capability");
}

/* A file that is the network namespace, in a folder that nobody else sees. @hidden: is covered; @below: made in it */
static void show_netns(const char *hidden, const char *below, const char *name)
{
	char path[128];

	sp_disguise_leave_mounts();
	sp_disguise_must(!mount("tmpfs", hidden, "tmpfs", 0, NULL), "cover a folder");
	snprintf(path, sizeof(path), "%s/%s", hidden, below);
	sp_disguise_must(!mkdir(path, 0755), "make a folder");
	snprintf(path, sizeof(path), "%s/%s/%s", hidden, below, name);
	sp_disguise_must(!mknod(path, S_IFREG | 0600, 0), "make a file");
	sp_disguise_must(!mount(OWN_NETNS, path, NULL, MS_BIND, NULL), "mount the network namespace");
}

void sp_disguise_named_netns(void *name)
{
	show_netns("/run", "netns", name);
}

void sp_disguise_first_netns(void *unused)
{
	(void)unused;
	show_netns("/proc/1", "ns", "net");
}
