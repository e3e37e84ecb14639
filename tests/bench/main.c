// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The bench: families of figures, measured in a private network, written as JSON. Run it with --help. */
#include "bench.h"

#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cleanup.h"
#include "lab.h"
#include "contender.h"

static const struct {
	const char *name, *text;
	void (*measure)(struct sp_bench *bench);
} families[] = {
	{ "steer", "one run of the program, ratio to the floor", sp_bench_steer },
	{ "scale", "one run of the program against slots and flows", sp_bench_scale },
	{ "wire", "packets and connections a second from send() to recv(), ratio to no program",
	  sp_bench_wire },
	{ "balance", "flows of the busiest worker, ratio to the mean", sp_bench_balance },
	{ "commands", "time and memory of commands against members and foreign files", sp_bench_commands },
	{ "daemon", "what the daemon costs, and how prompt it is", sp_bench_daemon },
};

static void print_usage(FILE *to)
{
	fputs("usage: bench [--quick] [--json FILE] [--rival STEADYPORT] [FAMILY...]\n\n"
	      "  --quick             a fifth of the rounds\n"
	      "  --json FILE         write the figures there\n"
	      "  --rival STEADYPORT  another build of the binary, measured beside $STEADYPORT\n\n",
	      to);
	for (size_t i = 0; i < SP_ARRAY_SIZE(families); i++)
		fprintf(to, "  %-18s  %s\n", families[i].name, families[i].text);
}

static bool is_wanted(const char *family, char **wanted)
{
	for (size_t i = 0; wanted[i]; i++) {
		if (!strcmp(wanted[i], family))
			return true;
	}
	return !wanted[0];
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "json", required_argument, NULL, 'j' },
		{ "rival", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct sp_bench bench = { .figures = json_array(),
				  .binary = getenv("STEADYPORT") ?: "build/steadyport" };
	const char *json = NULL;
	double start = sp_bench_now();
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'q':
			bench.is_quick = true;
			break;
		case 'j':
			json = optarg;
			break;
		case 'r':
			bench.rival = optarg;
			break;
		default:
			print_usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	sp_bench_require(sp_lab_reserve_files(16384) == 0);
	sp_bench_require(sp_lab_enter(SP_CONTENDER_BPFFS) == 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(families); i++) {
		if (!is_wanted(families[i].name, argv + optind))
			continue;
		printf("%s: %s\n", families[i].name, families[i].text);
		bench.family = families[i].name;
		families[i].measure(&bench);
	}
	printf("%.0f s\n", sp_bench_now() - start);
	if (json && json_dump_file(bench.figures, json, JSON_INDENT(1) | JSON_REAL_PRECISION(6)))
		sp_bench_die("cannot write %s", json);
	json_decref(bench.figures);
	return 0;
}
