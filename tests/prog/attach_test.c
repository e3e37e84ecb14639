// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Taking over a group that serves, and giving it back. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include "fixture.h"
#include "foreign.h"
#include "group.h"

#define FLOWS 600
#define WORKERS 4

static void require_attach_moves_nobody(struct sp_fixture *fx, struct sp_flow_set *set)
{
	__u64 learned;

	sp_fixture_attach(fx);
	assert_true(fx->result.is_learning);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	learned = sp_fixture_sum(fx, learned);
	assert_int_equal(learned + sp_fixture_sum(fx, steered), set->count);
	assert_int_equal(sp_fixture_kept(fx), learned);

	/* Known flows are found in the table; the others are where the view has them anyway. */
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_sum(fx, learned), learned);
	assert_int_equal(sp_fixture_sum(fx, kept), learned);

	sp_fixture_end_window(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(sp_fixture_sum(fx, learned), learned);
	assert_int_equal(sp_fixture_sum(fx, stale), 0);
	assert_int_equal(sp_fixture_sum(fx, keep_failed), 0);
	assert_int_equal(sp_fixture_outcomes(fx), 4 * set->count);
}

static void steer__i1_attached_to_a_live_udp_group__nobody_moves(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	require_attach_moves_nobody(fx, set);
	/* By arithmetic three of four flows are in another place than the new view has for them. */
	assert_in_range(sp_fixture_sum(fx, learned), FLOWS / 2, FLOWS);
}

/* One more member, held by this process. */
static int open_member(struct sp_fixture *fx)
{
	const int type = fx->protocol == SP_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd = sp_fixture_own(fx, socket(fx->address.family, type | SOCK_CLOEXEC, 0));
	int one = 1, v6only = fx->is_v6only;
	struct sockaddr_storage own;
	socklen_t len = sp_address_to_sockaddr(&fx->address, fx->port, &own);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	if (fx->address.family == AF_INET6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, len), 0);
	if (fx->protocol == SP_TCP)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* To a peer that never sends. */
static void connect_member(const struct sp_fixture *fx, int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sp_address_to_sockaddr(&fx->target, 9, &peer);

	assert_int_equal(connect(fd, (struct sockaddr *)&peer, len), 0);
}

/*
 * What becomes of a member that connects depends on the kernel: from Linux 6.13 on it leaves the group,
 * before that it stays, unless it was bound to any address.
 */
static void attach_with_member_connected_late(struct sp_fixture *fx, __u32 position)
{
	int fd = -1;

	for (__u32 i = 0; i <= WORKERS; i++) {
		if (i == position)
			fd = open_member(fx);
		else
			sp_fixture_join(fx);
	}
	connect_member(fx, fd);
	require_attach_moves_nobody(fx, sp_fixture_flows(fx, FLOWS));
	assert_in_range(fx->result.size, WORKERS, WORKERS + 1);
	assert_int_equal(fx->result.live, WORKERS);
}

static void steer__i1_member_amid_the_group_connected__is_skipped_and_nobody_moves(struct sp_fixture *fx)
{
	attach_with_member_connected_late(fx, 2);
}

/* The kernel's search for a member that is not connected goes round the end. */
static void steer__i1_last_member_connected__is_skipped_and_nobody_moves(struct sp_fixture *fx)
{
	attach_with_member_connected_late(fx, WORKERS);
}

/* Those who bind later take it into their group, on any kernel. */
static void steer__i1_member_connected_before_others_bind__is_skipped_and_nobody_moves(struct sp_fixture *fx)
{
	connect_member(fx, open_member(fx));
	for (__u32 i = 0; i < WORKERS; i++)
		sp_fixture_join(fx);
	require_attach_moves_nobody(fx, sp_fixture_flows(fx, FLOWS));
	assert_int_equal(fx->result.size, WORKERS + 1);
	assert_int_equal(fx->result.live, WORKERS);
}

static const struct sp_group *find_group(struct sp_fixture *fx, struct sp_groups **groups)
{
	const struct sp_group *group;

	assert_int_equal(sp_members_scan(0, groups), 0);
	group = sp_group_at(*groups, &fx->state->ctl, fx->result.program_id);
	assert_non_null(group);
	return group;
}

static void steer__detached__kernel_chooses_as_before_the_attach(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);
	sp_autogroups struct sp_groups *groups = NULL;
	sp_autofree int *first = calloc(set->count, sizeof(*first));
	int socket = -1;
	__u64 runs;

	assert_non_null(first);
	memcpy(first, set->owners, set->count * sizeof(*first));
	sp_fixture_attach(fx);
	sp_fixture_round(fx, set);

	assert_int_equal(sp_group_any_socket(find_group(fx, &groups), &socket), 0);
	assert_int_equal(sp_group_detach(socket), 0);
	sp_close_fd(&socket);
	sp_groups_free(&groups);
	assert_int_equal(find_group(fx, &groups)->prog_id, 0);

	runs = sp_fixture_runs(fx);
	sp_fixture_round(fx, set);
	assert_int_equal(sp_fixture_runs(fx), runs);
	assert_memory_equal(set->owners, first, set->count * sizeof(*first));
}

/*
 * Any member's owner can take the program off. What was kept before says where the flows were then, and the kernel has
 * had them since. Its order of members is not that of the slots.
 */
