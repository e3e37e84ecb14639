// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Metrics as text: what is said of a group in each state it can be in, in the format that Prometheus reads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "exposition.h"
#include "metrics.h"

static struct sp_metrics *metrics;
static char *text;

static int setup(void **state)
{
	(void)state;
	metrics = sp_metrics_new();
	return metrics ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sp_metrics_free(&metrics);
	free(text);
	text = NULL;
	return 0;
}

static void write_text(void)
{
	struct evbuffer *out = evbuffer_new();
	size_t len;

	assert_non_null(out);
	assert_int_equal(sp_metrics_write(metrics, out), 0);
	len = evbuffer_get_length(out);
	free(text);
	text = calloc(1, len + 1);
	assert_non_null(text);
	assert_int_equal(evbuffer_remove(out, text, len), len);
	evbuffer_free(out);
	if (len)
		sp_exposition_check(text);
}

#define value(sample) sp_exposition_value(text, sample)
#define has(sample) sp_exposition_has(text, sample)

static void metrics__nothing_added__no_text(void **state)
{
	(void)state;
	write_text();
	assert_string_equal(text, "");
}

static void metrics__daemon__build_reload_and_states(void **state)
{
	struct sp_histogram histogram = { .sum_ns = 0 };
	const struct sp_metrics_daemon daemon = {
		.is_reload_ok = true,
		.reconcile = &histogram,
		.count = { [SP_TEND_WAITING] = 2, [SP_TEND_STEERED] = 5 },
	};

	(void)state;
	sp_metrics_add_daemon(metrics, &daemon);
	write_text();
	assert_int_equal(value("steadyport_build_info{version=\"" SP_VERSION "\",abi=\"3\"}"), 1);
	assert_int_equal(value("steadyport_config_last_reload_successful"), 1);
	assert_int_equal(value("steadyport_groups{state=\"waiting\"}"), 2);
	assert_int_equal(value("steadyport_groups{state=\"steered\"}"), 5);
	assert_int_equal(value("steadyport_groups{state=\"foreign\"}"), 0);
}

static void histogram__times__each_bucket_has_all_below_it(void **state)
{
	struct sp_histogram histogram = { .sum_ns = 0 };
	const struct sp_metrics_daemon daemon = { .reconcile = &histogram };

	(void)state;
	sp_histogram_add(&histogram, 0);
	sp_histogram_add(&histogram, 1000000); /* on the bound */
	sp_histogram_add(&histogram, 1000001);
	sp_histogram_add(&histogram, 20000000);
	sp_histogram_add(&histogram, 60000000000);
	sp_metrics_add_daemon(metrics, &daemon);
	write_text();
	assert_int_equal(value("steadyport_reconcile_seconds_bucket{le=\"0.001\"}"), 2);
	assert_int_equal(value("steadyport_reconcile_seconds_bucket{le=\"0.0025\"}"), 3);
	assert_int_equal(value("steadyport_reconcile_seconds_bucket{le=\"0.01\"}"), 3);
	assert_int_equal(value("steadyport_reconcile_seconds_bucket{le=\"0.025\"}"), 4);
	assert_int_equal(value("steadyport_reconcile_seconds_bucket{le=\"1\"}"), 4);
	assert_int_equal(value("steadyport_reconcile_seconds_bucket{le=\"+Inf\"}"), 5);
	assert_int_equal(value("steadyport_reconcile_seconds_count"), 5);
	assert_true(value("steadyport_reconcile_seconds_sum") == 60.022000001);
}

static void group__not_there_yet__state_and_no_slots(void **state)
{
	const struct sp_metrics_group group = { .name = "web",
						.endpoint = "tcp:80",
						.state = SP_TEND_WAITING };

	(void)state;
	sp_metrics_add_group(metrics, &group);
	write_text();
	assert_int_equal(value("steadyport_group_info{group=\"web\",endpoint=\"tcp:80\",netns=\"\"}"), 1);
	assert_int_equal(value("steadyport_group_state{group=\"web\",state=\"waiting\"}"), 1);
	assert_int_equal(value("steadyport_group_state{group=\"web\",state=\"steered\"}"), 0);
	assert_int_equal(value("steadyport_attached{group=\"web\"}"), 0);
	assert_int_equal(value("steadyport_foreign_program{group=\"web\"}"), 0);
	assert_false(has("steadyport_members{group=\"web\"}"));
	assert_null(strstr(text, "slot="));
}

