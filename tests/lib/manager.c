// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The service manager's end of NOTIFY_SOCKET. */
#include "manager.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <cmocka.h>
#include "cleanup.h"

#define QLEN "/proc/sys/net/unix/max_dgram_qlen"
#define QLEN_OF_SYSTEMD "512"

/* An address in the abstract namespace, which is that of the network namespace: tests do not meet there. */
int sp_manager_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	sp_autoclose int qlen = open(QLEN, O_WRONLY | O_CLOEXEC);
	socklen_t len = sizeof(address);
	char name[64];
	int fd;

	/* A daemon does not wait for systemd to read; nor shall it for a test that looks elsewhere. */
	assert_true(qlen >= 0);
	assert_int_equal(write(qlen, QLEN_OF_SYSTEMD, strlen(QLEN_OF_SYSTEMD)), strlen(QLEN_OF_SYSTEMD));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	snprintf(name, sizeof(name), "@%.*s", (int)(len - sizeof(sa_family_t) - 1), address.sun_path + 1);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

ssize_t sp_manager_receive(int manager, char *text, size_t size, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { .iov_base = text, .iov_len = size - 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t n = recvmsg(manager, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *passed;

	*ret_fd = -1;
	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return -1;
	}
	text[n] = '\0';
	passed = CMSG_FIRSTHDR(&message);
	if (passed && passed->cmsg_level == SOL_SOCKET && passed->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(passed), sizeof(*ret_fd));
	return n;
}
