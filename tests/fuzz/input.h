/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A fuzzer's bytes as a stream from which a target builds what it needs. At the end it goes on with zeros. */
#ifndef STEADYPORT_TESTS_FUZZ_INPUT_H
#define STEADYPORT_TESTS_FUZZ_INPUT_H

#include <linux/types.h>
#include "fuzz.h"

struct sp_input {
	const uint8_t *next, *end;
};

static inline void sp_input_take(struct sp_input *in, void *to, size_t size)
{
	size_t left = in->end - in->next, n = size < left ? size : left;

	memset(to, 0, size);
	if (n)
		memcpy(to, in->next, n);
	in->next += n;
}

#define sp_input_value(in, type)                    \
	({                                          \
		type v_;                            \
		sp_input_take(in, &v_, sizeof(v_)); \
		v_;                                 \
	})

/*
 * Fills a large table from a few bytes: a length, and so many 16-bit words with the bits of @mask, repeated. Doubling
 * what is there is many times faster than a loop that is watched byte for byte.
 */
static inline void sp_input_fill(struct sp_input *in, void *to, size_t size, __u16 mask)
{
	__u16 pattern[16], n = sp_input_value(in, uint8_t) % 16 + 1;
	size_t done = n * sizeof(*pattern) < size ? n * sizeof(*pattern) : size, more;

	sp_input_take(in, pattern, n * sizeof(*pattern));
	for (int i = 0; i < n; i++)
		pattern[i] &= mask;
	memcpy(to, pattern, done);
	for (; done < size; done += more) {
		more = done < size - done ? done : size - done;
		memcpy((uint8_t *)to + done, to, more);
	}
}

#endif
