// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Lets system calls and allocations of a process fail. */
#include "fault.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/bpf.h>
#include "cleanup.h"
#include "scarce.h"
#include "trace.h"

#define ERRNOS_MAX 3
#define CLASSES_MAX 256
#define POLL_MS 2

/*
 * The calls that can fail, and how. What is not here cannot (getpid, rt_sigaction), is the allocator's own (brk, whose
 * failures are those of allocations), or ends the process.
 */
static const struct failing {
	long number;
	const char *name;
	int errnos[ERRNOS_MAX]; /* 0: no more */
	bool is_done_anyway; /* its error changes nothing: a file is closed, whatever close() says */
} failing[] = {
	{ SYS_bpf, "bpf", { ENOMEM, EPERM }, false },
	{ SYS_openat, "openat", { EMFILE, EACCES, EINTR }, false },
	{ SYS_close, "close", { EIO, EINTR }, true },
	{ SYS_read, "read", { EIO, ENOMEM }, false },
	{ SYS_pread64, "pread", { EIO }, false },
	{ SYS_pwrite64, "pwrite", { EPERM }, false },
	{ SYS_write, "write", { ENOSPC, EIO }, false },
	{ SYS_getdents64, "getdents", { EIO, ENOMEM }, false },
	{ SYS_newfstatat, "fstatat", { ENOMEM, EACCES }, false },
	{ SYS_faccessat, "faccessat", { ENOMEM, EACCES }, false },
	{ SYS_faccessat2, "faccessat2", { ENOMEM, EACCES }, false },
	{ SYS_statfs, "statfs", { ENOMEM, EACCES, EINTR }, false },
	{ SYS_mmap, "mmap", { ENOMEM, EPERM }, false },
	{ SYS_mremap, "mremap", { ENOMEM }, false },
	{ SYS_munmap, "munmap", { ENOMEM }, true },
	{ SYS_fcntl, "fcntl", { EMFILE }, false },
	{ SYS_dup, "dup", { EMFILE }, false },
	{ SYS_dup3, "dup3", { EMFILE, EINTR }, false },
	{ SYS_flock, "flock", { ENOLCK, EINTR }, false },
	{ SYS_ioctl, "ioctl", { EPERM, ENOMEM }, false },
	{ SYS_renameat2, "renameat2", { ENOMEM, EPERM }, false },
	{ SYS_mkdirat, "mkdirat", { ENOSPC, EPERM }, false },
	{ SYS_unlinkat, "unlinkat", { EPERM, ENOMEM }, false },
	{ SYS_mount, "mount", { EPERM, ENOMEM }, false },
	{ SYS_getrandom, "getrandom", { ENOSYS, EINTR }, false },
	{ SYS_membarrier, "membarrier", { ENOSYS, EPERM }, false },
	{ SYS_capget, "capget", { EPERM }, false },
	{ SYS_pidfd_open, "pidfd_open", { EMFILE, ENOMEM }, false },
	{ SYS_pidfd_getfd, "pidfd_getfd", { EMFILE, EPERM }, false },
	{ SYS_setns, "setns", { EPERM, ENOMEM }, false },
	{ SYS_unshare, "unshare", { EPERM, ENOMEM, ENOSPC }, false },
	{ SYS_socket, "socket", { EMFILE, ENOBUFS, EACCES }, false },
	{ SYS_bind, "bind", { EADDRINUSE, EACCES }, false },
	{ SYS_listen, "listen", { EADDRINUSE, EACCES }, false },
	{ SYS_connect, "connect", { ENOBUFS, ECONNREFUSED }, false },
	{ SYS_accept4, "accept4", { EMFILE, ENOBUFS }, false },
	{ SYS_shutdown, "shutdown", { EACCES }, false },
	{ SYS_sendto, "sendto", { ENOBUFS, ECONNREFUSED }, false },
	{ SYS_recvfrom, "recvfrom", { ENOMEM, EINTR }, false },
	{ SYS_getsockname, "getsockname", { ENOBUFS, EACCES }, false },
	{ SYS_getsockopt, "getsockopt", { ENOMEM, EACCES }, false },
	{ SYS_setsockopt, "setsockopt", { ENOMEM, EPERM }, false },
	{ SYS_epoll_create1, "epoll_create1", { EMFILE, ENOMEM }, false },
	{ SYS_epoll_ctl, "epoll_ctl", { ENOMEM, ENOSPC }, false },
	{ SYS_epoll_wait, "epoll_wait", { EINTR }, false },
	{ SYS_clock_nanosleep, "clock_nanosleep", { EINTR }, false },
	{ SYS_poll, "poll", { EINTR, ENOMEM }, false },
#ifdef SYS_mkdir
	{ SYS_mkdir, "mkdir", { ENOSPC, EPERM }, false },
	{ SYS_rmdir, "rmdir", { EPERM, ENOMEM }, false },
	{ SYS_access, "access", { ENOMEM, EACCES }, false },
#endif
};

bool sp_fault_is_all(void)
{
	const char *which = getenv("FAULTS");

	return which && !strcmp(which, "all");
}

