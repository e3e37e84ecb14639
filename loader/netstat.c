// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The kernel's own counters of a network namespace. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "cleanup.h"
#include "netstat.h"

#define SECTION "TcpExt:"

static const char *next_word(const char **at, size_t *len)
{
	const char *word = *at + strspn(*at, " ");

	*len = strcspn(word, " \n");
	*at = word + *len;
	return *len ? word : NULL;
}

static bool is_word(const char *word, size_t len, const char *name)
{
	return len == strlen(name) && !memcmp(word, name, len);
}

/* Two lines for each section: names, and under them numbers. */
int sp_netstat_parse(const char *text, struct sp_netstat *ret)
{
	const char *names = strncmp(text, SECTION, strlen(SECTION)) ? strstr(text, "\n" SECTION) : text;
	struct sp_netstat netstat;
	unsigned int found = 0;
	const char *values, *name;
	size_t name_len, len;

	if (!names)
		return -ENOENT;
	names += *names == '\n';
	values = strchr(names, '\n');
	if (!values || strncmp(++values, SECTION, strlen(SECTION)))
		return -ENOENT;
	while ((name = next_word(&names, &name_len))) {
		const char *value = next_word(&values, &len);

		if (!value)
			break;
		if (is_word(name, name_len, "TCPMigrateReqSuccess")) {
			netstat.migrated = strtoull(value, NULL, 10);
			found |= 1;
		} else if (is_word(name, name_len, "TCPMigrateReqFailure")) {
			netstat.migrate_failed = strtoull(value, NULL, 10);
			found |= 2;
		}
	}
	if (found != 3)
		return -ENOENT;
	*ret = netstat;
	return 0;
}

static bool is_in(const char *process, __u32 netns_inode)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", process);
	return stat(path, &st) == 0 && st.st_ino == netns_inode;
}

int sp_netstat_read(__u32 netns_inode, __u32 pid, struct sp_netstat *ret)
{
	sp_autofile FILE *file = NULL;
	sp_autofree char *text = NULL;
	size_t size = 0;
	char process[32] = "thread-self", path[64];

	if (pid)
		snprintf(process, sizeof(process), "%u", pid);
	snprintf(path, sizeof(path), "/proc/%s/net/netstat", process);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (getdelim(&text, &size, '\0', file) < 0)
		return -ESRCH;
	/* The number may have been given to another process since the scan: asked last. */
	if (!is_in(process, netns_inode))
		return -ESRCH;
	return sp_netstat_parse(text, ret);
}
