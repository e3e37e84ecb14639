// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The HTTP server: whatever a client sends and however it ends, it gets one answer or none, only a GET of a path that
 * there is gets that path's, and the connection ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/buffer.h>
#include "fuzz.h"
#include "http.h"

#define PATH "/metrics"

static struct event_base *base;
static struct sp_http *http;
static struct sockaddr_in place = { .sin_family = AF_INET };
static unsigned int asked;

static void ask(struct evhttp_request *request, void *ctx)
{
	struct evbuffer *body = evbuffer_new();

	(void)ctx;
	asked++;
	sp_must(body && evbuffer_add_printf(body, "steadyport_up 1\n") > 0, "no memory for an answer");
	sp_http_answer(request, HTTP_OK, "text/plain", body);
	evbuffer_free(body);
}

static void start(void)
{
	static const struct sp_http_path path = { PATH, ask };
	int err = -EADDRINUSE;

	base = event_base_new();
	sp_must(base, "no event loop");
	place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned int port = 20000 + getpid() % 10000; err == -EADDRINUSE && port < 60000; port++) {
		place.sin_port = htons(port);
		err = sp_http_open(base, (struct sockaddr *)&place, sizeof(place), &path, 1, NULL, &http);
	}
	sp_must(!err, "cannot serve: %s", strerror(-err));
}

/* All that comes back until the server ends the connection. */
static size_t talk(const uint8_t *data, size_t size, char *answer, size_t room)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t got = 0;
	ssize_t n;

	sp_must(fd >= 0 && !connect(fd, (struct sockaddr *)&place, sizeof(place)), "cannot connect: %s",
		strerror(errno));
	sp_must(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size, "cannot send: %s", strerror(errno));
	shutdown(fd, SHUT_WR);
	for (;;) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		n = recv(fd, answer + got, room - got, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n > 0)
			got += n;
		else
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1);
		sp_must(got < room, "an answer of %zu bytes and more", got);
	}
	close(fd);
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char get[] = "GET ";
	char answer[8192] = "", *status;
	unsigned int before = asked;
	size_t len;

	if (!base)
		start();
	len = talk(data, size, answer, sizeof(answer) - 1);
	sp_must(!len || !strncmp(answer, "HTTP/", 5), "no answer of HTTP: %.40s", answer);
	sp_must(asked - before <= 1, "one connection has asked %u times", asked - before);
	status = len ? strchr(answer, ' ') : NULL;
	if (status && strtol(status, NULL, 10) == HTTP_OK) {
		sp_must(asked == before + 1, "an answer without a question");
		sp_must(size > sizeof(get) && memmem(data, size, get, sizeof(get) - 1) &&
				memmem(data, size, PATH, sizeof(PATH) - 1),
			"an answer to something else than GET " PATH);
	}
	return 0;
}
