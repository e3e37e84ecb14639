// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From the iterator's records, in any order, to groups, members and owners. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "cleanup.h"
#include "members.h"

#define ESTABLISHED 1 /* enum tcp_state */
#define LISTEN 10

/* One (process, fd) that holds a listener of tcp 127.0.0.1:80; the cases change what matters to them. */
static struct sp_member_record record(__u64 group, __u64 cookie, int position, __u32 pid, __u32 fd)
{
	return (struct sp_member_record){
		.group = group,
		.cookie = cookie,
		.position = position,
		.pid = pid,
		.fd = fd,
		.group_size = 2,
		.protocol = SP_TCP,
		.family = AF_INET,
		.addr = { 127, 0, 0, 1 },
		.port = 80,
		.state = LISTEN,
		.comm = "nginx",
	};
}

static struct sp_groups *grouped(const struct sp_member_record *records, size_t n)
{
	struct sp_groups *groups = NULL;

	assert_int_equal(sp_members_group(records, n, &groups), 0);
	assert_non_null(groups);
	return groups;
}

/*
 * "tcp 127.0.0.1:80 netns 0 size 2: 11@0(5/3,6/3) 12@1(5/4)": after the group each member as
 * cookie@position(pid/fd of each owner). To free().
 */
static char *text_of(const struct sp_groups *groups)
{
	char address[SP_ENDPOINT_STRLEN], *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];

		fprintf(out, "%s %s netns %u %s %u:", sp_protocol_name(g->protocol),
			sp_address_format(&g->address, g->ifindex, g->port, address), g->netns_inode,
			g->has_group ? "size" : "lone", g->size);
		for (size_t j = 0; j < g->nmembers; j++) {
			const struct sp_member *m = &g->members[j];

			fprintf(out, " %llu@%d", m->cookie, m->position);
			for (size_t k = 0; k < m->nowners; k++)
				fprintf(out, "%c%u/%u", k ? ',' : '(', m->owners[k].pid, m->owners[k].fd);
			fputc(')', out);
		}
		fputc('\n', out);
	}
	fclose(out);
	return text;
}

static void require_groups(const struct sp_member_record *records, size_t n, const char *expected)
{
	sp_autogroups struct sp_groups *groups = grouped(records, n);
	sp_autofree char *text = text_of(groups);

	assert_string_equal(text, expected);
}

static void group__no_records__no_groups(void **state)
{
	const struct sp_member_record unused = { 0 };

	(void)state;
	require_groups(&unused, 0, "");
}

static void group__records_in_any_order__members_in_the_kernels_order(void **state)
{
	const struct sp_member_record records[] = {
		record(0x10, 11, 2, 7, 3),
		record(0x10, 13, 0, 5, 3),
		record(0x10, 12, 1, 6, 3),
	};

	(void)state;
	require_groups(records, 3, "tcp 127.0.0.1:80 netns 0 size 2: 13@0(5/3) 12@1(6/3) 11@2(7/3)\n");
}

static void group__several_owners_of_a_member__one_member_owners_sorted(void **state)
{
	const struct sp_member_record records[] = {
		record(0x10, 11, 0, 6, 4), record(0x10, 12, 1, 6, 5), record(0x10, 11, 0, 5, 9),
		record(0x10, 12, 1, 5, 5), record(0x10, 11, 0, 6, 3), record(0x10, 11, 0, 100, 1),
	};

	(void)state;
	require_groups(records, 6,
		       "tcp 127.0.0.1:80 netns 0 size 2: 11@0(5/9,6/3,6/4,100/1) 12@1(5/5,6/5)\n");
}

static void group__unknown_positions__last_and_by_cookie(void **state)
{
	const struct sp_member_record records[] = {
		record(0x10, 9, -1, 5, 3),
		record(0x10, 8, -1, 6, 3),
		record(0x10, 11, 1, 7, 3),
		record(0x10, 12, 0, 8, 3),
	};

	(void)state;
	require_groups(records, 4,
		       "tcp 127.0.0.1:80 netns 0 size 2: 12@0(8/3) 11@1(7/3) 8@-1(6/3) 9@-1(5/3)\n");
}

