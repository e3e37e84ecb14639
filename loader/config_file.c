// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The file that holds the configuration: who may have written it, its text, its errors on stderr. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "cleanup.h"
#include "config.h"
#include "log.h"

#define FILE_MAX (1024 * 1024) /* 1,024 groups with all their keys are half of it */

static void log_problem(void *ctx, unsigned int line, const char *text)
{
	const char *path = ctx;

	sp_refuse(0, "%s:%u: %s", path, line, text);
}

/* Without O_NONBLOCK the open of a pipe would wait for its writer. */
static int open_file(const char *path, int *ret_fd)
{
	sp_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return sp_fail(-errno, "cannot read %s", path);
	if (!S_ISREG(st.st_mode))
		return sp_refuse(-EINVAL, "%s is not a file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		sp_refuse(0, "%s belongs to user %u, who could make this process do anything", path,
			  st.st_uid);
		sp_hint("give it to root: chown root %s", path);
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		sp_refuse(0, "%s may be written by %s", path,
			  st.st_mode & S_IWOTH ? "everybody" : "its group");
		sp_hint("take that away: chmod go-w %s", path);
		return -EPERM;
	}
	*ret_fd = sp_take_fd(&fd);
	return 0;
}

static int read_file(int fd, const char *path, char *text, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, FILE_MAX + 1 - len)) > 0)
		len += n;
	if (n < 0)
		return sp_fail(-errno, "cannot read %s", path);
	if (len > FILE_MAX)
		return sp_refuse(-EFBIG, "%s is larger than %d KiB", path, FILE_MAX / 1024);
	*ret_len = len;
	return 0;
}

int sp_config_load(const char *path, struct sp_config **ret)
{
	sp_autofree char *text = malloc(FILE_MAX + 1);
	sp_autoclose int fd = -1;
	size_t len = 0;
	int err;

	if (!text)
		return sp_fail(-ENOMEM, "cannot read %s", path);
	err = open_file(path, &fd) ?: read_file(fd, path, text, &len);
	if (err)
		return err;
	err = sp_config_parse(text, len, log_problem, (void *)path, ret);
	return err == -ENOMEM ? sp_fail(err, "cannot read %s", path) : err;
}
