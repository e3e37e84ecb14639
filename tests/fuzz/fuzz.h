/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the fuzz targets share. A target is one function that takes any bytes; a broken property ends the process, as a
 * crash does, and libFuzzer keeps the input.
 */
#ifndef STEADYPORT_TESTS_FUZZ_H
#define STEADYPORT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libFuzzer's entry: each target has one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define sp_must(condition, ...)                                                 \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "%s:%d: broken: ", __FILE__, __LINE__); \
			fprintf(stderr, __VA_ARGS__);                           \
			fputc('\n', stderr);                                    \
			abort();                                                \
		}                                                               \
	} while (0)

/* A copy of exactly this size, so that reading one byte more is seen; free() it. */
static inline char *sp_fuzz_bytes(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1);

	sp_must(copy, "no memory for the input");
	memcpy(copy, data, size);
	return copy;
}

/* The same with a NUL behind it; what follows a NUL of its own is not seen. */
static inline char *sp_fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	sp_must(text, "no memory for the input");
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* What is said of a wrong input is one line of text for people. */
static inline void sp_must_be_sentence(const char *why)
{
	sp_must(why && *why && !strchr(why, '\n'), "the reason is no sentence: \"%s\"", why ? why : "NULL");
}

#endif
