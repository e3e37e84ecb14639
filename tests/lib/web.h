/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An HTTP client that can also behave badly. Every function fails the test that calls it when it cannot connect. */
#ifndef STEADYPORT_TESTS_WEB_H
#define STEADYPORT_TESTS_WEB_H

#include <stddef.h>

/* A connection to 127.0.0.1. */
int sp_web_connect(unsigned short port);
/* The same, or -1. */
int sp_web_try(unsigned short port);

/* Sends bytes and reads until the server ends the connection. Returns all that came, to free(). Ends the connection. */
char *sp_web_finish(int fd, const char *bytes, size_t len);

/* Sends any bytes on a new connection. */
char *sp_web_say(unsigned short port, const char *bytes, size_t len);

/* GET: the body, to free(); the status must be this one. */
char *sp_web_get(unsigned short port, const char *path, int status);

/* Of an answer; 0: it is none. */
int sp_web_status(const char *answer);

#endif