static void group__several_groups_on_one_port__kept_apart(void **state)
{
	struct sp_member_record records[] = {
		record(0x30, 13, 0, 5, 5), /* another netns */
		record(0x20, 12, 0, 5, 4), /* another address */
		record(0x10, 11, 0, 5, 3),
		record(0x20, 14, 1, 6, 4),
	};

	(void)state;
	records[0].netns_inode = 7;
	records[1].addr[3] = records[3].addr[3] = 2;
	require_groups(records, 4,
		       "tcp 127.0.0.1:80 netns 0 size 2: 11@0(5/3)\n"
		       "tcp 127.0.0.1:80 netns 7 size 2: 13@0(5/5)\n"
		       "tcp 127.0.0.2:80 netns 0 size 2: 12@0(5/4) 14@1(6/4)\n");
}

/* Sockets in no group have group 0 in common, and nothing else. */
static void group__lone_sockets__each_for_itself(void **state)
{
	const struct sp_member_record records[] = {
		record(0, 13, -1, 6, 3), record(0, 11, -1, 5, 3), record(0x10, 12, 0, 5, 4),
		record(0, 11, -1, 4, 3), /* the same socket, held by another process */
	};
	sp_autogroups struct sp_groups *groups = grouped(records, 4);
	size_t nlone = 0;

	(void)state;
	assert_int_equal(groups->ngroups, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct sp_group *g = &groups->groups[i];

		assert_int_equal(g->nmembers, 1);
		assert_int_equal(g->members[0].nowners, g->members[0].cookie == 11 ? 2 : 1);
		assert_int_equal(g->has_group, g->members[0].cookie == 12);
		assert_int_equal(g->size, g->has_group ? 2 : 1);
		nlone += !g->has_group;
	}
	assert_int_equal(nlone, 2);
}

/* One pass is not one instant: a socket may join a group between two of its owners. */
static void group__socket_joins_during_the_pass__each_place_has_its_owners(void **state)
{
	const struct sp_member_record records[] = {
		record(0x10, 11, 0, 6, 3),
		record(0, 11, -1, 5, 3),
	};

	(void)state;
	require_groups(records, 2,
		       "tcp 127.0.0.1:80 netns 0 lone 1: 11@-1(5/3)\n"
		       "tcp 127.0.0.1:80 netns 0 size 2: 11@0(6/3)\n");
}

static void group__many_places__sorted_by_protocol_port_address_netns(void **state)
{
	struct sp_member_record records[] = {
		record(0x70, 1, 0, 5, 3), record(0x60, 2, 0, 5, 4), record(0x50, 3, 0, 5, 5),
		record(0x40, 4, 0, 5, 6), record(0x30, 5, 0, 5, 7), record(0x20, 6, 0, 5, 8),
		record(0x10, 7, 0, 5, 9),
	};

	(void)state;
	records[0].port = 79;
	records[2].addr[0] = 10;
	records[3].netns_inode = 9;
	records[4].family = AF_INET6;
	records[5].port = 8080;
	records[6].protocol = SP_UDP;
	records[6].port = 53;
	require_groups(records, 7,
		       "tcp 127.0.0.1:79 netns 0 size 2: 1@0(5/3)\n"
		       "tcp 10.0.0.1:80 netns 0 size 2: 3@0(5/5)\n"
		       "tcp 127.0.0.1:80 netns 0 size 2: 2@0(5/4)\n"
		       "tcp 127.0.0.1:80 netns 9 size 2: 4@0(5/6)\n"
		       "tcp [7f00:1::]:80 netns 0 size 2: 5@0(5/7)\n"
		       "tcp 127.0.0.1:8080 netns 0 size 2: 6@0(5/8)\n"
		       "udp 127.0.0.1:53 netns 0 size 2: 7@0(5/9)\n");
}

