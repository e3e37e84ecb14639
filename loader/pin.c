// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pinned state: stage, publish by one rename, open, remove. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "log.h"
#include "pin.h"
#include "pin_root.h"

#define STAGING_PREFIX "~"

/* Every pinned object, once, and the first ABI version that has it. */
#define SP_PIN_LIST(X)                  \
	X(prog, SP_PIN_PROG, 1)         \
	X(slots, SP_PIN_SLOTS, 1)       \
	X(views, SP_PIN_VIEWS, 1)       \
	X(ctl, SP_PIN_CTL, 1)           \
	X(info, SP_PIN_INFO, 1)         \
	X(flows, SP_PIN_FLOWS, 1)       \
	X(counters, SP_PIN_COUNTERS, 1) \
	X(carried, SP_PIN_CARRIED, 2)   \
	X(events, SP_PIN_EVENTS, 1)     \
	X(socks, SP_PIN_SOCKS, 3)       \
	X(tags, SP_PIN_TAGS, 3)         \
	X(active, SP_PIN_ACTIVE, 3)     \
	X(moved, SP_PIN_MOVED, 3)

/* Links, of which there are none unless a balance needs them. */
#define SP_LINK_LIST(X)        \
	X(count, SP_PIN_COUNT) \
	X(recount, SP_PIN_RECOUNT)

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
#define CLOSE(member, file, since) sp_close_fd(&pins->member);
	SP_PIN_LIST(CLOSE)
#undef CLOSE
#define CLOSE(member, file) sp_close_fd(&pins->member);
	SP_LINK_LIST(CLOSE)
#undef CLOSE
	sp_close_fd(&pins->old_counters);
	sp_close_fd(&pins->old_carried);
}

/* The maps of another version may have any shape; the ABI number is the second word of sp_ctl in all of them. */
static int read_abi(const char *path, int ctl, __u32 *ret_abi)
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
	if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(struct sp_ctl)) {
		sp_refuse(0, "%s was not made by steadyport: its " SP_PIN_CTL " is another kind of map",
			  path);
		sp_hint("remove it: steadyport detach %s", basename(path));
		return -EPROTO;
	}
	err = bpf_map_lookup_elem(ctl, &zero, value);
	if (err)
		return sp_fail(err, "cannot read %s/" SP_PIN_CTL, path);
	*ret_abi = value[1];
	return 0;
}

static int check_abi(const char *path, __u32 abi, __u32 oldest)
{
	if (abi >= oldest && abi <= SP_ABI_VERSION)
		return 0;
	sp_refuse(0, "%s was made by a steadyport with ABI version %u; this one has version %d", path, abi,
		  SP_ABI_VERSION);
	if (abi >= SP_ABI_OLDEST && abi < SP_ABI_VERSION)
		sp_hint("bring it up to date, no flow moves: steadyport upgrade %s", basename(path));
	else
		sp_hint("remove it: steadyport detach %s; then attach anew", basename(path));
	return -EPROTO;
}

static int open_object(const char *path, const char *object, int *ret_fd)
{
	char file[PATH_MAX + 32];

	snprintf(file, sizeof(file), "%s/%s", path, object);
	*ret_fd = bpf_obj_get(file);
	return *ret_fd < 0 ? -errno : 0; /* then it is -1, which closes as nothing */
}

static int refuse_object(const char *path, const char *object, int err)
{
	if (err != -ENOENT)
		return sp_fail(err, "cannot open %s/%s", path, object);
	sp_refuse(0, "%s is not complete: %s is missing", path, object);
	sp_hint("remove it: steadyport detach %s", basename(path));
	return -EPROTO;
}

/* What a later version added is there, too, where an upgrade was killed before it was complete. */
static int open_objects(const char *path, struct sp_pins *pins)
{
	int err = 0;

#define OPEN(member, file, since)                             \
	if (!err && pins->member < 0) {                       \
		err = open_object(path, file, &pins->member); \
		if (err == -ENOENT && pins->abi < (since))    \
			err = 0;                              \
		else if (err)                                 \
			err = refuse_object(path, file, err); \
	}
	SP_PIN_LIST(OPEN)
#undef OPEN
	return err;
}