static void group__another_program_from_the_start__told_without_pins(void **state)
{
	const struct sp_metrics_group group = { .name = "web",
						.endpoint = "tcp:80",
						.state = SP_TEND_FOREIGN };

	(void)state;
	sp_metrics_add_group(metrics, &group);
	write_text();
	assert_int_equal(value("steadyport_attached{group=\"web\"}"), 0);
	assert_int_equal(value("steadyport_foreign_program{group=\"web\"}"), 1);
}

/* To say that it is not attached would be a guess that wakes somebody. */
static void group__pinned_and_unreadable__says_nothing_of_the_attachment(void **state)
{
	const struct sp_metrics_group group = {
		.name = "web", .endpoint = "tcp:80", .state = SP_TEND_STEERED, .is_pinned = true
	};

	(void)state;
	sp_metrics_add_group(metrics, &group);
	write_text();
	assert_false(has("steadyport_attached{group=\"web\"}"));
	assert_false(has("steadyport_foreign_program{group=\"web\"}"));
	assert_int_equal(value("steadyport_group_state{group=\"web\",state=\"steered\"}"), 1);
}

/* A group with a live slot 0 and a dead slot 3, of members that the caller gives. */
struct fake {
	struct sp_state state;
	struct sp_view views[SP_VIEWS];
	struct sp_info info[SP_SLOTS_MAX];
	__u64 cookie[SP_SLOTS_MAX];
	struct sp_plan_slots slots;
	struct sp_counters rows[5];
	struct sp_member member;
	struct sp_group group;
	struct sp_groups groups;
	struct sp_report report;
};

static struct fake *fake_new(enum sp_protocol protocol)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->state = (struct sp_state){
		.ctl = { .protocol = protocol }, .views = f->views, .info = f->info, .cookie = f->cookie
	};
	f->info[0] = (struct sp_info){ .state = SP_SLOT_LIVE, .weight = 50, .cookie = 900 };
	f->info[3] = (struct sp_info){ .state = SP_SLOT_LIVE, .weight = 100, .cookie = 903 };
	f->cookie[0] = 900;
	f->member = (struct sp_member){ .cookie = 900, .backlog = 7, .backlog_max = 128, .drops = 11 };
	f->group = (struct sp_group){
		.has_group = true, .size = 2, .prog_id = 5, .members = &f->member, .nmembers = 1
	};
	f->groups = (struct sp_groups){ .groups = &f->group, .ngroups = 1 };
	f->rows[0].steered = 1ULL << 40;
	f->rows[3].empty = 3;
	f->rows[4].unselected = 4;
	f->report = (struct sp_report){
		.snapshot = { .pins = SP_PINS_NONE,
			      .state = &f->state,
			      .groups = &f->groups,
			      .group = &f->group,
			      .program_id = 5 },
		.slots = &f->slots,
		.rows = f->rows,
		.nrows = SP_ARRAY_SIZE(f->rows),
		.kept_flows = 12,
		.kept_limit = 100,
		.count = { [SP_SLOT_LIVE] = 1, [SP_SLOT_DEAD] = 1 },
	};
	return f;
}

static void add_fake(const struct fake *f, const char *name)
{
	const struct sp_metrics_group group = {
		.name = name,
		.endpoint = "any",
		.state = SP_TEND_STEERED,
		.is_pinned = true,
		.enrolments = 8,
		.deaths = 6,
		.wake_ups = 4,
		.parked = 2,
		.report = &f->report,
	};

	sp_metrics_add_group(metrics, &group);
}

