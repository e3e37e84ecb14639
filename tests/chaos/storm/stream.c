// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The storm's TCP connections. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "journal.h"
#include "lab_wire.h"
#include "stream.h"

#define MS 1000000ULL
#define DELAY_MAX_MS 200 /* between connection and line, of those that take their time */
#define LOOK_NS (5 * MS)
#define PATIENCE_NS (30000 * MS)
#define CREDIT_NS \
	(2000 * MS) /* a reset comes with the death, or at the latest with the line that is sent after it */

static const char line[] = "who?\n";

static const char *describe(const struct storm_stream *s, const struct storm_connection *c, char buf[200])
{
	char own[SP_ENDPOINT_STRLEN], target[SP_ENDPOINT_STRLEN];

	sp_address_format(&c->source.own, 0, c->source.port, own);
	sp_address_format(&c->source.target, 0, s->port, target);
	snprintf(buf, 200, "connection tcp %.80s -> %.80s", own, target);
	return buf;
}

void storm_stream_init(struct storm_stream *s, __u64 now)
{
	for (__u32 i = 0; i < STORM_CONNECTIONS; i++)
		s->connection[i].fd = -1;
	s->next_ns = now;
}

/*
 * An abort, so that the port is free at once, on both sides. It is not left to close(): an order that walks all open
 * files may hold this one for a moment longer. Nothing may be heard of it then, either.
 */
static void drop(struct storm_stream *s, struct storm_connection *c)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	assert_int_equal(epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL), 0);
	connect(c->fd, &nobody, sizeof(nobody));
	sp_close_fd(&c->fd);
	s->nopen--;
}

void storm_stream_close(struct storm_stream *s)
{
	for (__u32 i = 0; i < STORM_CONNECTIONS; i++) {
		if (s->connection[i].fd >= 0)
			drop(s, &s->connection[i]);
	}
}

static void connect_one(struct storm_stream *s, struct storm_connection *c, __u64 now)
{
	struct epoll_event event = { .events = EPOLLOUT, .data.u64 = s->tag + (c - s->connection) };
	struct sockaddr_storage own;
	char name[200];

	*c = (struct storm_connection){ .start_ns = now };
	storm_sources_take(s->sources, &c->source);
	sp_address_to_sockaddr(&c->source.own, c->source.port, &own);
	c->peer = sp_lab_peer(&own);
	if (sp_random_one_in(&s->random, 3))
		c->delay_ns = sp_random_below(&s->random, DELAY_MAX_MS) * MS;
	c->fd = storm_source_connect(&c->source, SP_TCP, s->port);
	if (c->fd < 0)
		storm_violation("%s: cannot begin: %s", describe(s, c, name), strerror(-c->fd));
	assert_int_equal(epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &event), 0);
	s->nopen++;
	s->nconnected++;
}

/* It ended without an answer. */
static void explain(struct storm_stream *s, struct storm_connection *c, const char *how, __u64 now)
{
	char name[200];

	if (c->was_accepted_by_dead) {
		s->naccepted_by_dead++;
	} else if (c->is_unprotected || storm_model_is_exposed(s->model)) {
		s->nunprotected++;
	} else if (s->credits && c->start_ns <= s->credit_ns) {
		s->credits--;
		s->ninside_accept++;
	} else {
		storm_violation("%s: begun %.1f ms ago, %s; no killed process had accepted it",
				describe(s, c, name), (now - c->start_ns) / 1e6, how);
	}
	drop(s, c);
}

static void listen_for_answer(struct storm_stream *s, struct storm_connection *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = s->tag + (c - s->connection) };

	assert_int_equal(epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &event), 0);
}

