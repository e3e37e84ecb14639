// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The command line: defaults, every option, what is refused and with which next step, help. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "cleanup.h"
#include "commands.h"
#include "option_table.h"
#include "options.h"
#include "value.h"

#define WORDS_MAX 16
#define HELP_WIDTH 90

/* Parsing runs nothing: that a command's own code is not linked in here proves it. */
#define NEVER_RUN(command)                                        \
	enum sp_exit sp_cmd_##command(const struct sp_args *args) \
	{                                                         \
		(void)args;                                       \
		abort();                                          \
	}
NEVER_RUN(attach)
NEVER_RUN(sync)
NEVER_RUN(drain)
NEVER_RUN(undrain)
NEVER_RUN(eject)
NEVER_RUN(retire)
NEVER_RUN(weight)
NEVER_RUN(upgrade)
NEVER_RUN(snapshot)
NEVER_RUN(restore)
NEVER_RUN(detach)
NEVER_RUN(run)
NEVER_RUN(groups)
NEVER_RUN(list)
NEVER_RUN(status)
NEVER_RUN(top)
NEVER_RUN(where)
NEVER_RUN(explain)
NEVER_RUN(doctor)
NEVER_RUN(flows)
NEVER_RUN(counters)
NEVER_RUN(demo)

static struct sp_options options;
static char said[4096]; /* on stderr, by the last parse() */
static char line_copy[512]; /* options point into it */

/* Splits at blanks and parses; stderr is caught. */
static int parse(const char *line)
{
	char *argv[WORDS_MAX + 2] = { "steadyport" };
	int saved = dup(STDERR_FILENO), caught = memfd_create("stderr", MFD_CLOEXEC), argc = 1, err;
	ssize_t len;

	assert_true(saved >= 0 && caught >= 0);
	assert_true(strlen(line) < sizeof(line_copy));
	strcpy(line_copy, line);
	for (char *word = strtok(line_copy, " "); word; word = strtok(NULL, " ")) {
		assert_true(argc <= WORDS_MAX);
		argv[argc++] = word;
	}
	fflush(stderr);
	dup2(caught, STDERR_FILENO);
	err = sp_options_parse(argc, argv, &options);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	len = pread(caught, said, sizeof(said) - 1, 0);
	said[len > 0 ? len : 0] = '\0';
	close(caught);
	close(saved);
	return err;
}

static const struct sp_args *accepted(const char *line)
{
	if (parse(line))
		fail_msg("%s: %s", line, said);
	assert_string_equal(said, "");
	return &options.args;
}

/* Both are parts of what is said: the thing or the reason, and the next step. */
static void refused(const char *line, const char *what, const char *next)
{
	struct sp_options untouched;

	memset(&options, 0xa5, sizeof(options));
	memset(&untouched, 0xa5, sizeof(untouched));
	if (parse(line) != -EINVAL || strncmp(said, "error: ", 7) || !strstr(said, what) ||
	    !strstr(said, next))
		fail_msg("%s: %s", line, said);
	assert_memory_equal(&options, &untouched, sizeof(options));
}

static void parse__attach_without_options__defaults(void **state)
{
	const struct sp_args *a = accepted("attach web tcp:80");

	(void)state;
	assert_string_equal(options.command->name, "attach");
	assert_int_equal(a->nargs, 2);
	assert_string_equal(a->args[0], "web");
	assert_string_equal(a->args[1], "tcp:80");
	assert_string_equal(a->bpffs, "/sys/fs/bpf");
	assert_null(a->netns);
	assert_int_equal(a->learn_ns, 5000000000);
	assert_int_equal(a->track, SP_TRACK_TRANSITION);
	assert_int_equal(a->hash, SP_HASH_SIPHASH);
	assert_false(a->has_seed);
	assert_int_equal(a->flows, 65536);
	assert_false(a->replace || a->partial || a->json || a->all || a->is_tour);
	assert_int_equal(options.verbosity, 0);
	assert_false(options.wants_help || options.wants_version);
}

static void parse__demo_without_options__defaults(void **state)
{
	const struct sp_args *a = accepted("demo");

	(void)state;
	assert_int_equal(a->flows, 1000);
	assert_int_equal(a->workers, 4);
	assert_int_equal(a->kill, 1);
	assert_true(a->do_udp && a->do_tcp);
}

