// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The configuration file: defaults, every key, and every error with its line and with what is allowed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "config.h"

static struct sp_config *config;
static char problems[8192]; /* "LINE: TEXT\n" of each */
static unsigned int nproblems;

static void note(void *ctx, unsigned int line, const char *text)
{
	size_t len = strlen(problems);

	(void)ctx;
	snprintf(problems + len, sizeof(problems) - len, "%u: %s\n", line, text);
	nproblems++;
}

static int parse_bytes(const char *text, size_t len)
{
	sp_config_free(&config);
	problems[0] = '\0';
	nproblems = 0;
	return sp_config_parse(text, len, note, NULL, &config);
}

static const struct sp_config *accepted(const char *text)
{
	int err = parse_bytes(text, strlen(text));

	if (err || nproblems)
		fail_msg("%d: %s", err, problems);
	return config;
}

/* The only problem there is: that line, and a part of what is said of it. */
static void refused(const char *text, unsigned int line, const char *what)
{
	char prefix[16];

	assert_int_equal(parse_bytes(text, strlen(text)), -EINVAL);
	assert_null(config);
	snprintf(prefix, sizeof(prefix), "%u: ", line);
	if (nproblems != 1 || strncmp(problems, prefix, strlen(prefix)) || !strstr(problems, what))
		fail_msg("not \"%s... %s ...\", but: %s", prefix, what, problems);
}

static void assert_metrics(const struct sp_config *c, const char *text)
{
	char address[INET6_ADDRSTRLEN], port[8];

	assert_string_equal(c->metrics.text, text);
	assert_int_equal(getnameinfo((const struct sockaddr *)&c->metrics.address, c->metrics.len, address,
				     sizeof(address), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV),
			 0);
	assert_memory_equal(text + (*text == '['), address, strlen(address));
	assert_string_equal(strrchr(text, ':') + 1, port);
}

static int teardown(void **state)
{
	(void)state;
	sp_config_free(&config);
	return 0;
}

static void config__empty_file__defaults_and_no_group(void **state)
{
	const struct sp_config *c = accepted("");

	(void)state;
	assert_int_equal(c->on_exit, SP_ON_EXIT_KEEP);
	assert_metrics(c, "127.0.0.1:9464");
	assert_int_equal(c->ngroups, 0);
}

static void config__endpoint_only__defaults_of_a_group(void **state)
{
	const struct sp_config_group *g = accepted("[group web]\nendpoint = tcp:8080\n")->groups;

	(void)state;
	assert_int_equal(config->ngroups, 1);
	assert_string_equal(g->name, "web");
	assert_int_equal(g->line, 1);
	assert_string_equal(g->endpoint_text, "tcp:8080");
	assert_int_equal(g->endpoint.protocol, SP_TCP);
	assert_int_equal(g->endpoint.port, 8080);
	assert_false(g->endpoint.has_address);
	assert_string_equal(g->netns, "");
	assert_int_equal(g->learn_ns, 5000000000);
	assert_int_equal(g->flow_idle_ns, 180000000000);
	assert_int_equal(g->park_ns, 0);
	assert_int_equal(g->flows, 65536);
	assert_int_equal(g->slots, 0);
	assert_int_equal(g->track, SP_TRACK_TRANSITION);
	assert_int_equal(g->balance, SP_BALANCE_HASH);
	assert_int_equal(g->hash, SP_HASH_SIPHASH);
	assert_int_equal(g->on_foreign, SP_ON_FOREIGN_REPORT);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		assert_int_equal(g->weight[s], SP_CONFIG_NO_WEIGHT);
}

