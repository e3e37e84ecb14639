// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A small HTTP server on libevent's. That one closes a connection that is silent, but not one that sends a byte now and
 * then, and takes as many as there are file descriptors. So each connection has a guard here, which holds a reference to
 * it: it ends the connection when its time is over, and counts it as long as libevent has it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include "cleanup.h"
#include "http.h"
#include "state.h"

#define SILENCE_S 5
#define LOOK_MS 50 /* between looks for connections that have ended, while there are any */
#define IDLE_LOOK_MS 1000

struct guard {
	struct bufferevent *bev; /* NULL: free */
	__u64 end_ns;
};

struct sp_http {
	struct event_base *base;
	struct evhttp *server;
	struct evconnlistener *listener; /* the server's */
	struct event *look;
	struct guard guards[SP_HTTP_CONNECTIONS_MAX];
};

static void arm_look(struct sp_http *http, unsigned int in_ms)
{
	const struct timeval t = { .tv_sec = in_ms / 1000, .tv_usec = in_ms % 1000 * 1000 };

	event_add(http->look, &t);
}

/* libevent takes its callbacks off what it frees. */
static bool has_ended(struct bufferevent *bev)
{
	bufferevent_event_cb on_event = NULL;

	bufferevent_getcb(bev, NULL, NULL, &on_event, NULL);
	return !on_event;
}

static void look(evutil_socket_t fd, short what, void *ctx)
{
	struct sp_http *http = ctx;
	__u64 now = sp_now_ns();
	size_t count = 0;

	(void)fd, (void)what;
	for (size_t i = 0; i < SP_ARRAY_SIZE(http->guards); i++) {
		struct guard *guard = &http->guards[i];

		if (guard->bev && has_ended(guard->bev)) {
			bufferevent_decref(guard->bev);
			guard->bev = NULL;
		}
		if (!guard->bev)
			continue;
		count++;
		/* libevent sees the end of it and frees it. */
		if (now >= guard->end_ns)
			shutdown(bufferevent_getfd(guard->bev), SHUT_RDWR);
	}
	arm_look(http, count ? LOOK_MS : IDLE_LOOK_MS);
	if (count < SP_ARRAY_SIZE(http->guards))
		evconnlistener_enable(http->listener);
}

/* Makes what is to carry a new connection. */
static struct bufferevent *guard(struct event_base *base, void *ctx)
{
	struct sp_http *http = ctx;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct guard *free_one = NULL;
	size_t nfree = 0;

	for (size_t i = 0; i < SP_ARRAY_SIZE(http->guards); i++) {
		if (http->guards[i].bev)
			continue;
		free_one = free_one ?: &http->guards[i];
		nfree++;
	}
	if (nfree <= 1)
		evconnlistener_disable(http->listener);
	if (bev && free_one) {
		bufferevent_incref(bev);
		*free_one = (struct guard){ .bev = bev, .end_ns = sp_now_ns() + SP_HTTP_LIFE_NS };
		arm_look(http, LOOK_MS);
	}
	return bev;
}

/*
 * Too many open files, for one: libevent would try again at once, and write a line each time. The next look lets it
 * try again.
 */
static void rest(struct evconnlistener *listener, void *ctx)
{
	(void)ctx;
	evconnlistener_disable(listener);
}

static void refuse(struct evhttp_request *request, void *ctx)
{
	(void)ctx;
	evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
	evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

int sp_http_open(struct event_base *base, const struct sockaddr *address, socklen_t len,
		 const struct sp_http_path *paths, size_t npaths, void *ctx, struct sp_http **ret_http)
{
	struct sp_http *http = calloc(1, sizeof(*http));
	int err = -ENOMEM;

	if (!http)
		return -ENOMEM;
	http->base = base;
	http->look = event_new(base, -1, 0, look, http);
	http->server = evhttp_new(base);
	if (!http->look || !http->server)
		goto fail;
	errno = 0;
	http->listener = evconnlistener_new_bind(
		base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
		SP_HTTP_CONNECTIONS_MAX, address, len);
	if (!http->listener) {
		err = -(errno ?: ENOMEM);
		goto fail;
	}
	if (!evhttp_bind_listener(http->server, http->listener)) {
		evconnlistener_free(http->listener);
		goto fail;
	}
	evconnlistener_set_error_cb(http->listener, rest);
	evhttp_set_bevcb(http->server, guard, http);
	evhttp_set_timeout(http->server, SILENCE_S);
	evhttp_set_max_headers_size(http->server, SP_HTTP_HEADERS_MAX);
	evhttp_set_max_body_size(http->server, 0);
	evhttp_set_allowed_methods(http->server, EVHTTP_REQ_GET);
	evhttp_set_gencb(http->server, refuse, NULL);
	for (size_t i = 0; i < npaths; i++)
		evhttp_set_cb(http->server, paths[i].path, paths[i].ask, ctx);
	arm_look(http, IDLE_LOOK_MS);
	*ret_http = http;
	return 0;
fail:
	sp_http_free(&http);
	return err;
}

void sp_http_free(struct sp_http **http)
{
	struct sp_http *h = *http;

	if (!h)
		return;
	if (h->server)
		evhttp_free(h->server);
	for (size_t i = 0; i < SP_ARRAY_SIZE(h->guards); i++) {
		if (h->guards[i].bev)
			bufferevent_decref(h->guards[i].bev);
	}
	if (h->look)
		event_free(h->look);
	free(h);
	*http = NULL;
}

void sp_http_answer(struct evhttp_request *request, int status, const char *type, struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Connection", "close");
	evhttp_send_reply(request, status, NULL, body);
}