static void parse__every_option_of_attach__taken(void **state)
{
	const struct sp_args *a =
		accepted("attach --learn 500ms --track always --flows=10 --replace --partial "
			 "--netns 17 --bpffs /b web tcp:80");

	(void)state;
	assert_int_equal(a->learn_ns, 500000000);
	assert_int_equal(a->track, SP_TRACK_ALWAYS);
	assert_int_equal(a->flows, 10);
	assert_true(a->replace && a->partial);
	assert_string_equal(a->netns, "17");
	assert_string_equal(a->bpffs, "/b");
	assert_int_equal(accepted("attach a b --hash kernel")->hash, SP_HASH_KERNEL);
	assert_int_equal(accepted("attach a b --hash siphash")->hash, SP_HASH_SIPHASH);
	assert_int_equal(accepted("attach a b --track off")->track, SP_TRACK_OFF);
	assert_int_equal(accepted("attach a b")->balance, SP_BALANCE_HASH);
	assert_int_equal(accepted("attach a b --balance least-queue")->balance, SP_BALANCE_LEAST_QUEUE);
}

static void parse__every_option_of_demo__taken(void **state)
{
	const struct sp_args *a = accepted(
		"demo --proto udp --workers 8 --flows 50 --kill 7 --tour --json --rolling --svg x.svg");

	(void)state;
	assert_true(a->do_udp && !a->do_tcp && a->is_tour && a->json && a->is_rolling);
	assert_string_equal(a->svg, "x.svg");
	assert_int_equal(a->workers, 8);
	assert_int_equal(a->flows, 50);
	assert_int_equal(a->kill, 7);
	a = accepted("demo --proto tcp");
	assert_true(!a->do_udp && a->do_tcp);
	a = accepted("demo --proto both");
	assert_true(a->do_udp && a->do_tcp);
}

static void parse__top__name_is_optional_and_intervals_are_bounded(void **state)
{
	const struct sp_args *a = accepted("top");

	(void)state;
	assert_int_equal(a->nargs, 0);
	assert_false(a->is_once);
	assert_int_equal(a->interval_ns, 1000000000);
	a = accepted("top h3 --once --interval 100ms");
	assert_int_equal(a->nargs, 1);
	assert_true(a->is_once);
	assert_int_equal(a->interval_ns, 100000000);
	assert_int_equal(accepted("top --interval 1h")->interval_ns, 3600000000000);
	refused("top --interval 99ms", "100ms to 1h", "steadyport top --help");
	refused("top --interval 61m", "100ms to 1h", "steadyport top --help");
	refused("top a b", "b is too much", "steadyport top --help");
}

static void parse__seed__bytes_in_order(void **state)
{
	const struct sp_args *a = accepted("attach a b --seed 000102030405060708090A0b0c0d0e0f");

	(void)state;
	assert_true(a->has_seed);
	assert_true(a->seed[0] == 0x0706050403020100ULL);
	assert_true(a->seed[1] == 0x0f0e0d0c0b0a0908ULL);
}

static void parse__durations__in_nanoseconds(void **state)
{
	(void)state;
	assert_int_equal(accepted("attach a b --learn 0")->learn_ns, 0);
	assert_int_equal(accepted("attach a b --learn 0s")->learn_ns, 0);
	assert_int_equal(accepted("attach a b --learn 1ms")->learn_ns, 1000000);
	assert_int_equal(accepted("attach a b --learn 2m")->learn_ns, 120000000000);
	assert_int_equal(accepted("attach a b --learn 24h")->learn_ns, 86400000000000);
}

static void parse__options_anywhere__same_words(void **state)
{
	static const char *const lines[] = {
		"where --json h3 1.2.3.4:5 --bpffs /b",
		"--json where h3 --bpffs=/b 1.2.3.4:5",
		"where h3 1.2.3.4:5 --json --bpffs /b",
		"where --bpffs /b --json -- h3 1.2.3.4:5",
	};

	(void)state;
	setenv("POSIXLY_CORRECT", "1", 1); /* would end the options at the first word */
	for (size_t i = 0; i < SP_ARRAY_SIZE(lines); i++) {
		const struct sp_args *a = accepted(lines[i]);

		assert_string_equal(options.command->name, "where");
		assert_int_equal(a->nargs, 2);
		assert_string_equal(a->args[0], "h3");
		assert_string_equal(a->args[1], "1.2.3.4:5");
		assert_true(a->json);
		assert_string_equal(a->bpffs, "/b");
	}
	unsetenv("POSIXLY_CORRECT");
}

