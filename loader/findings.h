/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is wrong, or worth knowing, with this machine and with one group: facts in, findings out. Pure: whoever gathers
 * the facts (checkup.c) decides nothing, and nothing is looked up here.
 */
#ifndef STEADYPORT_FINDINGS_H
#define STEADYPORT_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "endpoint.h"
#include "pin.h"
#include "privilege.h"
#include "wake.h"

enum sp_severity {
	SP_SEVERITY_ERROR,
	SP_SEVERITY_WARNING,
	SP_SEVERITY_NOTE,
	SP_SEVERITIES,
};

/* Those of findings.def, in its order. */
enum sp_finding_id {
#define SP_FINDING(id, name, severity, what, why, fix) SP_FINDING_##id,
#include "findings.def"
#undef SP_FINDING
	SP_FINDING_IDS,
};

struct sp_finding_kind {
	const char *name;
	enum sp_severity severity;
	const char *what, *why, *fix; /* words in capitals stand for values */
};

extern const struct sp_finding_kind sp_finding_kinds[SP_FINDING_IDS];

#define SP_FINDING_WHAT_STRLEN 384
#define SP_FINDING_TEXT_STRLEN 512

struct sp_finding {
	enum sp_finding_id id;
	char what[SP_FINDING_WHAT_STRLEN], why[SP_FINDING_TEXT_STRLEN], fix[SP_FINDING_TEXT_STRLEN];
};

struct sp_findings {
	struct sp_finding *items; /* in the order of findings.def */
	size_t count;
	__u32 counts[SP_SEVERITIES];
	bool is_out_of_memory; /* some are missing */
};

void sp_findings_free(struct sp_findings *findings);
#define sp_autofindings __attribute__((cleanup(sp_findings_free)))

/* "error", "warning", "note" */
const char *sp_severity_name(enum sp_severity severity);

/* --- facts of the machine --- */

enum sp_bpffs_state {
	SP_BPFFS_MOUNTED,
	SP_BPFFS_MISSING,
	SP_BPFFS_UNTRUSTED,
};

struct sp_machine_facts {
	char release[96];
	bool is_too_old, has_btf;
	bool lacks[SP_PRIVILEGES]; /* CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON: then these are not lacking */
	const char *bpffs;
	enum sp_bpffs_state bpffs_state;
	bool sees_all_processes;
	int jit; /* net.core.bpf_jit_enable; -1: not known */
	enum sp_wake_need wake;
	char wake_why[SP_WAKE_WHY_LEN];
	bool has_daemon;
};

/* Adds to @ret what is wrong with the machine. */
void sp_findings_of_machine(const struct sp_machine_facts *facts, struct sp_findings *ret);

/* False when nothing can be looked at on this machine by this process. */
bool sp_machine_can_look(const struct sp_machine_facts *facts);

/* --- facts of a group --- */

#define SP_FACTS_WHO_STRLEN 64

struct sp_member_facts {
	__u64 cookie;
	char who[SP_FACTS_WHO_STRLEN]; /* "h3d[4411]" */
	int position; /* in the kernel's order, -1: unknown */
	int slot; /* -1: in none */
	__u32 nprocesses; /* that hold it, as far as they are visible */
	bool is_connected, is_taken, is_parking;
	__u32 backlog, backlog_max;
	__u64 drops, new_drops; /* new: while it was watched */
	double share; /* of new flows, 0 to 1 */
	__u64 arrived; /* packets or connections while it was watched */
	__u32 flows; /* of these packets, when flows are known */
};

enum sp_pins_state {
	SP_PINS_OURS,
	SP_PINS_OLD,
	SP_PINS_NEW,
	SP_PINS_BROKEN,
};

struct sp_group_facts {
	char name[SP_NAME_MAX + 1]; /* it is steered as; empty: it is not */
	char endpoint[SP_ENDPOINT_STRLEN]; /* "udp:[::]:443" */
	char netns_option[32]; /* "--netns 4711", empty when it is in our own network namespace */
	const char *bpffs;
	enum sp_protocol protocol;

	bool has_group; /* a visible process holds a member */
	char program[64]; /* that is attached, as people name it; empty: none */
	bool is_our_program; /* of a steadyport, pinned here or not */
	__u32 uid; /* of the group */
	__u32 size; /* members the kernel has, less the parking socket */
	__u32 nhidden;
	__u32 noutside;
	char outside[SP_FACTS_WHO_STRLEN];
	bool had_connected;
	struct sp_member_facts
		*members; /* visible ones, in the kernel's order; connected ones may have left it */
	size_t nmembers;
	int migrate_req; /* net.ipv4.tcp_migrate_req there; -1: not known */
	__u64 migrate_failed; /* TCPMigrateReqFailure there */
	__u64 watch_ns; /* 0: it was not watched */

	/* What follows is of steered groups. */
	enum sp_pins_state pins;
	__u32 abi;
	bool is_attached, was_attached, is_other_user;
	__u32 made_for_uid;
	enum sp_slot_state slots[SP_SLOTS_MAX]; /* DEAD: its socket is gone, whatever sp_info says */
	bool knows_flows; /* every flow is tracked, or it is TCP */
	__u64 learn_ns, attached_for_ns;
	__u32 serial; /* views published since the attach */
	bool is_learning;
	__u64 unsettled_for_ns; /* since the window closed; 0: it is open, or all is settled */
	__u64 forgotten; /* kept flows, for want of room */
	__u32 room;
};

void sp_group_facts_free(struct sp_group_facts *facts);
#define sp_autofacts __attribute__((cleanup(sp_group_facts_free)))

/* Adds to @ret what is wrong with the group. */
void sp_findings_of_group(const struct sp_group_facts *facts, struct sp_findings *ret);

#endif
