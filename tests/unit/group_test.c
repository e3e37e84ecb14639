// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which group an endpoint or a steered place means, and what is said when it is none or several. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "cleanup.h"
#include "group.h"

#define HERE 1001 /* network namespace cookies */
#define ELSEWHERE 1002
#define NO_NETNS_INODE 1 /* a root directory has it, but no network namespace, hence it has no name */

static struct sp_owner nginx_owner = { .pid = 4411, .fd = 7, .comm = "nginx" };
static struct sp_owner envoy_owner = { .pid = 5522, .fd = 8, .comm = "envoy" };
static struct sp_member nginx = { .owners = &nginx_owner, .nowners = 1 };
static struct sp_member envoy = { .owners = &envoy_owner, .nowners = 1 };

static struct sp_endpoint parsed(const char *text)
{
	struct sp_endpoint endpoint;
	const char *why;

	assert_int_equal(sp_endpoint_parse(text, &endpoint, &why), 0);
	return endpoint;
}

static struct sp_group group(const char *text, struct sp_member *member, __u64 netns_cookie)
{
	struct sp_endpoint e = parsed(text);

	return (struct sp_group){
		.has_group = true,
		.protocol = e.protocol,
		.address = e.address,
		.port = e.port,
		.netns_cookie = netns_cookie,
		.netns_inode = NO_NETNS_INODE,
		.size = 1,
		.members = member,
		.nmembers = member ? 1 : 0,
	};
}

static struct sp_group lone(const char *text, struct sp_member *member, __u64 netns_cookie)
{
	struct sp_group g = group(text, member, netns_cookie);

	g.has_group = false;
	return g;
}

struct answer {
	int err;
	const struct sp_group *group; /* NULL: untouched */
	char said[2048]; /* on stderr */
};

/* sp_group_find() in the namespace HERE. The log is restored before anything is judged. */
static struct answer find(struct sp_group *list, size_t n, const char *text)
{
	const struct sp_groups groups = { .groups = list, .ngroups = n };
	struct sp_endpoint endpoint = parsed(text);
	sp_autoclose int terminal = dup(STDERR_FILENO);
	sp_autoclose int log = memfd_create("stderr", MFD_CLOEXEC);
	struct answer answer = { 0 };
	ssize_t len;

	assert_true(terminal >= 0 && log >= 0);
	assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
	answer.err = sp_group_find(&groups, &endpoint, HERE, &answer.group);
	dup2(terminal, STDERR_FILENO);

	len = pread(log, answer.said, sizeof(answer.said) - 1, 0);
	assert_in_range(len, 0, sizeof(answer.said) - 1);
	return answer;
}

static void require_refusal(struct sp_group *list, size_t n, const char *text, int err, const char *said)
{
	struct answer answer = find(list, n, text);

	assert_int_equal(answer.err, err);
	assert_null(answer.group);
	assert_string_equal(answer.said, said);
}

static void find__one_fits__found_and_nothing_said(void **state)
{
	struct sp_group list[] = {
		group("tcp:0.0.0.0:80", &nginx, HERE),
		group("tcp:127.0.0.1:8080", &nginx, HERE),
		group("tcp:[::]:8080", &envoy, HERE),
		group("udp:127.0.0.1:8080", &envoy, HERE),
		group("tcp:127.0.0.1:8080", &envoy, ELSEWHERE),
		lone("tcp:127.0.0.1:8080", &envoy, HERE),
		group("udp:[::]:443", &nginx, HERE),
	};
	static const struct {
		const char *text;
		size_t found;
	} cases[] = {
		{ "tcp:80", 0 },	{ "tcp:0.0.0.0:80", 0 },     { "tcp:127.0.0.1:8080", 1 },
		{ "tcp:[::]:8080", 2 }, { "udp:127.0.0.1:8080", 3 }, { "udp:8080", 3 },
		{ "udp:[::]:443", 6 },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		struct answer answer = find(list, SP_ARRAY_SIZE(list), cases[i].text);

		assert_int_equal(answer.err, 0);
		assert_ptr_equal(answer.group, &list[cases[i].found]);
		assert_string_equal(answer.said, "");
	}
}

static void find__none__says_so(void **state)
{
	struct sp_group list[] = {
		group("tcp:0.0.0.0:80", &nginx, HERE),
		group("udp:0.0.0.0:8080", &nginx, HERE), /* the other protocol is no help */
		lone("udp:0.0.0.0:53", &nginx, ELSEWHERE), /* neither is a lone socket elsewhere */
	};

	(void)state;
	require_refusal(list, SP_ARRAY_SIZE(list), "tcp:8080", -ENOENT,
			"error: no reuseport group listens on tcp port 8080\n"
			"       see those there are: steadyport groups\n");
	require_refusal(list, SP_ARRAY_SIZE(list), "udp:53", -ENOENT,
			"error: no reuseport group listens on udp port 53\n"
			"       see those there are: steadyport groups\n");
	require_refusal(NULL, 0, "udp:[::1]:53", -ENOENT,
			"error: no reuseport group listens on udp port 53\n"
			"       see those there are: steadyport groups\n");
}

