// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The flow that `where` is asked about, one word or two: any text is read or refused with the word that is wrong; what
 * was read and is printed reads the same, and its hash is that of the numbers.
 */
#include "fuzz.h"
#include "tuple.h"

static void check_side(const struct sp_address *address, __u16 port, const char *text)
{
	char printed[SP_ENDPOINT_STRLEN];
	struct sp_address back;
	const char *why = NULL;
	__u16 back_port;

	sp_address_format(address, 0, port, printed);
	sp_must(!sp_address_port_parse(printed, &back, &back_port, &why), "%s was read, %s is not: %s", text,
		printed, why);
	sp_must(!memcmp(address, &back, sizeof(back)) && port == back_port, "%s reads as %s", text, printed);
}

static void check_hash(struct sp_tuple tuple)
{
	static const __u64 key[2] = { 1, 2 }, other_key[2] = { 1, 3 };
	__u64 hash;

	sp_tuple_unmap(&tuple);
	if (!tuple.dst.family || tuple.src.family != tuple.dst.family)
		return;
	hash = sp_tuple_hash(&tuple, key);
	sp_must(sp_tuple_hash(&tuple, other_key) != hash, "the key does not matter");
	tuple.sport ^= 1;
	sp_must(sp_tuple_hash(&tuple, key) != hash, "the port does not matter");
	tuple.sport ^= 1;
	tuple.dst.bytes[0] ^= 1;
	sp_must(sp_tuple_hash(&tuple, key) != hash, "the address does not matter");
	tuple.dst.bytes[0] ^= 1;
	sp_must(sp_tuple_hash(&tuple, key) == hash, "two hashes of one flow");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = sp_fuzz_text(data, size), *space = strchr(text, ' ');
	const char *words[2] = { text, space ? space + 1 : NULL }, *word = NULL, *why = NULL;
	struct sp_tuple tuple, untouched;
	int nwords = space ? 2 : 1;

	if (space)
		*space = '\0';
	memset(&tuple, 0xa5, sizeof(tuple));
	untouched = tuple;
	if (sp_tuple_parse(words, nwords, &tuple, &word, &why)) {
		sp_must_be_sentence(why);
		sp_must(word == words[0] || (nwords == 2 && word == words[1]), "the wrong word is wrong");
		sp_must(!memcmp(&tuple, &untouched, sizeof(tuple)), "a refused text has changed the output");
	} else {
		check_side(&tuple.src, tuple.sport, words[0]);
		if (nwords == 2)
			check_side(&tuple.dst, tuple.dport, words[1]);
		else
			sp_must(!tuple.dst.family && !tuple.dport, "a side that was not given");
		check_hash(tuple);
	}
	free(text);
	return 0;
}
