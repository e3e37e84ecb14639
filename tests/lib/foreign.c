// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Somebody else's program. */
#include "foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/filter.h>
#include <bpf/bpf.h>
#include "cleanup.h"

int sp_foreign_load(const char *name)
{
	/* SK_PASS without a selection. */
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = SK_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SK_REUSEPORT, name, "GPL", code, SP_ARRAY_SIZE(code), NULL);

	assert_true(fd >= 0);
	return fd;
}