/* The place of NAME if there is one; -ENOENT (logged). */
static int find_group(const char *bpffs, const char *name, char path[PATH_MAX])
{
	sp_autoclose int root = -1;
	int err;

	if (!sp_name_is_valid(name)) {
		sp_refuse(0, "%s is not a group's name: letters, digits, '_' and '-', at most %d", name,
			  SP_NAME_MAX);
		return -ENOENT;
	}
	err = sp_pin_open_root(bpffs, &root);
	if (err && err != -ENOENT)
		return err;
	sp_pin_group_path(bpffs, "", name, path);
	if (err || !sp_pin_exists(bpffs, name)) {
		sp_refuse(0, "no steered group is called %s", name);
		sp_hint("see those there are: steadyport list");
		return -ENOENT;
	}
	return 0;
}

static int program_info(const char *path, int prog, struct bpf_prog_info *ret_info)
{
	__u32 len = sizeof(*ret_info);
	int err;

	memset(ret_info, 0, sizeof(*ret_info));
	err = bpf_obj_get_info_by_fd(prog, ret_info, &len);
	return err ? sp_fail(err, "cannot read %s/" SP_PIN_PROG, path) : 0;
}

/* The id of the program before, 0 when there is none; see sp_pin_has_predecessor(). */
static int predecessor_of(const char *bpffs, const struct sp_pins *pins, __u32 *ret_id)
{
	struct bpf_prog_info staged, published;
	sp_autoclose int prog = -1;
	char path[PATH_MAX];
	int err;

	*ret_id = 0;
	sp_pin_group_path(bpffs, STAGING_PREFIX, pins->name, path);
	err = open_object(path, SP_PIN_PROG, &prog);
	if (err)
		return err == -ENOENT ? 0 : sp_fail(err, "cannot open %s/" SP_PIN_PROG, path);
	err = program_info(path, prog, &staged);
	err = err ?: program_info(path, pins->prog, &published);
	if (!err && staged.load_time < published.load_time)
		*ret_id = staged.id;
	return err;
}

int sp_pin_has_predecessor(const char *bpffs, const struct sp_pins *pins, bool *ret_has)
{
	__u32 id;
	int err = predecessor_of(bpffs, pins, &id);

	*ret_has = id;
	return err;
}

/*
 * The program is asked for last and deleted first, so if it is there all else was: without sp_carried it is of an
 * ABI version that had none.
 */
static int open_predecessor(const char *bpffs, struct sp_pins *pins)
{
	char path[PATH_MAX];
	int err;

	sp_pin_group_path(bpffs, STAGING_PREFIX, pins->name, path);
	err = open_object(path, SP_PIN_COUNTERS, &pins->old_counters);
	err = err ?: open_object(path, SP_PIN_CARRIED, &pins->old_carried);
	if (err && err != -ENOENT)
		return sp_fail(err, "cannot open what is in %s", path);
	if (pins->old_counters < 0)
		return 0;
	err = predecessor_of(bpffs, pins, &pins->old_program_id);
	if (err || pins->old_program_id)
		return err;
	sp_close_fd(&pins->old_counters);
	sp_close_fd(&pins->old_carried);
	return 0;
}

static int open_pins(const char *bpffs, const char *name, __u32 oldest, struct sp_pins *ret_pins)
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	char path[PATH_MAX];
	int err;

	err = find_group(bpffs, name, path);
	if (err)
		return err;
	/* Without it nothing tells which version it is of. */
	pins.abi = SP_ABI_OLDEST;
	err = open_object(path, SP_PIN_CTL, &pins.ctl) ? open_objects(path, &pins) : 0;
	err = err ?: read_abi(path, pins.ctl, &pins.abi);
	err = err ?: check_abi(path, pins.abi, oldest);
	err = err ?: open_objects(path, &pins);
	if (err)
		return err;
	snprintf(pins.name, sizeof(pins.name), "%s", name);
	err = open_predecessor(bpffs, &pins);
	if (err)
		return err;
	*ret_pins = pins;
	pins = (struct sp_pins)SP_PINS_NONE;
	return 0;
}

int sp_pin_open(const char *bpffs, const char *name, struct sp_pins *ret_pins)
{
	return open_pins(bpffs, name, SP_ABI_VERSION, ret_pins);
}

int sp_pin_open_any(const char *bpffs, const char *name, struct sp_pins *ret_pins)
{
	return open_pins(bpffs, name, SP_ABI_OLDEST, ret_pins);
}

int sp_pin_lock_group(const char *bpffs, const char *name, int *ret_fd)
{
	char path[PATH_MAX];
	int err = find_group(bpffs, name, path);

	return err ?: sp_pin_lock(bpffs, ret_fd);
}

