// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the kernel tells of sockets that join and leave, what it does not, and beside whom. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include <cmocka.h>
#include "cleanup.h"
#include "kernel.h"
#include "lab.h"
#include "members.h"
#include "netns.h"
#include "watch.h"

#define PORT 7070
#define OTHER_PORT 7071
#define PATIENCE_MS 20000
#define CGROUPS "/sys/fs/cgroup/unified"

static struct sp_watch *watch;
static struct sp_watch_event heard[16];
static size_t nheard;
static __u64 here; /* cookie of our network namespace */

static void note(void *ctx, const struct sp_watch_event *event)
{
	(void)ctx;
	assert_true(nheard < SP_ARRAY_SIZE(heard));
	/* A port is a number in every network namespace: other tests may use it, too. */
	if (event->netns_cookie == here)
		heard[nheard++] = *event;
}

/* All that was told until now: the kernel tells before the system call returns. */
static void listen_for_news(void)
{
	nheard = 0;
	sp_watch_read(watch, note, NULL);
}

static int setup(void **state)
{
	const struct sp_watch_key keys[] = {
		{ .port = PORT, .protocol = SP_TCP },
		{ .port = PORT, .protocol = SP_UDP },
	};
	__u32 inode;

	(void)state;
	return sp_kernel_check() || sp_netns_resolve(NULL, &here, &inode) || sp_watch_open(&watch) ||
	       sp_watch_set(watch, keys, 2);
}

static int teardown(void **state)
{
	(void)state;
	sp_watch_free(&watch);
	return 0;
}

