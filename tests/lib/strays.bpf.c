// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Datagrams that are freed unread with the socket they lay in: see strays.h. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define UDP_HEADER_LEN 8
#define STRAYS_MAX 65536

const volatile __u16 sp_strays_port; /* of the members */

struct sk_buff___stray {
	unsigned char *head;
	__u16 transport_header;
} __attribute__((preserve_access_index));

/* Of include/net/dropreason-core.h. Linux has said QUEUE_PURGE for some of them since 6.8. */
enum skb_drop_reason___stray {
	SKB_DROP_REASON_NOT_SPECIFIED___stray,
	SKB_DROP_REASON_QUEUE_PURGE___stray,
};

struct stray {
	__be16 source, dest;
	__be16 len, check;
	__u64 payload;
};

struct stray_key {
	__u64 payload;
	__u32 source_port;
	__u32 padding;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STRAYS_MAX);
	__type(key, struct stray_key);
	__type(value, __u8);
} sp_strays SEC(".maps");

#define REASON(name) bpf_core_enum_value(enum skb_drop_reason___stray, name##___stray)
#define HAS_REASON(name) bpf_core_enum_value_exists(enum skb_drop_reason___stray, name##___stray)

/* A full receive buffer and the like have reasons of their own. */
static __always_inline bool is_left_behind(__u32 reason)
{
	return reason == REASON(SKB_DROP_REASON_NOT_SPECIFIED) ||
	       (HAS_REASON(SKB_DROP_REASON_QUEUE_PURGE) && reason == REASON(SKB_DROP_REASON_QUEUE_PURGE));
}

SEC("tp_btf/kfree_skb")
int sp_strays_freed(__u64 *args) /* skb, location, reason, and more since 6.11 */
{
	struct sk_buff___stray *skb = (struct sk_buff___stray *)args[0];
	struct stray stray;
	struct stray_key key = {};
	__u8 one = 1;

	if (!is_left_behind(args[2]))
		return 0;
	if (bpf_probe_read_kernel(&stray, sizeof(stray),
				  BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, transport_header)))
		return 0;
	if (stray.dest != bpf_htons(sp_strays_port) ||
	    stray.len != bpf_htons(UDP_HEADER_LEN + sizeof(stray.payload)))
		return 0;
	key.payload = stray.payload;
	key.source_port = bpf_ntohs(stray.source);
	bpf_map_update_elem(&sp_strays, &key, &one, BPF_ANY);
	return 0;
}