int sp_pin_open_locked(const char *bpffs, const char *name, struct sp_pins *ret_pins, int *ret_lock)
{
	sp_autoclose int lock = -1;
	int err;

	err = sp_pin_lock_group(bpffs, name, &lock);
	err = err ?: sp_pin_open(bpffs, name, ret_pins);
	if (!err)
		*ret_lock = sp_take_fd(&lock);
	return err;
}

static int open_program(const char *bpffs, const char *prefix, const char *name, struct sp_pins *ret_pins)
{
	struct sp_pins pins = SP_PINS_NONE;
	char path[PATH_MAX];
	int err;

	sp_pin_group_path(bpffs, prefix, name, path);
	err = open_object(path, SP_PIN_PROG, &pins.prog);
	if (err)
		return err == -ENOENT ? err : sp_fail(err, "cannot open %s/" SP_PIN_PROG, path);
	snprintf(pins.name, sizeof(pins.name), "%s", name);
	*ret_pins = pins;
	return 0;
}

int sp_pin_open_program(const char *bpffs, const char *name, struct sp_pins *ret_pins)
{
	return open_program(bpffs, "", name, ret_pins);
}

int sp_pin_program_ids(const char *bpffs, const char *name, __u32 ret_ids[2])
{
	sp_autopins struct sp_pins pins = SP_PINS_NONE;
	struct bpf_prog_info info;
	int err;

	ret_ids[0] = 0;
	ret_ids[1] = 0;
	err = sp_pin_open_program(bpffs, name, &pins);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = program_info(name, pins.prog, &info);
	if (err)
		return err;
	ret_ids[0] = info.id;
	return predecessor_of(bpffs, &pins, &ret_ids[1]);
}

int sp_pin_open_staged_program(const char *bpffs, const char *name, struct sp_pins *ret_pins)
{
	return open_program(bpffs, STAGING_PREFIX, name, ret_pins);
}

static int open_published(const char *bpffs, const char *name, const char *object)
{
	char path[PATH_MAX];
	int fd, err;

	sp_pin_group_path(bpffs, "", name, path);
	err = open_object(path, object, &fd);
	return err ?: fd;
}

int sp_pin_open_slots(const char *bpffs, const char *name)
{
	return open_published(bpffs, name, SP_PIN_SLOTS);
}

int sp_pin_open_ctl(const char *bpffs, const char *name)
{
	return open_published(bpffs, name, SP_PIN_CTL);
}

int sp_pin_open_info(const char *bpffs, const char *name)
{
	return open_published(bpffs, name, SP_PIN_INFO);
}

int sp_pin_open_recount(const char *bpffs, const char *name)
{
	return open_published(bpffs, name, SP_PIN_RECOUNT);
}

int sp_pin_identity(const char *bpffs, const char *name, __u64 *ret_identity)
{
	char path[PATH_MAX];
	struct stat st;

	*ret_identity = 0;
	sp_pin_group_path(bpffs, "", name, path);
	if (stat(path, &st))
		return errno == ENOENT ? 0 : sp_fail(-errno, "cannot look for %s", path);
	*ret_identity = st.st_ino;
	return 0;
}

static bool may_exist(const char *path)
{
	return access(path, F_OK) == 0 || errno != ENOENT;
}

bool sp_pin_exists(const char *bpffs, const char *name)
{
	char path[PATH_MAX];

	sp_pin_group_path(bpffs, "", name, path);
	return may_exist(path);
}

bool sp_pin_is_staged(const char *bpffs, const char *name)
{
	char path[PATH_MAX];

	sp_pin_group_path(bpffs, STAGING_PREFIX, name, path);
	return may_exist(path);
}

/* Deletes a directory of pins, the program first: see open_predecessor(). What is not there is no error. */
static int delete_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int err = 0;

	if (!dir)
		return errno == ENOENT ? 0 : sp_fail(-errno, "cannot read %s", path);
	if (unlinkat(dirfd(dir), SP_PIN_PROG, 0) && errno != ENOENT)
		err = sp_fail(-errno, "cannot remove %s/" SP_PIN_PROG, path);
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

static int pin_links(const struct sp_pins *pins, const char *path)
{
	char file[PATH_MAX + 32];

#define PIN(member, name)                                              \
	if (pins->member >= 0) {                                       \
		snprintf(file, sizeof(file), "%s/%s", path, name);     \
		if (bpf_obj_pin(pins->member, file))                   \
			return sp_fail(-errno, "cannot pin %s", file); \
	}
	SP_LINK_LIST(PIN)
#undef PIN
	return 0;
}

