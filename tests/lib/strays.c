// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Datagrams that are freed unread. */
#include "strays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <bpf/bpf.h>
#include "cleanup.h"
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

/* The second number of each line, one for each CPU. */
__u64 sp_strays_overrun(void)
{
	sp_autofile FILE *file = fopen("/proc/net/softnet_stat", "re");
	char line[512];
	__u64 sum = 0, dropped;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		assert_int_equal(sscanf(line, "%*x %llx", &dropped), 1);
		sum += dropped;
	}
	return sum;
}
