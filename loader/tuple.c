// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The four numbers of a flow. */
#include "tuple.h"

#include <arpa/inet.h>
#include <string.h>
#include <steadyport/flow.h>

int sp_tuple_parse(const char *const *words, int nwords, struct sp_tuple *ret, const char **ret_word,
		   const char **ret_why)
{
	struct sp_tuple tuple = {};
	int err;

	*ret_word = words[0];
	err = sp_address_port_parse(words[0], &tuple.src, &tuple.sport, ret_why);
	if (!err && nwords > 1) {
		*ret_word = words[1];
		err = sp_address_port_parse(words[1], &tuple.dst, &tuple.dport, ret_why);
	}
	if (!err)
		*ret = tuple;
	return err;
}

void sp_tuple_unmap(struct sp_tuple *tuple)
{
	sp_address_unmap(&tuple->src);
	sp_address_unmap(&tuple->dst);
}

__u64 sp_tuple_hash(const struct sp_tuple *tuple, const __u64 key[2])
{
	struct sp_tuple4 t4 = { .sport = htons(tuple->sport), .dport = htons(tuple->dport) };
	struct sp_tuple6 t6 = { .sport = t4.sport, .dport = t4.dport };

	if (tuple->src.family == AF_INET) {
		memcpy(&t4.src, tuple->src.bytes, sizeof(t4.src));
		memcpy(&t4.dst, tuple->dst.bytes, sizeof(t4.dst));
		return sp_flow_hash4(key, &t4);
	}
	memcpy(t6.src, tuple->src.bytes, sizeof(t6.src));
	memcpy(t6.dst, tuple->dst.bytes, sizeof(t6.dst));
	return sp_flow_hash6(key, &t6);
}