unsigned int sp_fault_variants(enum sp_fault_kind kind, enum sp_fault_reach reach)
{
	if (sp_fault_is_all())
		return kind == SP_FAULT_CALL ? ERRNOS_MAX : 1;
	return kind == SP_FAULT_CALL || (kind == SP_FAULT_MEMORY && reach != SP_FAULT_CHANGES);
}

/* --- system calls --- */

struct counting {
	struct class
	{
		long number;
		__u64 command;
		unsigned int count, run;
	} classes[CLASSES_MAX];
	size_t nclasses;
	struct class *last;
	unsigned int counted;
};

/* A pipe from the process to itself, as for signals, neither fails nor has it anything to say. */
static bool is_own_pipe(const struct sp_trace *trace)
{
	const __u64 *args = (const void *)trace->call.entry.args;
	int fd = args[0];
	char path[64], link[8] = "";

	if ((trace->call.entry.nr != SYS_read && trace->call.entry.nr != SYS_write) || fd <= STDERR_FILENO)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", trace->pid, fd);
	return readlink(path, link, sizeof(link)) > 0 && !strncmp(link, "pipe:", 5);
}

static const struct failing *find_failing(const struct sp_trace *trace)
{
	if (is_own_pipe(trace))
		return NULL;
	for (size_t i = 0; i < SP_ARRAY_SIZE(failing); i++)
		if (failing[i].number == (long)trace->call.entry.nr)
			return &failing[i];
	return NULL;
}

static __u64 command_of(const struct sp_trace *trace)
{
	const __u64 *args = (const void *)trace->call.entry.args;

	return trace->call.entry.nr == SYS_bpf ? args[0] : 0;
}

static struct class *find_class(struct counting *c, long number, __u64 command)
{
	struct class *class = c->classes;

	while (class < c->classes + c->nclasses && (class->number != number || class->command != command))
		class ++;
	if (class == c->classes + c->nclasses) {
		assert_true(c->nclasses < CLASSES_MAX);
		c->nclasses++;
		*class = (struct class){ .number = number, .command = command };
	}
	return class;
}

static bool is_power_of_two(unsigned int n)
{
	return (n & (n - 1)) == 0;
}

static bool counts(enum sp_fault_reach reach, struct counting *c, const struct sp_trace *trace)
{
	struct class *class = find_class(c, trace->call.entry.nr, command_of(trace));
	bool is_each = sp_fault_is_all() || sp_trace_effect(trace) == SP_TRACE_STAYS;

	class->run = class == c->last ? class->run + 1 : 1;
	class->count++;
	c->last = class;
	if (is_each)
		return is_power_of_two(class->run);
	return reach == SP_FAULT_FAR ? is_power_of_two(class->count) :
				       reach == SP_FAULT_NEAR && class->count == 1;
}

/* At an entry: the call that shall fail, or NULL. */
static const struct failing *choose(struct sp_fault *fault, struct counting *c, const struct sp_trace *trace)
{
	const struct failing *f = find_failing(trace);

	if (!f || !f->errnos[fault->variant])
		return NULL;
	if (fault->is_injected)
		return fault->kind == SP_FAULT_CALLS && fault->number == f->number &&
				       fault->command == command_of(trace) ?
			       f :
			       NULL;
	if (fault->kind == SP_FAULT_KILL && sp_trace_effect(trace) != SP_TRACE_STAYS)
		return NULL;
	if (!counts(fault->reach, c, trace) || ++c->counted != fault->nth)
		return NULL;
	fault->is_injected = true;
	fault->number = f->number;
	fault->command = command_of(trace);
	/* The other errnos have their turn with the calls after it. */
	fault->error = f->errnos[fault->variant];
	if (!sp_fault_is_all() && f->errnos[fault->nth % ERRNOS_MAX])
		fault->error = f->errnos[fault->nth % ERRNOS_MAX];
	return f;
}

/* From an entry on to behind the exit. */
static void inject(struct sp_fault *fault, struct sp_trace *trace, const struct failing *f)
{
	if (fault->kind != SP_FAULT_KILL && !f->is_done_anyway)
		sp_trace_skip(trace);
	assert_int_equal(sp_trace_next(trace), SP_TRACE_EXIT);
	if (fault->kind != SP_FAULT_KILL) {
		sp_trace_answer(trace, -fault->error);
		return;
	}
	sp_trace_kill(trace);
	fault->is_killed = true;
}

/* Lets it go on, up to behind the fault, to its end, or until it waits and is done; false: it is not traced any more. */
static bool trace_on(struct sp_fault *fault, struct sp_trace *trace, bool (*is_done)(void *ctx), void *ctx)
{
	struct counting c = { 0 };
	enum sp_trace_stop stop;

	while ((stop = sp_trace_next(trace)) != SP_TRACE_END) {
		const struct failing *f;

		if (stop == SP_TRACE_EXIT)
			continue;
		if (is_done && trace->call.entry.nr == SYS_epoll_wait && is_done(ctx))
			break;
		f = choose(fault, &c, trace);
		if (!f)
			continue;
		inject(fault, trace, f);
		if (fault->kind != SP_FAULT_CALLS)
			break;
	}
	return !fault->is_killed;
}

