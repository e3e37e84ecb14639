/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is read of a socket, and of the process that holds it. */
#ifndef STEADYPORT_SOCKET_BPF_H
#define STEADYPORT_SOCKET_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define SP_AF_INET 2
#define SP_AF_INET6 10

/* Linux 6.19 keeps the cookie of a network namespace in its ns_common. */
struct ns_common___id {
	__u64 ns_id;
} __attribute__((preserve_access_index));

static __always_inline __u64 netns_cookie_of(struct net *net)
{
	if (bpf_core_field_exists(net->net_cookie))
		return BPF_CORE_READ(net, net_cookie);
	return BPF_CORE_READ((struct ns_common___id *)&net->ns, ns_id);
}

/* The process's pid as the reader's own pid namespace numbers it. */
static __always_inline __u32 pid_of(struct task_struct *task)
{
	struct task_struct *reader = (struct task_struct *)bpf_get_current_task();
	__u32 level = BPF_CORE_READ(reader, group_leader, thread_pid, level);
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	void *number = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
		       level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr);
	int nr = 0;

	bpf_probe_read_kernel(&nr, sizeof(nr), number);
	return nr;
}

#endif
