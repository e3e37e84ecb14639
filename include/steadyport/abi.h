/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel side and user space share: limits, map and pin names, and the layout of every map value.
 *
 * All integers are in host byte order unless a comment says otherwise: the maps never leave the machine.
 * Any change of a layout or of its meaning needs a new SP_ABI_VERSION; the loader refuses pins of another one.
 */
#ifndef STEADYPORT_ABI_H
#define STEADYPORT_ABI_H

#ifndef __bpf__
#include <linux/types.h>
#include <stdbool.h>
#endif

#define SP_ABI_VERSION 3
#define SP_ABI_OLDEST 1 /* `upgrade` understands the pins of all versions from here on */

#define SP_SLOTS_MAX 1024
#define SP_SLOT_NONE 0xffffu /* an owner entry that names no slot */
#define SP_SLOT_PARK (SP_SLOTS_MAX - 1) /* asked when no other slot is live, as long as no worker needs it */
#define SP_BUCKETS 16384
#define SP_BUCKET_MASK (SP_BUCKETS - 1)
#define SP_PROBES 16 /* owners asked before the linear scan */
#define SP_WEIGHT_DEFAULT 100
#define SP_WEIGHT_MAX 1000
#define SP_FLOW_IDLE_DEFAULT_S 180
#define SP_FLOWS_MAX 16777216 /* 2^24 entries of an LRU hash are about 1.5 GiB */
#define SP_COMM_LEN 16 /* the kernel's TASK_COMM_LEN */

/*
 * Two views are in force during a learn window (the current one and its predecessor); two spares let one step
 * replace both: the predecessor less its dead slots, and the successor that refers to it.
 */
#define SP_VIEWS 4
#define SP_VIEW_NONE 0xffffffffu

#define SP_PROG_NAME "sp_steer"

enum sp_view_kind {
	SP_VIEW_TABLE = 0, /* owner[bucket] names a slot; see choose.h */
	SP_VIEW_KERNEL = 1, /* owner[reciprocal_scale(md->hash, nslots)]: as the kernel before the attach */
	SP_VIEW_PLAIN = 2, /* a TABLE with no moving bucket and no owner that is not usable; since ABI 3 */
};

/* An immutable function flow -> slot. Never written while `sp_ctl.current` or the current view's `prev` names it. */
struct sp_view {
	enum sp_view_kind kind;
	__u32 prev; /* index of the view in force before; SP_VIEW_NONE: nothing to learn */
	__u64 learn_until_ns; /* CLOCK_MONOTONIC; unknown flows of moving buckets follow `prev` before it */
	__u32 nslots; /* TABLE: slots are 0..nslots-1; KERNEL: valid entries of owner[] */
	__u32 serial; /* publications since the attach, for people */
	__u64 usable[SP_SLOTS_MAX / 64]; /* bit set: the slot takes new flows */
	__u64 moving[SP_BUCKETS / 64]; /* bit set: the flow table is asked first */
	__u16 owner[SP_BUCKETS];
};

enum sp_protocol {
	SP_TCP = 6, /* IPPROTO_TCP */
	SP_UDP = 17, /* IPPROTO_UDP */
};

enum sp_hash {
	SP_HASH_SIPHASH = 0, /* SipHash-1-3 of the 4-tuple under sp_ctl.key */
	SP_HASH_KERNEL = 1, /* md->hash, mixed: cheaper, but `where` cannot compute it */
};

enum sp_track {
	SP_TRACK_TRANSITION = 0, /* remember only flows that a change would have moved */
	SP_TRACK_ALWAYS = 1, /* remember every UDP flow */
	SP_TRACK_OFF = 2, /* remember none: a change moves the flows of the buckets that it moves */
};

enum sp_balance {
	SP_BALANCE_HASH = 0,
	SP_BALANCE_LEAST_QUEUE = 1, /* TCP: the worker with the fewest connections that wait to be accepted */
	SP_BALANCE_LEAST_CONN = 2, /* TCP: with those that it has accepted and not closed, too */
};

/* The one element of sp_ctl. The first cache line is all that a packet reads. */
struct sp_ctl {
	__u32 current; /* index of the view in force; storing it publishes a view */
	__u32 abi; /* SP_ABI_VERSION */
	__u64 key[2]; /* SipHash key */
	__u32 flow_idle_s; /* a kept flow that was silent for longer counts as unknown; 0: never */
	enum sp_balance balance_next; /* of the program that is about to replace this one */
	__u32 tally; /* of sp_active, in which a connection that opens now is counted */
	__u32 pad0[7];