static void parse__words_after_two_dashes__no_options(void **state)
{
	(void)state;
	assert_string_equal(accepted("status -- --json")->args[0], "--json");
	assert_false(options.args.json);
}

static void parse__global_options__counted_and_known_everywhere(void **state)
{
	(void)state;
	accepted("-v groups -v");
	assert_int_equal(options.verbosity, 2);
	accepted("list -vv --verbose");
	assert_int_equal(options.verbosity, 3);
	accepted("-V");
	assert_true(options.wants_version);
	accepted("--version groups");
	assert_true(options.wants_version);
	accepted("");
	assert_null(options.command);
	assert_false(options.wants_help);
}

static void parse__help__of_a_command_or_of_all(void **state)
{
	static const char *const of_attach[] = { "attach --help", "--help attach", "attach -h a b c d",
						 "help attach" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(of_attach); i++) {
		accepted(of_attach[i]);
		assert_true(options.wants_help);
		assert_string_equal(options.command->name, "attach");
	}
	accepted("--help");
	assert_true(options.wants_help && !options.command);
	accepted("help");
	assert_true(options.wants_help && !options.command);
	refused("help nonsense", "no command nonsense", "see: steadyport --help");
}

static void parse__unknown_command__nearest_one_named(void **state)
{
	(void)state;
	refused("attch a b", "no command attch", "did you mean: steadyport attach");
	refused("grups", "no command grups", "did you mean: steadyport groups");
	refused("stat x", "no command stat", "did you mean: steadyport status");
	refused("frobnicate", "no command frobnicate", "see: steadyport --help");
	refused("a-very-long-word-that-is-near-to-nothing", "no command a-very", "see: steadyport --help");
}

static void parse__beginning_of_a_name__is_not_the_name(void **state)
{
	(void)state;
	refused("attach a b --part", "no option --part", "did you mean: --partial");
	refused("attach a b --flow 3", "no option --flow\n", "did you mean: --flows");
	refused("attach a b --netn=3", "no option --netn\n", "did you mean: --netns");
	refused("attach a b --netn 3", "no option --netn\n", "did you mean: --netns");
	refused("demo --t", "no option --t\n", "see: steadyport demo --help");
}

static void parse__unknown_option__named(void **state)
{
	(void)state;
	refused("status x --jsn", "no option --jsn", "did you mean: --json");
	refused("status x --frobnicate=3", "no option --frobnicate\n", "see: steadyport status --help");
	refused("status x -j", "no option -j", "see: steadyport status --help");
	refused("status x -vj", "no option -j", "see: steadyport status --help");
}

/* A value that each option takes, whatever the command. */
static const char *value_of(const char *option)
{
	static const struct {
		const char *option, *value;
	} values[] = {
		{ "learn", "5s" },     { "track", "off" },   { "config", "/c" },
		{ "flow-idle", "9s" }, { "interval", "2s" }, { "svg", "x.svg" },
		{ "wait", "1s" },      { "watch", "1s" },    { "slots", "64" },
		{ "slot", "3" },       { "hash", "kernel" }, { "flows", "9" },
		{ "netns", "1" },      { "bpffs", "/b" },    { "proto", "udp" },
		{ "workers", "9" },    { "kill", "2" },	     { "seed", "00112233445566778899aabbccddeeff" },
		{ "balance", "hash" },
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(values); i++) {
		if (!strcmp(values[i].option, option))
			return values[i].value;
	}
	fail_msg("no value for --%s", option);
	return NULL;
}

static void check_pair(const struct sp_command *command, size_t option)
{
	const struct sp_option *o = &sp_option_table[option];
	char line[256], what[64], next[64];

	snprintf(line, sizeof(line), "%s --%s %s %.*s", command->name, o->name,
		 o->metavar ? value_of(o->name) : "", 2 * command->min_words, "a b c ");
	if (command->options & 1u << option) {
		accepted(line);
		return;
	}
	snprintf(what, sizeof(what), "%s does not take --%s", command->name, o->name);
	snprintf(next, sizeof(next), "see: steadyport %s --help", command->name);
	refused(line, what, next);
}

