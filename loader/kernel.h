/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this kernel and this process can do, checked before anything is touched. */
#ifndef STEADYPORT_KERNEL_H
#define STEADYPORT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

/* What sp_kernel_check() goes by. */
struct sp_kernel_facts {
	char release[96]; /* "6.18.44" */
	bool is_too_old;
	int btf_err; /* 0: the kernel's BTF can be read; else -errno */
};

void sp_kernel_look(struct sp_kernel_facts *ret);

/* False in a pid namespace other than the machine's first: processes outside of it, and what they hold, are not seen. */
bool sp_kernel_shows_all_processes(void);

/**
 * sp_kernel_check - can steadyport look at groups here?
 * Linux 5.14 or later, BTF of the running kernel, CAP_BPF and CAP_PERFMON. Also routes libbpf's own messages to -vv.
 * Returns 0, or -EOPNOTSUPP or -EPERM (logged, naming what is missing).
 */
int sp_kernel_check(void);

struct bpf_object_open_opts;
/**
 * sp_kernel_open_options - how to open the objects of steadyport's programs; NULL: as usual
 * libbpf up to 1.2 looks for types that this kernel does not have in its modules' BTF, too, and fails where it may not,
 * which takes CAP_SYS_ADMIN (bpf_btf_get_next_id()). None of ours is there: told that the kernel's own BTF is all
 * there is, it does not look.
 */
const struct bpf_object_open_opts *sp_kernel_open_options(void);

/* What the steering program makes use of where the kernel has it. */
struct sp_kernel_offer {
	bool has_cast; /* bpf_rdonly_cast(), bpf_cast_to_kern_ctx(): a look at a packet's own structs; Linux 6.2 */
	bool has_loop; /* bpf_loop(): the verifier follows one turn; Linux 5.17 */
};

/* Asked of the strings of the kernel's BTF: to parse all of it takes twenty times as long. What is not known is not there. */
void sp_kernel_ask(struct sp_kernel_offer *ret);

/**
 * sp_kernel_wait_readers - until every BPF program that runs now has returned
 * membarrier(MEMBARRIER_CMD_GLOBAL) is a synchronize_rcu(); kernels with nohz_full refuse it, there the update of a
 * map of maps does the same (kernel/bpf/syscall.c, maybe_wait_bpf_programs()).
 * Returns 0 or -errno (logged).
 */
int sp_kernel_wait_readers(void);

#endif