static int open_bound(int type, const char *text, __u16 port, int reuseport)
{
	struct sp_address address;
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	assert_int_equal(sp_lab_address(text, &address), 0);
	len = sp_address_to_sockaddr(&address, port, &sa);
	fd = socket(sa.ss_family, type | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &reuseport, sizeof(reuseport)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

static __u64 cookie_of(int fd)
{
	__u64 cookie = 0;
	socklen_t len = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
	return cookie;
}

static void require_heard(enum sp_watch_kind kind, enum sp_protocol protocol, __u64 cookie)
{
	listen_for_news();
	assert_int_equal(nheard, 1);
	assert_int_equal(heard[0].kind, kind);
	assert_int_equal(heard[0].key.port, PORT);
	assert_int_equal(heard[0].key.protocol, protocol);
	assert_int_equal(heard[0].cookie, cookie);
	assert_true(heard[0].time_ns);
}

static void require_silence(void)
{
	listen_for_news();
	assert_int_equal(nheard, 0);
}

static bool is_member(__u64 cookie)
{
	sp_autogroups struct sp_groups *groups = NULL;

	assert_int_equal(sp_members_scan(0, &groups), 0);
	for (size_t i = 0; i < groups->ngroups; i++) {
		for (size_t j = 0; j < groups->groups[i].nmembers; j++) {
			if (groups->groups[i].members[j].cookie == cookie)
				return true;
		}
	}
	return false;
}

static void watch__tcp_listens_and_stops__told_each_time(void **state)
{
	static const char *const places[] = { "127.0.0.1", "::1", "::" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(places); i++) {
		int fd = open_bound(SOCK_STREAM, places[i], PORT, 1);
		__u64 cookie = cookie_of(fd);

		require_silence(); /* bound is not listening */
		assert_int_equal(listen(fd, 1), 0);
		require_heard(SP_WATCH_LISTENS, SP_TCP, cookie);
		assert_true(is_member(cookie));
		assert_int_equal(shutdown(fd, SHUT_RD), 0);
		require_heard(SP_WATCH_GONE, SP_TCP, cookie);
		assert_int_equal(listen(fd, 1), 0);
		require_heard(SP_WATCH_LISTENS, SP_TCP, cookie);
		close(fd);
		require_heard(SP_WATCH_GONE, SP_TCP, cookie);
	}
}

/* A daemon that looked after each of them would do nothing else. */
static void watch__connections_come_and_go__not_told(void **state)
{
	const struct linger abort = { .l_onoff = 1 }; /* leaves nothing behind on the port */
	int listener = open_bound(SOCK_STREAM, "127.0.0.1", PORT, 1);
	__u64 cookie = cookie_of(listener);
	struct sockaddr_storage sa;
	struct sp_address address;
	socklen_t len;

	(void)state;
	assert_int_equal(listen(listener, 16), 0);
	listen_for_news();
	assert_int_equal(sp_lab_address("127.0.0.1", &address), 0);
	len = sp_address_to_sockaddr(&address, PORT, &sa);
	for (int i = 0; i < 10; i++) {
		sp_autoclose int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		sp_autoclose int accepted = -1;

		assert_int_equal(connect(client, (struct sockaddr *)&sa, len), 0);
		accepted = accept(listener, NULL, NULL);
		assert_true(accepted >= 0);
		setsockopt(client, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
		sp_close_fd(&client);
	}
	require_silence();
	close(listener);
	require_heard(SP_WATCH_GONE, SP_TCP, cookie);
}

static void watch__udp_is_bound__told_and_a_member(void **state)
{
	static const char *const places[] = { "127.0.0.1", "::1", "::" };

	(void)state;
	for (size_t i = 0; i < SP_ARRAY_SIZE(places); i++) {
		int fd = open_bound(SOCK_DGRAM, places[i], PORT, 1);
		__u64 cookie = cookie_of(fd);

		require_heard(SP_WATCH_BOUND, SP_UDP, cookie);
		assert_true(is_member(cookie));
		close(fd);
	}
}

/* The daemon sleeps on it. */
static void watch__news__wake_who_polls(void **state)
{
	struct pollfd news = { .fd = sp_watch_fd(watch), .events = POLLIN };
	int fd;

	(void)state;
	listen_for_news();
	assert_int_equal(poll(&news, 1, 0), 0);
	fd = open_bound(SOCK_DGRAM, "127.0.0.1", PORT, 1);
	assert_int_equal(poll(&news, 1, PATIENCE_MS), 1);
	require_heard(SP_WATCH_BOUND, SP_UDP, cookie_of(fd));
	assert_int_equal(poll(&news, 1, 0), 0);
	close(fd);
}

static void watch__other_ports_and_lone_listeners__not_told(void **state)
{
	int fd;

	(void)state;
	fd = open_bound(SOCK_DGRAM, "127.0.0.1", OTHER_PORT, 1);
	close(fd);
	fd = open_bound(SOCK_STREAM, "127.0.0.1", OTHER_PORT, 1);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
	fd = open_bound(SOCK_STREAM, "127.0.0.1", PORT, 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
	require_silence();
}

static void watch__ports_set_anew__only_those(void **state)
{
	const struct sp_watch_key other = { .port = OTHER_PORT, .protocol = SP_UDP };
	const struct sp_watch_key first = { .port = PORT, .protocol = SP_UDP };
	int fd;

	(void)state;
	assert_int_equal(sp_watch_set(watch, &other, 1), 0);
	fd = open_bound(SOCK_DGRAM, "127.0.0.1", PORT, 1);
	close(fd);
	require_silence();
	fd = open_bound(SOCK_DGRAM, "127.0.0.1", OTHER_PORT, 1);
	close(fd);
	listen_for_news();
	assert_int_equal(nheard, 1);
	assert_int_equal(heard[0].key.port, OTHER_PORT);
	assert_int_equal(sp_watch_set(watch, &first, 1), 0);
}

/* --- a cgroup of our own, so that nobody else meets what is attached there --- */

static int load_bind_program(void)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_CGROUP_INET4_POST_BIND);

	return bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK, "neighbour", "GPL", code, SP_ARRAY_SIZE(code), &opts);
}

static char own_cgroup[128];

/* The first cgroup2 mount that a process of this mount namespace sees is then our own cgroup. */
static int enter_cgroup(void **state)
{
	char file[160], mounts[64] = CGROUPS;
	FILE *procs;

	(void)state;
	if (access(CGROUPS, F_OK))
		strcpy(mounts, "/sys/fs/cgroup");
	snprintf(own_cgroup, sizeof(own_cgroup), "%s/sp-watch-%d", mounts, getpid());
	snprintf(file, sizeof(file), "%s/cgroup.procs", own_cgroup);
	if (mkdir(own_cgroup, 0700))
		return -1;
	procs = fopen(file, "w");
	if (!procs || fprintf(procs, "%d", getpid()) < 0 || fclose(procs))
		return -1;
	return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	       mount(own_cgroup, mounts, NULL, MS_BIND, NULL);
}

static int leave_cgroup(void **state)
{
	const char *mounts = access(CGROUPS, F_OK) ? "/sys/fs/cgroup" : CGROUPS;
	char file[160];
	FILE *procs;

	(void)state;
	if (umount2(mounts, MNT_DETACH))
		return -1;
	snprintf(file, sizeof(file), "%s/cgroup.procs", mounts);
	procs = fopen(file, "w");
	if (!procs || fprintf(procs, "%d", getpid()) < 0 || fclose(procs))
		return -1;
	return rmdir(own_cgroup);
}

static int open_own_cgroup(void)
{
	int fd = open(access(CGROUPS, F_OK) ? "/sys/fs/cgroup" : CGROUPS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static __u32 count_attached(int cgroup)
{
	__u32 ids[16], count = SP_ARRAY_SIZE(ids), flags = 0;

	assert_int_equal(bpf_prog_query(cgroup, BPF_CGROUP_INET4_POST_BIND, 0, &flags, ids, &count), 0);
	return count;
}

static void watch__beside_another_program__both_stay_attached(void **state)
{
	sp_autoclose int cgroup = open_own_cgroup();
	sp_autoclose int program = load_bind_program();
	sp_autoclose int link = bpf_link_create(program, cgroup, BPF_CGROUP_INET4_POST_BIND, NULL);
	struct sp_watch *second = NULL;
	sp_autoclose int fd = -1;

	(void)state;
	assert_true(program >= 0 && link >= 0);
	assert_int_equal(count_attached(cgroup), 1);
	assert_int_equal(sp_watch_open(&second), 0);
	assert_true(sp_watch_hears(second, SP_UDP));
	assert_int_equal(count_attached(cgroup), 2);
	fd = open_bound(SOCK_DGRAM, "127.0.0.1", OTHER_PORT, 1);
	sp_watch_free(&second);
	assert_int_equal(count_attached(cgroup), 1);
}

static void watch__cgroup_is_taken__goes_without_udp(void **state)
{
	sp_autoclose int cgroup = open_own_cgroup();
	sp_autoclose int program = load_bind_program();
	struct sp_watch *second = NULL;

	(void)state;
	assert_int_equal(bpf_prog_attach(program, cgroup, BPF_CGROUP_INET4_POST_BIND, 0), 0);
	assert_int_equal(sp_watch_open(&second), 0);
	assert_false(sp_watch_hears(second, SP_UDP));
	assert_true(sp_watch_hears(second, SP_TCP));
	assert_true(sp_watch_fd(second) >= 0);
	assert_int_equal(count_attached(cgroup), 1);
	sp_watch_free(&second);
	assert_int_equal(bpf_prog_detach2(program, cgroup, BPF_CGROUP_INET4_POST_BIND), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watch__tcp_listens_and_stops__told_each_time),
		cmocka_unit_test(watch__connections_come_and_go__not_told),
		cmocka_unit_test(watch__udp_is_bound__told_and_a_member),
		cmocka_unit_test(watch__news__wake_who_polls),
		cmocka_unit_test(watch__other_ports_and_lone_listeners__not_told),
		cmocka_unit_test(watch__ports_set_anew__only_those),
		cmocka_unit_test_setup_teardown(watch__beside_another_program__both_stay_attached,
						enter_cgroup, leave_cgroup),
		cmocka_unit_test_setup_teardown(watch__cgroup_is_taken__goes_without_udp, enter_cgroup,
						leave_cgroup),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
