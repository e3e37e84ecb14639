// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who is in which group: the iterator against groups whose order, owners and places are known. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "fixture.h"
#include "group.h"
#include "netns.h"

#define MANY_MEMBERS 200
#define HOLDER_MS 5000 /* a process of ours that does not report for so long is broken */

static __u64 own_netns(void)
{
	__u64 cookie;
	__u32 inode;

	assert_int_equal(sp_netns_resolve(NULL, &cookie, &inode), 0);
	return cookie;
}

static void scan(__u16 any_on_port, struct sp_groups **groups)
{
	sp_groups_free(groups);
	assert_int_equal(sp_members_scan(any_on_port, groups), 0);
}

/* The only group or lone socket with this protocol and port in that namespace; NULL: none. */
static const struct sp_group *at_port(const struct sp_groups *groups, enum sp_protocol protocol, __u16 port,
				      __u64 netns_cookie)
{
	const struct sp_group *found = NULL;

	for (size_t i = 0; i < groups->ngroups; i++) {
		const struct sp_group *g = &groups->groups[i];

		if (g->protocol != protocol || g->port != port || g->netns_cookie != netns_cookie)
			continue;
		assert_null(found);
		found = g;
	}
	return found;
}

static const struct sp_group *scan_fixture(struct sp_fixture *fx, struct sp_groups **groups)
{
	const struct sp_group *group;

	scan(0, groups);
	group = at_port(*groups, fx->protocol, fx->port, own_netns());
	assert_non_null(group);
	assert_true(group->has_group);
	return group;
}

static void require_order(struct sp_fixture *fx, const struct sp_group *group, const __u32 *ids, size_t count)
{
	assert_int_equal(group->size, count);
	assert_int_equal(group->nmembers, count);
	for (size_t i = 0; i < count; i++) {
		const struct sp_member *m = &group->members[i];

		assert_int_equal(m->position, i);
		assert_int_equal(m->cookie, fx->workers[ids[i]].cookie);
		assert_int_equal(m->nowners, 1);
		assert_int_equal(m->owners[0].pid, fx->workers[ids[i]].pid);
	}
}

static void members__in_bind_order__last_fills_the_hole(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group = scan_fixture(fx, &groups);
	char comm[32];

	require_order(fx, group, (const __u32[]){ 0, 1, 2, 3, 4 }, 5);
	assert_memory_equal(&group->address, &fx->address, sizeof(fx->address));
	assert_int_equal(group->is_v6only, fx->is_v6only);
	assert_int_equal(group->uid, getuid());
	assert_int_equal(group->prog_id, 0);
	assert_int_equal(group->prog_type, 0);
	assert_int_equal(group->ifindex, 0);
	for (size_t i = 0; i < group->nmembers; i++) {
		snprintf(comm, sizeof(comm), "worker-%zu", i);
		assert_string_equal(group->members[i].owners[0].comm, comm);
	}

	sp_fixture_kill(fx, 1);
	require_order(fx, scan_fixture(fx, &groups), (const __u32[]){ 0, 4, 2, 3 }, 4);
	sp_fixture_kill(fx, 0);
	require_order(fx, scan_fixture(fx, &groups), (const __u32[]){ 3, 4, 2 }, 3);
	sp_fixture_join(fx);
	require_order(fx, scan_fixture(fx, &groups), (const __u32[]){ 3, 4, 2, 5 }, 4);
}

/*
 * What the iterator says of the kernel's order is what the kernel does with it; attach_test tells the
 * rest.
 */
static void members__attached__program_is_named(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;

	sp_fixture_attach(fx);
	group = scan_fixture(fx, &groups);
	assert_int_equal(group->prog_id, fx->result.program_id);
	assert_string_equal(group->prog_name, SP_PROG_NAME);
	assert_ptr_equal(sp_group_at(groups, &fx->state->ctl, group->prog_id), group);
}

