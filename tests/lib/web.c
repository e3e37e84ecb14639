// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* An HTTP client that can also behave badly. */
#include "web.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define DEADLINE_MS 60000

int sp_web_try(unsigned short port)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET,
					.sin_port = htons(port),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

int sp_web_connect(unsigned short port)
{
	int fd = sp_web_try(port);

	assert_true(fd >= 0);
	return fd;
}

char *sp_web_finish(int fd, const char *bytes, size_t len)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	size_t room = 1 << 16, got = 0;
	char *answer = malloc(room);
	ssize_t n;

	assert_non_null(answer);
	/* It may have had enough before all is sent. */
	while (len && (n = send(fd, bytes, len, MSG_NOSIGNAL)) > 0) {
		bytes += n;
		len -= n;
	}
	for (;;) {
		assert_int_equal(poll(&poller, 1, DEADLINE_MS), 1);
		n = recv(fd, answer + got, room - got - 1, 0);
		if (n <= 0)
			break;
		got += n;
		if (room - got == 1) {
			room *= 2;
			answer = realloc(answer, room);
			assert_non_null(answer);
		}
	}
	answer[got] = '\0';
	close(fd);
	return answer;
}

char *sp_web_say(unsigned short port, const char *bytes, size_t len)
{
	return sp_web_finish(sp_web_connect(port), bytes, len);
}

int sp_web_status(const char *answer)
{
	int status = 0;

	sscanf(answer, "HTTP/1.%*d %d ", &status);
	return status;
}

char *sp_web_get(unsigned short port, const char *path, int status)
{
	char request[256], *answer, *body;

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	answer = sp_web_say(port, request, strlen(request));
	if (sp_web_status(answer) != status)
		fail_msg("GET %s: not %d, but:\n%s", path, status, answer);
	body = strstr(answer, "\r\n\r\n");
	assert_non_null(body);
	memmove(answer, body + 4, strlen(body + 4) + 1);
	return answer;
}
