// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A socket like a member's: it joins the member's group, and its connections inherit what the member's do. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fixture.h"
#include "members.h"
#include "sibling.h"

#define NOBODY 65534
#define VALUE_MAX 32

/* --- a member with every option that is copied --- */

struct setting {
	int level, name, value;
	const char *text; /* NULL: value */
};

static const struct setting common[] = {
	{ SOL_SOCKET, SO_REUSEADDR, 1, NULL },
	{ SOL_SOCKET, SO_MARK, 0x5eed, NULL },
	{ SOL_SOCKET, SO_PRIORITY, 5, NULL },
	{ SOL_SOCKET, SO_RCVBUF, 40000, NULL },
	{ SOL_SOCKET, SO_SNDBUF, 50000, NULL },
	{ SOL_SOCKET, SO_RCVLOWAT, 3, NULL },
	{ SOL_SOCKET, SO_KEEPALIVE, 1, NULL },
	{ SOL_SOCKET, SO_OOBINLINE, 1, NULL },
	{ IPPROTO_IP, IP_TOS, 0x48, NULL },
	{ IPPROTO_IP, IP_TTL, 33, NULL },
	{ IPPROTO_TCP, TCP_CONGESTION, 0, "reno" },
	{ IPPROTO_TCP, TCP_NODELAY, 1, NULL },
	{ IPPROTO_TCP, TCP_MAXSEG, 1000, NULL },
	{ IPPROTO_TCP, TCP_KEEPIDLE, 77, NULL },
	{ IPPROTO_TCP, TCP_KEEPINTVL, 11, NULL },
	{ IPPROTO_TCP, TCP_KEEPCNT, 4, NULL },
	{ IPPROTO_TCP, TCP_SYNCNT, 3, NULL },
	{ IPPROTO_TCP, TCP_LINGER2, 9, NULL },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, 3, NULL },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, 12345, NULL },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096, NULL },
};

static const struct setting ipv6[] = {
	{ IPPROTO_IPV6, IPV6_TCLASS, 0x48, NULL },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, 33, NULL },
};

static void apply(int fd, const struct setting *settings, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const void *value = settings[i].text ?: (const void *)&settings[i].value;
		socklen_t len = settings[i].text ? strlen(settings[i].text) : sizeof(settings[i].value);

		if (setsockopt(fd, settings[i].level, settings[i].name, value, len))
			fail_msg("option %d of level %d: %s", settings[i].name, settings[i].level,
				 strerror(errno));
	}
}

static void require_alike(int a, int b, const struct setting *settings, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char of_a[VALUE_MAX] = { 0 }, of_b[VALUE_MAX] = { 0 };
		socklen_t len_a = VALUE_MAX, len_b = VALUE_MAX;

		assert_int_equal(getsockopt(a, settings[i].level, settings[i].name, of_a, &len_a), 0);
		assert_int_equal(getsockopt(b, settings[i].level, settings[i].name, of_b, &len_b), 0);
		if (len_a != len_b || memcmp(of_a, of_b, VALUE_MAX))
			fail_msg("option %d of level %d was not copied", settings[i].name, settings[i].level);
	}
}

static int open_socket(struct sp_fixture *fx)
{
	int fd = sp_fixture_own(fx, socket(fx->address.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	int one = 1, v6only = fx->is_v6only;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	if (fx->address.family == AF_INET6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)), 0);
	return fd;
}

static void listen_there(struct sp_fixture *fx, int fd)
{
	struct sockaddr_storage own;
	socklen_t len = sp_address_to_sockaddr(&fx->address, fx->port, &own);

	assert_int_equal(bind(fd, (struct sockaddr *)&own, len), 0);
	assert_int_equal(listen(fd, 16), 0);
}

/* The kernel's word for it. */
static void require_one_group(int a, int b, __u32 size)
{
	sp_autogroups struct sp_groups *groups = NULL;
	__u64 cookie_a = sp_fixture_cookie(a), cookie_b = sp_fixture_cookie(b);

	require_ok(sp_members_scan(0, &groups));
	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];
		bool has_a = false, has_b = false;

		for (size_t m = 0; m < g->nmembers; m++) {
			has_a |= g->members[m].cookie == cookie_a;
			has_b |= g->members[m].cookie == cookie_b;
		}
		if (!has_a && !has_b)
			continue;
		assert_true(has_a && has_b);
		assert_int_equal(g->size, size);
		return;
	}
	fail_msg("no group has the member");
}

static int make_sibling(struct sp_fixture *fx, int member)
{
	int fd = -1;

	require_ok(sp_sibling_make(member, &fd));
	sp_fixture_own(fx, fd);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(listen(fd, 16), 0);
	require_one_group(member, fd, 2);
	return fd;
}

static void sibling__of_a_plain_member__joins_its_group_and_changes_no_default(struct sp_fixture *fx)
{
	int member = open_socket(fx), plain = open_socket(fx), sibling, is_locked = -1;
	socklen_t len = sizeof(is_locked);

	listen_there(fx, member);
	sibling = make_sibling(fx, member);
	require_alike(plain, sibling, common + 1, SP_ARRAY_SIZE(common) - 1);
	/* SO_BUF_LOCK, Linux 5.15: a buffer whose size was set does not grow by itself any more. */
	if (!getsockopt(sibling, SOL_SOCKET, 72, &is_locked, &len))
		assert_int_equal(is_locked, 0);
}

