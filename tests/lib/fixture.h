/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tests of the steering program share: a group of real workers at one of several places,
 * steered by the loader's own modules, and flows whose fate is compared from round to round.
 *
 * Every function ends the test case by itself when something cannot be done; what a case opened is
 * closed by the fixture, also after a failure. After each case the fixture checks what must hold in all
 * of them: each run of the program had one outcome (I8), no duplicate of a member's socket is in this
 * process (I6), and no fd is left open.
 */
#ifndef STEADYPORT_TESTS_FIXTURE_H
#define STEADYPORT_TESTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <steadyport/abi.h>
#include "cleanup.h"
#include "lab.h"
#include "pin.h"
#include "reconcile.h"
#include "state.h"

#define SP_FIXTURE_BPFFS "/sys/fs/bpf"
#define SP_FIXTURE_NAME "test"
#define SP_FIXTURE_WORKERS 256 /* in the life of one case */
#define SP_FIXTURE_FLOW_SETS 8
#define SP_FIXTURE_FILES 16
#define SP_FIXTURE_FIRST_PORT 20000 /* below the ports that the kernel hands out */
#define SP_FIXTURE_FIRST_SOURCE 1024
#define SP_FIXTURE_PATIENCE_MS 20000 /* for what is done in milliseconds on a machine that is not slow */
#define SP_FIXTURE_LEARN_NS (3600 * 1000000000ULL) /* no case outlives it: sp_fixture_end_window() ends it */

/* Where a group listens, and the address that its clients ask for. */
enum sp_place {
	SP_PLACE_V4 = 1 << 0, /* 127.0.0.1 */
	SP_PLACE_V4_ANY = 1 << 1, /* 0.0.0.0 */
	SP_PLACE_V4_OWN = 1 << 2, /* an interface's own address */
	SP_PLACE_V6 = 1 << 3, /* ::1 */
	SP_PLACE_V6_ANY = 1 << 4, /* ::, IPv6 only */
	SP_PLACE_V6_OWN = 1 << 5,
	SP_PLACE_DUAL_V4 = 1 << 6, /* :: with both families, asked over IPv4 */
	SP_PLACE_DUAL_V6 = 1 << 7,

	SP_PLACE_ALL = (1 << 8) - 1,
	SP_PLACE_EACH_FAMILY = SP_PLACE_V4 | SP_PLACE_V6 | SP_PLACE_DUAL_V4,
};

enum sp_case_protocols {
	SP_CASE_TCP = 1,
	SP_CASE_UDP = 2,
	SP_CASE_BOTH = 3,
};

