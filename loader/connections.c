// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which processes have TCP connections on a local port: runs the iterator. */
#include <errno.h>
#include <stdlib.h>
#include <bpf/libbpf.h>
#include "connections.h"
#include "connections.skel.h"
#include "iter.h"
#include "kernel.h"
#include "log.h"

void sp_connections_free(struct sp_connections *connections)
{
	free(connections->records);
	*connections = (struct sp_connections){ 0 };
}

static void destroy_skeleton(struct connections **skel)
{
	connections__destroy(*skel);
}

static int compare(const void *pa, const void *pb)
{
	const struct sp_connection_record *a = pa, *b = pb;

	return (a->cookie > b->cookie) - (a->cookie < b->cookie);
}

int sp_connections_scan(__u16 port, __u64 netns_cookie, struct sp_connections *ret)
{
	__attribute__((cleanup(destroy_skeleton))) struct connections *skel =
		connections__open_opts(sp_kernel_open_options());
	struct sp_connections found = { 0 };
	void *records = NULL;
	int err;

	if (!skel)
		return sp_fail(-errno, "cannot open the connections iterator");
	skel->rodata->sp_port = port;
	skel->rodata->sp_netns_cookie = netns_cookie;
	err = connections__load(skel);
	if (err)
		return sp_fail(err, "cannot load the connections iterator");
	err = sp_iter_read(skel->progs.sp_connections, "connections", sizeof(*found.records),
			   &skel->links.sp_connections, &records, &found.count);
	if (err)
		return err;
	found.records = records;
	if (found.count)
		qsort(found.records, found.count, sizeof(*found.records), compare);
	*ret = found;
	return 0;
}

static bool is_owner(const struct sp_member *member, __u32 pid)
{
	for (size_t i = 0; i < member->nowners; i++)
		if (member->owners[i].pid == pid)
			return true;
	return false;
}

size_t sp_connections_count(const struct sp_connections *connections, const struct sp_member *member)
{
	__u64 last = 0; /* no socket's cookie */
	size_t count = 0;

	for (size_t i = 0; i < connections->count; i++) {
		const struct sp_connection_record *r = &connections->records[i];

		if (r->cookie == last || !is_owner(member, r->pid))
			continue;
		last = r->cookie;
		count++;
	}
	return count;
}