static void group__every_field_of_a_record__arrives(void **state)
{
	const struct sp_member_record r = {
		.group = 0x10,
		.cookie = 0x123456789abc,
		.netns_cookie = 0x1122334455667788,
		.netns_inode = 4026531840,
		.pid = 4411,
		.fd = 6,
		.uid = 33,
		.position = 5,
		.group_size = 8,
		.prog_id = 71,
		.prog_type = 21,
		.ifindex = 2,
		.backlog = 3,
		.backlog_max = 511,
		.drops = 9,
		.is_taken = 1,
		.array_id = 77,
		.array_refs = 3,
		.family = AF_INET6,
		.port = 443,
		.protocol = SP_UDP,
		.state = ESTABLISHED,
		.v6only = 1,
		.has_conns = 1,
		.addr = { 0xfe, 0x80, [15] = 1 },
		.comm = "fifteen-letters",
		.prog_name = "sp_steer",
	};
	sp_autogroups struct sp_groups *groups = grouped(&r, 1);
	const struct sp_group *g = &groups->groups[0];
	const struct sp_member *m = &g->members[0];

	(void)state;
	assert_int_equal(groups->ngroups, 1);
	assert_true(g->has_group && g->is_v6only && g->has_conns);
	assert_int_equal(g->protocol, SP_UDP);
	assert_int_equal(g->address.family, AF_INET6);
	assert_memory_equal(g->address.bytes, r.addr, sizeof(r.addr));
	assert_int_equal(g->ifindex, 2);
	assert_int_equal(g->port, 443);
	assert_int_equal(g->uid, 33);
	assert_int_equal(g->netns_cookie, r.netns_cookie);
	assert_int_equal(g->netns_inode, 4026531840);
	assert_int_equal(g->size, 8);
	assert_int_equal(g->prog_id, 71);
	assert_int_equal(g->prog_type, 21);
	assert_string_equal(g->prog_name, "sp_steer");
	assert_int_equal(g->nmembers, 1);
	assert_int_equal(m->cookie, r.cookie);
	assert_int_equal(m->position, 5);
	assert_true(m->is_connected);
	assert_int_equal(m->backlog, 3);
	assert_int_equal(m->backlog_max, 511);
	assert_int_equal(m->drops, 9);
	assert_true(m->is_taken && m->is_array_shared);
	assert_int_equal(m->array_id, 77);
	assert_int_equal(m->nowners, 1);
	assert_int_equal(m->owners[0].pid, 4411);
	assert_int_equal(m->owners[0].fd, 6);
	assert_string_equal(m->owners[0].comm, "fifteen-letters");
}

static void group__sockarray_that_only_the_attached_program_has__is_not_shared(void **state)
{
	struct sp_member_record r = record(0x10, 11, 0, 5, 3);
	sp_autogroups struct sp_groups *groups = NULL;

	(void)state;
	r.is_taken = 1;
	r.array_id = 77;
	r.array_refs = 2;
	groups = grouped(&r, 1);
	assert_false(groups->groups[0].members[0].is_array_shared);
}

static void group__state__only_udp_can_be_connected(void **state)
{
	static const struct {
		__u8 protocol, state;
		bool is_connected;
	} cases[] = {
		{ SP_UDP, ESTABLISHED, true },
		{ SP_UDP, 7 /* TCP_CLOSE: bound */, false },
		{ SP_TCP, ESTABLISHED, false },
		{ SP_TCP, LISTEN, false },
	};

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(cases); i++) {
		struct sp_member_record r = record(0x10, 11, 0, 5, 3);
		sp_autogroups struct sp_groups *groups = NULL;

		r.protocol = cases[i].protocol;
		r.state = cases[i].state;
		groups = grouped(&r, 1);
		assert_int_equal(groups->groups[0].members[0].is_connected, cases[i].is_connected);
	}
}

/* As many members as the group can have slots, and some beyond. */
static void group__1024_members_and_more__all_there_in_order(void **state)
{
	enum {
		BEYOND = 10,
		COUNT = SP_SLOTS_MAX + BEYOND
	};
	sp_autofree struct sp_member_record *records = calloc(COUNT, sizeof(*records));
	sp_autogroups struct sp_groups *groups = NULL;

	(void)state;
	assert_non_null(records);
	for (int i = 0; i < COUNT; i++)
		records[i] = record(0x10, 5000 - i, i < SP_SLOTS_MAX ? SP_SLOTS_MAX - 1 - i : -1, 100 + i, 3);
	groups = grouped(records, COUNT);
	assert_int_equal(groups->ngroups, 1);
	assert_int_equal(groups->groups[0].nmembers, COUNT);
	for (int i = 0; i < COUNT; i++) {
		const struct sp_member *m = &groups->groups[0].members[i];

		assert_int_equal(m->position, i < SP_SLOTS_MAX ? i : -1);
		assert_int_equal(m->nowners, 1);
		if (i > 0 && m->position > 0)
			assert_int_equal(m->cookie, m[-1].cookie + 1);
	}
}

