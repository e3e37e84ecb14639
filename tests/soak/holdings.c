// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * holdings CGROUP...: BPF maps, programs and links that exist on this machine and were made by processes of a memory
 * control group, or by their like that have ended. One line "MAPS PROGRAMS LINKS" for each. For scripts/soak.sh.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "tests/soak/holdings.skel.h"

/* Lets a program see each object that there is. 0 or -errno */
static int walk(const struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	sp_autoclose int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1;
	ssize_t n = -1;
	char text[16];

	if (fd >= 0) {
		do
			n = read(fd, text, sizeof(text));
		while (n > 0);
	}
	n = n < 0 ? -errno : 0;
	bpf_link__destroy(link);
	return n;
}

static int count(const char *cgroup)
{
	struct holdings *skel = holdings__open();
	struct stat st;
	int err;

	if (!skel)
		return -errno;
	err = stat(cgroup, &st) ? -errno : 0;
	skel->rodata->sp_cgroup = st.st_ino;
	err = err ?: holdings__load(skel);
	err = err ?: walk(skel->progs.sp_count_map);
	err = err ?: walk(skel->progs.sp_count_program);
	err = err ?: walk(skel->progs.sp_count_link);
	if (!err)
		printf("%llu %llu %llu\n", skel->bss->sp_maps, skel->bss->sp_programs, skel->bss->sp_links);
	holdings__destroy(skel);
	return err;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int err = count(argv[i]);

		if (err) {
			fprintf(stderr, "holdings: %s: %s\n", argv[i], strerror(-err));
			return 1;
		}
	}
	return 0;
}
