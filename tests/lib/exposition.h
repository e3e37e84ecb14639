/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Metrics as Prometheus reads them. Every function fails the test that calls it when the text is not in that format. */
#ifndef STEADYPORT_TESTS_EXPOSITION_H
#define STEADYPORT_TESTS_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

/*
 * All that the format and its lint ask for, and more than promtool sees: each metric has one HELP and one TYPE before
 * its samples, which are in one place; no sample is there twice; counters, and they alone, end in _total; each metric
 * is one that sp_metrics_name() knows, with the labels of its list, in the order of the list.
 */
void sp_exposition_check(const char *text);

/* The number behind exactly this: `steadyport_attached{group="web"}` */
double sp_exposition_value(const char *text, const char *sample);
bool sp_exposition_has(const char *text, const char *sample);

#endif
