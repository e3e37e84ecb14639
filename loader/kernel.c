// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What this kernel and this process can do. */
#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "kernel.h"
#include "log.h"
#include "privilege.h"

#define KERNEL_MAJOR_MIN 5
#define KERNEL_MINOR_MIN 14 /* SELECT_OR_MIGRATE and migrating_sk */
#define BTF_PATH "/sys/kernel/btf/vmlinux"
#define PIDNS_INIT_INODE 0xEFFFFFFCu /* PROC_PID_INIT_INO: the machine's first pid namespace */

/* libbpf's warnings are details of an error that we explain ourselves: one level below ours. */
static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	if (sp_log_verbosity() < 1 || (level == LIBBPF_DEBUG && sp_log_verbosity() < 2))
		return 0;
	return vfprintf(stderr, fmt, args);
}

void sp_kernel_look(struct sp_kernel_facts *ret)
{
	struct sp_kernel_facts facts = { .release = "of an unknown version" };
	unsigned int major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) == 0) {
		snprintf(facts.release, sizeof(facts.release), "%s", name.release);
		facts.is_too_old =
			sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
			(major < KERNEL_MAJOR_MIN || (major == KERNEL_MAJOR_MIN && minor < KERNEL_MINOR_MIN));
	}
	facts.btf_err = access(BTF_PATH, R_OK) ? -errno : 0;
	*ret = facts;
}

bool sp_kernel_shows_all_processes(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == PIDNS_INIT_INODE;
}

int sp_kernel_check(void)
{
	static const enum sp_privilege vital[] = { SP_PRIVILEGE_BPF, SP_PRIVILEGE_PERFMON };
	struct sp_kernel_facts facts;

	libbpf_set_print(print_libbpf);

	sp_kernel_look(&facts);
	if (facts.is_too_old) {
		sp_refuse(0, "Linux %s is too old: steering needs %d.%d or later", facts.release,
			  KERNEL_MAJOR_MIN, KERNEL_MINOR_MIN);
		return -EOPNOTSUPP;
	}
	if (facts.btf_err) {
		sp_refuse(0, "cannot read " BTF_PATH ": %s", strerror(-facts.btf_err));
		sp_hint("the kernel must be built with CONFIG_DEBUG_INFO_BTF=y, and /sys mounted");
		return -EOPNOTSUPP;
	}
	/* CAP_SYS_ADMIN implies both, see bpf_capable() and perfmon_capable(). */
	for (size_t i = 0; !sp_privilege_has(SP_PRIVILEGE_SYS_ADMIN) && i < SP_ARRAY_SIZE(vital); i++) {
		if (sp_privilege_has(vital[i]))
			continue;
		sp_refuse(0, "this needs %s, for %s", sp_privileges[vital[i]].name,
			  sp_privileges[vital[i]].use);
		sp_hint("run it as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
		return -EPERM;
	}
	return 0;
}

const struct bpf_object_open_opts *sp_kernel_open_options(void)
{
	static const struct bpf_object_open_opts options = {
		.sz = sizeof(options),
		.btf_custom_path = BTF_PATH,
	};

	/* Not for all: it is read once more then. */
	return sp_privilege_has(SP_PRIVILEGE_SYS_ADMIN) ? NULL : &options;
}

static bool has_string(const char *strings, size_t len, const char *string)
{
	return memmem(strings, len, string, strlen(string) + 1) != NULL;
}

void sp_kernel_ask(struct sp_kernel_offer *ret)
{
	sp_autoclose int fd = open(BTF_PATH, O_RDONLY | O_CLOEXEC);
	sp_autofree char *strings = NULL;
	struct btf_header header;
	size_t got = 0;
	ssize_t n;

	*ret = (struct sp_kernel_offer){ 0 };
	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header) || header.magic != BTF_MAGIC)
		return;
	strings = malloc(header.str_len);
	if (!strings)
		return;
	/* sysfs may give less at a time. */
	while (got < header.str_len && (n = pread(fd, strings + got, header.str_len - got,
						  (off_t)header.hdr_len + header.str_off + got)) > 0)
		got += n;
	ret->has_cast = has_string(strings, got, "bpf_rdonly_cast") &&
			has_string(strings, got, "bpf_cast_to_kern_ctx");
	ret->has_loop = has_string(strings, got, "BPF_FUNC_loop");
}

static int wait_by_map_of_maps(void)
{
	sp_autoclose int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "sp_inner", 4, 4, 1, NULL);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner);
	sp_autoclose int outer = -1;
	__u32 zero = 0;

	if (inner < 0)
		return inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "sp_outer", 4, 4, 1, &opts);
	if (outer < 0)
		return outer;
	return bpf_map_update_elem(outer, &zero, &inner, BPF_ANY);
}

int sp_kernel_wait_readers(void)
{
	int err;

	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
		return 0;
	err = wait_by_map_of_maps();
	return err ? sp_fail(err, "cannot wait for running BPF programs") : 0;
}
