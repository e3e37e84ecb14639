// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Memory of BPF objects: fdinfo, and control groups of either version. */
#include "memory.h"

#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "run.h"

/* The number behind the first "KEY" and blanks at the beginning of a line; false: there is none. */
static bool read_number(const char *path, const char *key, __u64 *ret)
{
	sp_autofile FILE *file = fopen(path, "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), "%llu", ret) == 1)
			return true;
	}
	return false;
}

static bool has_word(const char *path, const char *word)
{
	sp_autofile FILE *file = fopen(path, "re");
	char found[64];

	while (file && fscanf(file, "%63s", found) == 1) {
		if (!strcmp(found, word))
			return true;
	}
	return false;
}

__u64 sp_memory_stated(const char *pin)
{
	sp_autoclose int fd = bpf_obj_get(pin);
	char path[64];
	__u64 bytes = 0;

	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	assert_true(read_number(path, "memlock:", &bytes));
	return bytes;
}

/* The second version must have been told that its children account for memory; we do not change that. */
static bool is_usable(const struct mntent *mount, const char **ret_file)
{
	char path[PATH_MAX];

	if (!strcmp(mount->mnt_type, "cgroup") && hasmntopt(mount, "memory")) {
		*ret_file = "memory.kmem.usage_in_bytes";
		return true;
	}
	*ret_file = "memory.stat";
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", mount->mnt_dir);
	return !strcmp(mount->mnt_type, "cgroup2") && has_word(path, "memory");
}

bool sp_memory_open(struct sp_memory *memory)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;

	*memory = (struct sp_memory){ 0 };
	while (mounts && !memory->path[0] && (mount = getmntent(mounts))) {
		if (!is_usable(mount, &memory->file))
			continue;
		snprintf(memory->path, sizeof(memory->path), "%s/steadyport-test-%d", mount->mnt_dir,
			 getpid());
		if (mkdir(memory->path, 0700))
			memory->path[0] = '\0';
	}
	if (mounts)
		endmntent(mounts);
	return memory->path[0];
}

void sp_memory_close(struct sp_memory *memory)
{
	if (memory->path[0])
		rmdir(memory->path);
	memory->path[0] = '\0';
}

__u64 sp_memory_available(void)
{
	__u64 kib = 0;

	assert_true(read_number("/proc/meminfo", "MemAvailable:", &kib));
	return kib * 1024;
}

void sp_memory_enter(void *memory)
{
	char path[PATH_MAX + 16];
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.procs", ((struct sp_memory *)memory)->path);
	file = fopen(path, "we");
	if (!file || fprintf(file, "%d\n", getpid()) < 0 || fclose(file))
		_exit(126);
}

__u64 sp_memory_charged(const struct sp_memory *memory)
{
	char path[PATH_MAX + 32];
	__u64 bytes = 0;

	snprintf(path, sizeof(path), "%s/%s", memory->path, memory->file);
	assert_true(read_number(path, strcmp(memory->file, "memory.stat") ? "" : "kernel ", &bytes));
	return bytes;
}
