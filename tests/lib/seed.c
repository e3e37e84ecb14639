// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Seeds and settings of random tests. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include "seed.h"

__u64 sp_seed_setting(const char *name, __u64 otherwise)
{
	const char *text = getenv(name);
	char *end;
	__u64 value;

	if (!text || !*text)
		return otherwise;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || *end || !isdigit((unsigned char)*text)) {
		fprintf(stderr, "%s=%s is not a number\n", name, text);
		exit(2);
	}
	return value;
}

__u64 sp_seed(void)
{
	static bool is_known;
	static __u64 seed;

	if (is_known)
		return seed;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
		perror("getrandom");
		exit(2);
	}
	seed = sp_seed_setting("CHAOS_SEED", seed);
	is_known = true;
	printf("CHAOS_SEED=%llu\n", seed);
	return seed;
}
