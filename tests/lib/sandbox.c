// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The sandbox of a unit. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "privilege.h"
#include "run.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65 /* Linux 6.3 */
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define NAMESPACES                                                                                    \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
	 CLONE_NEWNET)

/* <sys/mount.h> and <linux/mount.h> cannot be had together everywhere. */
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);

static const struct {
	const char *name;
	int nr;
} syscalls[] = {
#define SYSCALL(name) { #name, __NR_##name },
#include "tests/syscalls.def"
#undef SYSCALL
};

/* --- reading --- */

static void add_cap(void *ctx, const char *word)
{
	struct sp_sandbox *s = ctx;

	for (size_t i = 0; i < SP_PRIVILEGES; i++) {
		if (strcmp(sp_privileges[i].name, word))
			continue;
		s->caps |= 1ULL << sp_privileges[i].cap;
		return;
	}
	fail_msg("%s is not in privileges.def", word);
}

static void add_writable(void *ctx, const char *word)
{
	struct sp_sandbox *s = ctx;

	/* One that need not be there. */
	word += *word == '-';
	assert_true(s->nwritable < SP_SANDBOX_PATHS_MAX);
	/* Seen with systemd 252: its own list for ProtectKernelTunables= has it read-only, and wins. */
	assert_string_not_equal(word, "/sys/fs/bpf");
	snprintf(s->writable[s->nwritable++], sizeof(s->writable[0]), "%s", word);
}

static void add_family(void *ctx, const char *word)
{
	static const struct {
		const char *name;
		int family;
	} known[] = { { "AF_UNIX", AF_UNIX },
		      { "AF_INET", AF_INET },
		      { "AF_INET6", AF_INET6 },
		      { "AF_NETLINK", AF_NETLINK } };
	struct sp_sandbox *s = ctx;

	assert_true(s->nfamilies < SP_SANDBOX_FAMILIES_MAX);
	for (size_t i = 0; i < SP_ARRAY_SIZE(known); i++) {
		if (strcmp(known[i].name, word))
			continue;
		s->families[s->nfamilies++] = known[i].family;
		return;
	}
	fail_msg("RestrictAddressFamilies=%s is not known here", word);
}

static void add_namespace(void *ctx, const char *word)
{
	struct sp_sandbox *s = ctx;

	if (!strcmp(word, "net"))
		s->namespaces |= CLONE_NEWNET;
	else if (strcmp(word, "yes"))
		fail_msg("RestrictNamespaces=%s is not known here", word);
}

static void add_syscalls(struct sp_sandbox *s, const char *word);

/* The lines of `systemd-analyze syscall-filter @set` that are indented, but for comments. */
static void add_set(struct sp_sandbox *s, const char *set)
{
	char *text = strdup(sp_run_other("systemd-analyze", "--no-pager", "syscall-filter", set)->out);
	char *rest = text, *line;

	assert_non_null(text);
	while ((line = strsep(&rest, "\n"))) {
		char *word = line + strspn(line, " ");

		if (word != line && *word && *word != '#')
			add_syscalls(s, word);
	}
	free(text);
}

/* One that this machine does not have is no mistake. */
static void add_syscalls(struct sp_sandbox *s, const char *word)
{
	if (*word == '@') {
		add_set(s, word);
		return;
	}
	for (size_t i = 0; i < SP_ARRAY_SIZE(syscalls); i++) {
		if (strcmp(syscalls[i].name, word))
			continue;
		assert_in_range(syscalls[i].nr, 0, SP_SANDBOX_SYSCALLS_MAX - 1);
		s->is_allowed[syscalls[i].nr] = !s->is_removing;
	}
}

static void read_command(struct sp_sandbox *s, const struct sp_unit *unit)
{
	for (size_t i = 0; i < unit->count; i++) {
		const char *command = unit->lines[i].value;

		if (strcmp(unit->lines[i].key, "ExecStartPre"))
			continue;
		assert_int_equal(*command, '+');
		assert_string_equal(s->before, "");
		assert_true(strlen(command) < sizeof(s->before));
		strcpy(s->before, command + 1);
	}
}

static void read_syscalls(struct sp_sandbox *s, const struct sp_unit *unit)
{
	for (size_t i = 0; i < unit->count; i++) {
		char words[sizeof(unit->lines->value)], *rest = words, *word;

		if (strcmp(unit->lines[i].key, "SystemCallFilter"))
			continue;
		strcpy(words, unit->lines[i].value);
		s->is_removing = words[0] == '~';
		rest += s->is_removing;
		while ((word = strsep(&rest, " ")))
			add_syscalls(s, word);
	}
	/* Whatever is listed. */
	s->is_removing = false;
	add_syscalls(s, "@default");
}

