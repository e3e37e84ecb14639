// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What --help says: made from the tables of commands and options. */
#include <ctype.h>
#include <string.h>
#include "cleanup.h"
#include "commands.h"
#include "option_table.h"

#define HELP_COLUMN 24

static const char NAME_HELP[] = "NAME is yours to choose: 1 to 63 letters, digits, '_' and '-'.\n";

static const struct {
	enum sp_exit status;
	const char *text;
} exits[] = {
	{ SP_EXIT_OK, "done" },
	{ SP_EXIT_FAILED,
	  "failed; nothing was changed, or the message says what; doctor: an error was found" },
	{ SP_EXIT_USAGE, "the command line is wrong" },
	{ SP_EXIT_NO_GROUP, "no steered group has this NAME" },
};

void sp_options_usage(FILE *out)
{
	fprintf(out, "usage: steadyport COMMAND [options]\n"
		     "  first:   steadyport groups\n"
		     "  a demo:  steadyport demo\n"
		     "  all:     steadyport --help\n");
}

static void print_option(FILE *out, const struct sp_option *option)
{
	const char *help = option->help;
	char name[64];

	snprintf(name, sizeof(name), "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
		 option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
		 option->metavar ? " " : "", option->metavar ? option->metavar : "");
	/* A name that leaves no room has a line of its own. */
	fprintf(out, "  %-*s", HELP_COLUMN, name);
	if (strlen(name) >= HELP_COLUMN)
		fprintf(out, "\n  %*s", HELP_COLUMN, "");
	for (;;) {
		int len = strcspn(help, "\n");

		fprintf(out, "%.*s\n", len, help);
		if (!help[len])
			return;
		help += len + 1;
		fprintf(out, "  %*s", HELP_COLUMN, "");
	}
}

static void print_options(FILE *out, __u64 options)
{
	for (int i = 0; i < OPT_COUNT; i++) {
		if (options & BIT(i))
			print_option(out, &sp_option_table[i]);
	}
}

static void print_commands(FILE *out, enum sp_command_kind kind)
{
	for (size_t i = 0; i < sp_ncommands; i++) {
		char text[64];

		if (sp_commands[i].kind != kind)
			continue;
		snprintf(text, sizeof(text), "%s %s", sp_commands[i].name, sp_commands[i].synopsis);
		fprintf(out, "  %-33s%s\n", text, sp_commands[i].summary);
	}
}

void sp_options_help(FILE *out, const struct sp_command *command)
{
	if (command) {
		fprintf(out, "usage: steadyport %s%s%s [options]\n\n%c%s.\n%s", command->name,
			*command->synopsis ? " " : "", command->synopsis,
			toupper((unsigned char)command->summary[0]), command->summary + 1, command->help);
		if (command->min_words)
			fputs(NAME_HELP, out);
		fprintf(out, "\nOptions:\n");
		print_options(out, command->options | GLOBAL_OPTIONS);
		return;
	}
	fprintf(out, "usage: steadyport COMMAND [options]\n\n"
		     "Keeps every flow of a SO_REUSEPORT group on its worker while other workers die,\n"
		     "restart, join or drain. Works from outside on running servers.\n\nLook:\n");
	print_commands(out, SP_COMMAND_LOOKS);
	fprintf(out, "\nChange:\n");
	print_commands(out, SP_COMMAND_CHANGES);
	fprintf(out, "\nOptions of every command (its own: steadyport COMMAND --help):\n");
	print_options(out, GLOBAL_OPTIONS);
	fprintf(out, "\nExit status:\n");
	for (size_t i = 0; i < SP_ARRAY_SIZE(exits); i++)
		fprintf(out, "  %d  %s\n", exits[i].status, exits[i].text);
	fprintf(out, "\nEnvironment:\n"
		     "  NO_COLOR  if set and not empty, nothing is coloured\n");
}
