// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Endpoints: what is read, what is refused, what is printed, what fits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "cleanup.h"
#include "endpoint.h"

/* Prints an endpoint back in the form that the tables below are written in. */
static void print_endpoint(const struct sp_endpoint *e, char *buf, size_t size)
{
	char place[SP_ENDPOINT_STRLEN] = "any";

	if (e->has_address)
		sp_address_format(&e->address, 0, e->port, place);
	else
		snprintf(place, sizeof(place), "any:%u", e->port);
	snprintf(buf, size, "%s %s %s", sp_protocol_name(e->protocol), place, e->device[0] ? e->device : "-");
}

static void parse__good_endpoints__read_as_meant(void **state)
{
	static const struct {
		const char *text, *meant;
	} cases[] = {
		{ "tcp:127.0.0.1:8080", "tcp 127.0.0.1:8080 -" },
		{ "udp:0.0.0.0:53", "udp 0.0.0.0:53 -" },
		{ "tcp:8080", "tcp any:8080 -" },
		{ "udp:1", "udp any:1 -" },
		{ "udp:65535", "udp any:65535 -" },
		{ "tcp:[::]:80", "tcp [::]:80 -" },
		{ "udp:[::1]:53", "udp [::1]:53 -" },
		{ "udp:[2001:db8::a]:443", "udp [2001:db8::a]:443 -" },
		{ "udp:[fe80::1%eth0]:53", "udp [fe80::1]:53 eth0" },
		{ "udp:[fe80::1%2]:53", "udp [fe80::1]:53 2" },
		{ "udp:10.0.0.1%eth0:53", "udp 10.0.0.1:53 eth0" },
		{ "udp:10.0.0.1%eth0.100:53", "udp 10.0.0.1:53 eth0.100" },
		{ "tcp:[::ffff:10.0.0.1]:80", "tcp [::ffff:10.0.0.1]:80 -" },
		{ "tcp:[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%fifteen-letters]:65535",
		  "tcp [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 fifteen-letters" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		struct sp_endpoint e;
		const char *why = NULL;
		char text[128];

		assert_int_equal(sp_endpoint_parse(cases[i].text, &e, &why), 0);
		print_endpoint(&e, text, sizeof(text));
		assert_string_equal(text, cases[i].meant);
	}
}

static void parse__bad_endpoints__refused_with_the_reason(void **state)
{
	static const struct {
		const char *text, *why; /* a word of the sentence */
	} cases[] = {
		{ "", "tcp: nor udp:" },
		{ "8080", "tcp: nor udp:" },
		{ "127.0.0.1:8080", "tcp: nor udp:" },
		{ "sctp:80", "tcp: nor udp:" },
		{ "TCP:80", "tcp: nor udp:" },
		{ " tcp:80", "tcp: nor udp:" },
		{ "tcp", "tcp: nor udp:" },
		{ "tcp:", "port is missing" },
		{ "tcp:127.0.0.1", "port is missing" },
		{ "tcp:127.0.0.1:", "port is missing" },
		{ "tcp:[::1]", "port is missing" },
		{ "tcp:[::1]:", "port is missing" },
		{ "tcp:0", "1 to 65535" },
		{ "tcp:65536", "1 to 65535" },
		{ "tcp:99999999999999999999", "1 to 65535" },
		{ "tcp:080", "1 to 65535" },
		{ "tcp:+80", "1 to 65535" },
		{ "tcp:-80", "1 to 65535" },
		{ "tcp: 80", "1 to 65535" },
		{ "tcp:80 ", "1 to 65535" },
		{ "tcp:80x", "1 to 65535" },
		{ "tcp:0x50", "1 to 65535" },
		{ "tcp:http", "1 to 65535" },
		{ "tcp:127.0.0.1:80/", "1 to 65535" },
		{ "udp:::1:53", "brackets" },
		{ "udp:::53", "brackets" },
		{ "udp:2001:db8::1:53", "brackets" },
		{ "udp:[::1:53", "not closed" },
		{ "udp:[::1]53", "only :PORT" },
		{ "udp:[::1]%eth0:53", "only :PORT" },
		{ "udp:[]:53", "not an IPv6" },
		{ "udp:[10.0.0.1]:53", "not an IPv6" },
		{ "udp:[::g]:53", "not an IPv6" },
		{ "udp:[1::2::3]:53", "not an IPv6" },
		{ "tcp:127.1:80", "four numbers" },
		{ "tcp:127.0.0.256:80", "four numbers" },
		{ "tcp:127.0.0.01:80", "four numbers" },
		{ "tcp:localhost:80", "four numbers" },
		{ "tcp:127.0.0.1 :80", "four numbers" },
		{ "tcp::80", "empty" },
		{ "tcp:*:80", "*" },
		{ "tcp:[*]:80", "*" },
		{ "udp:10.0.0.1%:53", "device" },
		{ "udp:10.0.0.1%sixteen-letters-:53", "device" },
		{ "udp:[fe80::1%]:53", "device" },
		{ "udp:[fe80::1%a b]:53", "device" },
		{ "udp:[fe80::1%a%b]:53", "device" },
		{ "udp:[fe80::1%a-name-that-is-longer-than-any-address-or-device-could-ever-be]:53",
		  "device" },
		{ "udp:%eth0:53", "four numbers" },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		struct sp_endpoint e, untouched;
		const char *why = NULL;

		memset(&e, 0xa5, sizeof(e));
		memset(&untouched, 0xa5, sizeof(untouched));
		if (sp_endpoint_parse(cases[i].text, &e, &why) != -EINVAL || !why ||
		    !strstr(why, cases[i].why))
			fail_msg("%s: %s", cases[i].text, why ?: "accepted");
		assert_memory_equal(&e, &untouched, sizeof(e));
	}
}

static void address_port_parse__flow_ends__read_or_refused(void **state)
{
	static const char *const bad[] = {
		"80", "1.2.3.4",	   "1.2.3.4:0",	     "::1:80", "[::1]", "tcp:1.2.3.4:5",
		"",   "[fe80::1%eth0]:53", "1.2.3.4%eth0:53"
	};
	char text[SP_ENDPOINT_STRLEN];
	struct sp_address address;
	const char *why;
	__u16 port;

	(void)state;
	assert_int_equal(sp_address_port_parse("192.0.2.7:50123", &address, &port, &why), 0);
	assert_string_equal(sp_address_format(&address, 0, port, text), "192.0.2.7:50123");
	assert_int_equal(sp_address_port_parse("[::1]:53", &address, &port, &why), 0);
	assert_string_equal(sp_address_format(&address, 0, port, text), "[::1]:53");
	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
		why = NULL;
		assert_int_equal(sp_address_port_parse(bad[i], &address, &port, &why), -EINVAL);
		assert_non_null(why);
	}
	assert_int_equal(port, 53);
}

