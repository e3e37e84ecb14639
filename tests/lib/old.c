// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pins as an older steadyport has left them. */
#include "old.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include <bpf/bpf.h>
#include <steadyport/abi.h>
#include "cleanup.h"
#include "pin.h"

#define OLD_COUNTER_SLOTS 64 /* what a small group had in the place of balance */

static void forget(const char *name, const char *pin)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), SP_BPFFS_DEFAULT "/steadyport/%s/%s", name, pin);
	assert_int_equal(unlink(path), 0);
}

void sp_old_make(const char *name, __u32 abi)
{
	sp_autoclose int fd = -1;
	char path[PATH_MAX];
	struct sp_ctl ctl;
	__u32 zero = 0;

	snprintf(path, sizeof(path), SP_BPFFS_DEFAULT "/steadyport/%s/" SP_PIN_CTL, name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &ctl), 0);
	ctl.abi = abi;
	ctl.balance = abi < 2 ? OLD_COUNTER_SLOTS : 0;
	if (abi < 2)
		ctl.flow_idle_s = 0;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &ctl, BPF_ANY), 0);
	if (abi < 2)
		forget(name, SP_PIN_CARRIED);
	forget(name, SP_PIN_SOCKS);
	forget(name, SP_PIN_TAGS);
	forget(name, SP_PIN_ACTIVE);
	forget(name, SP_PIN_MOVED);
}
