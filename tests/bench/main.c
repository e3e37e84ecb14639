// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The bench: families of figures, measured in a private network, written as JSON. Run it with --help. */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "cleanup.h"
#include "lab.h"
#include "contender.h"
#include "render.h"

static const struct {
	const char *name, *text;
	void (*measure)(struct sp_bench *bench);
} families[] = {
	{ "steer", "one run of the program, ratio to the floor", sp_bench_steer },
	{ "steps", "what one run is made of: one thing more in each, ratio to the floor", sp_bench_steps },
	{ "scale", "one run of the program against slots and flows", sp_bench_scale },
	{ "wire", "packets and connections a second from send() to recv(), ratio to no program",
	  sp_bench_wire },
	{ "balance", "flows of the busiest worker, ratio to the mean", sp_bench_balance },
	{ "commands", "time and memory of commands against members and foreign files", sp_bench_commands },
	{ "daemon", "what the daemon costs, and how prompt it is", sp_bench_daemon },
};

static void print_usage(FILE *to)
{
	fputs("usage: bench [--quick] [--json FILE] [--write FILE] [--rival STEADYPORT] [FAMILY...]\n"
	      "       bench --from FILE --write FILE\n\n"
	      "  --quick             a fifth of the rounds\n"
	      "  --json FILE         write the figures there\n"
	      "  --write FILE        put tables of them into a Markdown file, between its marks\n"
	      "  --from FILE         figures that were measured before\n"
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

static void read_cpu_model(char ret_model[128])
{
	sp_autofile FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256];

	strcpy(ret_model, "a CPU");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "model name : %127[^\n]", ret_model) == 1)
			return;
	}
}

static json_t *measure(struct sp_bench *bench, char **wanted)
{
	double start = sp_bench_now();
	struct utsname kernel;
	char model[128];

	bench->figures = json_array();
	uname(&kernel);
	read_cpu_model(model);
	sp_bench_require(sp_lab_reserve_files(16384) == 0);
	sp_bench_require(sp_lab_enter(SP_CONTENDER_BPFFS) == 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(families); i++) {
		if (!is_wanted(families[i].name, wanted))
			continue;
		printf("%s: %s\n", families[i].name, families[i].text);
		fflush(stdout);
		bench->family = families[i].name;
		families[i].measure(bench);
	}
	printf("%.0f s\n", sp_bench_now() - start);
	return json_pack("{s:s, s:s, s:i, s:b, s:f, s:o}", "kernel", kernel.release, "cpu", model, "cpus",
			 (int)sysconf(_SC_NPROCESSORS_ONLN), "is_quick", bench->is_quick, "seconds",
			 sp_bench_now() - start, "figures", bench->figures);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "json", required_argument, NULL, 'j' },
		{ "write", required_argument, NULL, 'w' },
		{ "from", required_argument, NULL, 'f' },
		{ "rival", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct sp_bench bench = { .binary = getenv("STEADYPORT") ?: "build/steadyport" };
	const char *json = NULL, *from = NULL, *tables = NULL;
	json_t *report;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'q':
			bench.is_quick = true;
			break;
		case 'j':
			json = optarg;
			break;
		case 'w':
			tables = optarg;
			break;
		case 'f':
			from = optarg;
			break;
		case 'r':
			bench.rival = optarg;
			break;
		default:
			print_usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	report = from ? json_load_file(from, 0, NULL) : measure(&bench, argv + optind);
	if (!report)
		sp_bench_die("no figures");
	if (json && json_dump_file(report, json, JSON_INDENT(1) | JSON_REAL_PRECISION(6)))
		sp_bench_die("cannot write %s", json);
	if (tables)
		sp_bench_render(report, tables);
	json_decref(report);
	return 0;
}
