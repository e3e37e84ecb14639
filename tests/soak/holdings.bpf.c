// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whose is a BPF object? A map is charged to the memory control group of the process that made it, and keeps the charge
 * whatever becomes of that process; a program and a link belong to whoever made one of the program's maps. So what was
 * left behind is found without knowing where it hangs: descriptor, pin, socket, or nowhere.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define USED_MAPS_MAX 64 /* MAX_USED_MAPS */

const volatile __u64 sp_cgroup; /* its inode */
__u64 sp_maps;
__u64 sp_programs;
__u64 sp_links;

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));

struct cgroup_subsys_state {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct mem_cgroup {
	struct cgroup_subsys_state css;
} __attribute__((preserve_access_index));

struct obj_cgroup {
	struct mem_cgroup *memcg;
} __attribute__((preserve_access_index));

struct bpf_map___charged {
	struct obj_cgroup *objcg;
} __attribute__((preserve_access_index));

struct bpf_link {
	struct bpf_prog *prog;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_prog {
	struct bpf_iter_meta *meta;
	struct bpf_prog *prog;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_link {
	struct bpf_iter_meta *meta;
	struct bpf_link *link;
} __attribute__((preserve_access_index));

static __always_inline bool is_ours(struct bpf_map *map)
{
	return BPF_CORE_READ((struct bpf_map___charged *)map, objcg, memcg, css.cgroup, kn, id) == sp_cgroup;
}

static __always_inline bool uses_ours(struct bpf_prog *prog)
{
	struct bpf_prog_aux *aux = BPF_CORE_READ(prog, aux);
	__u32 count = BPF_CORE_READ(aux, used_map_cnt);
	struct bpf_map **maps = BPF_CORE_READ(aux, used_maps);

	for (__u32 i = 0; i < USED_MAPS_MAX && i < count; i++) {
		struct bpf_map *map = NULL;

		if (!bpf_probe_read_kernel(&map, sizeof(map), &maps[i]) && is_ours(map))
			return true;
	}
	return false;
}

SEC("iter/bpf_map")
int sp_count_map(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;

	if (map && is_ours(map))
		sp_maps++;
	return 0;
}

SEC("iter/bpf_prog")
int sp_count_program(struct bpf_iter__bpf_prog *ctx)
{
	struct bpf_prog *prog = ctx->prog;

	if (prog && uses_ours(prog))
		sp_programs++;
	return 0;
}

SEC("iter/bpf_link")
int sp_count_link(struct bpf_iter__bpf_link *ctx)
{
	struct bpf_link *link = ctx->link;

	if (link && uses_ours(BPF_CORE_READ(link, prog)))
		sp_links++;
	return 0;
}