static void parse__option_of_another_command__both_named(void **state)
{
	(void)state;
	refused("status x --learn 5s", "status does not take --learn", "see: steadyport status --help");
	for (size_t c = 0; c < sp_ncommands; c++) {
		for (size_t i = 0; sp_commands[c].run && i < sp_noptions; i++) {
			if (!sp_option_table[i].letter) /* the others are global */
				check_pair(&sp_commands[c], i);
		}
	}
}

static void parse__bad_values__refused_with_the_reason(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ "attach a b --learn 5", "with its unit" },
		{ "attach a b --learn -5s", "with its unit" },
		{ "attach a b --learn 5x", "with its unit" },
		{ "attach a b --learn s", "with its unit" },
		{ "attach a b --learn 1.5s", "with its unit" },
		{ "attach a b --learn 25h", "with its unit" },
		{ "attach a b --learn 9999999999s", "with its unit" },
		{ "attach a b --track sometimes", "transition, always, off" },
		{ "attach a b --balance evenly", "hash, least-queue, least-conn" },
		{ "attach a b --hash md5", "siphash, kernel" },
		{ "attach a b --seed 00", "32 hexadecimal" },
		{ "attach a b --seed 0001020304050607080900gg0c0d0e0f", "32 hexadecimal" },
		{ "attach a b --seed 000102030405060708090a0b0c0d0e0f00", "32 hexadecimal" },
		{ "attach a b --flows 0", "from 1 to 16777216" },
		{ "attach a b --flows 16777217", "from 1 to 16777216" },
		{ "attach a b --flows 18446744073709551617", "from 1 to 16777216" },
		{ "attach a b --flows +5", "from 1 to 16777216" },
		{ "attach a b --flows 5k", "from 1 to 16777216" },
		{ "attach a b --netns=", "a process id, or a path" },
		{ "attach a b --bpffs=", "a directory" },
		{ "demo --proto sctp", "udp, tcp, both" },
		{ "demo --workers 1", "from 2 to 64" },
		{ "demo --workers 65", "from 2 to 64" },
		{ "demo --kill 0", "from 1 up" },
		{ "demo --kill 64 --workers 64", "from 1 up" },
		{ "attach a b --seed 000102030405060708090a0b0c0d0e0f --hash kernel", "no effect" },
		{ "attach a b --replace=yes", "takes no value" },
		{ "attach a b --learn", "needs a value: --learn DURATION" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++)
		refused(cases[i].line, cases[i].why, " --help");
}

static void parse__kill_all_workers__refused_with_a_way_out(void **state)
{
	(void)state;
	refused("demo --kill 4", "none of 4 workers", "--workers 5");
	refused("demo --workers 2 --kill 2", "none of 2 workers", "--workers 3");
	accepted("demo --workers 2 --kill 1");
}

static void parse__wrong_number_of_words__refused(void **state)
{
	(void)state;
	refused("attach", "attach needs NAME ENDPOINT", "see: steadyport attach --help");
	refused("attach web", "attach needs NAME ENDPOINT", "see: steadyport attach --help");
	refused("attach a b c", "only NAME ENDPOINT: c is too much", "see: steadyport attach --help");
	refused("status", "status needs NAME", "see: steadyport status --help");
	refused("where h3", "where needs NAME SRC:PORT [DST:PORT]", "see: steadyport where --help");
	refused("where a b c d e", "d is too much", "see: steadyport where --help");
	refused("groups x", "takes no words: x is too much", "see: steadyport groups --help");
	accepted("where a b c");
}

static void tables__every_command__complete_and_takes_known_options(void **state)
{
	(void)state;
	for (size_t c = 0; c < sp_ncommands; c++) {
		const struct sp_command *command = &sp_commands[c];

		assert_true(command->name && command->synopsis && command->summary && command->help);
		assert_true(command->run || !strcmp(command->name, "help"));
		assert_true(command->max_words >= command->min_words);
		assert_true(command->max_words <= SP_OPTIONS_WORDS_MAX);
		assert_int_equal(command->options >> sp_noptions, 0);
	}
}

