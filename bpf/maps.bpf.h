/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The steering program's maps. Sizes marked (loader) are set between open and load. */
#ifndef STEADYPORT_MAPS_BPF_H
#define STEADYPORT_MAPS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <steadyport/abi.h>

/* 8-byte values: with them user space reads a slot's socket cookie back, with 4 it gets -ENOSPC. */
struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, SP_SLOTS_MAX); /* a socket cannot move to a bigger array without a gap */
	__type(key, __u32);
	__type(value, __u64);
} sp_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SP_VIEWS);
	__type(key, __u32);
	__type(value, struct sp_view);
} sp_views SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sp_ctl);
} sp_ctl SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SP_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct sp_info);
} sp_info SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* (loader) TCP needs none */
	__type(key, __u64);
	__type(value, struct sp_flow);
} sp_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2); /* (loader) a row for each slot, then the group's */
	__type(key, __u32);
	__type(value, struct sp_counters);
} sp_counters SEC(".maps");

/* User space's alone: what the programs before this one had counted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2); /* (loader) as sp_counters */
	__type(key, __u32);
	__type(value, struct sp_counters);
} sp_carried SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SP_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct sp_sock);
} sp_socks SEC(".maps");

/* The kernel wants BTF and no size for it. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct sp_tag);
} sp_tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* one tally is written while the program counts in the other */
	__uint(max_entries, SP_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct sp_active);
} sp_active SEC(".maps");

/* Few: what waited in listeners that were closed, and still has its application. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct sp_tag);
} sp_moved SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} sp_events SEC(".maps");

#endif