static int stage(const struct sp_pins *pins, const char *path)
{
	char file[PATH_MAX + 32];

	if (mkdir(path, 0700))
		return sp_fail(-errno, "cannot make %s", path);
#define PIN(member, name, since)                           \
	snprintf(file, sizeof(file), "%s/%s", path, name); \
	if (bpf_obj_pin(pins->member, file))               \
		return sp_fail(-errno, "cannot pin %s", file);
	SP_PIN_LIST(PIN)
#undef PIN
	return pin_links(pins, path);
}

bool sp_pin_has_links(const char *bpffs, const char *name)
{
	char path[PATH_MAX], file[PATH_MAX + 32];
	bool has = true;

	sp_pin_group_path(bpffs, "", name, path);
#define LOOK(member, name)                                 \
	snprintf(file, sizeof(file), "%s/%s", path, name); \
	has &= access(file, F_OK) == 0;
	SP_LINK_LIST(LOOK)
#undef LOOK
	return has;
}

/* The one that is new counts already when the other one goes: a connection says itself whether it is counted. */
int sp_pin_replace_links(const char *bpffs, const struct sp_pins *pins)
{
	char path[PATH_MAX], file[PATH_MAX + 32];

	sp_pin_group_path(bpffs, "", pins->name, path);
#define REMOVE(member, name)                               \
	snprintf(file, sizeof(file), "%s/%s", path, name); \
	if (unlink(file) && errno != ENOENT)               \
		return sp_fail(-errno, "cannot remove %s", file);
	SP_LINK_LIST(REMOVE)
#undef REMOVE
	return pin_links(pins, path);
}

static int stage_and_rename(const char *bpffs, const struct sp_pins *pins, unsigned int how)
{
	char staging[PATH_MAX], path[PATH_MAX];
	int err;

	sp_pin_group_path(bpffs, STAGING_PREFIX, pins->name, staging);
	sp_pin_group_path(bpffs, "", pins->name, path);

	err = delete_directory(staging);
	if (err)
		return err;
	err = stage(pins, staging);
	if (err)
		goto undo;
	if (renameat2(AT_FDCWD, staging, AT_FDCWD, path, how)) {
		err = sp_fail(-errno, "cannot publish %s", path);
		goto undo;
	}
	return 0;
undo:
	delete_directory(staging);
	return err;
}

int sp_pin_publish(const char *bpffs, const struct sp_pins *pins)
{
	return stage_and_rename(bpffs, pins, RENAME_NOREPLACE);
}

int sp_pin_exchange(const char *bpffs, const struct sp_pins *pins)
{
	return stage_and_rename(bpffs, pins, RENAME_EXCHANGE);
}

int sp_pin_unstage(const char *bpffs, const char *name)
{
	char staging[PATH_MAX];

	sp_pin_group_path(bpffs, STAGING_PREFIX, name, staging);
	return delete_directory(staging);
}

int sp_pin_remove(const char *bpffs, const char *name)
{
	char staging[PATH_MAX], path[PATH_MAX];
	int err;

	sp_pin_group_path(bpffs, STAGING_PREFIX, name, staging);
	sp_pin_group_path(bpffs, "", name, path);

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
	DIR *dir = NULL;
	int root, err;

	sp_pin_root_path(bpffs, path);
	err = sp_pin_open_root(bpffs, &root);
	if (err && err != -ENOENT)
		return err;
	if (!err) {
		dir = fdopendir(root);
		if (!dir) {
			err = sp_fail(-errno, "cannot read %s", path);
			close(root);
			return err;
		}
	}
	/* readdir() tells its errors by errno alone. */
	for (errno = 0; dir && (entry = readdir(dir)); errno = 0) {
		void *grown;

		if (!sp_name_is_valid(entry->d_name))
			continue;
		grown = reallocarray(names, count + 1, sizeof(*names));
		if (!grown) {
			errno = ENOMEM;
			break;
		}
		names = grown;
		strcpy(names[count++], entry->d_name); /* a valid name fits */
	}
	err = dir ? -errno : 0;
	if (dir)
		closedir(dir);
	if (err) {
		free(names);
		return sp_fail(err, "cannot read %s", path);
	}
	if (count)
		qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_count = count;
	return 0;
}
