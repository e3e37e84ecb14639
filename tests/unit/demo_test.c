// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The demonstration's picture, its document and its verdict, from results made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "demo.h"

#define WIDTH_MAX 80 /* of a terminal that nobody has resized */

/* Worker 1 of four was killed; each had 240 flows and 100 connections. */
static const struct sp_demo_result sample = {
	.workers = 4,
	.killed = 1,
	.flows = 960,
	.connections = 400,
	.has_udp = true,
	.has_tcp = true,
	.kernel = "6.18.0",
	.udp = {
		[SP_DEMO_KERNEL] = {
			.survivor_flows = 720,
			.moved = 280,
			.from_to = {
				{ 150, 0, 60, 30 },
				{ 70, 0, 100, 70 },
				{ 30, 0, 150, 60 },
				{ 60, 0, 40, 140 },
			},
		},
		[SP_DEMO_STEADYPORT] = {
			.survivor_flows = 720,
			.from_to = {
				{ 240, 0, 0, 0 },
				{ 80, 0, 80, 80 },
				{ 0, 0, 240, 0 },
				{ 0, 0, 0, 240 },
			},
		},
	},
	.tcp = {
		[SP_DEMO_KERNEL] = {
			.answered = 300,
			.reset = 100,
			.waiting = { 100, 100, 100, 100 },
			.answered_by = { 100, 0, 100, 100 },
		},
		[SP_DEMO_STEADYPORT] = {
			.answered = 400,
			.waiting = { 100, 100, 100, 100 },
			.answered_by = { 134, 0, 133, 133 },
		},
	},
};

static const char sample_picture[] =
	"1 of 4 workers is killed (SIGKILL) while 960 UDP flows run\n"
	"and 400 TCP connections wait.\n"
	"\n"
	" Linux 6.18.0                          kernel hash       steadyport\n"
	" UDP flows of survivors, moved          280 of 720         0 of 720\n"
	" UDP flows, moved by attaching                   -         0 of 960\n"
	" TCP connections, reset                 100 of 400         0 of 400\n"
	"\n"
	" udp       kernel hash                    steadyport\n"
	"           before         after           before         after\n"
	" worker 0  ########       #####++233      ########       ########+++\n"
	" worker 1  ########       killed          ########       killed\n"
	" worker 2  ########       #####+++033     ########       ########+++\n"
	" worker 3  ########       #####++022      ########       ########+++\n"
	" one sign is about 30 flows\n"
	"\n"
	" tcp       kernel hash                    steadyport\n"
	"           before         after           before         after\n"
	" worker 0  ########       ########        ########       ########+++\n"
	" worker 1  ########       killed, reset   ########       killed\n"
	" worker 2  ########       ########        ########       ########+++\n"
	" worker 3  ########       ########        ########       ########+++\n"
	" one sign is about 12 connections\n"
	"\n"
	" # stayed   + was a killed worker's   0-9 came from that living worker\n"
	"Measured in this run: 4,800 datagrams, 800 connections; exit status 0.\n";

/* The picture as text to free(). */
static char *picture(const struct sp_demo_result *result, bool has_colour)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	sp_demo_render(out, result, has_colour);
	fclose(out);
	return text;
}

