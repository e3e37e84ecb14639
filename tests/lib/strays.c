// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Datagrams that are freed unread. */
#include "strays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <bpf/bpf.h>
#include "tests/lib/strays.skel.h"

/* As in strays.bpf.c. */
struct stray_key {
	__u64 payload;
	__u32 source_port;
	__u32 padding;
};

struct strays *sp_strays_start(__u16 port)
{
	struct strays *strays = strays__open();

	assert_non_null(strays);
	strays->rodata->sp_strays_port = port;
	assert_int_equal(strays__load(strays), 0);
	assert_int_equal(strays__attach(strays), 0);
	return strays;
}

void sp_strays_stop(struct strays *strays)
{
	strays__destroy(strays);
}

bool sp_strays_took(struct strays *strays, __u16 source_port, const void *payload)
{
	struct stray_key key = { .source_port = source_port };

	memcpy(&key.payload, payload, sizeof(key.payload));
	return bpf_map_delete_elem(bpf_map__fd(strays->maps.sp_strays), &key) == 0;
}

__u64 sp_strays_missed(struct strays *strays)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(strays->progs.sp_strays_freed), &info, &len),
			 0);
	return info.recursion_misses;
}