static void run_with_call(struct sp_fault *fault, struct sp_run *run, const char *const *words)
{
	struct sp_trace trace;

	sp_trace_start(&trace, run, words);
	if (trace_on(fault, &trace, NULL, NULL))
		sp_trace_end(&trace);
	sp_run_wait(run);
}

/* --- allocations --- */

static struct sp_scarce *scarce;
static char scarce_path[64];

static void map_scarce(void)
{
	sp_autoclose int fd = -1;

	if (scarce)
		return;
	strcpy(scarce_path, "/tmp/sp-scarce-XXXXXX");
	fd = mkstemp(scarce_path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(*scarce)), 0);
	scarce = mmap(NULL, sizeof(*scarce), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(scarce != MAP_FAILED);
}

static void unlink_scarce(void)
{
	if (scarce_path[0])
		unlink(scarce_path);
	scarce_path[0] = '\0';
}

void sp_fault_prepare_begin(void)
{
	char library[4096];

	map_scarce();
	memset(scarce, 0, sizeof(*scarce));
	snprintf(library, sizeof(library), "%.*s/tests/preload/scarce.so",
		 (int)(strrchr(sp_run_binary(), '/') - sp_run_binary()), sp_run_binary());
	assert_int_equal(access(library, R_OK), 0);
	assert_int_equal(setenv("LD_PRELOAD", library, 1), 0);
	assert_int_equal(setenv(SP_SCARCE_ENV, scarce_path, 1), 0);
}

/* It has mapped the file by then. */
void sp_fault_prepare_end(void)
{
	unsetenv("LD_PRELOAD");
	unsetenv(SP_SCARCE_ENV);
}

static void set_scarce(const struct sp_fault *fault)
{
	scarce->which = sp_fault_is_all() ? SP_SCARCE_NEW : SP_SCARCE_OWN;
	scarce->counted = 0;
	scarce->is_injected = 0;
	scarce->is_libbpf_dead = 0;
	scarce->round++;
	__atomic_store_n(&scarce->nth, fault->nth, __ATOMIC_RELEASE);
}

static bool take_scarce(struct sp_fault *fault)
{
	if (!__atomic_load_n(&scarce->is_injected, __ATOMIC_ACQUIRE))
		return false;
	fault->is_injected = true;
	fault->number = -1;
	fault->error = ENOMEM;
	fault->is_libbpf_dead = scarce->is_libbpf_dead;
	return true;
}

static void run_with_memory(struct sp_fault *fault, struct sp_run *run, const char *const *words)
{
	sp_fault_prepare_begin();
	set_scarce(fault);
	sp_run_start(run, NULL, words);
	sp_fault_prepare_end();
	sp_run_wait(run);
	take_scarce(fault);
	scarce->nth = 0;
	unlink_scarce();
	munmap(scarce, sizeof(*scarce));
	scarce = NULL;
}

/* --- both --- */

void sp_fault_run(struct sp_fault *fault, struct sp_run *run, const char *const *words)
{
	fault->is_injected = false;
	fault->is_killed = false;
	fault->is_libbpf_dead = false;
	if (fault->kind == SP_FAULT_MEMORY)
		run_with_memory(fault, run, words);
	else
		run_with_call(fault, run, words);
}

const char *sp_fault_text(const struct sp_fault *fault)
{
	static char text[128];
	const char *name = "an allocation";

	if (!fault->is_injected)
		return "no fault";
	for (size_t i = 0; i < SP_ARRAY_SIZE(failing); i++)
		if (failing[i].number == fault->number)
			name = failing[i].name;
	snprintf(text, sizeof(text), "%s%s%s", fault->is_killed ? "killed after " : "", name,
		 fault->kind == SP_FAULT_CALLS ? " from then on" : "");
	if (fault->number == SYS_bpf)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " command %llu", fault->command);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ": %s (number %u)", strerror(fault->error),
		 fault->nth);
	return text;
}

static void provoke_with_call(struct sp_fault *fault, pid_t pid, void (*provoke)(void *ctx),
			      bool (*is_done)(void *ctx), void *ctx)
{
	struct sp_trace trace;

	sp_trace_seize(&trace, pid);
	provoke(ctx);
	if (trace_on(fault, &trace, is_done, ctx))
		sp_trace_end(&trace);
}

void sp_fault_provoke(struct sp_fault *fault, pid_t pid, void (*provoke)(void *ctx),
		      bool (*is_done)(void *ctx), void *ctx)
{
	fault->is_injected = false;
	fault->is_killed = false;
	fault->is_libbpf_dead = false;
	if (fault->kind != SP_FAULT_MEMORY) {
		provoke_with_call(fault, pid, provoke, is_done, ctx);
		return;
	}
	set_scarce(fault);
	provoke(ctx);
	while (!take_scarce(fault) && !is_done(ctx))
		poll(NULL, 0, POLL_MS);
	scarce->nth = 0;
	take_scarce(fault);
}