static void config__every_key__taken(void **state)
{
	const struct sp_config *c = accepted("; a comment\n"
					     "# another\n"
					     "[daemon]\n"
					     "on-exit = detach\n"
					     "\n"
					     "[group dns]\n"
					     "endpoint = udp:[::]:53 ; behind a value\n"
					     "netns = /run/netns/edge\n"
					     "track = always\n"
					     "learn = 500ms\n"
					     "flow-idle = 10m\n"
					     "hash = kernel\n"
					     "flows = 1000\n"
					     "slots = 64\n"
					     "on-foreign = retake\n"
					     "weights = 3=50 4-7=10\n"
					     "[group web-2]\n"
					     "endpoint=tcp:127.0.0.1:80\n"
					     "balance = least-queue\n"
					     "park = 30s");
	const struct sp_config_group *g = c->groups;

	(void)state;
	assert_int_equal(c->on_exit, SP_ON_EXIT_DETACH);
	assert_int_equal(c->ngroups, 2);
	assert_string_equal(g->endpoint_text, "udp:[::]:53");
	assert_string_equal(g->netns, "/run/netns/edge");
	assert_int_equal(g->track, SP_TRACK_ALWAYS);
	assert_int_equal(g->learn_ns, 500000000);
	assert_int_equal(g->flow_idle_ns, 600000000000);
	assert_int_equal(g->hash, SP_HASH_KERNEL);
	assert_int_equal(g->flows, 1000);
	assert_int_equal(g->slots, 64);
	assert_int_equal(g->on_foreign, SP_ON_FOREIGN_RETAKE);
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		assert_int_equal(g->weight[s], s == 3 ? 50 : s >= 4 && s <= 7 ? 10 : SP_CONFIG_NO_WEIGHT);
	assert_string_equal(g[1].name, "web-2");
	assert_int_equal(g[1].balance, SP_BALANCE_LEAST_QUEUE);
	assert_int_equal(g[1].line, 17);
	assert_int_equal(g[1].park_ns, 30000000000);
	assert_ptr_equal(sp_config_find(c, "web-2"), &g[1]);
	assert_null(sp_config_find(c, "web"));
}

static void config__metrics__address_or_off(void **state)
{
	(void)state;
	assert_metrics(accepted("[daemon]\nmetrics = 0.0.0.0:80\n"), "0.0.0.0:80");
	assert_metrics(accepted("[daemon]\nmetrics = [::1]:9464\n"), "[::1]:9464");
	assert_int_equal(accepted("[daemon]\nmetrics = off\n")->metrics.len, 0);
	refused("[daemon]\nmetrics = on\n", 2, "it is off, or ADDRESS:PORT, as in 127.0.0.1:9464");
	refused("[daemon]\nmetrics = 9464\n", 2, "it is off, or ADDRESS:PORT");
	refused("[daemon]\nmetrics = 127.0.0.1:0\n", 2, "it is off, or ADDRESS:PORT");
	refused("[daemon]\nmetrics = localhost:9464\n", 2, "it is off, or ADDRESS:PORT");
	refused("[daemon]\nmetrics =\n", 2, "it is off, or ADDRESS:PORT");
}

static void config__park_off__off(void **state)
{
	const struct sp_config *c = accepted("[group a]\nendpoint = tcp:1\npark = off\n");

	(void)state;
	assert_int_equal(c->groups[0].park_ns, 0);
}

/* inih by itself would take the second line for more of the first. */
static void config__indented_line__is_a_line_of_its_own(void **state)
{
	const struct sp_config *c =
		accepted("\t[group a]\n  endpoint = tcp:80\n\t\tlearn = 2s\r\n   ; comment\n");

	(void)state;
	assert_int_equal(c->groups[0].learn_ns, 2000000000);
	assert_string_equal(c->groups[0].endpoint_text, "tcp:80");
}

static void config__byte_order_mark__ignored(void **state)
{
	(void)state;
	assert_int_equal(accepted("\xef\xbb\xbf[group a]\nendpoint = tcp:80\n")->ngroups, 1);
}

/* inih by itself would cut it at 49 characters, and two such groups would be one. */
static void config__longest_name__whole(void **state)
{
	char name[SP_NAME_MAX + 1], text[256];

	(void)state;
	memset(name, 'n', SP_NAME_MAX);
	name[SP_NAME_MAX] = '\0';
	snprintf(text, sizeof(text), "[group %s]\nendpoint = tcp:1\n[group %.62sx]\nendpoint = tcp:2\n", name,
		 name);
	assert_string_equal(accepted(text)->groups[0].name, name);
	assert_int_equal(config->ngroups, 2);
	snprintf(text, sizeof(text), "[group %sn]\nendpoint = tcp:1\n", name);
	refused(text, 1, "at most 63");
}

/* inih by itself would take what is too much for a line of its own, and so for a key. */
static void config__long_line__refused_with_its_length(void **state)
{
	char text[1024] = "[group a]\nendpoint = tcp:80\n; ";
	size_t head = strlen(text);

	(void)state;
	memset(text + head, 'x', 900);
	text[head + 900] = '\0';
	accepted(text);

	strcpy(text, "[group a]\nendpoint = tcp:80\nnetns = /");
	head = strlen(text);
	memset(text + head, 'x', 900);
	text[head + 900] = '\0';
	refused(text, 3, "909 characters; it may have ");
	assert_true(atoi(strstr(problems, "may have ") + 9) >= 198);
}

