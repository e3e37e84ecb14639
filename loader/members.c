// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who is in which reuseport group: runs the iterator and puts its records together. */
#include <errno.h>
#include <string.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "iter.h"
#include "kernel.h"
#include "log.h"
#include "members.h"
#include "members.skel.h"

static int compare_u64(__u64 a, __u64 b)
{
	return (a > b) - (a < b);
}

static int compare_owners(const void *pa, const void *pb)
{
	const struct sp_owner *a = pa, *b = pb;

	return a->pid != b->pid ? compare_u64(a->pid, b->pid) : compare_u64(a->fd, b->fd);
}

static int compare_members(const void *pa, const void *pb)
{
	const struct sp_member *a = pa, *b = pb;

	if (a->position == b->position)
		return compare_u64(a->cookie, b->cookie);
	return compare_u64((__u32)a->position, (__u32)b->position); /* -1 sorts last */
}

static int compare_groups(const void *pa, const void *pb)
{
	const struct sp_group *a = pa, *b = pb;
	int c = compare_u64(a->protocol, b->protocol);

	c = c ?: compare_u64(a->port, b->port);
	c = c ?: compare_u64(a->address.family, b->address.family);
	c = c ?: memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
	return c ?: compare_u64(a->netns_inode, b->netns_inode);
}

/* By group (lone sockets by cookie), then by member. */
static int compare_records(const void *pa, const void *pb)
{
	const struct sp_member_record *a = pa, *b = pb;
	int c = compare_u64(a->group, b->group);

	return c ?: compare_u64(a->cookie, b->cookie);
}

static bool is_same_group(const struct sp_member_record *a, const struct sp_member_record *b)
{
	return a->group == b->group && (a->group || a->cookie == b->cookie);
}

static void describe_group(struct sp_group *g, const struct sp_member_record *r)
{
	g->has_group = r->group != 0;
	g->protocol = r->protocol;
	g->address.family = r->family;
	memcpy(g->address.bytes, r->addr, sizeof(r->addr));
	g->ifindex = r->ifindex;
	g->port = r->port;
	g->is_v6only = r->v6only;
	g->is_mptcp = r->is_mptcp;
	g->has_conns = r->has_conns;
	g->uid = r->uid;
	g->netns_cookie = r->netns_cookie;
	g->netns_inode = r->netns_inode;
	g->size = r->group ? r->group_size : 1;
	g->prog_id = r->prog_id;
	g->prog_type = r->prog_type;
	memcpy(g->prog_name, r->prog_name, sizeof(g->prog_name));
}

static void describe_member(struct sp_member *m, const struct sp_member_record *r)
{
	m->cookie = r->cookie;
	m->sock = r->sock;
	m->position = r->position;
	m->is_connected = r->protocol == SP_UDP && r->state == 1; /* TCP_ESTABLISHED */
	m->backlog = r->backlog;
	m->backlog_max = r->backlog_max;
	m->drops = r->drops;
	m->is_taken = r->is_taken;
	m->array_id = r->array_id;
	/* The program has the array, and the group the program: more references are somebody else's. */
	m->is_array_shared = r->array_refs > 2;
}

/* Appends one element to a calloc()ed array; NULL when memory is out. */
static void *append(void **array, size_t *count, size_t size)
{
	void *grown = *array;

	/* Full whenever the count is a power of two. */
	if ((*count & (*count - 1)) == 0) {
		grown = reallocarray(*array, *count ? *count * 2 : 1, size);
		if (!grown)
			return NULL;
		*array = grown;
	}
	return memset((char *)grown + (*count)++ * size, 0, size);
}

static int add_records(struct sp_groups *groups, const struct sp_member_record *r, size_t n)
{
	struct sp_group *g = NULL;
	struct sp_member *m = NULL;
	struct sp_owner *o;

	for (size_t i = 0; i < n; i++) {
		if (!g || !is_same_group(&r[i - 1], &r[i])) {
			g = append((void **)&groups->groups, &groups->ngroups, sizeof(*g));
			if (!g)
				return -ENOMEM;
			describe_group(g, &r[i]);
			m = NULL;
		}
		if (!m || m->cookie != r[i].cookie) {
			m = append((void **)&g->members, &g->nmembers, sizeof(*m));
			if (!m)
				return -ENOMEM;
			describe_member(m, &r[i]);
		}
		o = append((void **)&m->owners, &m->nowners, sizeof(*o));
		if (!o)
			return -ENOMEM;
		o->pid = r[i].pid;
		o->fd = r[i].fd;
		memcpy(o->comm, r[i].comm, sizeof(o->comm));
	}
	return 0;
}

