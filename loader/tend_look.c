// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is seen of a configured group: its network namespace, its sockets, its pins. */
#include <errno.h>
#include <sys/stat.h>
#include "group.h"
#include "netns.h"
#include "tend_look.h"

/* The namespace may be made later, or anew under the same name. Quiet: that is no error here. */
void sp_tend_look_find_netns(struct sp_tended *t)
{
	struct stat st;
	__u64 cookie;
	__u32 inode;

	if (!t->config.netns[0]) {
		if (!t->netns_cookie && !sp_netns_resolve(NULL, &cookie, &inode)) {
			t->netns_cookie = cookie;
			t->netns_inode = inode;
		}
		return;
	}
	if (stat(t->config.netns, &st)) {
		t->netns_cookie = 0;
		t->netns_inode = 0;
		return;
	}
	/* A new one may have the number of one that is gone, but it was not made at the same time. */
	if (st.st_ino == t->netns_inode && st.st_ctim.tv_sec == t->netns_made.tv_sec &&
	    st.st_ctim.tv_nsec == t->netns_made.tv_nsec)
		return;
	/* One that failed is not tried again before it is another. */
	t->netns_inode = st.st_ino;
	t->netns_made = st.st_ctim;
	t->netns_cookie = 0;
	if (!sp_netns_resolve(t->config.netns, &cookie, &inode))
		t->netns_cookie = cookie;
}

const struct sp_group *sp_tend_look_find_group(const struct sp_tended *t, const struct sp_groups *groups,
					       __u32 *ret_fit)
{
	const struct sp_group *group = NULL;
	int err = -ENOENT;

	if (t->ctl)
		group = sp_group_at(groups, t->ctl, t->program_id);
	else if (t->netns_cookie)
		err = sp_group_lookup(groups, &t->config.endpoint, t->netns_cookie, &group);
	*ret_fit = group ? 1 : err == -EEXIST ? 2 : 0;
	return group;
}

/* Finalizer of splitmix64: sums of mixed cookies differ where sums of cookies would not. */
static __u64 mix(__u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

bool sp_tend_look_is_counting(const struct sp_tended *t)
{
	return t->ctl && __atomic_load_n(&t->ctl->balance, __ATOMIC_RELAXED) == SP_BALANCE_LEAST_CONN;
}

struct sp_tend_look sp_tend_look_take(const struct sp_tended *t, const char *bpffs,
				      const struct sp_groups *groups)
{
	struct sp_tend_look look = { .netns = t->netns_cookie };
	const struct sp_group *g = sp_tend_look_find_group(t, groups, &look.fit);

	if (sp_pin_identity(bpffs, t->config.name, &look.pins))
		look.pins = t->last.pins;
	look.counts = sp_tend_look_is_counting(t) && sp_pin_has_links(bpffs, t->config.name);
	if (t->ctl)
		look.view = __atomic_load_n(&t->ctl->current, __ATOMIC_RELAXED);
	if (!g)
		return look;
	look.size = g->size;
	look.prog_id = g->prog_id;
	look.prog_type = g->prog_type;
	for (size_t i = 0; i < g->nmembers; i++)
		look.members += mix(g->members[i].cookie + g->members[i].is_connected);
	return look;
}