static void sibling__of_a_member_with_options__has_them_all(struct sp_fixture *fx)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 7 };
	int member = open_socket(fx), sibling;
	struct linger copied = { 0 };
	socklen_t len = sizeof(copied);

	apply(member, common, SP_ARRAY_SIZE(common));
	if (fx->address.family == AF_INET6)
		apply(member, ipv6, SP_ARRAY_SIZE(ipv6));
	assert_int_equal(setsockopt(member, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	listen_there(fx, member);
	sibling = make_sibling(fx, member);
	require_alike(member, sibling, common, SP_ARRAY_SIZE(common));
	if (fx->address.family == AF_INET6)
		require_alike(member, sibling, ipv6, SP_ARRAY_SIZE(ipv6));
	assert_int_equal(getsockopt(sibling, SOL_SOCKET, SO_LINGER, &copied, &len), 0);
	assert_memory_equal(&linger, &copied, sizeof(linger));
}

static void sibling__of_a_member_bound_to_a_device__is_bound_to_it(struct sp_fixture *fx)
{
	int member = open_socket(fx);

	assert_int_equal(setsockopt(member, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
	listen_there(fx, member);
	make_sibling(fx, member);
}

/* The scope of the address binds to the device. */
static void sibling__of_a_member_on_a_link_local_address__joins_its_group(struct sp_fixture *fx)
{
	struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_scope_id = if_nametoindex("lo") };
	int member = open_socket(fx);
	struct sp_address address;

	require_ok(sp_lab_address("fe80::7", &address));
	require_ok(sp_lab_add_address(&address));
	memcpy(&own.sin6_addr, address.bytes, sizeof(own.sin6_addr));
	own.sin6_port = htons(fx->port);
	assert_int_equal(bind(member, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(listen(member, 16), 0);
	make_sibling(fx, member);
}

/* An address that this host does not have, or has not yet. */
static void sibling__of_a_member_on_a_foreign_address__joins_its_group(struct sp_fixture *fx)
{
	bool is_v6 = fx->address.family == AF_INET6;
	int member = open_socket(fx), one = 1;

	require_ok(sp_lab_address(is_v6 ? "2001:db8::99" : "192.0.2.99", &fx->address));
	assert_int_equal(setsockopt(member, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
				    is_v6 ? IPV6_FREEBIND : IP_FREEBIND, &one, sizeof(one)),
			 0);
	listen_there(fx, member);
	make_sibling(fx, member);
}

static void sibling__of_another_users_member__is_that_users(struct sp_fixture *fx)
{
	struct stat st;
	int member;

	setfsuid(NOBODY);
	member = open_socket(fx);
	setfsuid(0);
	listen_there(fx, member);
	assert_int_equal(fstat(make_sibling(fx, member), &st), 0);
	assert_int_equal(st.st_uid, NOBODY);
	assert_int_equal(setfsuid(-1), 0);
}

/*
 * A master listens, and a worker of another user accepts: to the kernel the connection is the worker's
 * (sock_graft()), and would be in the way of whoever binds its port but for SO_REUSEADDR on both.
 */
static void sibling__of_a_member_whose_connections_are_another_users__joins_its_group(struct sp_fixture *fx)
{
	struct sockaddr_storage target;
	socklen_t len = sp_address_to_sockaddr(&fx->target, fx->port, &target);
	int member = open_socket(fx), client, accepted, one = 1;
	struct stat st;

	assert_int_equal(setsockopt(member, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	listen_there(fx, member);
	client = sp_fixture_own(fx, socket(fx->target.family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	assert_int_equal(connect(client, (struct sockaddr *)&target, len), 0);
	setfsuid(NOBODY);
	accepted = sp_fixture_own(fx, accept(member, NULL, NULL));
	setfsuid(0);
	assert_int_equal(fstat(accepted, &st), 0);
	assert_int_equal(st.st_uid, NOBODY);
	make_sibling(fx, member);
}

static void sibling__without_the_right_to_be_that_user__is_refused(struct sp_fixture *fx)
{
	int member = open_socket(fx), fd = -1, status;
	pid_t child;

	listen_there(fx, member);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(!setresuid(NOBODY, NOBODY, NOBODY) && sp_sibling_make(member, &fd) == -EPERM &&
				      fd == -1 ?
			      0 :
			      1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(sibling__of_a_plain_member__joins_its_group_and_changes_no_default,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_ALL),
		SP_CASE(sibling__of_a_member_with_options__has_them_all, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY),
		SP_CASE(sibling__of_a_member_bound_to_a_device__is_bound_to_it, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_EACH_FAMILY),
		SP_CASE(sibling__of_a_member_on_a_link_local_address__joins_its_group,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V6),
		SP_CASE(sibling__of_a_member_on_a_foreign_address__joins_its_group, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4 | SP_PLACE_V6),
		SP_CASE(sibling__of_another_users_member__is_that_users, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
		SP_CASE(sibling__of_a_member_whose_connections_are_another_users__joins_its_group,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_EACH_FAMILY),
		SP_CASE(sibling__without_the_right_to_be_that_user__is_refused, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4),
	};

	return sp_fixture_main("sibling", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
