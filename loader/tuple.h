/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The four numbers of a flow as people write them, and their hash as the program computes it. Pure. */
#ifndef STEADYPORT_TUPLE_H
#define STEADYPORT_TUPLE_H

#include <steadyport/abi.h>
#include "endpoint.h"

/* A flow seen from the packet that arrives: src is the peer. */
struct sp_tuple {
	struct sp_address src, dst; /* dst has no family while it is not known */
	__u16 sport, dport;
};

/**
 * sp_tuple_parse - "ADDRESS:PORT" of the peer, and of our side unless that is left out
 * @words: @nwords of them, 1 or 2
 * @ret_word, @ret_why: on error the word that is wrong, and a static sentence that says what is wrong with it
 * Returns 0, or -EINVAL with @ret untouched.
 */
int sp_tuple_parse(const char *const *words, int nwords, struct sp_tuple *ret, const char **ret_word,
		   const char **ret_why);

/* A flow between IPv4-mapped addresses arrives in IPv4 packets, and is hashed as these. */
void sp_tuple_unmap(struct sp_tuple *tuple);

/* What the program computes of a packet of this flow. Both addresses are of one family. */
__u64 sp_tuple_hash(const struct sp_tuple *tuple, const __u64 key[2]);

#endif