static void tables__commands_for_slots__take_every_slot_of_the_largest_group(void **state)
{
	size_t found = 0;

	(void)state;
	for (size_t c = 0; c < sp_ncommands; c++) {
		if (!strstr(sp_commands[c].synopsis, "SLOT"))
			continue;
		assert_true(sp_commands[c].max_words >= 1 + SP_SLOTS_MAX);
		found++;
	}
	assert_true(found >= 5);
}

static void help__of_all__names_every_command_and_exit_status(void **state)
{
	sp_autofree char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(out);
	sp_options_help(out, NULL);
	fclose(out);
	for (size_t c = 0; c < sp_ncommands; c++)
		assert_non_null(strstr(text, sp_commands[c].summary));
	assert_non_null(strstr(text, "Look:"));
	assert_non_null(strstr(text, "Change:"));
	assert_non_null(strstr(text, "  3  no steered group"));
	assert_non_null(strstr(text, "NO_COLOR"));
}

static void help__of_a_command__names_its_options_in_90_columns(void **state)
{
	(void)state;
	for (size_t c = 0; c < sp_ncommands; c++) {
		sp_autofree char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		assert_non_null(out);
		sp_options_help(out, &sp_commands[c]);
		fclose(out);
		for (size_t i = 0; i < sp_noptions; i++) {
			char name[32];

			snprintf(name, sizeof(name), "  --%s", sp_option_table[i].name);
			if (sp_commands[c].options & 1u << i)
				assert_non_null(strstr(text, name));
		}
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
			if (strlen(line) > HELP_WIDTH)
				fail_msg("too wide: %s", line);
		}
	}
}

static void names__of_track_hash_and_balance__what_the_options_take(void **state)
{
	(void)state;
	assert_string_equal(sp_value_track_name(SP_TRACK_TRANSITION), "transition");
	assert_string_equal(sp_value_track_name(SP_TRACK_ALWAYS), "always");
	assert_string_equal(sp_value_track_name(SP_TRACK_OFF), "off");
	assert_string_equal(sp_value_balance_name(SP_BALANCE_HASH), "hash");
	assert_string_equal(sp_value_balance_name(SP_BALANCE_LEAST_QUEUE), "least-queue");
	assert_string_equal(sp_value_balance_name(SP_BALANCE_LEAST_CONN), "least-conn");
	assert_string_equal(sp_value_hash_name(SP_HASH_SIPHASH), "siphash");
	assert_string_equal(sp_value_hash_name(SP_HASH_KERNEL), "kernel");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__attach_without_options__defaults),
		cmocka_unit_test(parse__demo_without_options__defaults),
		cmocka_unit_test(parse__every_option_of_attach__taken),
		cmocka_unit_test(parse__every_option_of_demo__taken),
		cmocka_unit_test(parse__top__name_is_optional_and_intervals_are_bounded),
		cmocka_unit_test(parse__seed__bytes_in_order),
		cmocka_unit_test(parse__durations__in_nanoseconds),
		cmocka_unit_test(parse__options_anywhere__same_words),
		cmocka_unit_test(parse__words_after_two_dashes__no_options),
		cmocka_unit_test(parse__global_options__counted_and_known_everywhere),
		cmocka_unit_test(parse__help__of_a_command_or_of_all),
		cmocka_unit_test(parse__unknown_command__nearest_one_named),
		cmocka_unit_test(parse__beginning_of_a_name__is_not_the_name),
		cmocka_unit_test(parse__unknown_option__named),
		cmocka_unit_test(parse__option_of_another_command__both_named),
		cmocka_unit_test(parse__bad_values__refused_with_the_reason),
		cmocka_unit_test(parse__kill_all_workers__refused_with_a_way_out),
		cmocka_unit_test(parse__wrong_number_of_words__refused),
		cmocka_unit_test(tables__every_command__complete_and_takes_known_options),
		cmocka_unit_test(tables__commands_for_slots__take_every_slot_of_the_largest_group),
		cmocka_unit_test(help__of_all__names_every_command_and_exit_status),
		cmocka_unit_test(help__of_a_command__names_its_options_in_90_columns),
		cmocka_unit_test(names__of_track_hash_and_balance__what_the_options_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