void sp_sandbox_read(struct sp_sandbox *sandbox, const struct sp_unit *unit)
{
	memset(sandbox, 0, sizeof(*sandbox));
	/* What sp_sandbox_enter() takes for granted. */
	assert_true(sp_unit_says(unit, "ProtectSystem", "strict"));
	assert_true(sp_unit_says(unit, "ProtectKernelTunables", "yes"));
	assert_true(sp_unit_says(unit, "NoNewPrivileges", "yes"));
	assert_true(sp_unit_says(unit, "MemoryDenyWriteExecute", "yes"));
	sp_unit_each_word(unit, "CapabilityBoundingSet", add_cap, sandbox);
	sp_unit_each_word(unit, "ReadWritePaths", add_writable, sandbox);
	sp_unit_each_word(unit, "RestrictAddressFamilies", add_family, sandbox);
	sp_unit_each_word(unit, "RestrictNamespaces", add_namespace, sandbox);
	read_syscalls(sandbox, unit);
	read_command(sandbox, unit);
}

/* --- entering --- */

static void require(bool is_done, const char *what)
{
	if (is_done)
		return;
	dprintf(STDERR_FILENO, "sandbox: cannot %s: %s\n", what, strerror(errno));
	_exit(126);
}

/* The writable ones become mounts of their own, as in the service manager's mount namespace. */
static void protect_files(const struct sp_sandbox *s)
{
	struct mount_attr protect = { .attr_set = MOUNT_ATTR_RDONLY },
			  open = { .attr_clr = MOUNT_ATTR_RDONLY };

	require(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL),
		"make a mount namespace");
	for (size_t i = 0; i < s->nwritable; i++)
		require(!mount(s->writable[i], s->writable[i], NULL, MS_BIND | MS_REC, NULL), s->writable[i]);
	require(!syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &protect, sizeof(protect)),
		"make all mounts read-only");
	for (size_t i = 0; i < s->nwritable; i++)
		require(!syscall(SYS_mount_setattr, AT_FDCWD, s->writable[i], 0, &open, sizeof(open)),
			s->writable[i]);
}

/* For one of root's that runs another program the bounding set is what it gets. */
static void drop_capabilities(const struct sp_sandbox *s)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(s->caps & 1ULL << cap))
			require(!prctl(PR_CAPBSET_DROP, cap), "drop a capability");
}

struct filter {
	struct sock_filter code[2 * SP_SANDBOX_SYSCALLS_MAX + 64];
	unsigned short len;
};

static void emit(struct filter *f, __u16 code, __u8 jt, __u8 jf, __u32 k)
{
	f->code[f->len++] = (struct sock_filter){ code, jt, jf, k };
}

static void load_argument(struct filter *f, int n)
{
	/* The low half; all that are looked at are of 32 bits. */
	size_t low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4;

	emit(f, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args) + n * 8 + low);
}

static void answer(struct filter *f, __u32 value)
{
	emit(f, BPF_RET | BPF_K, 0, 0, value);
}

static void load_number(struct filter *f)
{
	emit(f, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
}

/* Flags for namespaces that are not allowed: refused. @zero_is_any: no flag stands for all of them. */
static void check_namespaces(struct filter *f, const struct sp_sandbox *s, int nr, int argument,
			     bool zero_is_any)
{
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, 0, zero_is_any ? 6 : 5, nr);
	load_argument(f, argument);
	if (zero_is_any)
		emit(f, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
	emit(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, NAMESPACES & ~s->namespaces);
	answer(f, SECCOMP_RET_ERRNO | EPERM);
	answer(f, SECCOMP_RET_ALLOW);
	load_number(f);
}

static void check_families(struct filter *f, const struct sp_sandbox *s)
{
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, 0, 2 * s->nfamilies + 2, SYS_socket);
	load_argument(f, 0);
	for (size_t i = 0; i < s->nfamilies; i++) {
		emit(f, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, s->families[i]);
		answer(f, SECCOMP_RET_ALLOW);
	}
	answer(f, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
}

static void filter_syscalls(const struct sp_sandbox *s)
{
	static struct filter f;
	struct sock_fprog program = { .filter = f.code };

	load_number(&f);
	check_families(&f, s);
	check_namespaces(&f, s, SYS_unshare, 0, false);
	check_namespaces(&f, s, SYS_setns, 1, true);
	for (int nr = 0; nr < SP_SANDBOX_SYSCALLS_MAX; nr++) {
		if (!s->is_allowed[nr])
			continue;
		emit(&f, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr);
		answer(&f, SECCOMP_RET_ALLOW);
	}
	answer(&f, SECCOMP_RET_KILL_PROCESS);
	program.len = f.len;
	require(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "filter system calls");
}

void sp_sandbox_enter(const struct sp_sandbox *s)
{
	require(!s->before[0] || system(s->before) == 0, s->before);
	protect_files(s);
	drop_capabilities(s);
	require(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "forbid new privileges");
	/* Before Linux 6.3 the service manager does it with a filter. */
	prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
	filter_syscalls(s);
}
