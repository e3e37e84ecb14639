/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An operator at work: runs the steadyport binary under a deadline, reads what it answers, and has workers
 * and flows for it to act on. Every function fails the test that calls it when the thing cannot be done.
 */
#ifndef STEADYPORT_TESTS_RUN_H
#define STEADYPORT_TESTS_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <cmocka.h>
#include <jansson.h>
#include "cmd.h"
#include "endpoint.h"
#include "lab.h"

#define SP_RUN_DEADLINE_MS 60000 /* for what takes a tenth of a second on an idle machine */
#define SP_RUN_SIGNALLED 128 /* status of a process that a signal ended: this plus its number */
#define SP_RUN_WORDS_MAX 24

/* A run of a program. Zero-initialised; what start or wait left in it is freed by sp_run_free(). */
struct sp_run {
	pid_t pid; /* 0: it has ended */
	int status; /* valid when it has ended */
	char *out; /* NUL-terminated, so far */
	char *err;
	size_t out_len, err_len;
	int out_fd, err_fd;
};

/* What is different about a run; all zero: nothing. */
struct sp_run_setup {
	void (*prepare)(
		void *ctx); /* in the child, before it becomes the program; _exit() is its way to fail */
	void *ctx;
};

/* The binary under test: $STEADYPORT, or build/steadyport as seen from build/tests/KIND/x_test. */
const char *sp_run_binary(void);

/* @words: the program's name or path first, NULL last; the word "steadyport" is the binary under test. */
void sp_run_start(struct sp_run *run, const struct sp_run_setup *setup, const char *const *words);
/*
 * Waits until it has ended, and checks that no process of the binary is left in this network namespace but
 * those that were started and not waited for.
 */
void sp_run_wait(struct sp_run *run);
/* Takes what it has said until now. */
void sp_run_drain(struct sp_run *run);
/* True when it has ended; sp_run_wait() still has to be called. */
bool sp_run_has_ended(const struct sp_run *run);
/* Waits until stderr holds the text; fails when the program ends before. */
void sp_run_wait_error(struct sp_run *run, const char *text);
void sp_run_free(struct sp_run *run);

/*
 * One whole run that must end with @status. What it said is shown when it ends otherwise. The result is valid
 * until the next call.
 */
const struct sp_run *sp_run_program(const char *file, int line, int status, const struct sp_run_setup *setup,
				    const char *first, ...) __attribute__((sentinel));

/* steadyport WORDS..., done */
#define sp_run(...) sp_run_program(__FILE__, __LINE__, SP_EXIT_OK, NULL, "steadyport", __VA_ARGS__, NULL)
/* steadyport WORDS... that ends with another status */
#define sp_run_fails(status, ...) \
	sp_run_program(__FILE__, __LINE__, status, NULL, "steadyport", __VA_ARGS__, NULL)
/* another program */
#define sp_run_other(...) sp_run_program(__FILE__, __LINE__, 0, NULL, __VA_ARGS__, NULL)
/* steadyport WORDS... --json: the document, to json_decref() */
#define sp_run_json(...) sp_run_parse(__FILE__, __LINE__, sp_run(__VA_ARGS__, "--json"))
json_t *sp_run_parse(const char *file, int line, const struct sp_run *run);

/* $TEST_SLOWNESS, how many times as long everything takes on this machine; 1 if it does not say. */
unsigned int sp_run_slowness(void);
/*
 * A learn window that is long enough for what a case does in it, "1500ms": so many milliseconds, times the slowness.
 * Valid until the next call.
 */
const char *sp_run_window(unsigned int ms);

/* True if the program is installed. */
bool sp_run_has(const char *program);
/* Skips the case, loudly, if it is not. */
void sp_run_need(const char *program);