/* Removes ESC [ digits and semicolons m; counts those that start a colour less those that end it. */
static int strip_colours(char *text)
{
	char *to = text;
	int open = 0;

	for (const char *from = text; *from;) {
		size_t len = strncmp(from, "\033[", 2) ? 0 : 2 + strspn(from + 2, "0123456789;");

		if (len && from[len] == 'm') {
			open += strncmp(from, "\033[0m", 4) ? 1 : -1;
			from += len + 1;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return open;
}

static void require_fits(const char *text)
{
	for (size_t len; *text; text += len + 1) {
		len = strcspn(text, "\n");
		assert_int_equal(text[len], '\n');
		if (len > WIDTH_MAX)
			fail_msg("%zu columns: %.*s", len, (int)len, text);
	}
}

static void render__sample__this_picture(void **state)
{
	sp_autofree char *text = picture(&sample, false);

	(void)state;
	assert_string_equal(text, sample_picture);
	require_fits(text);
}

static void render__colour__says_nothing_more(void **state)
{
	sp_autofree char *text = picture(&sample, true);

	(void)state;
	assert_non_null(strstr(text, "\033["));
	assert_int_equal(strip_colours(text), 0);
	assert_string_equal(text, sample_picture);
}

static void render__one_protocol__nothing_of_the_other(void **state)
{
	struct sp_demo_result only_udp = sample, only_tcp = sample;
	sp_autofree char *udp = NULL, *tcp = NULL;

	(void)state;
	only_udp.has_tcp = false;
	udp = picture(&only_udp, false);
	assert_null(strcasestr(udp, "tcp"));
	assert_null(strstr(udp, "connections"));
	assert_non_null(strstr(udp, "280 of 720"));
	assert_non_null(strstr(udp, "while 960 UDP flows run.\n"));
	assert_non_null(strstr(udp, "4,800 datagrams; exit status 0.\n"));

	only_tcp.has_udp = false;
	tcp = picture(&only_tcp, false);
	assert_null(strcasestr(tcp, "udp"));
	assert_null(strstr(tcp, "flow"));
	assert_null(strstr(tcp, "living worker"));
	assert_non_null(strstr(tcp, "100 of 400"));
	assert_non_null(strstr(tcp, "while 400 TCP connections wait.\n"));
	assert_non_null(strstr(tcp, "Measured in this run: 800 connections; exit status 0.\n"));
}

static void render__losses_under_steadyport__shown_with_the_exit_status(void **state)
{
	struct sp_demo_result result = sample;
	sp_autofree char *text = NULL;

	(void)state;
	result.udp[SP_DEMO_STEADYPORT].unanswered = 7;
	result.tcp[SP_DEMO_STEADYPORT].answered = 395;
	result.tcp[SP_DEMO_STEADYPORT].unanswered = 5;
	text = picture(&result, false);
	assert_non_null(
		strstr(text, " UDP datagrams, unanswered              0 of 1,920       7 of 2,880\n"));
	assert_non_null(
		strstr(text, " TCP connections, unanswered              0 of 400         5 of 400\n"));
	assert_non_null(strstr(text, "exit status 1.\n"));
}

/* A loss is never rounded away: the one flow of a hundred thousand has its sign. */
static void render__one_moved_flow__seen_in_the_strip(void **state)
{
	static const struct sp_demo_result result = {
		.workers = 3,
		.killed = 1,
		.flows = 300000,
		.has_udp = true,
		.udp = {
			[SP_DEMO_KERNEL] = {
				.survivor_flows = 200000,
				.moved = 1,
				.from_to = { { 100000 }, { 50000, 0, 50000 }, { 1, 0, 99999 } },
			},
			[SP_DEMO_STEADYPORT] = {
				.survivor_flows = 200000,
				.from_to = { { 100000 }, { 50000, 0, 50000 }, { 0, 0, 100000 } },
			},
		},
	};
	sp_autofree char *text = picture(&result, false);

	(void)state;
	assert_non_null(
		strstr(text, " worker 0  ########       ########++++2   ########       ########++++\n"));
	assert_non_null(
		strstr(text, " UDP flows of survivors, moved        1 of 200.0 k     0 of 200.0 k\n"));
}

/* Every worker gives @count flows to each that lives, and loses all else that can be lost. */
static void make_messy(struct sp_demo_result *result, __u32 workers, __u32 killed, __u32 count)
{
	__u32 flows = workers * (workers - killed) * count;

	memset(result, 0, sizeof(*result));
	result->workers = workers;
	result->killed = killed;
	result->flows = result->connections = flows;
	memset(result->kernel, 'k', sizeof(result->kernel) - 1);
	for (int mode = 0; mode < SP_DEMO_MODES; mode++) {
		struct sp_demo_udp *udp = &result->udp[mode];
		struct sp_demo_tcp *tcp = &result->tcp[mode];

		udp->survivor_flows = udp->moved = udp->moved_by_attach = udp->unanswered = flows;
		tcp->answered = tcp->reset = tcp->unanswered = flows;
		for (__u32 i = 0; i < workers; i++) {
			tcp->waiting[i] = count;
			for (__u32 j = 0; j < workers; j++)
				if (j < 1 || j > killed)
					udp->from_to[i][j] = count;
			if (i < 1 || i > killed)
				tcp->answered_by[i] = workers * count;
		}
	}
}

static void render__any_size__fits_a_terminal(void **state)
{
	static const __u32 workers[] = { 2, 3, 10, 16, 17, 37, SP_DEMO_WORKERS_MAX };
	static const __u32 counts[] = { 0, 1, 3, 700, 99999 };
	struct sp_demo_result result;

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(workers) * SP_ARRAY_SIZE(counts) * 4; i++) {
		__u32 n = workers[i / 4 % SP_ARRAY_SIZE(workers)];
		sp_autofree char *plain = NULL, *coloured = NULL;

		make_messy(&result, n, i & 1 ? n - 1 : 1, counts[i / 4 / SP_ARRAY_SIZE(workers)]);
		result.has_udp = true;
		result.has_tcp = i & 2;
		plain = picture(&result, false);
		coloured = picture(&result, true);
		require_fits(plain);
		assert_int_equal(strip_colours(coloured), 0);
		assert_string_equal(plain, coloured);
	}
}

static void require_document(const struct sp_demo_result *result, const char *expected)
{
	json_t *want = json_loads(expected, 0, NULL), *got = sp_demo_json(result);
	sp_autofree char *text = got ? json_dumps(got, JSON_COMPACT) : NULL;
	bool is_equal = want && json_equal(want, got);

	json_decref(want);
	json_decref(got);
	if (!is_equal)
		fail_msg("got %s", text ?: "nothing");
}

#define HEAD "\"workers\": 4, \"killed\": 1, \"kernel_release\": \"6.18.0\""
#define KERNEL_UDP "\"kernel\": {\"flows\": 960, \"survivor_flows\": 720, \"moved\": 280, \"unanswered\": 0}"
#define UDP                                                                                          \
	"\"udp\": {" KERNEL_UDP ", "                                                                 \
	"\"steadyport\": {\"flows\": 960, \"survivor_flows\": 720, \"moved\": 0, \"unanswered\": 0," \
	"                 \"moved_by_attach\": 0}}"
#define TCP                                                                                         \
	"\"tcp\": {"                                                                                \
	"\"kernel\": {\"connections\": 400, \"answered\": 300, \"reset\": 100, \"unanswered\": 0}," \
	"\"steadyport\": {\"connections\": 400, \"answered\": 400, \"reset\": 0, \"unanswered\": 0}}"

static void json__sample__this_document(void **state)
{
	struct sp_demo_result result = sample;

	(void)state;
	require_document(&result, "{" HEAD ", " UDP ", " TCP ", \"holds\": true}");
	result.has_tcp = false;
	require_document(&result, "{" HEAD ", " UDP ", \"holds\": true}");
	result.has_tcp = true;
	result.has_udp = false;
	require_document(&result, "{" HEAD ", " TCP ", \"holds\": true}");
}

static void json__losses_under_steadyport__do_not_hold(void **state)
{
	struct sp_demo_result result = sample;

	(void)state;
	result.has_tcp = false;
	result.udp[SP_DEMO_STEADYPORT].moved = 1;
	result.udp[SP_DEMO_STEADYPORT].moved_by_attach = 2;
	result.udp[SP_DEMO_STEADYPORT].unanswered = 3;
	require_document(&result, "{" HEAD ", \"udp\": {" KERNEL_UDP ", "
				  "\"steadyport\": {\"flows\": 960, \"survivor_flows\": 720, \"moved\": 1,"
				  "\"moved_by_attach\": 2, \"unanswered\": 3}}, \"holds\": false}");
}

static void holds__every_loss_of_a_protocol_that_was_asked_for__counts(void **state)
{
	static const struct {
		bool has_udp, has_tcp;
		__u32 moved, moved_by_attach, unanswered; /* UDP */
		__u32 answered; /* TCP, of 400 */
		bool holds;
	} cases[] = {
		{ true, true, 0, 0, 0, 400, true },   { true, true, 1, 0, 0, 400, false },
		{ true, true, 0, 1, 0, 400, false },  { true, true, 0, 0, 1, 400, false },
		{ true, true, 0, 0, 0, 399, false },  { true, false, 0, 0, 0, 0, true },
		{ true, false, 1, 0, 0, 400, false }, { false, true, 1, 1, 1, 400, true },
		{ false, true, 0, 0, 0, 399, false }, { false, true, 0, 0, 0, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		struct sp_demo_result result = sample; /* with the kernel's losses */

		result.has_udp = cases[i].has_udp;
		result.has_tcp = cases[i].has_tcp;
		result.udp[SP_DEMO_STEADYPORT].moved = cases[i].moved;
		result.udp[SP_DEMO_STEADYPORT].moved_by_attach = cases[i].moved_by_attach;
		result.udp[SP_DEMO_STEADYPORT].unanswered = cases[i].unanswered;
		result.tcp[SP_DEMO_STEADYPORT].answered = cases[i].answered;
		if (sp_demo_holds(&result) != cases[i].holds)
			fail_msg("case %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(render__sample__this_picture),
		cmocka_unit_test(render__colour__says_nothing_more),
		cmocka_unit_test(render__one_protocol__nothing_of_the_other),
		cmocka_unit_test(render__losses_under_steadyport__shown_with_the_exit_status),
		cmocka_unit_test(render__one_moved_flow__seen_in_the_strip),
		cmocka_unit_test(render__any_size__fits_a_terminal),
		cmocka_unit_test(json__sample__this_document),
		cmocka_unit_test(json__losses_under_steadyport__do_not_hold),
		cmocka_unit_test(holds__every_loss_of_a_protocol_that_was_asked_for__counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