int sp_members_group(const struct sp_member_record *records, size_t nrecords, struct sp_groups **ret_groups)
{
	sp_autofree struct sp_member_record *sorted = calloc(nrecords ?: 1, sizeof(*sorted));
	sp_autogroups struct sp_groups *groups = calloc(1, sizeof(*groups));
	int err;

	if (!sorted || !groups)
		return -ENOMEM;
	if (nrecords) {
		memcpy(sorted, records, nrecords * sizeof(*sorted));
		qsort(sorted, nrecords, sizeof(*sorted), compare_records);
	}

	err = add_records(groups, sorted, nrecords);
	if (err)
		return err;

	for (size_t i = 0; i < groups->ngroups; i++) {
		struct sp_group *g = &groups->groups[i];

		for (size_t j = 0; j < g->nmembers; j++)
			qsort(g->members[j].owners, g->members[j].nowners, sizeof(struct sp_owner),
			      compare_owners);
		qsort(g->members, g->nmembers, sizeof(struct sp_member), compare_members);
	}
	if (groups->ngroups)
		qsort(groups->groups, groups->ngroups, sizeof(struct sp_group), compare_groups);
	*ret_groups = sp_take_ptr(groups);
	return 0;
}

void sp_groups_free(struct sp_groups **groups)
{
	if (!*groups)
		return;
	for (size_t i = 0; i < (*groups)->ngroups; i++) {
		struct sp_group *g = &(*groups)->groups[i];

		for (size_t j = 0; j < g->nmembers; j++)
			free(g->members[j].owners);
		free(g->members);
	}
	free((*groups)->groups);
	free(*groups);
	*groups = NULL;
}

const struct sp_member *sp_groups_member(const struct sp_groups *groups, __u64 cookie)
{
	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *group = &groups->groups[i];

		for (size_t m = 0; m < group->nmembers; m++) {
			if (group->members[m].cookie == cookie)
				return &group->members[m];
		}
	}
	return NULL;
}

struct sp_scanner {
	struct members *skel;
};

void sp_scanner_free(struct sp_scanner **scanner)
{
	if (!*scanner)
		return;
	members__destroy((*scanner)->skel);
	free(*scanner);
	*scanner = NULL;
}

int sp_scanner_open(__u16 any_on_port, struct sp_scanner **ret_scanner)
{
	sp_autoscanner struct sp_scanner *scanner = calloc(1, sizeof(*scanner));
	int err;

	if (!scanner)
		return sp_fail(-ENOMEM, "cannot open the members iterator");
	scanner->skel = members__open_opts(sp_kernel_open_options());
	if (!scanner->skel)
		return sp_fail(-errno, "cannot open the members iterator");
	scanner->skel->rodata->sp_any_on_port = any_on_port;
	err = members__load(scanner->skel);
	if (err)
		return sp_fail(err, "cannot load the members iterator");
	*ret_scanner = sp_take_ptr(scanner);
	return 0;
}

int sp_scanner_scan(struct sp_scanner *scanner, struct sp_groups **ret_groups)
{
	sp_autofree void *records = NULL;
	size_t count = 0;
	int err;

	err = sp_iter_read(scanner->skel->progs.sp_members, "members", sizeof(struct sp_member_record),
			   &scanner->skel->links.sp_members, &records, &count);
	if (err)
		return err;
	err = sp_members_group(records, count, ret_groups);
	return err ? sp_fail(err, "cannot sort %zu sockets into groups", count) : 0;
}

int sp_members_scan(__u16 any_on_port, struct sp_groups **ret_groups)
{
	sp_autoscanner struct sp_scanner *scanner = NULL;
	int err = sp_scanner_open(any_on_port, &scanner);

	return err ?: sp_scanner_scan(scanner, ret_groups);
}
