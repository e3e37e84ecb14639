/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Figures to tables. */
#ifndef STEADYPORT_TESTS_BENCH_RENDER_H
#define STEADYPORT_TESTS_BENCH_RENDER_H

#include <jansson.h>

/* Puts the tables of a report of the bench into a Markdown file, between the lines that say where they belong. */
void sp_bench_render(const json_t *report, const char *path);

#endif
