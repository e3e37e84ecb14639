// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connections that come to a listener while it closes. */
#include "losses.h"

#include <sys/stat.h>
#include "netstat.h"
#include "tests/lib/losses.skel.h"

static struct losses *skel;
static __u32 netns_inode;
static __u64 unmigrated; /* before the start */

static __u64 read_unmigrated(void)
{
	struct sp_netstat netstat;

	assert_int_equal(sp_netstat_read(netns_inode, 0, &netstat), 0);
	return netstat.migrate_failed;
}

void sp_losses_start(__u16 port)
{
	struct stat netns;

	assert_null(skel);
	assert_int_equal(stat("/proc/self/ns/net", &netns), 0);
	netns_inode = netns.st_ino;
	unmigrated = read_unmigrated();
	skel = losses__open();
	assert_non_null(skel);
	skel->rodata->sp_losses_netns = netns_inode;
	skel->rodata->sp_losses_port = port;
	assert_int_equal(losses__load(skel), 0);
	assert_int_equal(losses__attach(skel), 0);
}

size_t sp_losses_read(void)
{
	assert_non_null(skel);
	return __atomic_load_n(&skel->bss->sp_losses_raced, __ATOMIC_RELAXED);
}

size_t sp_losses_unmigrated(void)
{
	return read_unmigrated() - unmigrated;
}

void sp_losses_stop(void)
{
	losses__destroy(skel);
	skel = NULL;
}