static void find__several_fit__lists_them_and_names_one(void **state)
{
	struct sp_group list[] = {
		group("tcp:0.0.0.0:8080", &nginx, HERE),  group("tcp:127.0.0.1:8080", &nginx, ELSEWHERE),
		lone("tcp:127.0.0.2:8080", &nginx, HERE), group("tcp:[::]:8080", &envoy, HERE),
		group("tcp:[::1]:8080", NULL, HERE),
	};

	(void)state;
	require_refusal(list, 4, "tcp:8080", -EEXIST,
			"error: tcp:8080 fits 2 groups: 0.0.0.0:8080 (nginx) and [::]:8080 (envoy)\n"
			"       say which: steadyport attach NAME tcp:0.0.0.0:8080\n");
	require_refusal(
		list, 5, "tcp:8080", -EEXIST,
		"error: tcp:8080 fits 3 groups: 0.0.0.0:8080 (nginx), [::]:8080 (envoy) and [::1]:8080 (?)\n"
		"       say which: steadyport attach NAME tcp:0.0.0.0:8080\n");
}

static void find__address_without_device__is_the_group_bound_to_none(void **state)
{
	struct sp_group list[] = {
		group("tcp:0.0.0.0:8080", &nginx, HERE),
		group("tcp:0.0.0.0:8080", &envoy, HERE),
	};
	struct answer answer;

	(void)state;
	list[0].ifindex = 3;
	answer = find(list, 2, "tcp:0.0.0.0:8080");
	assert_int_equal(answer.err, 0);
	assert_ptr_equal(answer.group, &list[1]);
	answer = find(list, 2, "tcp:0.0.0.0%3:8080");
	assert_int_equal(answer.err, 0);
	assert_ptr_equal(answer.group, &list[0]);
	assert_int_equal(find(list, 2, "tcp:8080").err, -EEXIST);
}

static void find__more_than_a_message_holds__still_refused(void **state)
{
	struct sp_group list[200];
	struct answer answer;
	char text[32];

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(list); i++) {
		snprintf(text, sizeof(text), "udp:127.0.0.%zu:53", i + 1);
		list[i] = group(text, &nginx, HERE);
	}
	answer = find(list, SP_ARRAY_SIZE(list), "udp:53");
	assert_int_equal(answer.err, -EEXIST);
	assert_null(answer.group);
	assert_ptr_equal(strstr(answer.said, "error: udp:53 fits 200 groups: 127.0.0.1:53 (nginx), "),
			 answer.said);
	assert_non_null(strstr(answer.said, "\n       say which: steadyport attach NAME udp:127.0.0.1:53\n"));
}

static void find__other_network_namespace__says_where_and_how(void **state)
{
	struct sp_group list[] = {
		group("udp:[::]:443", &envoy, ELSEWHERE),
		group("udp:[::1]:443", &nginx, HERE), /* less telling than the one that fits */
	};

	(void)state;
	require_refusal(list, 2, "udp:[::]:443", -ENOENT,
			"error: no such group in this network namespace; in 1 there is [::]:443 (envoy)\n"
			"       add: --netns 5522\n");
}

static void find__socket_without_reuseport__says_what_to_set(void **state)
{
	struct sp_group list[] = {
		lone("tcp:127.0.0.1:8080", &nginx, HERE),
		group("tcp:127.0.0.1:8080", &envoy, ELSEWHERE),
		group("tcp:[::]:8080", &envoy, HERE),
	};

	(void)state;
	require_refusal(
		list, SP_ARRAY_SIZE(list), "tcp:127.0.0.1:8080", -ENOENT,
		"error: tcp 127.0.0.1:8080 (nginx) listens without SO_REUSEPORT: there is no group to steer\n"
		"       make the server set it, e.g. nginx: listen ... reuseport; then restart it\n");
}

static void find__other_address_on_the_port__names_it(void **state)
{
	struct sp_group list[] = {
		group("tcp:0.0.0.0:8080", &nginx, HERE),
		group("tcp:[::]:8080", &envoy, ELSEWHERE),
		lone("tcp:127.0.0.2:8080", &envoy, HERE),
	};

	(void)state;
	require_refusal(
		list, SP_ARRAY_SIZE(list), "tcp:127.0.0.1:8080", -ENOENT,
		"error: no reuseport group has that address; on this port there is 0.0.0.0:8080 (nginx)\n"
		"       say: tcp:0.0.0.0:8080\n");
}

static struct sp_ctl place(const struct sp_group *g)
{
	struct sp_ctl ctl = {
		.netns_cookie = g->netns_cookie,
		.protocol = g->protocol,
		.ifindex = g->ifindex,
		.family = g->address.family,
		.port = g->port,
	};

