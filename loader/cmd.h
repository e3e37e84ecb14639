/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Commands: what main.c parses and what each cmd_*.c does. One table in main.c lists them all. */
#ifndef STEADYPORT_CMD_H
#define STEADYPORT_CMD_H

#include <stdbool.h>
#include <steadyport/abi.h>

/* The only exit statuses. */
enum sp_exit {
	SP_EXIT_OK = 0,
	SP_EXIT_FAILED = 1, /* doctor: it found an error */
	SP_EXIT_USAGE = 2,
	SP_EXIT_NO_GROUP = 3, /* NAME is not steered */
};

/* A parsed command line. Parsing touches nothing but this. */
struct sp_args {
	int nargs;
	const char *const *args; /* what is not an option: NAME, ENDPOINT, ... */

	const char *bpffs; /* --bpffs DIR, default /sys/fs/bpf */
	const char *netns; /* --netns PID|PATH, NULL: the caller's own */
	bool json;
	bool all;

	__u64 learn_ns; /* --learn DURATION */
	__u64 flow_idle_ns; /* --flow-idle DURATION, 0: never */
	bool has_wait;
	__u64 wait_ns; /* --wait DURATION */
	__u64 watch_ns; /* --watch DURATION */
	__u32 slots; /* --slots N: that have counters of their own; 0: as the group has members */
	__s32 slot; /* --slot N, -1: all */
	bool upgrade; /* --upgrade */
	bool no_key; /* --no-key */
	enum sp_track track;
	enum sp_hash hash;
	enum sp_balance balance;
	bool has_seed;
	__u64 seed[2]; /* --seed HEX: 32 digits, the 16 key bytes in order */
	__u32 flows; /* --flows N: room for kept flows (attach); flows to drive (demo) */
	bool replace;
	bool partial;

	const char *config; /* --config FILE */
	bool is_check;

	bool is_once;
	__u64 interval_ns; /* --interval DURATION */

	bool is_tour;
	bool is_rolling;
	const char *svg; /* --svg FILE; NULL: none */
	bool do_udp, do_tcp; /* --proto */
	__u32 workers;
	__u32 kill;
};

enum sp_exit sp_cmd_attach(const struct sp_args *args);
enum sp_exit sp_cmd_sync(const struct sp_args *args);
enum sp_exit sp_cmd_drain(const struct sp_args *args);
enum sp_exit sp_cmd_undrain(const struct sp_args *args);
enum sp_exit sp_cmd_eject(const struct sp_args *args);
enum sp_exit sp_cmd_retire(const struct sp_args *args);
enum sp_exit sp_cmd_weight(const struct sp_args *args);
enum sp_exit sp_cmd_balance(const struct sp_args *args);
enum sp_exit sp_cmd_upgrade(const struct sp_args *args);
enum sp_exit sp_cmd_run(const struct sp_args *args);
enum sp_exit sp_cmd_detach(const struct sp_args *args);
enum sp_exit sp_cmd_groups(const struct sp_args *args);
enum sp_exit sp_cmd_list(const struct sp_args *args);
enum sp_exit sp_cmd_status(const struct sp_args *args);
enum sp_exit sp_cmd_top(const struct sp_args *args);
enum sp_exit sp_cmd_where(const struct sp_args *args);
enum sp_exit sp_cmd_explain(const struct sp_args *args);
enum sp_exit sp_cmd_flows(const struct sp_args *args);
enum sp_exit sp_cmd_counters(const struct sp_args *args);
enum sp_exit sp_cmd_doctor(const struct sp_args *args);
enum sp_exit sp_cmd_snapshot(const struct sp_args *args);
enum sp_exit sp_cmd_restore(const struct sp_args *args);
enum sp_exit sp_cmd_demo(const struct sp_args *args);

#endif