/* Ends the case when a function of the loader or the laboratory did not return 0. */
#define require_ok(call)                                                           \
	do {                                                                       \
		int err_ = (call);                                                 \
		if (err_)                                                          \
			fail_msg("%s: %s", #call, strerror(err_ < 0 ? -err_ : 0)); \
	} while (0)

struct sp_fixture;

/* A test case; it is run once for each of its protocols and places. */
struct sp_case {
	const char *name;
	void (*run)(struct sp_fixture *fx);
	enum sp_case_protocols protocols;
	unsigned int places;
	__u32 workers; /* running when the case starts */
	bool is_paused; /* they accept nothing until they are told to */
	enum sp_hash hash;
	enum sp_track track;
	enum sp_balance balance;
};

#define SP_CASE(function, ...)                                  \
	{                                                       \
		.name = #function, .run = function, __VA_ARGS__ \
	}

/*
 * A number of clients, each with a source port of its own. A round asks once on each: a datagram, or a new
 * connection with the same four numbers.
 */
struct sp_flow_set {
	size_t count;
	int *owners; /* who answered in the last round: an id, or enum sp_lab_owner */
	int *before; /* in the round before */
	struct sp_lab_flows lab;
	__u16 source_port; /* TCP: of the first flow */
	__u64 *hashes; /* as user space computes them */
};

struct sp_fixture {
	const struct sp_case *what;
	enum sp_protocol protocol;
	struct sp_address address; /* bound by the workers */
	struct sp_address target; /* asked by the clients */
	bool is_v6only;
	__u16 port;
	__u64 learn_ns; /* of sp_fixture_attach() */
	enum sp_lab_manner manner; /* of new flows; of those that wait the case asks itself */
	struct sp_lab_options options; /* of the workers that join; id, place and pause are the fixture's */

	struct sp_lab_worker workers[SP_FIXTURE_WORKERS]; /* by id */
	bool is_dead[SP_FIXTURE_WORKERS];
	__u32 nworkers;
	bool is_paused; /* they accept nothing */

	struct sp_flow_set sets[SP_FIXTURE_FLOW_SETS];
	size_t nsets;
	__u16 next_source;
	int files[SP_FIXTURE_FILES];
	size_t nfiles;

	struct sp_pins pins;
	struct sp_state *state; /* as of the last sp_fixture_look() */
	struct sp_reconcile_result result; /* of the last attach or sync */
	int stats; /* run-time statistics of BPF programs are on while it is open */
	size_t nfds; /* open before the case */
};

/* Runs the cases; @argv[1], if given, is a pattern of names (* and ?). Returns what main() should. */
int sp_fixture_main(const char *group, const struct sp_case *cases, size_t ncases, int argc, char **argv);

/* Starts one more worker; its id. */
__u32 sp_fixture_join(struct sp_fixture *fx);
/* A worker forks; or hands its socket over to a new process, which shares it from then on. The id of the other. */
__u32 sp_fixture_fork(struct sp_fixture *fx, __u32 id);
__u32 sp_fixture_share(struct sp_fixture *fx, __u32 id);
void sp_fixture_kill(struct sp_fixture *fx, __u32 id);
/* Lets workers that were paused from the start serve. */
void sp_fixture_resume(struct sp_fixture *fx);
/* A worker's socket, to do to it what the worker would do; the caller closes it at once (I6). */
int sp_fixture_borrow(struct sp_fixture *fx, __u32 id);
/* What waits in its queue: sp_lab_waiting(). */
__u32 sp_fixture_waiting(struct sp_fixture *fx, __u32 id);
/* Whether the socket of that cookie is, or was, the worker's. */
bool sp_fixture_holds(const struct sp_fixture *fx, __u32 id, __u64 cookie);

/* As `steadyport attach` and `steadyport sync` do it; both read the state afterwards. */
void sp_fixture_attach(struct sp_fixture *fx);
void sp_fixture_sync(struct sp_fixture *fx);
/* Load and publish only, for the cases that write their own views: nothing is enrolled or attached. */
void sp_fixture_load(struct sp_fixture *fx);

/* Reads the state anew. */
void sp_fixture_look(struct sp_fixture *fx);
/* The slot that holds this worker's socket now, or was given to it last. */
__u32 sp_fixture_slot(struct sp_fixture *fx, __u32 id);

/* Lets the learn window in force end now. Writes a published view, so no packet may be on its way. */
void sp_fixture_end_window(struct sp_fixture *fx);
/* Ends the window if one is open, and reconciles. */
void sp_fixture_settle(struct sp_fixture *fx);

/* New flows; the first round tells who has them, unless the workers are paused. */
struct sp_flow_set *sp_fixture_flows(struct sp_fixture *fx, size_t count);
/* TCP: the answers to the connections that are open, once the workers give them. */
void sp_fixture_answers(struct sp_fixture *fx, struct sp_flow_set *set);
/* Every case does this in the end. */
void sp_fixture_drop_flows(struct sp_flow_set *set);
/* One more round. */
void sp_fixture_round(struct sp_fixture *fx, struct sp_flow_set *set);

/* Every flow is where it was, unless its worker has died, and all are answered by workers that live. */
#define sp_require_still(fx, set) sp_fixture_require_still(fx, set, __FILE__, __LINE__)
void sp_fixture_require_still(struct sp_fixture *fx, const struct sp_flow_set *set, const char *file,
			      int line);

/* Every flow was answered by the worker in the slot that sp_choose() names for the view in force (I7). */
#define sp_require_agreement(fx, set) sp_fixture_require_agreement(fx, set, __FILE__, __LINE__)
void sp_fixture_require_agreement(struct sp_fixture *fx, const struct sp_flow_set *set, const char *file,
				  int line);

/*
 * Every worker that lives has at least half of its even share; placed by least-conn, nine tenths. Placed by
 * least-queue nothing is asked: a worker that gets the CPU late accepts late, and is given less.
 */
#define sp_require_spread(fx, set) sp_fixture_require_spread(fx, set, __FILE__, __LINE__)
void sp_fixture_require_spread(struct sp_fixture *fx, const struct sp_flow_set *set, const char *file,
			       int line);

/* Flows that @id answered in the last round; and in the one before. */
size_t sp_fixture_count(const struct sp_flow_set *set, int id);
size_t sp_fixture_count_before(const struct sp_flow_set *set, int id);

/* Counters: the sum over all rows, or of one row; by name. */
#define sp_fixture_sum(fx, counter) sp_fixture_counter(fx, -1, offsetof(struct sp_counters, counter))
#define sp_fixture_row(fx, row, counter) sp_fixture_counter(fx, row, offsetof(struct sp_counters, counter))
__u64 sp_fixture_counter(struct sp_fixture *fx, int row, size_t offset);
__u64 sp_fixture_outcomes(struct sp_fixture *fx);
/* Where new connections go: as the case says, or what is asked of all that do not (placing.h). */
enum sp_balance sp_fixture_balance(const struct sp_fixture *fx);
/* A new connection goes where the hash says, and not to who has less to do: by the case, or by $TEST_BALANCE. */
bool sp_fixture_goes_by_hash(const struct sp_fixture *fx);
/* Runs of the program since it was loaded. */
__u64 sp_fixture_runs(struct sp_fixture *fx);

/*
 * A counter after so many requests. UDP: one for each. TCP: one for each at least: the kernel looks for a listener,
 * and so asks the program, for every segment that finds no connection, also for the last ones of a connection that
 * has ended with its worker.
 */
#define sp_require_asked(fx, actual, requests) \
	sp_fixture_require_asked(fx, actual, requests, __FILE__, __LINE__)
void sp_fixture_require_asked(struct sp_fixture *fx, __u64 actual, __u64 requests, const char *file,
			      int line);
/* Kept flows in the flow table. */
__u64 sp_fixture_kept(struct sp_fixture *fx);

/* Hands an open file over: it is closed after the case. Returns it; a negative one ends the case. */
int sp_fixture_own(struct sp_fixture *fx, int fd);

/* The cookie of a socket, for comparing with a worker's. */
__u64 sp_fixture_cookie(int fd);

#endif
