// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Preloaded into a process whose nth allocation shall fail. Where an allocation comes from is the whole chain of its
 * callers, so that one that is reached by two ways counts twice.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include "scarce.h"

#define DEPTH 48
#define NEAR_FRAMES 5 /* up to three are ours, the others the library's function and its caller */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct sp_scarce *control;
static unsigned long stacks[SP_SCARCE_STACKS];
static unsigned int round_of_stacks;
static unsigned long code_begin, code_end; /* of the program */
static bool is_busy; /* what we call ourselves may allocate, too */

static unsigned long hash_stack(void *const *frames, int count)
{
	unsigned long hash = 1469598103934665603UL; /* FNV-1a */

	for (int i = 0; i < count; i++)
		hash = (hash ^ (unsigned long)frames[i]) * 1099511628211UL;
	return hash | 1;
}

/* The program is the first object. */
static int note_program(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size, (void)ctx;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		code_begin = info->dlpi_addr + p->p_vaddr;
		code_end = code_begin + p->p_memsz;
	}
	return 1;
}

static bool is_own(void *const *frames, int count)
{
	for (int i = 0; i < count && i < NEAR_FRAMES; i++)
		if ((unsigned long)frames[i] >= code_begin && (unsigned long)frames[i] < code_end)
			return true;
	return false;
}

static void forget_stacks(void)
{
	for (unsigned int i = 0; i < SP_SCARCE_STACKS; i++)
		stacks[i] = 0;
	round_of_stacks = control->round;
}

static bool is_new(unsigned long hash)
{
	unsigned int i = hash % SP_SCARCE_STACKS;

	for (unsigned int tries = 0; stacks[i] && tries < SP_SCARCE_STACKS; tries++) {
		if (stacks[i] == hash)
			return false;
		i = (i + 1) % SP_SCARCE_STACKS;
	}
	stacks[i] = hash;
	return true;
}

static bool counts(void)
{
	void *frames[DEPTH];
	int count;

	count = backtrace(frames, DEPTH);
	return (control->which == SP_SCARCE_NEW || is_own(frames, count)) &&
	       is_new(hash_stack(frames, count));
}

static bool shall_fail(void)
{
	bool is_counted;

	if (!control || !control->nth || control->is_injected || is_busy)
		return false;
	is_busy = true;
	if (round_of_stacks != control->round)
		forget_stacks();
	is_counted = counts();
	is_busy = false;
	if (!is_counted || ++control->counted != control->nth)
		return false;
	control->is_injected = 1;
	errno = ENOMEM;
	return true;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
	return shall_fail() ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
	return shall_fail() ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *old, size_t size)
{
	return size && shall_fail() ? NULL : __libc_realloc(old, size);
}

static void on_crash(int number, siginfo_t *info, void *ctx)
{
	const ucontext_t *context = ctx;
	Dl_info where;

	(void)info;
	control->is_libbpf_dead = dladdr((void *)context->uc_mcontext.gregs[REG_RIP], &where) &&
				  strstr(where.dli_fname, "libbpf");
	signal(number, SIG_DFL);
}

/* What is allocated before main() is the shared libraries' own. */
typedef int start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
		       void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

__attribute__((visibility("default"))) int __libc_start_main(int (*main)(int, char **, char **), int argc,
							     char **argv, void (*init)(void),
							     void (*fini)(void), void (*rtld_fini)(void),
							     void *stack_end)
{
	start_main *next = (start_main *)dlsym(RTLD_NEXT, "__libc_start_main");
	const char *path = getenv(SP_SCARCE_ENV);
	const struct sigaction crash = { .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO };
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *unwinder[1];

	if (fd >= 0) {
		void *at = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		close(fd);
		dl_iterate_phdr(note_program, NULL);
		backtrace(unwinder, 1); /* the first call loads a library */
		control = at == MAP_FAILED ? NULL : at;
		if (control)
			sigaction(SIGSEGV, &crash, NULL);
	}
	return next(main, argc, argv, init, fini, rtld_fini, stack_end);
}
