// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* News of sockets that join or leave. */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "kernel.h"
#include "log.h"
#include "watch.h"
#include "watch.skel.h"

/* One object for each protocol: where one cannot be loaded, the other may. */
enum which {
	TCP,
	UDP,
	WHICH_COUNT,
};

struct sp_watch {
	struct watch *skel[WHICH_COUNT]; /* NULL: not available */
	struct ring_buffer *ring;
	void (*each)(void *ctx, const struct sp_watch_event *event);
	void *ctx;
};

static int open_cgroup_root(int *ret_fd)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	const struct mntent *entry;
	int fd = -1, err = -ENOENT;

	while (mounts && fd < 0 && (entry = getmntent(mounts))) {
		if (strcmp(entry->mnt_type, "cgroup2"))
			continue;
		fd = open(entry->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = fd < 0 ? -errno : 0;
	}
	if (mounts)
		endmntent(mounts);
	if (!err)
		*ret_fd = fd;
	return err;
}

static int attach_tcp(struct watch *skel)
{
	skel->links.sp_watch_tcp = bpf_program__attach(skel->progs.sp_watch_tcp);
	return skel->links.sp_watch_tcp ? 0 : -errno;
}

/*
 * A bpf_link on a cgroup stands beside what others have attached there. It is refused (-EPERM) where somebody has
 * attached in the exclusive way.
 */
static int attach_udp(struct watch *skel)
{
	sp_autoclose int root = -1;
	int err = open_cgroup_root(&root);

	if (err)
		return err;
	skel->links.sp_watch_bind4 = bpf_program__attach_cgroup(skel->progs.sp_watch_bind4, root);
	if (!skel->links.sp_watch_bind4)
		return -errno;
	skel->links.sp_watch_bind6 = bpf_program__attach_cgroup(skel->progs.sp_watch_bind6, root);
	return skel->links.sp_watch_bind6 ? 0 : -errno;
}

static int start(enum which which, struct watch **ret_skel)
{
	struct watch *skel = watch__open_opts(sp_kernel_open_options());
	int err;

	if (!skel)
		return -errno;
	bpf_program__set_autoload(skel->progs.sp_watch_tcp, which == TCP);
	bpf_program__set_autoload(skel->progs.sp_watch_bind4, which == UDP);
	bpf_program__set_autoload(skel->progs.sp_watch_bind6, which == UDP);
	err = watch__load(skel);
	err = err ?: which == TCP ? attach_tcp(skel) : attach_udp(skel);
	if (err) {
		watch__destroy(skel);
		return err;
	}
	*ret_skel = skel;
	return 0;
}

static int pass_on(void *ctx, void *data, size_t size)
{
	struct sp_watch *watch = ctx;

	if (size >= sizeof(struct sp_watch_event))
		watch->each(watch->ctx, data);
	return 0;
}

static int add_ring(struct sp_watch *watch, int fd)
{
	if (watch->ring)
		return ring_buffer__add(watch->ring, fd, pass_on, watch);
	watch->ring = ring_buffer__new(fd, pass_on, watch, NULL);
	return watch->ring ? 0 : -errno;
}

int sp_watch_open(struct sp_watch **ret_watch)
{
	static const char *const names[] = { [TCP] = "TCP", [UDP] = "UDP" };
	struct sp_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return sp_fail(-ENOMEM, "cannot watch for new members");
	for (int i = 0; i < WHICH_COUNT; i++) {
		int err = start(i, &watch->skel[i]);

		err = err ?: add_ring(watch, bpf_map__fd(watch->skel[i]->maps.sp_news));
		if (err)
			sp_warn("the kernel cannot tell of new %s members (%s): they are found within a second",
				names[i], strerror(-err));
	}
	*ret_watch = watch;
	return 0;
}

bool sp_watch_hears(const struct sp_watch *watch, enum sp_protocol protocol)
{
	return watch->skel[protocol == SP_UDP ? UDP : TCP];
}

int sp_watch_fd(const struct sp_watch *watch)
{
	return watch->ring ? ring_buffer__epoll_fd(watch->ring) : -1;
}

/* An element for another reader is no harm, a missing one is: the new ones come first. */
static int set_keys(int map, const struct sp_watch_key *keys, size_t nkeys)
{
	struct sp_watch_key key, next;
	bool is_any;
	__u8 one = 1;
	int err;

	for (size_t i = 0; i < nkeys; i++) {
		err = bpf_map_update_elem(map, &keys[i], &one, BPF_ANY);
		if (err)
			return err;
	}
	is_any = bpf_map_get_next_key(map, NULL, &next) == 0;
	while (is_any) {
		bool is_asked = false;

		key = next;
		is_any = bpf_map_get_next_key(map, &key, &next) == 0;
		for (size_t i = 0; i < nkeys; i++)
			is_asked |= !memcmp(&keys[i], &key, sizeof(key));
		if (!is_asked)
			bpf_map_delete_elem(map, &key);
	}
	return 0;
}

int sp_watch_set(struct sp_watch *watch, const struct sp_watch_key *keys, size_t nkeys)
{
	for (int i = 0; i < WHICH_COUNT; i++) {
		int err;

		if (!watch->skel[i])
			continue;
		err = set_keys(bpf_map__fd(watch->skel[i]->maps.sp_watched), keys, nkeys);
		if (err)
			return sp_fail(err, "cannot say which of %zu ports to watch", nkeys);
	}
	return 0;
}

void sp_watch_read(struct sp_watch *watch, void (*each)(void *ctx, const struct sp_watch_event *event),
		   void *ctx)
{
	if (!watch->ring)
		return;
	watch->each = each;
	watch->ctx = ctx;
	ring_buffer__consume(watch->ring);
}

void sp_watch_free(struct sp_watch **watch)
{
	if (!*watch)
		return;
	ring_buffer__free((*watch)->ring);
	for (int i = 0; i < WHICH_COUNT; i++)
		watch__destroy((*watch)->skel[i]);
	free(*watch);
	*watch = NULL;
}
