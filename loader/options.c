// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The command line: words to struct sp_options. Pure. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include "commands.h"
#include "config.h"
#include "log.h"
#include "option_table.h"
#include "pin.h"
#include "value.h"

#define DEMO_FLOWS_DEFAULT 1000
#define DEMO_WORKERS_DEFAULT 4
#define DEMO_KILL_DEFAULT 1

static const struct sp_command *find_command(const char *name)
{
	for (size_t i = 0; i < sp_ncommands; i++) {
		if (!strcmp(sp_commands[i].name, name))
			return &sp_commands[i];
	}
	return NULL;
}

#define NEAR_LEN 15 /* longer words are near to nothing */

static int min3(int a, int b, int c)
{
	int low = a < b ? a : b;

	return low < c ? low : c;
}

/* Levenshtein's: insertions, deletions and substitutions from one word to the other. */
static int edit_distance(const char *a, const char *b)
{
	int alen = strlen(a), blen = strlen(b), row[NEAR_LEN + 1];

	if (alen > NEAR_LEN || blen > NEAR_LEN)
		return NEAR_LEN;
	for (int j = 0; j <= blen; j++)
		row[j] = j;
	for (int i = 1; i <= alen; i++) {
		int diagonal = row[0];

		row[0] = i;
		for (int j = 1; j <= blen; j++) {
			int above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[blen];
}

/* True for words that a slip of the finger, or giving up typing, turns into each other. */
static bool is_near(const char *typed, const char *name, int *best)
{
	size_t len = strlen(typed);
	int distance = edit_distance(typed, name);

	if (len >= 2 && !strncmp(typed, name, len) && distance > 2)
		distance = 2;

	if (distance > 2 || distance * 2 > (int)strlen(name) || distance >= *best)
		return false;
	*best = distance;
	return true;
}

static int refuse_command(const char *name)
{
	const char *nearest = NULL;
	int best = NEAR_LEN;

	for (size_t i = 0; i < sp_ncommands; i++) {
		if (is_near(name, sp_commands[i].name, &best))
			nearest = sp_commands[i].name;
	}
	sp_refuse(-EINVAL, "there is no command %s", name);
	if (nearest)
		sp_hint("did you mean: steadyport %s", nearest);
	else
		sp_hint("see: steadyport --help");
	return -EINVAL;
}

static void hint_help(const struct sp_command *command)
{
	if (command)
		sp_hint("see: steadyport %s --help", command->name);
	else
		sp_hint("see: steadyport --help");
}

static int refuse_option(const char *text, const struct sp_command *command)
{
	size_t len = strcspn(text, "=");
	const char *nearest = NULL;
	int best = NEAR_LEN;
	char name[32];

	if (!strncmp(text, "--", 2)) {
		snprintf(name, sizeof(name), "%.*s", (int)len - 2, text + 2);
		for (size_t i = 0; i < OPT_COUNT; i++) {
			if (is_near(name, sp_option_table[i].name, &best))
				nearest = sp_option_table[i].name;
		}
	}
	sp_refuse(-EINVAL, "there is no option %.*s", (int)len, text);
	if (nearest)
		sp_hint("did you mean: --%s", nearest);
	else
		hint_help(command);
	return -EINVAL;
}

#define LONG_BASE 256 /* getopt values of long options: above all letters */

static int option_of(int value)
{
	for (int i = 0; i < OPT_COUNT; i++) {
		if (value == LONG_BASE + i || (value && value == sp_option_table[i].letter))
			return i;
	}
	return -1;
}

/* The word that getopt took the option from; a value of its own stands behind it. */
static const char *option_text(char **argv, const char *value)
{
	return value && value == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1];
}

/* getopt_long() takes any beginning of a name; scripts that used one would break with the next option. */
static bool is_whole(const char *text, const char *name)
{
	return strncmp(text, "--", 2) ||
	       (strlen(name) == strcspn(text + 2, "=") && !strncmp(text + 2, name, strlen(name)));
}

static int check_words(const struct sp_options *o, const char *extra)
{
	const struct sp_command *command = o->command;

	if (extra) {
		sp_refuse(-EINVAL, "%s takes %s%s: %s is too much", command->name,
			  *command->synopsis ? "only " : "no words", command->synopsis, extra);
		hint_help(command);
		return -EINVAL;
	}
	if (o->args.nargs < command->min_words) {
		sp_refuse(-EINVAL, "%s needs %s", command->name, command->synopsis);
		hint_help(command);
		return -EINVAL;
	}
	return 0;
}

static int check_options(struct sp_options *o, __u64 given)
{
	const struct sp_command *command = o->command;
	struct sp_args *args = &o->args;

	for (int i = 0; i < OPT_COUNT; i++) {
		if (!(given & ~(command->options | GLOBAL_OPTIONS) & BIT(i)))
			continue;
		sp_refuse(-EINVAL, "%s does not take --%s", command->name, sp_option_table[i].name);
		hint_help(command);
		return -EINVAL;
	}
	if (!(given & BIT(OPT_FLOWS)) && command->options & BIT(OPT_WORKERS))
		args->flows = DEMO_FLOWS_DEFAULT;
	if (args->kill >= args->workers) {
		sp_refuse(-EINVAL, "--kill %u leaves none of %u workers", args->kill, args->workers);
		sp_hint("kill fewer, or start more: --workers %u", args->kill + 1);
		return -EINVAL;
	}
	if (args->has_seed && args->hash == SP_HASH_KERNEL) {
		sp_refuse(-EINVAL,
			  "--seed has no effect with --hash kernel: the kernel has a key of its own");
		hint_help(command);
		return -EINVAL;
	}
	return 0;
}

static void make_getopt_tables(char letters[2 + OPT_COUNT + 1], struct option longs[OPT_COUNT + 1])
{
	char *end = letters;

	*end++ = '-'; /* other words in their order, whatever POSIXLY_CORRECT says */
	*end++ = ':'; /* no messages of its own, and ':' for a missing value */
	for (int i = 0; i < OPT_COUNT; i++) {
		longs[i] = (struct option){
			.name = sp_option_table[i].name,
			.has_arg = sp_option_table[i].metavar ? required_argument : no_argument,
			.val = LONG_BASE + i,
		};
		if (sp_option_table[i].letter)
			*end++ = sp_option_table[i].letter;
	}
	*end = '\0';
	longs[OPT_COUNT] = (struct option){ 0 };
}

/* @value: what getopt returned. Returns 0 or -EINVAL (logged). */
static int take_option(int value, char **argv, struct sp_options *o, __u64 *given)
{
	bool has_no_value = value == ':', is_refused = value == '?';
	int i = option_of(has_no_value || is_refused ? optopt : value);
	const char *text = option_text(argv, optarg), *why;

	if (i < 0) {
		char letter[3] = { '-', optopt, '\0' };

		return refuse_option(!strncmp(text, "--", 2) ? text : letter, o->command);
	}
	if (has_no_value) {
		sp_refuse(-EINVAL, "--%s needs a value: --%s %s", sp_option_table[i].name,
			  sp_option_table[i].name, sp_option_table[i].metavar);
		hint_help(o->command);
		return -EINVAL;
	}
	if (!is_whole(text, sp_option_table[i].name))
		return refuse_option(text, o->command);
	if (is_refused) {
		sp_refuse(-EINVAL, "--%s takes no value", sp_option_table[i].name);
		hint_help(o->command);
		return -EINVAL;
	}
	why = sp_option_table[i].parse(optarg, o);
	if (why) {
		sp_refuse(-EINVAL, "--%s %s: %s", sp_option_table[i].name, optarg, why);
		hint_help(o->command);
		return -EINVAL;
	}
	*given |= BIT(i);
	return 0;
}

/* The first word is the command, the others are its own. */
static int take_word(const char *word, struct sp_options *o, const char **extra)
{
	if (!o->command) {
		o->command = find_command(word);
		return o->command ? 0 : refuse_command(word);
	}
	if (o->args.nargs < o->command->max_words)
		o->words[o->args.nargs++] = word;
	else if (!*extra)
		*extra = word;
	return 0;
}

int sp_options_parse(int argc, char **argv, struct sp_options *ret)
{
	struct sp_options o = {
		.args = {
			.bpffs = SP_BPFFS_DEFAULT,
			.config = SP_CONFIG_DEFAULT,
			.learn_ns = SP_LEARN_DEFAULT_NS,
			.watch_ns = SP_WATCH_DEFAULT_NS,
			.flow_idle_ns = SP_FLOW_IDLE_DEFAULT_NS,
			.slot = -1,
			.interval_ns = SP_INTERVAL_DEFAULT_NS,
			.track = SP_TRACK_TRANSITION,
			.hash = SP_HASH_SIPHASH,
			.flows = SP_FLOWS_DEFAULT,
			.do_udp = true,
			.do_tcp = true,
			.workers = DEMO_WORKERS_DEFAULT,
			.kill = DEMO_KILL_DEFAULT,
		},
	};
	struct option longs[OPT_COUNT + 1];
	char letters[2 + OPT_COUNT + 1];
	const char *extra = NULL;
	__u64 given = 0;
	int value, err = 0;

	make_getopt_tables(letters, longs);
	optind = 0; /* glibc: start afresh */
	while (!err && (value = getopt_long(argc, argv, letters, longs, NULL)) != -1)
		err = value == 1 ? take_word(optarg, &o, &extra) : take_option(value, argv, &o, &given);
	while (!err && optind < argc)
		err = take_word(argv[optind++], &o, &extra);
	if (err)
		return err;

	if (o.command && !o.command->run) {
		o.wants_help = true;
		o.command = o.args.nargs ? find_command(o.words[0]) : NULL;
		if (o.args.nargs && !o.command)
			return refuse_command(o.words[0]);
	}
	if (o.command && !o.wants_help && !o.wants_version) {
		err = check_options(&o, given) ?: check_words(&o, extra);
		if (err)
			return err;
	}
	*ret = o;
	ret->args.args = ret->words;
	return 0;
}
