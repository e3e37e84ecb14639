/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration of `steadyport run`: text to struct, with every error of it told by its line. */
#ifndef STEADYPORT_CONFIG_H
#define STEADYPORT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <steadyport/abi.h>
#include "endpoint.h"
#include "pin.h"

#define SP_CONFIG_DEFAULT "/etc/steadyport/steadyport.conf"
#define SP_CONFIG_TEXT_MAX 256 /* above inih's longest line, so that every value fits */
#define SP_CONFIG_NO_WEIGHT 0xffff
#define SP_CONFIG_METRICS_DEFAULT "127.0.0.1:9464"

enum sp_on_exit {
	SP_ON_EXIT_KEEP, /* groups stay steered */
	SP_ON_EXIT_DETACH,
};

enum sp_on_foreign {
	SP_ON_FOREIGN_REPORT,
	SP_ON_FOREIGN_RETAKE, /* as sync --replace */
};

/* Where metrics are served. */
struct sp_config_metrics {
	char text[SP_CONFIG_TEXT_MAX]; /* as written */
	struct sockaddr_storage address;
	socklen_t len; /* 0: nowhere */
};

/* One [group NAME] section. */
struct sp_config_group {
	char name[SP_NAME_MAX + 1];
	unsigned int line; /* of its heading */
	bool has_endpoint;
	char endpoint_text[SP_CONFIG_TEXT_MAX]; /* as written */
	struct sp_endpoint endpoint; /* port 0: refused */
	char netns[SP_CONFIG_TEXT_MAX]; /* a path; empty: the daemon's own */
	__u64 learn_ns;
	__u64 flow_idle_ns;
	__u64 park_ns; /* 0: off */
	__u32 flows;
	__u32 slots; /* 0: as many as the group has members */
	enum sp_track track;
	enum sp_hash hash;
	enum sp_balance balance;
	enum sp_on_foreign on_foreign;
	__u16 weight[SP_SLOTS_MAX]; /* SP_CONFIG_NO_WEIGHT: not given */
};

struct sp_config {
	enum sp_on_exit on_exit;
	struct sp_config_metrics metrics;
	struct sp_config_group *groups; /* in the order of the file */
	size_t ngroups;
};

/**
 * sp_config_parse - text to configuration; pure
 * @text:    @len bytes, no NUL needed
 * @problem: called for each error in the order of the lines, those of whole sections last; the text says what is
 *           allowed and is valid during the call
 * Returns 0; -EINVAL when there was a problem; -ENOMEM. @ret is untouched on failure.
 */
int sp_config_parse(const char *text, size_t len,
		    void (*problem)(void *ctx, unsigned int line, const char *text), void *ctx,
		    struct sp_config **ret);

/**
 * sp_config_load - read and parse a file
 * Whoever may write it decides what a process with privileges does, so it must belong to root or to the caller, and
 * nobody else may write it. Returns 0 or -errno (logged, each error as FILE:LINE: ...), @ret untouched on failure.
 */
int sp_config_load(const char *path, struct sp_config **ret);

/* True when they say the same, wherever in the file. */
bool sp_config_group_is_same(const struct sp_config_group *a, const struct sp_config_group *b);

/* The group of that name, or NULL. */
const struct sp_config_group *sp_config_find(const struct sp_config *config, const char *name);

void sp_config_free(struct sp_config **config);
#define sp_autoconfig __attribute__((cleanup(sp_config_free)))

#endif