static void
steer__i1_detached_behind_our_back__sync_leaves_flows_where_the_kernel_has_them(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);
	int socket;

	sp_fixture_attach(fx);
	sp_fixture_round(fx, set);
	sp_fixture_settle(fx);
	sp_fixture_kill(fx, 0);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_true(sp_fixture_kept(fx) > 0);

	socket = sp_fixture_borrow(fx, 1);
	assert_int_equal(sp_group_detach(socket), 0);
	sp_close_fd(&socket);
	sp_fixture_round(fx, set);
	sp_fixture_sync(fx);
	assert_true(fx->result.did_attach);
	assert_true(fx->result.is_learning);
	assert_int_equal(fx->result.nenrolled, 0);
	for (int i = 0; i < 2; i++) {
		sp_fixture_round(fx, set);
		sp_require_still(fx, set);
	}
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
}

static void reconcile__foreign_program_is_attached__refuses_until_told_to_replace(struct sp_fixture *fx)
{
	struct sp_reconcile_options options = { 0 };
	sp_autogroups struct sp_groups *groups = NULL;
	struct sp_flow_set *set;
	int socket = -1, foreign;

	sp_fixture_load(fx);
	foreign = sp_foreign_load("foreign");
	assert_int_equal(sp_group_any_socket(find_group(fx, &groups), &socket), 0);
	assert_int_equal(sp_group_attach(socket, foreign), 0);
	sp_close_fd(&socket);
	sp_close_fd(&foreign);

	assert_int_equal(sp_reconcile(&fx->pins, &options, &fx->result), -EBUSY);
	assert_false(fx->result.did_publish);
	sp_fixture_look(fx);
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		assert_int_equal(fx->state->info[slot].state, SP_SLOT_FREE);
	sp_groups_free(&groups);
	assert_string_equal(find_group(fx, &groups)->prog_name, "foreign");

	options.may_replace = true;
	assert_int_equal(sp_reconcile(&fx->pins, &options, &fx->result), 0);
	assert_true(fx->result.did_attach);
	assert_true(fx->result.did_replace);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
}

/* Puts the socket where no process can be seen to hold it: into a message that nobody has received. */
static void send_away(int channel, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	assert_int_equal(sendmsg(channel, &message, 0), 1);
}

static void reconcile__member_out_of_reach__refuses_until_told_to_be_partial(struct sp_fixture *fx)
{
	struct sp_reconcile_options options = { 0 };
	struct sp_flow_set *set;
	int channel[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, channel), 0);
	sp_fixture_own(fx, channel[0]);
	sp_fixture_own(fx, channel[1]);
	send_away(channel[0], open_member(fx));
	sp_close_fd(&fx->files[--fx->nfiles]);
	sp_fixture_load(fx);

	assert_int_equal(sp_reconcile(&fx->pins, &options, &fx->result), -EPERM);
	assert_int_equal(fx->result.out_of_reach, 1);
	assert_false(fx->result.did_attach);
	sp_fixture_look(fx);
	for (__u32 slot = 0; slot < SP_SLOTS_MAX; slot++)
		assert_int_equal(fx->state->info[slot].state, SP_SLOT_FREE);

	options.may_be_partial = true;
	assert_int_equal(sp_reconcile(&fx->pins, &options, &fx->result), 0);
	assert_true(fx->result.did_attach);
	assert_int_equal(fx->result.out_of_reach, 1);
	assert_int_equal(fx->result.live, WORKERS);
	assert_int_equal(fx->result.size, WORKERS + 1);
	sp_fixture_look(fx);
	if (fx->protocol == SP_UDP)
		sp_fixture_end_window(fx);
	set = sp_fixture_flows(fx, FLOWS);
	sp_require_agreement(fx, set);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__i1_attached_to_a_live_udp_group__nobody_moves, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_ALL, .workers = WORKERS),
		SP_CASE(steer__i1_attached_to_a_live_udp_group__nobody_moves, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_DUAL_V4, .workers = WORKERS, .hash = SP_HASH_KERNEL),
		SP_CASE(steer__i1_member_amid_the_group_connected__is_skipped_and_nobody_moves,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4 | SP_PLACE_V4_ANY),
		SP_CASE(steer__i1_last_member_connected__is_skipped_and_nobody_moves,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4),
		SP_CASE(steer__i1_member_connected_before_others_bind__is_skipped_and_nobody_moves,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4),
		SP_CASE(steer__detached__kernel_chooses_as_before_the_attach, .protocols = SP_CASE_BOTH,
			.places = SP_PLACE_V4 | SP_PLACE_DUAL_V6, .workers = WORKERS),
		SP_CASE(steer__i1_detached_behind_our_back__sync_leaves_flows_where_the_kernel_has_them,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_EACH_FAMILY, .workers = WORKERS),
		SP_CASE(steer__i1_detached_behind_our_back__sync_leaves_flows_where_the_kernel_has_them,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4, .workers = WORKERS,
			.track = SP_TRACK_ALWAYS),
		SP_CASE(reconcile__foreign_program_is_attached__refuses_until_told_to_replace,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4, .workers = WORKERS),
		SP_CASE(reconcile__member_out_of_reach__refuses_until_told_to_be_partial,
			.protocols = SP_CASE_BOTH, .places = SP_PLACE_V4, .workers = WORKERS),
	};

	return sp_fixture_main("attach", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
