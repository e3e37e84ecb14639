// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Start and end of the process: parse, dispatch, exit status. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include "log.h"
#include "options.h"

#ifndef SP_VERSION
#define SP_VERSION "unknown" /* the Makefile knows it */
#endif

static enum sp_exit run(int argc, char **argv)
{
	struct sp_options options;

	if (sp_options_parse(argc, argv, &options))
		return SP_EXIT_USAGE;
	sp_log_set_verbosity(options.verbosity);

	if (options.wants_version) {
		printf("steadyport " SP_VERSION " (ABI %d)\n", SP_ABI_VERSION);
		return SP_EXIT_OK;
	}
	if (options.wants_help) {
		sp_options_help(stdout, options.command);
		return SP_EXIT_OK;
	}
	if (!options.command) {
		sp_options_usage(stderr);
		return SP_EXIT_USAGE;
	}
	return options.command->run(&options.args);
}

int main(int argc, char **argv)
{
	enum sp_exit status;

	/* A reader that went away is an error of the write below, not a death on the way. */
	signal(SIGPIPE, SIG_IGN);

	status = run(argc, argv);
	if (fflush(stdout) || ferror(stdout)) {
		sp_fail(-errno, "cannot write the answer");
		return status == SP_EXIT_OK ? SP_EXIT_FAILED : status;
	}
	return status;
}