static void members__worker_is_paused__backlog_is_what_waits(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;
	__u32 waiting, sum = 0;

	sp_fixture_flows(fx, 40);
	group = scan_fixture(fx, &groups);
	for (size_t i = 0; i < group->nmembers; i++) {
		assert_int_equal(sp_lab_waiting(&fx->workers[i], &waiting), 0);
		assert_int_equal(group->members[i].backlog, waiting);
		assert_int_equal(group->members[i].backlog_max, 4096);
		assert_int_equal(group->members[i].drops, 0);
		sum += waiting;
	}
	assert_int_equal(sum, 40);
	sp_fixture_resume(fx);
}

/* --- sockets and processes made by hand --- */

/* A UDP socket on 127.0.0.1, the port chosen by the kernel unless given. */
static int open_udp(struct sp_fixture *fx, const char *text, __u16 port, bool reuseport)
{
	struct sp_address address;
	int fd, on = reuseport, one = 1, err;

	assert_int_equal(sp_lab_address(text, &address), 0);
	fd = sp_fixture_own(fx, socket(address.family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	if (address.family == AF_INET) {
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };

		memcpy(&sa.sin_addr, address.bytes, sizeof(sa.sin_addr));
		err = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	} else {
		struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)), 0);
		memcpy(&sa.sin6_addr, address.bytes, sizeof(sa.sin6_addr));
		err = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	}
	assert_int_equal(err, 0);
	return fd;
}

/* A child process that holds what it inherited until it is killed; it dies with its parent, too. */
static pid_t hold(unsigned long clone_flags)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	/*
	 * Not fork(): it cannot be asked for namespaces. No stack is given, so the child goes on with a
	 * copy.
	 */
	pid = syscall(SYS_clone, clone_flags | SIGCHLD, NULL, NULL, NULL, NULL);
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "holder");
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(poll(&(struct pollfd){ .fd = ready[0], .events = POLLIN }, 1, HOLDER_MS), 1);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void release(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void members__socket_inherited__every_process_is_an_owner(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;
	const struct sp_member *m;
	int fd = open_udp(fx, "127.0.0.1", fx->port, true), again = sp_fixture_own(fx, dup(fd));
	pid_t children[] = { hold(0), hold(0) };

	group = scan_fixture(fx, &groups);
	assert_int_equal(group->size, 1);
	assert_int_equal(group->nmembers, 1);
	m = &group->members[0];
	assert_int_equal(m->cookie, sp_fixture_cookie(fd));
	/* This process and each child, with both numbers; sorted. */
	assert_int_equal(m->nowners, 6);
	for (size_t i = 0; i < 6; i++) {
		const pid_t pids[] = { getpid(), children[0], children[1] };
		size_t found = 0;

		for (size_t p = 0; p < 3; p++)
			found += m->owners[i].pid == (__u32)pids[p];
		assert_int_equal(found, 1);
		assert_int_equal(m->owners[i].fd, i % 2 ? again : fd);
		if (m->owners[i].pid != (__u32)getpid())
			assert_string_equal(m->owners[i].comm, "holder");
	}
	for (size_t i = 1; i < 6; i++)
		assert_true(m->owners[i - 1].pid <= m->owners[i].pid);

	release(children[0]);
	assert_int_equal(scan_fixture(fx, &groups)->members[0].nowners, 4);
	release(children[1]);
	assert_int_equal(scan_fixture(fx, &groups)->members[0].nowners, 2);
}

static void members__held_by_nobody_visible__group_size_tells(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	const struct sp_group *group;
	int channel[2], fds[3];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, channel), 0);
	sp_fixture_own(fx, channel[0]);
	sp_fixture_own(fx, channel[1]);
	for (size_t i = 0; i < SP_ARRAY_SIZE(fds); i++)
		fds[i] = open_udp(fx, "127.0.0.1", fx->port, true);

	/* The second is in a message that nobody has received, and nowhere else. */
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &fds[1], sizeof(int));
	assert_int_equal(sendmsg(channel[0], &message, 0), 1);
	sp_close_fd(&fx->files[3]);

	group = scan_fixture(fx, &groups);
	assert_int_equal(group->size, 3);
	assert_int_equal(group->nmembers, 2);
	assert_int_equal(group->members[0].position, 0);
	assert_int_equal(group->members[0].cookie, sp_fixture_cookie(fds[0]));
	assert_int_equal(group->members[1].position, 2);
	assert_int_equal(group->members[1].cookie, sp_fixture_cookie(fds[2]));
}

