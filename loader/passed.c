// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Parking sockets that the service manager kept. */
#include "passed.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"
#include "group.h"
#include "log.h"
#include "notify.h"
#include "value.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define PASSED_MAX 65536
#define PREFIX "parking-"

/* --- the environment --- */

size_t sp_passed_count(const char *pid, const char *count, pid_t own)
{
	__u64 whose, n;

	if (!pid || !count || !sp_value_number(pid, 1, INT_MAX, &whose) || whose != (__u64)own ||
	    !sp_value_number(count, 0, PASSED_MAX, &n))
		return 0;
	return n;
}

bool sp_passed_name(const char *names, size_t index, char ret_name[SP_PASSED_NAME_LEN])
{
	size_t len;

	for (; names && index; index--) {
		names = strchr(names, ':');
		names += names != NULL;
	}
	if (!names)
		return false;
	len = strcspn(names, ":");
	if (!len || len >= SP_PASSED_NAME_LEN)
		return false;
	memcpy(ret_name, names, len);
	ret_name[len] = '\0';
	return true;
}

void sp_passed_call(const char *group, __u64 cookie, char ret_name[SP_PASSED_NAME_LEN])
{
	snprintf(ret_name, SP_PASSED_NAME_LEN, PREFIX "%.*s-%llu", SP_NAME_MAX, group, cookie);
}

bool sp_passed_is_parking(const char *name, __u64 cookie)
{
	const char *last = strrchr(name, '-');
	__u64 number;

	return !strncmp(name, PREFIX, strlen(PREFIX)) && last > name + strlen(PREFIX) &&
	       sp_value_number(last + 1, 1, ~0ULL, &number) && number == cookie;
}

/* --- the sockets --- */

/* False: it is none of ours. */
static bool take(int fd, size_t index, struct sp_passed_socket *ret)
{
	struct sp_passed_socket s = { .fd = fd };
	socklen_t len = sizeof(s.cookie);

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s.cookie, &len) ||
	    !sp_passed_name(getenv("LISTEN_FDNAMES"), index, s.name) ||
	    !sp_passed_is_parking(s.name, s.cookie))
		return false;
	*ret = s;
	return true;
}

void sp_passed_take(struct sp_passed *ret_passed)
{
	size_t count = sp_passed_count(getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getpid());

	*ret_passed = (struct sp_passed){ .sockets = calloc(count ?: 1, sizeof(*ret_passed->sockets)) };
	for (size_t i = 0; i < count; i++) {
		if (ret_passed->sockets && take(FIRST_FD + i, i, &ret_passed->sockets[ret_passed->count])) {
			ret_passed->count++;
			continue;
		}
		sp_warn("descriptor %zu, which the service manager has passed, is no parking socket: closed",
			FIRST_FD + i);
		close(FIRST_FD + i);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PIDFDID");
}

void sp_passed_end(struct sp_passed *passed)
{
	for (size_t i = 0; i < passed->count; i++) {
		struct sp_passed_socket *s = &passed->sockets[i];

		if (s->fd < 0)
			continue;
		sp_tell("%s, which the service manager has kept, is not needed: ended", s->name);
		sp_group_stop(s->fd);
		sp_notify_remove(s->name);
		sp_close_fd(&s->fd);
	}
	free(passed->sockets);
	*passed = (struct sp_passed){ 0 };
}
