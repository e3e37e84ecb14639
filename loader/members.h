/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who is in which reuseport group, read from the kernel in one pass over all open files (members.bpf.c): the
 * reader sees every process of its own pid namespace and those below, in every network namespace.
 */
#ifndef STEADYPORT_MEMBERS_H
#define STEADYPORT_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "endpoint.h"

/* A process that holds a member open; one member may have several (nginx), one process several members. */
struct sp_owner {
	__u32 pid;
	__u32 fd;
	char comm[SP_COMM_LEN];
};

struct sp_member {
	__u64 cookie;
	__u64 sock; /* its address in kernel memory */
	int position; /* in the kernel's order, -1: unknown */
	bool is_connected; /* a connected UDP socket: gets its peer's packets before any program runs */
	__u32 backlog; /* TCP: connections in the accept queue; UDP: bytes in the receive queue */
	__u32 backlog_max;
	__u32 drops; /* since the socket was made */
	bool is_taken; /* in a sockarray, or used by the kernel otherwise: it cannot be put into another one */
	__u32 array_id; /* the attached program's sockarray that holds it; 0: none */
	bool is_array_shared; /* something else keeps that sockarray: it outlives the attachment */
	struct sp_owner *owners; /* sorted by pid, fd */
	size_t nowners;
};

/* A kernel group as of one scan; or, with has_group false, a lone socket of the asked port that is in none. */
struct sp_group {
	bool has_group;
	enum sp_protocol protocol;
	struct sp_address address;
	__u32 ifindex;
	__u16 port;
	bool is_v6only;
	bool is_mptcp; /* only with has_group false */
	bool has_conns;
	__u32 uid;
	__u64 netns_cookie;
	__u32 netns_inode;
	__u32 size; /* members the kernel has, whether a visible process holds them or not */
	__u32 prog_id; /* attached eBPF program; 0: none or classic */
	__u32 prog_type; /* enum bpf_prog_type; 0: no program */
	char prog_name[SP_COMM_LEN];
	struct sp_member *members; /* the visible ones, in the kernel's order, unknown positions last */
	size_t nmembers;
};

struct sp_groups {
	struct sp_group *groups; /* sorted by protocol, port, address, netns */
	size_t ngroups;
};

/**
 * sp_members_scan - every reuseport group that visible processes hold
 * @any_on_port: also report sockets of this port that are in no group (has_group false); 0: groups only
 * Needs CAP_BPF and CAP_PERFMON. Returns 0 or -errno (logged), @ret_groups untouched on failure.
 */
int sp_members_scan(__u16 any_on_port, struct sp_groups **ret_groups);

/*
 * The same for whoever looks again and again: loading the iterator takes some 40 ms, mostly libbpf's parsing of the
 * kernel's BTF, a pass takes 0.3 ms for 1,000 open files.
 */
struct sp_scanner;

int sp_scanner_open(__u16 any_on_port, struct sp_scanner **ret_scanner);
int sp_scanner_scan(struct sp_scanner *scanner, struct sp_groups **ret_groups);
void sp_scanner_free(struct sp_scanner **scanner);
#define sp_autoscanner __attribute__((cleanup(sp_scanner_free)))

void sp_groups_free(struct sp_groups **groups);

/* The member that is this socket, or NULL. */
const struct sp_member *sp_groups_member(const struct sp_groups *groups, __u64 cookie);

/* The pure half of the scan: records in any order to groups. Returns 0 or -ENOMEM. */
int sp_members_group(const struct sp_member_record *records, size_t nrecords, struct sp_groups **ret_groups);

#define sp_autogroups __attribute__((cleanup(sp_groups_free)))

#endif