/* xorshift64*: the same numbers everywhere */
static __u32 next_random(__u64 *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (*seed * 0x2545f4914f6cdd1dULL) >> 32;
}

static void shuffle(struct sp_member_record *records, size_t n, __u64 *seed)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = next_random(seed) % i;
		struct sp_member_record other = records[j];

		records[j] = records[i - 1];
		records[i - 1] = other;
	}
}

/* Up to 8 groups of up to 8 members with up to 4 owners, lone sockets among them; some share a place. */
static size_t make_records(struct sp_member_record *records, __u64 *seed)
{
	__u32 ngroups = 1 + next_random(seed) % 8;
	__u64 cookie = 100;
	size_t n = 0;

	for (__u32 g = 0; g < ngroups; g++) {
		bool is_lone = next_random(seed) % 4 == 0;
		__u32 place = next_random(seed);
		__u32 nmembers = is_lone ? 1 : 1 + next_random(seed) % 8;

		for (__u32 m = 0; m < nmembers; m++, cookie++) {
			int position = is_lone || next_random(seed) % 8 == 0 ? -1 : (int)m;
			__u32 nowners = 1 + next_random(seed) % 4;

			for (__u32 o = 0; o < nowners; o++, n++) {
				records[n] = record(is_lone ? 0 : 0x1000 - g, cookie, position, 10 + o / 2,
						    cookie + o % 2);
				records[n].protocol = place & 1 ? SP_TCP : SP_UDP;
				records[n].port = 80 + (place >> 1 & 1);
				records[n].netns_inode = place >> 2 & 1;
				records[n].group_size = nmembers;
			}
		}
	}
	return n;
}

static void group__same_records_shuffled__same_groups(void **state)
{
	__u64 seed = 0x5eed;

	(void)state;
	for (int history = 0; history < 200; history++) {
		struct sp_member_record records[8 * 8 * 4];
		size_t n = make_records(records, &seed);
		sp_autogroups struct sp_groups *groups = grouped(records, n);
		sp_autofree char *text = text_of(groups);
		size_t nowners = 0;

		for (size_t i = 0; i < groups->ngroups; i++)
			for (size_t j = 0; j < groups->groups[i].nmembers; j++)
				nowners += groups->groups[i].members[j].nowners;
		assert_int_equal(nowners, n);
		for (int i = 0; i < 10; i++) {
			shuffle(records, n, &seed);
			require_groups(records, n, text);
		}
	}
}

static void free__nothing_or_twice__harmless(void **state)
{
	const struct sp_member_record r = record(0x10, 11, 0, 5, 3);
	struct sp_groups *groups = grouped(&r, 1);

	(void)state;
	sp_groups_free(&groups);
	assert_null(groups);
	sp_groups_free(&groups);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(group__no_records__no_groups),
		cmocka_unit_test(group__records_in_any_order__members_in_the_kernels_order),
		cmocka_unit_test(group__several_owners_of_a_member__one_member_owners_sorted),
		cmocka_unit_test(group__unknown_positions__last_and_by_cookie),
		cmocka_unit_test(group__several_groups_on_one_port__kept_apart),
		cmocka_unit_test(group__lone_sockets__each_for_itself),
		cmocka_unit_test(group__socket_joins_during_the_pass__each_place_has_its_owners),
		cmocka_unit_test(group__many_places__sorted_by_protocol_port_address_netns),
		cmocka_unit_test(group__every_field_of_a_record__arrives),
		cmocka_unit_test(group__sockarray_that_only_the_attached_program_has__is_not_shared),
		cmocka_unit_test(group__state__only_udp_can_be_connected),
		cmocka_unit_test(group__1024_members_and_more__all_there_in_order),
		cmocka_unit_test(group__same_records_shuffled__same_groups),
		cmocka_unit_test(free__nothing_or_twice__harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