static void config__longest_line__whole(void **state)
{
	char text[512];
	size_t limit, head, line;

	(void)state;
	memset(text, 'x', sizeof(text));
	refused("[group a]\nendpoint = tcp:80\nnetns = /"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		3, "may have ");
	limit = atoi(strstr(problems, "may have ") + 9);
	strcpy(text, "[group a]\nendpoint = tcp:80\nnetns = /");
	head = strlen(text);
	text[head] = 'x';
	line = strlen("netns = /");
	text[head + limit - line] = '\0';
	accepted(text);
	assert_int_equal(strlen(config->groups[0].netns), limit - strlen("netns = "));
	text[head + limit - line] = 'x';
	text[head + limit - line + 1] = '\0';
	refused(text, 3, "characters");
}

static void config__nul_byte__refused(void **state)
{
	static const char text[] = "[group a]\nendpoint = tcp:80\nlearn = 5s\0\n";

	(void)state;
	assert_int_equal(parse_bytes(text, sizeof(text) - 1), -EINVAL);
	assert_int_equal(nproblems, 1);
	assert_true(!strncmp(problems, "3: ", 3));
}

#define WEB "[group web]\nendpoint = tcp:80\n"

static void config__bad_values__say_what_is_allowed(void **state)
{
	(void)state;
	refused("[daemon]\non-exit = stop\n", 2, "one of keep, detach");
	refused("[group a]\nendpoint = http:80\n", 2, "neither tcp: nor udp:");
	refused("[group a]\nendpoint = tcp:0\n", 2, "1 to 65535");
	refused("[group a]\nendpoint =\n", 2, "neither tcp: nor udp:");
	refused(WEB "netns = 1234\n", 3, "a path such as /run/netns/NAME");
	refused(WEB "track = some\n", 3, "transition, always, off");
	refused(WEB "learn = 5\n", 3, "500ms, 5s or 2m");
	refused(WEB "learn = 25h\n", 3, "24h");
	refused(WEB "flow-idle = long\n", 3, "500ms, 5s or 2m");
	refused(WEB "flow-idle = 1500ms\n", 3, "whole seconds");
	refused(WEB "hash = md5\n", 3, "siphash, kernel");
	refused(WEB "flows = 0\n", 3, "1 to 16777216");
	refused(WEB "slots = 1025\n", 3, "1 to 1024");
	refused(WEB "park = 0\n", 3, "off, or how long");
	refused(WEB "park = yes\n", 3, "off, or how long");
	refused(WEB "on-foreign = ignore\n", 3, "report, retake");
	refused(WEB "weights =\n", 3, "3=50 4-7=10");
	refused(WEB "weights = 3=50 4\n", 3, "4 is not SLOT=WEIGHT");
	refused(WEB "weights = 1024=1\n", 3, "0 to 1023");
	refused(WEB "weights = 1=1001\n", 3, "0 to 1000");
	refused("[group a]\nendpoint = udp:80\npark = 30s\n", 1, "no connections in UDP");
	refused(WEB "balance = evenly\n", 3, "hash, least-queue");
	refused("[group a]\nendpoint = udp:80\nbalance = least-queue\n", 1,
		"[group a] cannot have balance = least-queue");
}

static void config__unknown_keys_and_sections__refused_with_the_known_ones(void **state)
{
	(void)state;
	refused("[daemon]\nmetric = off\n", 2, "[daemon] has no key metric: keys are on-exit, metrics");
	refused(WEB "trac = off\n", 3,
		"no key trac: keys are endpoint, netns, track, learn, flow-idle, hash, flows, slots, "
		"park, "
		"on-foreign, weights, balance");
	refused(WEB "Track = off\n", 3, "no key Track");
	refused(WEB "= off\n", 3, "no key ");
	refused("[deamon]\non-exit = keep\n", 1,
		"no section [deamon]: sections are [daemon] and [group NAME]");
	refused("[groups a]\n", 1, "no section [groups a]");
	refused("[]\n", 1, "no section []");
	refused("[group]\nendpoint = tcp:80\n", 1, "write [group NAME]");
	refused("[group a b]\n", 1, "a b cannot be a group's name");
	refused("[group a.b]\n", 1, "a.b cannot be a group's name");
	refused("[group a\nendpoint = tcp:80\n", 1, "[daemon] or [group NAME]");
	refused("[group a] x\n", 1, "nothing after the bracket");
	refused("endpoint = tcp:80\n", 1, "before the first section");
}

