/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The command line: what a command and an option are, and how their words become struct sp_options. Pure: nothing is
 * looked up, opened or changed here.
 */
#ifndef STEADYPORT_OPTIONS_H
#define STEADYPORT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <steadyport/abi.h>
#include "cmd.h"

#define SP_OPTIONS_WORDS_MAX (1 + SP_SLOTS_MAX) /* NAME, and every slot by itself */

struct sp_options;

struct sp_option {
	const char *name;
	char letter; /* 0: it has no short form */
	const char *metavar; /* NULL: a flag; words in small letters are the values that there are: a|b */
	const char *help; /* its second and further lines after \n */
	/* Returns NULL, or what is wrong with the value. */
	const char *(*parse)(const char *value, struct sp_options *options);
};

enum sp_command_kind {
	SP_COMMAND_LOOKS,
	SP_COMMAND_CHANGES,
};

struct sp_command {
	const char *name;
	const char *synopsis; /* what it takes, without options */
	const char *summary;
	const char *help;
	enum sp_command_kind kind;
	__u64 options; /* a bit for each that it takes beside the global ones */
	int min_words;
	int max_words;
	enum sp_exit (*run)(const struct sp_args *args);
};

struct sp_options {
	const struct sp_command *command; /* NULL: none was named */
	struct sp_args args;
	const char *words[SP_OPTIONS_WORDS_MAX]; /* args.args */
	bool wants_help;
	bool wants_version;
	int verbosity;
};

/**
 * sp_options_parse - words to options
 * @ret: not to be copied, args.args points into it; its strings are those of @argv
 * Not reentrant: getopt_long() is not. Returns 0, or -EINVAL (logged with the next step), @ret untouched.
 */
int sp_options_parse(int argc, char **argv, struct sp_options *ret);

/* What `steadyport` alone says. */
void sp_options_usage(FILE *out);
/* --help of a command, or of the whole with NULL. */
void sp_options_help(FILE *out, const struct sp_command *command);

#endif
