/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A small HTTP server on libevent's, for one or two short answers. Anybody who can reach it may be slow or send
 * nonsense, so everything is bounded: connections at a time, the life of each, the request, the methods.
 */
#ifndef STEADYPORT_HTTP_H
#define STEADYPORT_HTTP_H

#include <sys/socket.h>
#include <event2/event.h>
#include <event2/http.h>
#include <steadyport/abi.h>

#define SP_HTTP_CONNECTIONS_MAX 16 /* further ones wait until one of them ends */
#define SP_HTTP_LIFE_NS (10 * 1000000000ULL) /* of a connection, whatever happens on it */
#define SP_HTTP_HEADERS_MAX 4096 /* bytes */

struct sp_http;

struct sp_http_path {
	const char *path;
	/* Answers now or later with sp_http_answer(), unless the connection has ended before. */
	void (*ask)(struct evhttp_request *request, void *ctx);
};

/* Answers GET requests for these paths. Returns 0 or -errno (not logged). */
int sp_http_open(struct event_base *base, const struct sockaddr *address, socklen_t len,
		 const struct sp_http_path *paths, size_t npaths, void *ctx, struct sp_http **ret_http);
void sp_http_free(struct sp_http **http);

/* Ends the request, and the connection after it. @body is emptied. */
void sp_http_answer(struct evhttp_request *request, int status, const char *type, struct evbuffer *body);

#endif