static void send_line(struct storm_connection *c)
{
	c->line_ns = 0;
	/* An error here comes again from recv(), or is what made it ready to read. */
	if (send(c->fd, line, sizeof(line) - 1, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		storm_violation("cannot send a line: %s", strerror(errno));
}

static void finish_connecting(struct storm_stream *s, struct storm_connection *c, __u64 now)
{
	socklen_t len = sizeof(int);
	int err = 0;

	assert_int_equal(getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
	if (err) {
		explain(s, c, strerror(err), now);
		return;
	}
	c->is_connected = true;
	listen_for_answer(s, c);
	c->line_ns = now + c->delay_ns;
	if (!c->delay_ns)
		send_line(c);
}

static void answered(struct storm_stream *s, struct storm_connection *c, __u32 by, __u64 now)
{
	const struct storm_asked asked = { .owner = STORM_NOBODY, .asked_ns = c->start_ns };
	const struct storm_member *b;
	char name[200];
	const char *why;

	if (storm_model_judge(s->model, &asked, by, now, &why) != STORM_RIGHT) {
		b = by < s->model->nmembers ? &s->model->members[by] : NULL;
		storm_violation("%s: begun %.1f ms ago, answered by worker %u (pid %d, slot %d): %s",
				describe(s, c, name), (now - c->start_ns) / 1e6, by, b ? b->pid : 0,
				b ? b->slot : STORM_NOBODY, why);
	}
	s->nanswered++;
	drop(s, c);
}

void storm_stream_hear(struct storm_stream *s, __u32 i, __u64 now)
{
	struct storm_connection *c = &s->connection[i];
	ssize_t len;
	__u32 id;

	if (c->fd < 0)
		return;
	if (!c->is_connected) {
		finish_connecting(s, c, now);
		return;
	}
	len = recv(c->fd, &id, sizeof(id), 0);
	if (len < 0 && errno == EAGAIN)
		return;
	if (len == sizeof(id))
		answered(s, c, id, now);
	else
		explain(s, c, len < 0 ? strerror(errno) : "closed without an answer", now);
}

/* Lines that are due, and connections that nobody answers. */
static void look(struct storm_stream *s, __u64 now)
{
	char name[200];

	if (now - s->credit_ns > CREDIT_NS)
		s->credits = 0;
	for (__u32 i = 0; i < STORM_CONNECTIONS; i++) {
		struct storm_connection *c = &s->connection[i];

		if (c->fd < 0)
			continue;
		if (c->line_ns && c->line_ns <= now)
			send_line(c);
		if (now - c->start_ns >= PATIENCE_NS)
			storm_violation("%s: begun %.1f s ago, and nobody answers", describe(s, c, name),
					(now - c->start_ns) / 1e9);
	}
}

void storm_stream_pump(struct storm_stream *s, __u64 now)
{
	if (now - s->look_ns >= LOOK_NS) {
		look(s, now);
		s->look_ns = now;
	}
	for (__u32 i = 0; !s->is_paused && s->next_ns <= now && i < STORM_CONNECTIONS; i++) {
		if (s->connection[i].fd >= 0)
			continue;
		connect_one(s, &s->connection[i], now);
		s->next_ns += s->interval_ns;
	}
	/* What was missed is not made up for. */
	if (s->next_ns < now)
		s->next_ns = now;
}

__u64 storm_stream_due_ns(const struct storm_stream *s)
{
	return s->is_paused || s->nopen == STORM_CONNECTIONS ? UINT64_MAX : s->next_ns;
}

/* --- deaths --- */

static void expose(struct storm_stream *s)
{
	for (__u32 i = 0; i < STORM_CONNECTIONS; i++)
		s->connection[i].is_unprotected |= s->connection[i].fd >= 0;
}

static void explain_by_notes(struct storm_stream *s, const struct sp_lab_notes *notes, __u64 now)
{
	for (__u32 n = 0; n < SP_LAB_NOTED_MAX; n++) {
		for (__u32 i = 0; notes->peers[n] && i < STORM_CONNECTIONS; i++) {
			struct storm_connection *c = &s->connection[i];

			c->was_accepted_by_dead |= c->fd >= 0 && c->peer == notes->peers[n];
		}
	}
	if (notes->is_accepting) {
		s->credits++;
		s->credit_ns = now;
	}
}

void storm_stream_listener_closed(struct storm_stream *s, const struct sp_lab_notes *notes, __u64 now)
{
	if (storm_model_is_exposed(s->model))
		expose(s);
	if (notes)
		explain_by_notes(s, notes, now);
}