static void config__neither_section_nor_key__refused(void **state)
{
	(void)state;
	refused(WEB "endpoint\n", 3, "neither [SECTION] nor NAME = VALUE");
	refused("hello", 1, "neither [SECTION] nor NAME = VALUE");
}

static void config__anything_twice__refused_with_the_first_line(void **state)
{
	(void)state;
	refused("[daemon]\n[group a]\nendpoint = tcp:1\n[daemon]\n", 4, "first in line 1");
	refused(WEB "\n[group web]\nendpoint = tcp:81\n", 4, "[group web] is given twice: first in line 1");
	refused(WEB "endpoint = tcp:81\n", 3, "endpoint is given twice");
	refused("[daemon]\non-exit = keep\non-exit = keep\n", 3, "on-exit is given twice");
}

static void config__no_endpoint__refused_at_the_heading(void **state)
{
	(void)state;
	refused("\n[group web]\nlearn = 5s\n", 2, "[group web] has no endpoint");
	refused("\n[group web]\n", 2, "[group web] has no endpoint");
}

static void config__two_groups_for_one_endpoint__refused(void **state)
{
	(void)state;
	refused(WEB "[group b]\nendpoint = tcp:80\n", 3, "the endpoint of [group web] in line 1");
	/* Without an address any will do, so that the other's would. */
	refused(WEB "[group b]\nendpoint = tcp:127.0.0.1:80\n", 3, "the endpoint of [group web] in line 1");
	refused("[group a]\nendpoint = tcp:[::]:80\n[group b]\nendpoint = tcp:[0::0]:80\n", 3, "[group a]");
	accepted(WEB "[group b]\nendpoint = udp:80\n[group c]\nendpoint = tcp:81\n");
	accepted(WEB "[group b]\nendpoint = tcp:80\nnetns = /run/netns/b\n");
	accepted("[group a]\nendpoint = tcp:0.0.0.0:80\n[group b]\nendpoint = tcp:[::]:80\n");
	accepted("[group a]\nendpoint = udp:[fe80::1%1]:80\n[group b]\nendpoint = udp:[fe80::1%2]:80\n");
}

static void config__many_errors__all_are_told(void **state)
{
	static const char text[] = "stray\n"
				   "[daemon]\n"
				   "on-exit = maybe\n"
				   "[grup x]\n"
				   "what = ever\n"
				   "[group a]\n"
				   "learn = 5\n"
				   "track = 1\n"
				   "[group b]\n"
				   "endpoint = tcp:1\n";

	(void)state;
	assert_int_equal(parse_bytes(text, strlen(text)), -EINVAL);
	assert_int_equal(nproblems, 6);
	assert_non_null(strstr(problems, "1: this is neither"));
	assert_non_null(strstr(problems, "3: on-exit"));
	assert_non_null(strstr(problems, "4: there is no section [grup x]"));
	assert_non_null(strstr(problems, "7: learn"));
	assert_non_null(strstr(problems, "8: track"));
	assert_non_null(strstr(problems, "6: [group a] has no endpoint"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config__empty_file__defaults_and_no_group),
		cmocka_unit_test(config__endpoint_only__defaults_of_a_group),
		cmocka_unit_test(config__every_key__taken),
		cmocka_unit_test(config__metrics__address_or_off),
		cmocka_unit_test(config__park_off__off),
		cmocka_unit_test(config__indented_line__is_a_line_of_its_own),
		cmocka_unit_test(config__byte_order_mark__ignored),
		cmocka_unit_test(config__longest_name__whole),
		cmocka_unit_test(config__long_line__refused_with_its_length),
		cmocka_unit_test(config__longest_line__whole),
		cmocka_unit_test(config__nul_byte__refused),
		cmocka_unit_test(config__bad_values__say_what_is_allowed),
		cmocka_unit_test(config__unknown_keys_and_sections__refused_with_the_known_ones),
		cmocka_unit_test(config__neither_section_nor_key__refused),
		cmocka_unit_test(config__anything_twice__refused_with_the_first_line),
		cmocka_unit_test(config__no_endpoint__refused_at_the_heading),
		cmocka_unit_test(config__two_groups_for_one_endpoint__refused),
		cmocka_unit_test(config__many_errors__all_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
