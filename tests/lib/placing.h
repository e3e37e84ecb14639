/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the TCP groups of a test place new connections when it does not say so itself: by the hash, or as $TEST_BALANCE
 * says. All that holds by the hash shall hold by load.
 */
#ifndef STEADYPORT_TESTS_PLACING_H
#define STEADYPORT_TESTS_PLACING_H

#include <stdio.h>
#include <steadyport/abi.h>

/* Fails the test when the variable says nothing that there is. */
enum sp_balance sp_placing_ask(void);

/*
 * How many connections a test can see wait at one of several workers that is busy, while the others keep up: as many as
 * it likes by the hash (@by_hash), and by load the one that makes its queue longer than theirs.
 */
__u32 sp_placing_queue(__u32 by_hash);

#define SP_PLACING_WORDS_MAX 24

/*
 * The command as it is to be run: @words, or in @room `steadyport attach NAME tcp:...` with the option behind it.
 * NULL ends both.
 */
const char *const *sp_placing_words(const char *const *words, const char *room[SP_PLACING_WORDS_MAX + 1]);
/* Writes a daemon's configuration, with the setting in each section of a TCP endpoint if it has no other. */
void sp_placing_config(const char *text, FILE *file);

#endif