	__u64 netns_cookie; /* the kernel's net->net_cookie: unique until reboot */
	__u32 netns_inode; /* what `ls -l /proc/PID/ns/net` shows */
	__u32 ifindex; /* SO_BINDTODEVICE or the scope of a link-local address; 0: none */
	enum sp_protocol protocol;
	__u16 family; /* AF_INET or AF_INET6 of the group's own address */
	__u16 port;
	__u8 addr[16]; /* network byte order; IPv4 uses the first four */
	__u32 uid;
	enum sp_hash hash;
	enum sp_track track;
	enum sp_balance balance; /* of the program; since ABI 3 */
	__u64 learn_ns;
	__u64 attached_at; /* CLOCK_REALTIME, ns; 0: never attached */
};

enum sp_slot_state {
	SP_SLOT_FREE = 0, /* never used, or retired */
	SP_SLOT_LIVE = 1, /* a member was enrolled; it may have died since: sp_slots tells */
	SP_SLOT_DRAINING = 2, /* no new flows, old ones stay */
	SP_SLOT_DEAD = 3, /* user space has seen that the member is gone */
	SP_SLOT_EJECTED = 4, /* live, but nothing goes there: for a worker that hangs */
	SP_SLOT_PARKED = 5, /* SP_SLOT_PARK only: holds connections while no worker is live */
};

#define SP_SLOT_STATES (SP_SLOT_PARKED + 1)

/* One element of sp_info for each slot. User space writes it; the program writes `empty_seen` only. */
struct sp_info {
	__u32 incarnation; /* +1 with each member enrolled: kept flows of an earlier one are stale */
	enum sp_slot_state state;
	__u32 weight;
	__u32 pid; /* of one owner at enrolment */
	__u64 cookie; /* SO_COOKIE of the member, as `ss -e` prints it (sk:...) */
	char comm[SP_COMM_LEN];
	__u64 enrolled_at; /* CLOCK_REALTIME, ns */
	/*
	 * CLOCK_REALTIME, ns: when user space noticed; 0: live. SP_SLOT_PARKED: no time, but the cookie of the
	 * parking socket whose place that of @cookie takes; 0: there was none.
	 */
	__u64 died_at;
	__u32 empty_seen; /* incarnation whose end the program has reported */
	__u32 pad;
};

/*
 * One element of sp_socks for each slot of a TCP group: where in kernel memory its member is, for whoever reads how long
 * its queue is. It holds while the incarnations agree. A member that is closed leaves its address behind.
 */
struct sp_sock {
	__u64 address; /* of the struct sock; 0: not known */
	__u32 incarnation; /* of the slot */
	__u32 pad;
};

/*
 * What a listener carries in sp_tags (SK_STORAGE) while its connections are counted. The kernel copies it to each
 * connection (BPF_F_CLONE), so whose that is is known for sure, whatever became of the SYN. A value of sp_moved, too: where
 * a connection is now that was taken out of a closed listener; the key is its cookie.
 */
struct sp_tag {
	__u64 worker; /* cookie of the listener: sp_info names the slot's by it */
	__u32 slot;
	__u32 counted; /* SP_TAG_NEW, SP_TAG_IN(tally), SP_TAG_ENDED */
};

#define SP_TALLIES 2
#define SP_TAG_NEW 0u /* a listener's, and that of a connection which nobody has seen open */
#define SP_TAG_IN(tally) ((tally) + 1u)
#define SP_TAG_ENDED 3u /* it is in no tally any more, and comes into none again */

/*
 * One element of sp_active for each slot: connections that are established, and not closed by the worker. Their number is
 * the sum; only while they are counted again is there something in both.
 */
struct sp_active {
	__u32 tally[SP_TALLIES];
};

/* A kept flow: the value of sp_flows; the key is the 64-bit flow hash. */
struct sp_flow {
	__u16 slot;
	__u16 pad;
	__u32 incarnation; /* of the slot when the flow was kept */
	__u32 last_seen_s; /* CLOCK_MONOTONIC */
};

/*
 * A row of sp_counters, which the program counts in, and of sp_carried: what the programs before it had counted when
 * they were replaced. A counter is the sum of both. New ones go to the end of the list: older rows are a prefix.
 */
struct sp_counters {
#define SP_COUNTER(name, kind, text) __u64 name;
#include "counters.def"
#undef SP_COUNTER
};

enum sp_event_kind {
	SP_EVENT_MIGRATED = 1, /* a connection of a closing listener was handed to the slot */
	SP_EVENT_EMPTY = 2, /* the slot was found empty; at most once per incarnation */
};

/* A record of sp_events. */
struct sp_event {
	enum sp_event_kind kind;
	__u32 slot;
	__u32 incarnation;
	__u32 pad;
	__u64 time_ns; /* CLOCK_MONOTONIC */
};

