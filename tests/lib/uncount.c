// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What counts connections, removed by hand. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>
#include <bpf/bpf.h>
#include "lab.h"
#include "uncount.h"

#define PATIENCE_MS 20000

static __u32 program_of(const char *pin)
{
	struct bpf_link_info info = { 0 };
	__u32 len = sizeof(info);
	int link = bpf_obj_get(pin);

	assert_true(link >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(link, &info, &len), 0);
	close(link);
	return info.prog_id;
}

void sp_uncount(const char *pin)
{
	__u64 deadline = sp_lab_now_ms() + PATIENCE_MS;
	__u32 id = program_of(pin);
	int program;

	assert_int_equal(unlink(pin), 0);
	while ((program = bpf_prog_get_fd_by_id(id)) >= 0) {
		close(program);
		if (!sp_lab_left_ms(deadline))
			fail_msg("program %u goes on though its link is gone", id);
		poll(NULL, 0, 1);
	}
}
