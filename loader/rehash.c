// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the kernel's own hash does to the flows of a group when a member leaves or joins. */
#include "rehash.h"

/* reciprocal_scale() gives index i the hashes from first(i) up to first(i + 1). */
static __u64 first(__u64 i, __u32 count)
{
	return (i * SP_REHASH_SPACE + count - 1) / count;
}

/* Hashes that are at index i of one count and at index j of another. */
static __u64 common(__u32 i, __u32 count, __u32 j, __u32 other_count)
{
	__u64 from = first(i, count), to = first(i + 1ULL, count);
	__u64 other_from = first(j, other_count), other_to = first(j + 1ULL, other_count);

	from = from > other_from ? from : other_from;
	to = to < other_to ? to : other_to;
	return to > from ? to - from : 0;
}

struct sp_rehash sp_rehash_leave(__u32 count, __u32 position)
{
	struct sp_rehash rehash = { 0, 0 };

	for (__u32 i = 0; count > 1 && i < count; i++) {
		__u32 after = i == count - 1 ? position : i;
		__u64 flows = first(i + 1ULL, count) - first(i, count);

		if (i == position)
			continue;
		rehash.flows += flows;
		rehash.moved += flows - common(i, count, after, count - 1);
	}
	return rehash;
}

struct sp_rehash sp_rehash_join(__u32 count)
{
	struct sp_rehash rehash = { .flows = count ? SP_REHASH_SPACE : 0 };

	for (__u32 i = 0; i < count; i++)
		rehash.moved += first(i + 1ULL, count) - first(i, count) - common(i, count, i, count + 1) -
				common(i, count, count, count + 1);
	return rehash;
}

double sp_rehash_share(const struct sp_rehash *rehash)
{
	return rehash->flows ? (double)rehash->moved / rehash->flows : 0;
}
