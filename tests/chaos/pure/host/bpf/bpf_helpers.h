/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stands in for libbpf's header of this name when a program of bpf/ is compiled for this machine: the helpers that it
 * calls are functions of the test's kernel. No libc header may be included: vmlinux.h defines the same types.
 */
#ifndef STEADYPORT_TESTS_BPF_HELPERS_H
#define STEADYPORT_TESTS_BPF_HELPERS_H

/* Each program brings its maps along; linked into one test they are the same. */
#define SEC(name) __attribute__((weak))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) __typeof__(val) *name
#define __ksym
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))

/* libbpf has functions of these names, which the loader calls. */
#define bpf_map_lookup_elem sp_sim_lookup
#define bpf_map_update_elem sp_sim_update
#define bpf_map_delete_elem sp_sim_delete

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
long bpf_map_delete_elem(void *map, const void *key);
long bpf_sk_select_reuseport(struct sk_reuseport_md *md, void *map, void *key, __u64 flags);
long bpf_skb_load_bytes(const void *md, __u32 offset, void *to, __u32 len);
long bpf_skb_load_bytes_relative(const void *md, __u32 offset, void *to, __u32 len, __u32 start);
void *bpf_ringbuf_reserve(void *ringbuf, __u64 size, __u64 flags);
void bpf_ringbuf_submit(void *data, __u64 flags);
__u64 bpf_ktime_get_ns(void);
void *bpf_sk_storage_get(void *map, void *sk, void *value, __u64 flags);

static inline long bpf_loop(__u32 turns, long (*turn)(__u32 i, void *ctx), void *ctx, __u64 flags)
{
	__u32 i = 0;

	(void)flags;
	while (i < turns && !turn(i++, ctx))
		;
	return i;
}
__u64 bpf_get_socket_cookie(void *sk);

#endif