static void format__device__shown_inside_the_brackets(void **state)
{
	struct sp_address v4 = { .family = AF_INET, .bytes = { 10, 0, 0, 1 } };
	struct sp_address v6 = { .family = AF_INET6, .bytes = { 0xfe, 0x80, [15] = 1 } };
	char text[SP_ENDPOINT_STRLEN];

	(void)state;
	assert_string_equal(sp_address_format(&v4, 0, 443, text), "10.0.0.1:443");
	assert_string_equal(sp_address_format(&v4, 2, 443, text), "10.0.0.1%2:443");
	assert_string_equal(sp_address_format(&v6, 2, 53, text), "[fe80::1%2]:53");
	memset(v6.bytes, 0xff, sizeof(v6.bytes));
	assert_string_equal(sp_address_format(&v6, UINT32_MAX, 65535, text),
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

/* Printed with its device, an endpoint can be given back to attach. */
static void format__then_parse__same_endpoint(void **state)
{
	struct sp_address v6 = { .family = AF_INET6, .bytes = { 0xfe, 0x80, [15] = 1 } };
	char place[SP_ENDPOINT_STRLEN], text[SP_ENDPOINT_STRLEN + 4];
	struct sp_endpoint e;
	const char *why;

	(void)state;
	snprintf(text, sizeof(text), "udp:%s", sp_address_format(&v6, 7, 53, place));
	assert_int_equal(sp_endpoint_parse(text, &e, &why), 0);
	assert_memory_equal(&e.address, &v6, sizeof(v6));
	assert_true(sp_endpoint_matches(&e, SP_UDP, &v6, 7, 53));
}

static struct sp_endpoint parsed(const char *text)
{
	struct sp_endpoint e = {};
	const char *why;

	assert_int_equal(sp_endpoint_parse(text, &e, &why), 0);
	return e;
}

static bool fits(const char *asked, const char *bound, __u32 ifindex)
{
	struct sp_endpoint a = parsed(asked), b = parsed(bound);

	return sp_endpoint_matches(&a, b.protocol, &b.address, ifindex, b.port);
}

static void matches__protocol_port_and_address__all_must_fit(void **state)
{
	(void)state;
	assert_true(fits("tcp:127.0.0.1:80", "tcp:127.0.0.1:80", 0));
	assert_false(fits("tcp:127.0.0.1:80", "udp:127.0.0.1:80", 0));
	assert_false(fits("tcp:127.0.0.1:80", "tcp:127.0.0.1:81", 0));
	assert_false(fits("tcp:127.0.0.1:80", "tcp:127.0.0.2:80", 0));
	assert_false(fits("tcp:0.0.0.0:80", "tcp:127.0.0.1:80", 0));
	assert_false(fits("tcp:0.0.0.0:80", "tcp:[::]:80", 0));
	assert_false(fits("tcp:[::]:80", "tcp:0.0.0.0:80", 0));
}

static void matches__no_address__any_will_do(void **state)
{
	(void)state;
	assert_true(fits("tcp:80", "tcp:127.0.0.1:80", 0));
	assert_true(fits("tcp:80", "tcp:[::]:80", 0));
	assert_false(fits("tcp:80", "udp:[::]:80", 0));
}

static void matches__mapped_address__ipv4_fits_it_but_not_the_reverse(void **state)
{
	(void)state;
	assert_true(fits("tcp:10.0.0.1:80", "tcp:[::ffff:10.0.0.1]:80", 0));
	assert_true(fits("tcp:[::ffff:10.0.0.1]:80", "tcp:[::ffff:10.0.0.1]:80", 0));
	assert_false(fits("tcp:10.0.0.1:80", "tcp:[::10.0.0.1]:80", 0));
	assert_false(fits("tcp:[::ffff:10.0.0.1]:80", "tcp:10.0.0.1:80", 0));
}

static void matches__device__must_be_the_bound_one(void **state)
{
	__u32 lo = if_nametoindex("lo");

	(void)state;
	assert_true(fits("udp:[fe80::1%3]:53", "udp:[fe80::1]:53", 3));
	assert_false(fits("udp:[fe80::1%3]:53", "udp:[fe80::1]:53", 4));
	assert_false(fits("udp:[fe80::1%3]:53", "udp:[fe80::1]:53", 0));
	assert_false(fits("udp:[fe80::1%0]:53", "udp:[fe80::1]:53", 0));
	assert_true(fits("udp:[fe80::1]:53", "udp:[fe80::1]:53", 3));
	assert_true(fits("udp:[fe80::1%lo]:53", "udp:[fe80::1]:53", lo));
	assert_false(fits("udp:[fe80::1%lo]:53", "udp:[fe80::1]:53", lo + 1));
	assert_false(fits("udp:[fe80::1%no-such]:53", "udp:[fe80::1]:53", 0));
}

static void is_any__zero_addresses__only_those(void **state)
{
	struct sp_endpoint any4 = parsed("udp:0.0.0.0:1"), any6 = parsed("udp:[::]:1"),
			   one = parsed("udp:[::1]:1");

	(void)state;
	assert_true(sp_address_is_any(&any4.address));
	assert_true(sp_address_is_any(&any6.address));
	assert_false(sp_address_is_any(&one.address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__good_endpoints__read_as_meant),
		cmocka_unit_test(parse__bad_endpoints__refused_with_the_reason),
		cmocka_unit_test(address_port_parse__flow_ends__read_or_refused),
		cmocka_unit_test(format__device__shown_inside_the_brackets),
		cmocka_unit_test(format__then_parse__same_endpoint),
		cmocka_unit_test(matches__protocol_port_and_address__all_must_fit),
		cmocka_unit_test(matches__no_address__any_will_do),
		cmocka_unit_test(matches__mapped_address__ipv4_fits_it_but_not_the_reverse),
		cmocka_unit_test(matches__device__must_be_the_bound_one),
		cmocka_unit_test(is_any__zero_addresses__only_those),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