/* What the members iterator writes: one record for each (process, fd) that holds a socket of interest. */
struct sp_member_record {
	__u64 cookie;
	__u64 sock; /* its address in kernel memory */
	__u64 group; /* identity of the kernel's group within one pass; 0: the socket is in none */
	__u64 netns_cookie;
	__u32 netns_inode;
	__u32 pid; /* in the pid namespace of the reader */
	__u32 fd;
	__u32 uid; /* owner of the socket */
	__s32 position; /* in the kernel's order of the group; -1: beyond SP_SLOTS_MAX or gone */
	__u32 group_size; /* num_socks: every member, visible or not */
	__u32 prog_id; /* 0: none, or classic BPF */
	__u16 prog_type; /* enum bpf_prog_type, classic BPF as SOCKET_FILTER; 0: none */
	__u8 is_mptcp; /* what listens in its group is a socket of the kernel's that no process holds */
	__u8 is_taken; /* in a sockarray, or used by the kernel otherwise: it cannot be put into another one */
	__u32 array_id; /* the attached program's sockarray that holds it; 0: none */
	__u32 array_refs; /* references to that sockarray and to the program, the attachment's own two included */
	__u32 ifindex;
	__u32 backlog; /* TCP: accept queue; UDP: bytes in the receive queue */
	__u32 backlog_max;
	__u32 drops; /* UDP: datagrams dropped at the full receive queue; TCP: connections at the full backlog */
	__u16 family;
	__u16 port;
	__u8 protocol;
	__u8 state; /* enum tcp_state; a connected UDP socket is TCP_ESTABLISHED */
	__u8 v6only;
	__u8 has_conns; /* the group had a connected UDP member at some time */
	__u8 addr[16];
	char comm[SP_COMM_LEN];
	char prog_name[SP_COMM_LEN];
};

/* What the connections iterator writes: one record for each (process, fd) that holds a connection of the port. */
struct sp_connection_record {
	__u64 cookie;
	__u32 pid; /* in the pid namespace of the reader */
	__u32 fd;
};

/* What the daemon asks to hear of, and a record of sp_news; neither is pinned. */
struct sp_watch_key {
	__u16 port;
	__u8 protocol;
	__u8 pad;
};

enum sp_watch_kind {
	SP_WATCH_LISTENS =
		1, /* TCP: it is about to be a member of its group; the kernel hashes it after this */
	SP_WATCH_BOUND = 2, /* UDP: it is a member */
	SP_WATCH_GONE = 3, /* TCP: it is no member any more */
};

struct sp_watch_event {
	enum sp_watch_kind kind;
	struct sp_watch_key key;
	__u64 netns_cookie;
	__u64 cookie;
	__u64 time_ns; /* CLOCK_MONOTONIC */
};

/* File names below <bpffs>/steadyport/NAME/; the maps carry the same names in the kernel. */
#define SP_PIN_PROG "sp_steer"
#define SP_PIN_SLOTS "sp_slots"
#define SP_PIN_VIEWS "sp_views"
#define SP_PIN_CTL "sp_ctl"
#define SP_PIN_INFO "sp_info"
#define SP_PIN_FLOWS "sp_flows"
#define SP_PIN_COUNTERS "sp_counters"
#define SP_PIN_CARRIED "sp_carried" /* since ABI 2 */
#define SP_PIN_EVENTS "sp_events"
#define SP_PIN_SOCKS "sp_socks" /* since ABI 3, as those that follow */
#define SP_PIN_TAGS "sp_tags"
#define SP_PIN_ACTIVE "sp_active"
#define SP_PIN_MOVED "sp_moved"
#define SP_PIN_COUNT "sp_count" /* two links, with SP_BALANCE_LEAST_CONN only */
#define SP_PIN_RECOUNT "sp_recount"

_Static_assert(SP_BUCKETS == SP_BUCKET_MASK + 1, "buckets are a power of two");
_Static_assert(SP_SLOTS_MAX < SP_SLOT_NONE, "a slot fits an owner entry");
_Static_assert(sizeof(struct sp_view) == 24 + SP_SLOTS_MAX / 8 + SP_BUCKETS / 8 + SP_BUCKETS * 2,
	       "no padding");
_Static_assert(sizeof(struct sp_ctl) == 64 + 72, "the hot part is one cache line");
_Static_assert(sizeof(struct sp_info) == 64, "one cache line");
_Static_assert(sizeof(struct sp_tag) == 16, "no padding");
_Static_assert(sizeof(struct sp_active) == 8, "one word, as the elements of an array are aligned");
_Static_assert(SP_TAG_ENDED == SP_TAG_IN(SP_TALLIES), "each state of a tag has its number");
_Static_assert(sizeof(struct sp_sock) == 16, "no padding");
_Static_assert(sizeof(struct sp_flow) == 12, "no padding");
_Static_assert(sizeof(struct sp_event) == 24, "no padding");
_Static_assert(sizeof(struct sp_member_record) == 144, "no padding");
_Static_assert(sizeof(struct sp_connection_record) == 16, "no padding");
_Static_assert(sizeof(struct sp_watch_key) == 4, "no padding: it is a key of a hash");
_Static_assert(sizeof(struct sp_watch_event) == 32, "no padding");
_Static_assert(sizeof(SP_PIN_COUNTERS) <= 16, "BPF_OBJ_NAME_LEN");

#endif
