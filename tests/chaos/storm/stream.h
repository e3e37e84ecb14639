/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The storm's stream of TCP connections: each connects, sends a line, some of them after a while, and waits for its
 * answer. One that is reset or closed without an answer must be explained by the death that it came with.
 */
#ifndef STEADYPORT_STORM_STREAM_H
#define STEADYPORT_STORM_STREAM_H

#include "lab.h"
#include "model.h"
#include "seed.h"
#include "sources.h"

#define STORM_CONNECTIONS 256

struct storm_connection {
	int fd; /* -1: not in use */
	struct storm_source source;
	__u32 peer; /* what a worker notes of it */
	__u64 start_ns;
	bool is_connected;
	__u64 line_ns; /* when the line is to be sent; 0: it is sent, or not yet connected */
	__u64 delay_ns; /* from the connection to the line */
	bool was_accepted_by_dead; /* a killed process had accepted it */
	bool is_unprotected; /* a listener was closed while the group was not steered */
};

struct storm_stream {
	struct storm_model *model;
	struct storm_sources *sources;
	struct sp_random random;
	__u16 port;
	int epoll;
	__u64 tag; /* of events; the connection's number is added */
	__u64 interval_ns;
	__u64 next_ns;
	__u64 look_ns;
	struct storm_connection connection[STORM_CONNECTIONS];
	__u32 nopen;
	__u32 credits; /* kills inside accept() that may each explain one more */
	__u64 credit_ns; /* of the last one */
	bool is_paused; /* no connection is begun */

	__u64 nconnected; /* begun, ever */
	__u64 nanswered;
	__u64 naccepted_by_dead; /* not answered, for that reason */
	__u64 ninside_accept;
	__u64 nunprotected;
};

void storm_stream_init(struct storm_stream *s, __u64 now);
void storm_stream_close(struct storm_stream *s);
void storm_stream_pump(struct storm_stream *s, __u64 now);
__u64 storm_stream_due_ns(const struct storm_stream *s);
void storm_stream_hear(struct storm_stream *s, __u32 i, __u64 now);

/* A listener was closed, and the model is yet to hear of it. @notes: what a killed worker left; NULL: it ended by itself */
void storm_stream_listener_closed(struct storm_stream *s, const struct sp_lab_notes *notes, __u64 now);

#endif