static void group__steered_tcp__slots_queues_and_counters(void **state)
{
	sp_autofree struct fake *f = fake_new(SP_TCP);

	(void)state;
	add_fake(f, "web");
	write_text();
	assert_int_equal(value("steadyport_attached{group=\"web\"}"), 1);
	assert_int_equal(value("steadyport_enrolments_total{group=\"web\"}"), 8);
	assert_int_equal(value("steadyport_deaths_total{group=\"web\"}"), 6);
	assert_int_equal(value("steadyport_wake_ups_total{group=\"web\"}"), 4);
	assert_int_equal(value("steadyport_parked_connections{group=\"web\"}"), 2);
	assert_int_equal(value("steadyport_members{group=\"web\"}"), 2);
	assert_int_equal(value("steadyport_members_not_visible{group=\"web\"}"), 1);
	assert_int_equal(value("steadyport_slots{group=\"web\",state=\"live\"}"), 1);
	assert_int_equal(value("steadyport_slots{group=\"web\",state=\"dead\"}"), 1);
	assert_int_equal(value("steadyport_slot_weight{group=\"web\",slot=\"0\"}"), 50);
	assert_int_equal(value("steadyport_accept_queue_connections{group=\"web\",slot=\"0\"}"), 7);
	assert_int_equal(value("steadyport_accept_queue_limit_connections{group=\"web\",slot=\"0\"}"), 128);
	assert_int_equal(value("steadyport_socket_drops_total{group=\"web\",slot=\"0\"}"), 11);
	assert_false(has("steadyport_accept_queue_connections{group=\"web\",slot=\"3\"}"));
	assert_true(value("steadyport_steered_total{group=\"web\",slot=\"0\"}") == 1099511627776.0);
	assert_int_equal(value("steadyport_empty_total{group=\"web\",slot=\"3\"}"), 3);
	assert_int_equal(value("steadyport_unselected_total{group=\"web\",slot=\"group\"}"), 4);
	assert_false(has("steadyport_learning{group=\"web\"}"));
	assert_false(has("steadyport_kept_flows{group=\"web\"}"));
	assert_false(has("steadyport_receive_queue_bytes{group=\"web\",slot=\"0\"}"));
}

static void group__steered_udp__flow_table_and_bytes(void **state)
{
	sp_autofree struct fake *f = fake_new(SP_UDP);

	(void)state;
	f->group.prog_id = 6;
	f->group.prog_type = 1;
	f->views[0].moving[1] = 0xff;
	add_fake(f, "dns");
	write_text();
	assert_int_equal(value("steadyport_attached{group=\"dns\"}"), 0);
	assert_int_equal(value("steadyport_foreign_program{group=\"dns\"}"), 1);
	assert_int_equal(value("steadyport_kept_flows{group=\"dns\"}"), 12);
	assert_int_equal(value("steadyport_kept_flows_limit{group=\"dns\"}"), 100);
	assert_int_equal(value("steadyport_moving_buckets{group=\"dns\"}"), 8);
	assert_int_equal(value("steadyport_receive_queue_bytes{group=\"dns\",slot=\"0\"}"), 7);
	assert_int_equal(value("steadyport_receive_queue_limit_bytes{group=\"dns\",slot=\"0\"}"), 128);
	assert_false(has("steadyport_accept_queue_connections{group=\"dns\",slot=\"0\"}"));
}

static void groups__several__samples_of_a_metric_stay_together(void **state)
{
	sp_autofree struct fake *tcp = fake_new(SP_TCP), *udp = fake_new(SP_UDP);

	(void)state;
	add_fake(tcp, "web");
	add_fake(udp, "dns");
	write_text(); /* checks it */
	assert_true(has("steadyport_steered_total{group=\"web\",slot=\"0\"}"));
	assert_true(has("steadyport_steered_total{group=\"dns\",slot=\"0\"}"));
}

static void netstat__any_name__escaped(void **state)
{
	const struct sp_netstat netstat = { .migrated = 3, .migrate_failed = 4 };

	(void)state;
	sp_metrics_add_netstat(metrics, "a\"b\\c\nd", &netstat);
	write_text();
	assert_int_equal(value("steadyport_tcp_migrate_req_success_total{netns=\"a\\\"b\\\\c\\nd\"}"), 3);
	assert_int_equal(value("steadyport_tcp_migrate_req_failure_total{netns=\"a\\\"b\\\\c\\nd\"}"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		CASE(metrics__nothing_added__no_text),
		CASE(metrics__daemon__build_reload_and_states),
		CASE(histogram__times__each_bucket_has_all_below_it),
		CASE(group__not_there_yet__state_and_no_slots),
		CASE(group__another_program_from_the_start__told_without_pins),
		CASE(group__pinned_and_unreadable__says_nothing_of_the_attachment),
		CASE(group__steered_tcp__slots_queues_and_counters),
		CASE(group__steered_udp__flow_table_and_bytes),
		CASE(groups__several__samples_of_a_metric_stay_together),
		CASE(netstat__any_name__escaped),
#undef CASE
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
