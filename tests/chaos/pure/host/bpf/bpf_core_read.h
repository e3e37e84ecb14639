/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stands in for libbpf's header of this name when bpf/steer.bpf.c is compiled for this machine: kernel memory is this
 * process's, with vmlinux.h's own offsets.
 */
#ifndef STEADYPORT_TESTS_BPF_CORE_READ_H
#define STEADYPORT_TESTS_BPF_CORE_READ_H

long bpf_probe_read_kernel(void *to, __u32 size, const void *from);

/* What is read through a cast is not read at all (SP_HAS_CAST). */
#define bpf_core_type_id_kernel(type) 0

#define BPF_CORE_READ(from, field)                                              \
	({                                                                      \
		__typeof__((from)->field) value_;                               \
		bpf_probe_read_kernel(&value_, sizeof(value_), &(from)->field); \
		value_;                                                         \
	})

#endif
