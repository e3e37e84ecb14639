// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the service manager is told. */
#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "cleanup.h"
#include "state.h"
#include "value.h"

#define PATIENCE_S 1
#define TEXT_MAX 512

/* The address of $NOTIFY_SOCKET: a path, or with @ a name in the abstract namespace. Returns its length, 0: none. */
static socklen_t manager_address(struct sockaddr_un *ret)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t len = name ? strlen(name) : 0;

	if (len < 2 || len >= sizeof(ret->sun_path) || (name[0] != '/' && name[0] != '@'))
		return 0;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, name, len);
	if (name[0] == '@')
		ret->sun_path[0] = '\0';
	return offsetof(struct sockaddr_un, sun_path) + len;
}

/* @flags: MSG_DONTWAIT for what may get lost. @passed: a descriptor that goes with it, -1: none */
static void notify_with(const char *text, int flags, int passed)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct sockaddr_un address;
	struct iovec part = { .iov_base = (char *)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_name = &address,
				  .msg_namelen = manager_address(&address),
				  .msg_iov = &part,
				  .msg_iovlen = 1 };
	sp_autoclose int fd = -1;

	if (!message.msg_namelen)
		return;
	if (passed >= 0) {
		memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)))
		return;
	sendmsg(fd, &message, flags | MSG_NOSIGNAL);
}

static void notify(const char *text, int flags)
{
	notify_with(text, flags, -1);
}

void sp_notify_ready(void)
{
	notify("READY=1", 0);
}

/* The time tells it which READY belongs to this reload. */
void sp_notify_reloading(void)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", sp_now_ns() / 1000);
	notify(text, 0);
}

void sp_notify_stopping(void)
{
	notify("STOPPING=1", 0);
}

void sp_notify_status(const char *text)
{
	char line[TEXT_MAX];

	snprintf(line, sizeof(line), "STATUS=%s", text);
	notify(line, MSG_DONTWAIT);
}

/* $WATCHDOG_PID says for whom it is, where a manager sets it. */
__u64 sp_notify_watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	__u64 value;

	if (!usec || !sp_value_number(usec, 1, ~0ULL / SP_NS_PER_S, &value))
		return 0;
	if (pid && strtol(pid, NULL, 10) != getpid())
		return 0;
	return value * (SP_NS_PER_MS / 1000);
}

void sp_notify_alive(void)
{
	notify("WATCHDOG=1", MSG_DONTWAIT);
}

void sp_notify_store(const char *name, int fd)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	notify_with(text, 0, fd);
}

void sp_notify_remove(const char *name)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	notify(text, MSG_DONTWAIT);
}
