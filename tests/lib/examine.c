// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* doctor at work. */
#include "examine.h"

#include <stdio.h>
#include <string.h>
#include "cleanup.h"

static json_t *document;

/* A finding of an error is exit status 1, and nothing else is. */
static void check_status(const char *file, int line, const struct sp_run *run)
{
	enum sp_exit expected = sp_json_int(document, "errors") ? SP_EXIT_FAILED : SP_EXIT_OK;

	if (run->status == (int)expected)
		return;
	print_error("doctor ended with %d, not %d:\n%s%s", run->status, expected, run->out, run->err);
	_fail(file, line);
}

void sp_examine_as(const char *file, int line, const char *word, const char *watch,
		   const struct sp_run_setup *setup)
{
	const char *words[] = { "steadyport", "doctor", "--json", "--watch", watch, word, NULL };
	struct sp_run run;

	json_decref(document);
	document = NULL;
	sp_run_start(&run, setup, words);
	sp_run_wait(&run);
	if (!*run.out)
		print_error("%s", run.err);
	document = sp_run_parse(file, line, &run);
	check_status(file, line, &run);
	sp_run_free(&run);
}

const json_t *sp_examined(void)
{
	return document;
}

static const json_t *find(const json_t *findings, const char *id)
{
	const json_t *finding;
	size_t i;

	json_array_foreach(findings, i, finding)
		if (!strcmp(sp_json_text(finding, "id"), id))
			return finding;
	return NULL;
}

const json_t *sp_examined_finding(const char *id)
{
	const json_t *group = json_array_get(sp_json_array(document, "groups"), 0);
	const json_t *found = find(sp_json_array(sp_json_object(document, "machine"), "findings"), id);

	return found || !group ? found : find(sp_json_array(group, "findings"), id);
}

const char *sp_examined_text(const char *id, const char *part)
{
	const json_t *finding = sp_examined_finding(id);

	if (!finding)
		fail_msg("%s was not found", id);
	return sp_json_text(finding, part);
}

void sp_examine_expect(const char *file, int line, const char *word, const char *watch, const char *id,
		       bool is_expected)
{
	sp_autofree char *text = NULL;

	sp_examine_as(file, line, word, watch, NULL);
	if ((sp_examined_finding(id) != NULL) == is_expected)
		return;
	text = json_dumps(document, JSON_INDENT(2));
	print_error("%s: %s is %sfound:\n%s\n", word ?: "this machine", id, is_expected ? "not " : "",
		    text ?: "");
	_fail(file, line);
}
