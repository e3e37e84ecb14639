// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What steadyport is measured against: programs that do less. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Members of the group. */
const volatile __u32 sp_floor_members = 1;

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 1); /* (bench) as many as members */
	__type(key, __u32);
	__type(value, __u64);
} sp_floor_socks SEC(".maps");

/* Selects nothing: the kernel's own hash decides. */
SEC("sk_reuseport/migrate")
int sp_empty(struct sk_reuseport_md *md)
{
	(void)md;
	return SK_PASS;
}

/* The least that any program does which selects a socket; always the same one. */
SEC("sk_reuseport/migrate")
int sp_floor(struct sk_reuseport_md *md)
{
	__u32 key = 0;

	bpf_sk_select_reuseport(md, &sp_floor_socks, &key, 0);
	return SK_PASS;
}

/* The least that spreads flows: like the kernel, over a table that it keeps by itself. */
SEC("sk_reuseport/migrate")
int sp_modulo(struct sk_reuseport_md *md)
{
	__u32 key = (__u64)md->hash * sp_floor_members >> 32;

	bpf_sk_select_reuseport(md, &sp_floor_socks, &key, 0);
	return SK_PASS;
}