	memcpy(ctl.addr, g->address.bytes, sizeof(ctl.addr));
	return ctl;
}

static void at__each_part_of_the_place__must_be_the_same(void **state)
{
	struct sp_group list[] = {
		group("udp:127.0.0.1:53", &nginx, HERE), group("tcp:127.0.0.1:53", &nginx, HERE),
		group("udp:127.0.0.1:54", &nginx, HERE), group("udp:127.0.0.2:53", &nginx, HERE),
		group("udp:[::]:53", &nginx, HERE),	 group("udp:0.0.0.0:53", &nginx, HERE),
		group("udp:127.0.0.1:53", &nginx, HERE), group("udp:127.0.0.1:53", &nginx, ELSEWHERE),
	};
	struct sp_groups groups = { .groups = list, .ngroups = SP_ARRAY_SIZE(list) };

	(void)state;
	list[6].ifindex = 3;
	for (size_t i = 0; i < SP_ARRAY_SIZE(list); i++) {
		struct sp_ctl ctl = place(&list[i]);

		assert_ptr_equal(sp_group_at(&groups, &ctl, 0), &list[i]);
		list[i].has_group = false;
		assert_null(sp_group_at(&groups, &ctl, 0));
		list[i].has_group = true;
	}
}

static void at__several__the_one_that_runs_the_program(void **state)
{
	struct sp_group list[] = {
		group("udp:127.0.0.1:53", &nginx, HERE),
		group("udp:127.0.0.1:53", &envoy, HERE),
		group("udp:127.0.0.1:53", &nginx, HERE),
	};
	struct sp_groups groups = { .groups = list, .ngroups = SP_ARRAY_SIZE(list) };
	struct sp_ctl ctl = place(&list[0]);

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(list); i++)
		list[i].prog_id = 71 + i;
	for (size_t i = 0; i < SP_ARRAY_SIZE(list); i++)
		assert_ptr_equal(sp_group_at(&groups, &ctl, 71 + i), &list[i]);
	assert_ptr_equal(sp_group_at(&groups, &ctl, 99), &list[0]); /* none runs it: the first */
	groups.ngroups = 0;
	assert_null(sp_group_at(&groups, &ctl, 71));
}

static void outside__sockets_of_the_place_that_are_not_in_the_group__counted_unless_connected(void **state)
{
	struct sp_member left = { .owners = &envoy_owner, .nowners = 1 },
			 connected = { .is_connected = true, .owners = &envoy_owner, .nowners = 1 };
	struct sp_group list[] = {
		group("udp:[::]:53", &nginx, HERE),    lone("udp:[::]:53", &left, HERE),
		lone("udp:[::]:53", &connected, HERE), group("udp:[::]:53", &envoy, HERE),
		group("udp:[::]:53", &envoy, HERE), /* IPv6 only */
		lone("udp:[::]:53", &left, ELSEWHERE), lone("udp:[::1]:53", &left, HERE),
		lone("udp:[::]:54", &left, HERE),      lone("tcp:[::]:53", &left, HERE),
	};
	struct sp_groups groups = { .groups = list, .ngroups = SP_ARRAY_SIZE(list) };
	struct sp_ctl ctl = place(&list[0]);
	__u32 count;

	(void)state;
	list[4].is_v6only = true;
	assert_ptr_equal(sp_group_outside(&groups, &ctl, &list[0], &count), &left);
	assert_int_equal(count, 2);
	assert_ptr_equal(sp_group_outside(&groups, &ctl, &list[3], &count), &nginx);
	assert_int_equal(count, 2);
	assert_ptr_equal(sp_group_outside(&groups, &ctl, NULL, &count), &nginx);
	assert_int_equal(count, 4);
	groups.ngroups = 1;
	assert_null(sp_group_outside(&groups, &ctl, &list[0], &count));
	assert_int_equal(count, 0);
	/* TCP has no connected members. */
	groups.ngroups = SP_ARRAY_SIZE(list);
	ctl = place(&list[8]);
	assert_null(sp_group_outside(&groups, &ctl, NULL, &count));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(find__one_fits__found_and_nothing_said),
		cmocka_unit_test(find__none__says_so),
		cmocka_unit_test(find__several_fit__lists_them_and_names_one),
		cmocka_unit_test(find__address_without_device__is_the_group_bound_to_none),
		cmocka_unit_test(find__more_than_a_message_holds__still_refused),
		cmocka_unit_test(find__other_network_namespace__says_where_and_how),
		cmocka_unit_test(find__socket_without_reuseport__says_what_to_set),
		cmocka_unit_test(find__other_address_on_the_port__names_it),
		cmocka_unit_test(at__each_part_of_the_place__must_be_the_same),
		cmocka_unit_test(at__several__the_one_that_runs_the_program),
		cmocka_unit_test(
			outside__sockets_of_the_place_that_are_not_in_the_group__counted_unless_connected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
