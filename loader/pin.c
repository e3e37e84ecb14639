// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pinned state: stage, publish by one rename, open, remove. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "log.h"
#include "pin.h"

#define ROOT "steadyport"
#define STAGING_PREFIX "~"
#define LOCK_PATIENCE_MS 1000
#define LOCK_POLL_MS 20

/* Every pinned object, once. */
#define SP_PIN_LIST(X)               \
	X(prog, SP_PIN_PROG)         \
	X(slots, SP_PIN_SLOTS)       \
	X(views, SP_PIN_VIEWS)       \
	X(ctl, SP_PIN_CTL)           \
	X(info, SP_PIN_INFO)         \
	X(flows, SP_PIN_FLOWS)       \
	X(counters, SP_PIN_COUNTERS) \
	X(events, SP_PIN_EVENTS)

bool sp_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > SP_NAME_MAX || name[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isascii(name[i]) ||
		    (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-'))
			return false;
	return true;
}

void sp_pins_close(struct sp_pins *pins)
{
#define CLOSE(member, file) sp_close_fd(&pins->member);
	SP_PIN_LIST(CLOSE)
#undef CLOSE
}

static void root_path(const char *bpffs, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" ROOT, bpffs);
}

static void group_path(const char *bpffs, const char *prefix, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" ROOT "/%s%s", bpffs, prefix, name);
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

int sp_pin_root(const char *bpffs)
{
	char path[PATH_MAX];

	if (!is_bpffs(bpffs)) {
		if (mkdir(bpffs, 0700) && errno != EEXIST)
			return sp_fail(-errno, "cannot make %s", bpffs);
		if (mount("bpf", bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700")) {
			int err = sp_fail(-errno, "cannot mount bpffs on %s", bpffs);

			sp_hint("mount it: mount -t bpf bpf %s, or name another place with --bpffs DIR",
				bpffs);
			return err;
		}
		sp_note("mounted bpffs on %s", bpffs);
	}
	root_path(bpffs, path);
	if (mkdir(path, 0700) && errno != EEXIST)
		return sp_fail(-errno, "cannot make %s", path);
	return 0;
}

int sp_pin_lock(const char *bpffs, int *ret_fd)
{
	const struct timespec tick = { .tv_nsec = LOCK_POLL_MS * 1000000L };
	sp_autoclose int fd = -1;
	char path[PATH_MAX];

	root_path(bpffs, path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return sp_fail(-errno, "cannot open %s", path);

	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += LOCK_POLL_MS) {
		if (errno != EWOULDBLOCK)
			return sp_fail(-errno, "cannot lock %s", path);
		if (waited >= LOCK_PATIENCE_MS) {
			sp_warn("another steadyport is changing something (it holds %s): waiting for it",
				path);
			while (flock(fd, LOCK_EX))
				if (errno != EINTR)
					return sp_fail(-errno, "cannot lock %s", path);
			break;
		}
		nanosleep(&tick, NULL);
	}
	*ret_fd = sp_take_fd(&fd);
	return 0;
}

/* The maps of another version may have any shape; the ABI number is the second word of sp_ctl in all of them. */
static int check_abi(const char *path, int ctl)
{
	sp_autofree __u32 *value = NULL;
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info), zero = 0;
	int err;

	err = bpf_obj_get_info_by_fd(ctl, &info, &len);
	if (err)
		return sp_fail(err, "cannot read %s/" SP_PIN_CTL, path);
	value = calloc(1, info.value_size);
	if (!value)
		return sp_fail(-ENOMEM, "cannot read %s/" SP_PIN_CTL, path);
	if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size < 2 * sizeof(__u32)) {
		sp_refuse(0, "%s was not made by steadyport: its " SP_PIN_CTL " is another kind of map",
			  path);
		sp_hint("remove it: steadyport detach %s", basename(path));
		return -EPROTO;
	}
	err = bpf_map_lookup_elem(ctl, &zero, value);
	if (err)
		return sp_fail(err, "cannot read %s/" SP_PIN_CTL, path);
	if (value[1] == SP_ABI_VERSION && info.value_size == sizeof(struct sp_ctl))
		return 0;
	sp_refuse(0, "%s was made by a steadyport with ABI version %u; this one has version %d", path,
		  value[1], SP_ABI_VERSION);
	sp_hint("remove it: steadyport detach %s; then attach anew", basename(path));
	return -EPROTO;
}

int sp_pin_open(const char *bpffs, const char *name, struct sp_pins *ret_pins)
{
	struct {
		int *fd;
		const char *file;
	} objects[16];
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	char path[PATH_MAX], file[PATH_MAX + 32];
	size_t n = 0;
	int err;

	if (!sp_name_is_valid(name)) {
		sp_refuse(0, "%s is not a group's name: letters, digits, '_' and '-', at most %d", name,
			  SP_NAME_MAX);
		return -ENOENT;
	}
	group_path(bpffs, "", name, path);
	if (!sp_pin_exists(bpffs, name)) {
		sp_refuse(0, "no steered group is called %s", name);
		sp_hint("see those there are: steadyport list");
		return -ENOENT;
	}

#define OBJECT(member, name)          \
	objects[n].fd = &pins.member; \
	objects[n++].file = name;
	SP_PIN_LIST(OBJECT)
#undef OBJECT
	for (size_t i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, objects[i].file);
		*objects[i].fd = bpf_obj_get(file);
		if (*objects[i].fd >= 0)
			continue;
		err = -errno;
		if (err != -ENOENT)
			return sp_fail(err, "cannot open %s", file);
		sp_refuse(0, "%s is not complete: %s is missing", path, objects[i].file);
		sp_hint("remove it: steadyport detach %s", name);
		return -EPROTO;
	}
	err = check_abi(path, pins.ctl);
	if (err)
		return err;

	snprintf(pins.name, sizeof(pins.name), "%s", name);
	*ret_pins = pins;
	pins = (struct sp_pins)SP_PINS_NONE;
	return 0;
}