/* Fields of a document; the test fails when there is none of that name and type. */
json_int_t sp_json_int(const json_t *object, const char *key);
double sp_json_real(const json_t *object, const char *key);
bool sp_json_bool(const json_t *object, const char *key);
const char *sp_json_text(const json_t *object, const char *key);
json_t *sp_json_array(const json_t *object, const char *key); /* borrowed */
json_t *sp_json_object(const json_t *object, const char *key); /* borrowed */
/* The element whose field is this number. */
json_t *sp_json_find(const json_t *array, const char *key, json_int_t value); /* borrowed */

/* `groups --json`, less those of other network namespaces: they are of other tests. */
json_t *sp_groups_here(void);

/* One field of `status NAME --json`. */
json_int_t sp_status_int(const char *name, const char *key);
bool sp_status_bool(const char *name, const char *key);
/* True when the slot is in use and in that state. */
bool sp_status_slot_is(const char *name, unsigned int slot, const char *state);
/* Polls until the learn window is closed. */
void sp_status_wait_settled(const char *name);

/* Packets and connections in a `counters --json` or `status --json`: the sum of all OUTCOME counters. */
json_int_t sp_json_outcomes(const json_t *document);
json_int_t sp_counters_outcomes(const char *name);

/* The workers of one endpoint; worker i has the id i. */
#define SP_CREW_MAX 2048

struct sp_crew {
	enum sp_protocol protocol;
	struct sp_address address;
	__u16 port;
	char endpoint[SP_ENDPOINT_STRLEN]; /* "udp:[::]:443" */
	struct sp_lab_options options; /* of each, but for the id */
	unsigned int size;
	struct sp_lab_worker workers[SP_CREW_MAX];
};

/* @options may be NULL; reuseport is on in any case. Port 0: the kernel chooses. */
void sp_crew_start(struct sp_crew *crew, enum sp_protocol protocol, const char *address, __u16 port,
		   unsigned int size, const struct sp_lab_options *options);
/* One that is not running, or one more. */
void sp_crew_add(struct sp_crew *crew, unsigned int id);
void sp_crew_kill(struct sp_crew *crew, unsigned int id);
/* Tells it to end as a good server does: it closes its listeners, and serves to their end those it has accepted. */
void sp_crew_leave(struct sp_crew *crew, unsigned int id);
void sp_crew_dismiss(struct sp_crew *crew);
/* One more member, held by the caller, who closes it. */
int sp_crew_join(const struct sp_crew *crew);
/* One more member that no process holds: its only reference is in flight in a UNIX socket, whose ends the caller closes. */
void sp_crew_send_away(const struct sp_crew *crew, int pair[2]);
/* A duplicate of a worker's socket, to do to it what its owner could do. */
int sp_crew_borrow(struct sp_crew *crew, unsigned int id);
/* The "kind" of program that the group runs: "none", "classic", "foreign", "steadyport". */
const char *sp_crew_program(const struct sp_crew *crew);

/* Flows from one client to one or two of a crew's addresses, half to each. */
struct sp_crowd {
	size_t count;
	size_t nparts;
	struct sp_lab_flows parts[2];
	__u16 source_port; /* of flow 0; flow i has this plus i */
};

void sp_crowd_open(struct sp_crowd *crowd, const struct sp_crew *crew, const char *to, const char *also_to,
		   __u16 source_port, size_t count);
void sp_crowd_close(struct sp_crowd *crowd);
/* UDP: who answers each flow now. All must be answered. @ret_owners: one for each flow */
void sp_crowd_ask(struct sp_crowd *crowd, int *ret_owners);
/* TCP: the same for the connections; what became of each, enum sp_lab_owner included. */
void sp_crowd_answers(struct sp_crowd *crowd, int *ret_owners);

/* Asks again and fails when a flow of a worker that is running has another one now. */
#define sp_crowd_stays(crowd, crew, before, after) \
	sp_crowd_check(__FILE__, __LINE__, crowd, crew, before, after)
void sp_crowd_check(const char *file, int line, struct sp_crowd *crowd, const struct sp_crew *crew,
		    const int *before, int *after);

/* Teardown of a case: detaches all that is steered and ends all workers. For cmocka. */
int sp_run_teardown(void **state);

#endif