static void members__other_user__uid_is_the_sockets(struct sp_fixture *fx)
{
	const struct sp_lab_options options = { .reuseport = true, .uid = 65534 };
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;

	assert_int_equal(sp_lab_start(fx->protocol, &fx->address, fx->port, &options, &fx->workers[0]), 0);
	fx->nworkers = 1;
	group = scan_fixture(fx, &groups);
	assert_int_equal(group->uid, 65534);
	require_order(fx, group, (const __u32[]){ 0 }, 1);
}

static void members__other_network_namespace__is_told_apart(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *ours, *theirs;
	char path[64];
	__u64 netns_cookie;
	__u32 netns_inode;
	struct stat status;
	int ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	sp_fixture_own(fx, ready[0]);
	sp_fixture_own(fx, ready[1]);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct sp_lab_options options = { .reuseport = true, .id = 7 };
		struct sp_lab_worker worker;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sp_lab_enter(NULL) ||
		    sp_lab_start(fx->protocol, &fx->address, fx->port, &options, &worker) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(poll(&(struct pollfd){ .fd = ready[0], .events = POLLIN }, 1, HOLDER_MS), 1);
	assert_int_equal(read(ready[0], &byte, 1), 1);

	snprintf(path, sizeof(path), "%d", pid);
	assert_int_equal(sp_netns_resolve(path, &netns_cookie, &netns_inode), 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(netns_inode, status.st_ino);
	ours = scan_fixture(fx, &groups);
	require_order(fx, ours, (const __u32[]){ 0, 1 }, 2);
	theirs = at_port(groups, fx->protocol, fx->port, netns_cookie);
	assert_non_null(theirs);
	assert_int_equal(theirs->netns_inode, status.st_ino);
	assert_int_not_equal(ours->netns_inode, theirs->netns_inode);
	assert_int_equal(theirs->size, 1);
	assert_string_equal(theirs->members[0].owners[0].comm, "worker-7");
	release(pid);
}

static void members__other_pid_namespace__pid_is_the_one_we_use(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;
	int fd = open_udp(fx, "127.0.0.1", fx->port, true);
	/* It calls itself 1. */
	pid_t child = hold(CLONE_NEWPID);
	bool is_seen = false;
	int copy = -1;

	group = scan_fixture(fx, &groups);
	assert_int_equal(group->members[0].nowners, 2);
	for (size_t i = 0; i < 2; i++)
		is_seen |= group->members[0].owners[i].pid == (__u32)child;
	assert_true(is_seen);

	/* The number is good for taking the socket. */
	sp_close_fd(&fx->files[0]);
	group = scan_fixture(fx, &groups);
	assert_int_equal(group->members[0].nowners, 1);
	assert_int_equal(group->members[0].owners[0].pid, child);
	assert_int_equal(group->members[0].owners[0].fd, fd);
	assert_int_equal(sp_group_socket(&group->members[0], &copy), 0);
	assert_int_equal(sp_fixture_cookie(copy), group->members[0].cookie);
	sp_close_fd(&copy);
	release(child);
	assert_int_equal(sp_group_socket(&group->members[0], &copy), -ESTALE);
	assert_int_equal(copy, -1);
}

static void members__socket_without_reuseport__only_when_asked_by_port(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *lone;
	int fd = open_udp(fx, "127.0.0.1", fx->port, false);

	scan(0, &groups);
	assert_null(at_port(groups, SP_UDP, fx->port, own_netns()));
	scan(fx->port + 1, &groups);
	assert_null(at_port(groups, SP_UDP, fx->port, own_netns()));
	scan(fx->port, &groups);
	lone = at_port(groups, SP_UDP, fx->port, own_netns());
	assert_non_null(lone);
	assert_false(lone->has_group);
	assert_int_equal(lone->size, 1);
	assert_int_equal(lone->nmembers, 1);
	assert_int_equal(lone->members[0].cookie, sp_fixture_cookie(fd));
}

static void members__two_addresses_on_one_port__are_two_groups(struct sp_fixture *fx)
{
	static const char *const addresses[] = { "127.0.0.1", "127.0.0.2", "192.0.2.7", "::1",
						 "2001:db8::7" };
	sp_autogroups struct sp_groups *groups = NULL;
	__u64 cookies[2 * SP_ARRAY_SIZE(addresses)];

	for (size_t i = 0; i < SP_ARRAY_SIZE(cookies); i++)
		cookies[i] = sp_fixture_cookie(
			open_udp(fx, addresses[i % SP_ARRAY_SIZE(addresses)], fx->port, true));
	scan(0, &groups);
	for (size_t a = 0; a < SP_ARRAY_SIZE(addresses); a++) {
		const struct sp_group *found = NULL;
		struct sp_endpoint endpoint = { .protocol = SP_UDP, .has_address = true, .port = fx->port };

		assert_int_equal(sp_lab_address(addresses[a], &endpoint.address), 0);
		assert_int_equal(sp_group_find(groups, &endpoint, own_netns(), &found), 0);
		assert_int_equal(found->size, 2);
		assert_int_equal(found->nmembers, 2);
		assert_int_equal(found->members[0].cookie, cookies[a]);
		assert_int_equal(found->members[1].cookie, cookies[a + SP_ARRAY_SIZE(addresses)]);
	}
}

static void members__listener_shut_down__is_gone(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;
	int copy = -1;

	group = scan_fixture(fx, &groups);
	assert_int_equal(sp_group_socket(&group->members[0], &copy), 0);
	assert_int_equal(shutdown(copy, SHUT_RD), 0);
	sp_close_fd(&copy);
	/* Its process has it open still, but it does not listen: its place is taken. */
	require_order(fx, scan_fixture(fx, &groups), (const __u32[]){ 2, 1 }, 2);
}

static void members__large_group__is_complete_and_in_order(struct sp_fixture *fx)
{
	sp_autogroups struct sp_groups *groups = NULL;
	__u64 cookies[MANY_MEMBERS];
	int fds[MANY_MEMBERS];
	const struct sp_group *group;

	for (int i = 0; i < MANY_MEMBERS; i++) {
		/* Owned here: a fixture keeps only a few. */
		fds[i] = open_udp(fx, "127.0.0.1", fx->port, true);
		fx->nfiles = 0;
		cookies[i] = sp_fixture_cookie(fds[i]);
	}
	scan(0, &groups);
	for (int i = 0; i < MANY_MEMBERS; i++)
		close(fds[i]);
	group = at_port(groups, SP_UDP, fx->port, own_netns());
	assert_non_null(group);
	assert_int_equal(group->size, MANY_MEMBERS);
	assert_int_equal(group->nmembers, MANY_MEMBERS);
	for (int i = 0; i < MANY_MEMBERS; i++) {
		assert_int_equal(group->members[i].position, i);
		assert_int_equal(group->members[i].cookie, cookies[i]);
		assert_int_equal(group->members[i].nowners, 1);
	}
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(members__in_bind_order__last_fills_the_hole, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_ALL, .workers = 5),
		SP_CASE(members__attached__program_is_named, .protocols = SP_CASE_BOTH, .places = SP_PLACE_V4,
			.workers = 2),
		SP_CASE(members__worker_is_paused__backlog_is_what_waits, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4, .workers = 2, .is_paused = true),
		SP_CASE(members__socket_inherited__every_process_is_an_owner, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4),
		SP_CASE(members__held_by_nobody_visible__group_size_tells, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4),
		SP_CASE(members__other_user__uid_is_the_sockets, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4),
		SP_CASE(members__other_network_namespace__is_told_apart, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4_ANY, .workers = 2),
		SP_CASE(members__other_pid_namespace__pid_is_the_one_we_use, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4),
		SP_CASE(members__socket_without_reuseport__only_when_asked_by_port, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4),
		SP_CASE(members__two_addresses_on_one_port__are_two_groups, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4),
		SP_CASE(members__listener_shut_down__is_gone, .protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4 | SP_PLACE_V6, .workers = 3),
		SP_CASE(members__large_group__is_complete_and_in_order, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4),
	};

	return sp_fixture_main("members", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