int sp_pin_open_program(const char *bpffs, const char *name, struct sp_pins *ret_pins)
{
	struct sp_pins pins = SP_PINS_NONE;
	char path[PATH_MAX], file[PATH_MAX + 32];

	group_path(bpffs, "", name, path);
	snprintf(file, sizeof(file), "%s/" SP_PIN_PROG, path);
	pins.prog = bpf_obj_get(file);
	if (pins.prog < 0)
		return errno == ENOENT ? -ENOENT : sp_fail(-errno, "cannot open %s", file);
	snprintf(pins.name, sizeof(pins.name), "%s", name);
	*ret_pins = pins;
	return 0;
}

int sp_pin_open_slots(const char *bpffs, const char *name)
{
	char path[PATH_MAX], file[PATH_MAX + 32];
	int fd;

	group_path(bpffs, "", name, path);
	snprintf(file, sizeof(file), "%s/" SP_PIN_SLOTS, path);
	fd = bpf_obj_get(file);
	return fd < 0 ? -errno : fd;
}

bool sp_pin_exists(const char *bpffs, const char *name)
{
	char path[PATH_MAX];

	group_path(bpffs, "", name, path);
	return access(path, F_OK) == 0;
}

bool sp_pin_is_staged(const char *bpffs, const char *name)
{
	char path[PATH_MAX];

	group_path(bpffs, STAGING_PREFIX, name, path);
	return access(path, F_OK) == 0;
}

/* Deletes a directory of pins. What is not there is no error. */
static int delete_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int err = 0;

	if (!dir)
		return errno == ENOENT ? 0 : sp_fail(-errno, "cannot read %s", path);
	while (!err && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0))
			err = sp_fail(-errno, "cannot remove %s/%s", path, entry->d_name);
	}
	closedir(dir);
	if (!err && rmdir(path))
		err = sp_fail(-errno, "cannot remove %s", path);
	return err;
}

static int stage(const struct sp_pins *pins, const char *path)
{
	char file[PATH_MAX + 32];

	if (mkdir(path, 0700))
		return sp_fail(-errno, "cannot make %s", path);
#define PIN(member, name)                                  \
	snprintf(file, sizeof(file), "%s/%s", path, name); \
	if (bpf_obj_pin(pins->member, file))               \
		return sp_fail(-errno, "cannot pin %s", file);
	SP_PIN_LIST(PIN)
#undef PIN
	return 0;
}

int sp_pin_publish(const char *bpffs, const struct sp_pins *pins)
{
	char staging[PATH_MAX], path[PATH_MAX];
	int err;

	group_path(bpffs, STAGING_PREFIX, pins->name, staging);
	group_path(bpffs, "", pins->name, path);

	err = delete_directory(staging);
	if (err)
		return err;
	err = stage(pins, staging);
	if (err)
		goto undo;
	if (renameat2(AT_FDCWD, staging, AT_FDCWD, path, RENAME_NOREPLACE)) {
		err = sp_fail(-errno, "cannot publish %s", path);
		goto undo;
	}
	return 0;
undo:
	delete_directory(staging);
	return err;
}

int sp_pin_remove(const char *bpffs, const char *name)
{
	char staging[PATH_MAX], path[PATH_MAX];
	int err;

	group_path(bpffs, STAGING_PREFIX, name, staging);
	group_path(bpffs, "", name, path);

	err = delete_directory(staging);
	if (err)
		return err;
	if (renameat2(AT_FDCWD, path, AT_FDCWD, staging, RENAME_NOREPLACE))
		return errno == ENOENT ? 0 : sp_fail(-errno, "cannot remove %s", path);
	return delete_directory(staging);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

int sp_pin_list(const char *bpffs, char (**ret_names)[SP_NAME_MAX + 1], size_t *ret_count)
{
	char path[PATH_MAX], (*names)[SP_NAME_MAX + 1] = NULL;
	struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	root_path(bpffs, path);
	dir = opendir(path);
	if (!dir && errno != ENOENT)
		return sp_fail(-errno, "cannot read %s", path);
	while (dir && (entry = readdir(dir))) {
		void *grown;

		if (!sp_name_is_valid(entry->d_name))
			continue;
		grown = reallocarray(names, count + 1, sizeof(*names));
		if (!grown) {
			free(names);
			closedir(dir);
			return sp_fail(-ENOMEM, "cannot list %s", path);
		}
		names = grown;
		strcpy(names[count++], entry->d_name); /* a valid name fits */
	}
	if (dir)
		closedir(dir);
	if (count)
		qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_count = count;
	return 0;
}
