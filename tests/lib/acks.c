// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Listeners that lose the final ACK. */
#include "acks.h"

#include <linux/filter.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "cleanup.h"

void sp_acks_lose(int listener)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags: filters of TCP sockets start there */
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TH_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	static const struct sock_fprog program = { .len = SP_ARRAY_SIZE(code), .filter = code };

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
}

void sp_acks_take(int listener)
{
	int unused = 0;

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)), 0);
}
