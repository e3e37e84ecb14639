// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Members that call connect(): from then on the kernel gives them the packets of one peer, before any program is
 * asked. From Linux 6.13 on they leave their group with it, and connect(AF_UNSPEC) does not bring them back; before
 * that they stay, unless they are bound to any address.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "endpoint.h"
#include "fixture.h"

#define FLOWS 300
#define WORKERS 4

/* A client of its own. */
static int open_peer(struct sp_fixture *fx, struct sockaddr_storage *ret_own, socklen_t *ret_len)
{
	int fd = sp_fixture_own(fx, socket(fx->target.family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	struct sockaddr_storage target;
	socklen_t len = sp_address_to_sockaddr(&fx->target, fx->port, &target);
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_own;

	assert_int_equal(connect(fd, (struct sockaddr *)&target, len), 0);
	*ret_len = sizeof(*ret_own);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret_own, ret_len), 0);
	if (fx->address.family == AF_INET6 && ret_own->ss_family == AF_INET) {
		struct sp_address mapped = { .family = AF_INET6, .bytes = { [10] = 0xff, [11] = 0xff } };
		__u16 port = ntohs(v4->sin_port);

		memcpy(&mapped.bytes[12], &v4->sin_addr, 4);
		*ret_len = sp_address_to_sockaddr(&mapped, port, ret_own);
	}
	return fd;
}

/* Who answers it. */
static __u32 ask(int peer)
{
	struct pollfd answer = { .fd = peer, .events = POLLIN };
	__u32 words[2] = { 0 };

	assert_int_equal(send(peer, "ask", 3, 0), 3);
	assert_int_equal(poll(&answer, 1, SP_FIXTURE_PATIENCE_MS), 1);
	assert_int_equal(recv(peer, words, sizeof(words), 0), sizeof(__u32) + 3);
	return words[0];
}

/* Connects a worker's socket to the peer. True if it has left the group with that. */
static bool connect_member(struct sp_fixture *fx, __u32 id, const struct sockaddr_storage *peer,
			   socklen_t len)
{
	sp_autoclose int socket = sp_fixture_borrow(fx, id);

	assert_int_equal(connect(socket, (const struct sockaddr *)peer, len), 0);
	sp_fixture_look(fx);
	/* To all flows but the peer's it is dead then. */
	fx->is_dead[id] = !sp_slot_is_live(fx->state, sp_fixture_slot(fx, id));
	if (!fx->is_dead[id])
		print_message("  on this kernel a connected member stays in its group\n");
	return fx->is_dead[id];
}

/* To a peer that never sends. */
static bool connect_to_nobody(struct sp_fixture *fx, __u32 id)
{
	struct sockaddr_storage own;
	socklen_t len;

	open_peer(fx, &own, &len);
	return connect_member(fx, id, &own, len);
}

static void disconnect_member(struct sp_fixture *fx, __u32 id)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	sp_autoclose int socket = sp_fixture_borrow(fx, id);

	assert_int_equal(connect(socket, &nobody, sizeof(nobody)), 0);
}

static struct sp_flow_set *attach_and_settle(struct sp_fixture *fx)
{
	struct sp_flow_set *set = sp_fixture_flows(fx, FLOWS);

	sp_fixture_attach(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	return set;
}

static void connected__i1_member_of_a_steered_group__nobody_elses_flows_move(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	struct sockaddr_storage own;
	socklen_t len;
	int peer = open_peer(fx, &own, &len);
	__u64 runs;
	bool has_left;

	has_left = connect_member(fx, 2, &own, len);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	runs = sp_fixture_runs(fx);
	assert_int_equal(ask(peer), 2);
	if (has_left)
		assert_int_equal(sp_fixture_runs(fx), runs);

	sp_fixture_sync(fx);
	assert_int_equal(fx->result.ndied, has_left);
	assert_int_equal(fx->result.nenrolled, 0);
	assert_int_equal(fx->result.size, WORKERS - has_left);
	assert_int_equal(fx->result.outside, 0);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	sp_fixture_settle(fx);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	assert_int_equal(ask(peer), 2);
}

/* The one that is found first where the kernel looks for a group: the newest with IPv4, the oldest with IPv6. */
static __u32 first_found(const struct sp_fixture *fx)
{
	return fx->address.family == AF_INET ? WORKERS - 1 : 0;
}

/*
 * Not connected any more, it is nobody's: neither of the group, nor out of its way. Where the kernel finds it before
 * a member (udp4_lib_lookup2() and its twin), it gets what the group should have got.
 */
static void connected__and_not_any_more__takes_flows_until_it_is_closed(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	__u32 id = first_found(fx), slot = sp_fixture_slot(fx, id);
	int was[FLOWS];

	if (!connect_to_nobody(fx, id))
		return;
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	memcpy(was, set->owners, sizeof(was));

	disconnect_member(fx, id);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.nenrolled, 0);
	assert_int_equal(fx->result.outside, 1);
	sp_fixture_round(fx, set);
	print_message("  it has %zu of %d flows\n", sp_fixture_count(set, id), FLOWS);
	for (size_t i = 0; i < set->count; i++)
		assert_true(set->owners[i] == (int)id || set->owners[i] == was[i]);

	sp_fixture_kill(fx, id);
	sp_fixture_round(fx, set);
	assert_memory_equal(set->owners, was, sizeof(was));
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.outside, 0);
	assert_int_equal(fx->result.nenrolled, 1);
	assert_int_equal(fx->result.enrolled[0], slot);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
}

/*
 * Who binds next may be taken into a group with it instead of into that of the others: reuseport_add_sock() makes one
 * for the first socket of that address that udp_reuseport_add_sock() meets.
 */
static void connected__worker_that_joins_it_instead_of_the_group__is_noticed(struct sp_fixture *fx)
{
	struct sp_flow_set *set = attach_and_settle(fx);
	__u32 id = first_found(fx), newcomer;
	int was[FLOWS];

	if (!connect_to_nobody(fx, id))
		return;
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
	memcpy(was, set->owners, sizeof(was));
	newcomer = sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.outside + fx->result.nenrolled, 1);
	print_message("  the newcomer is %s\n", fx->result.outside ? "outside" : "in the group");

	/* What status says: close both, then start anew. */
	sp_fixture_kill(fx, newcomer);
	sp_fixture_kill(fx, id);
	sp_fixture_round(fx, set);
	assert_memory_equal(set->owners, was, sizeof(was));
	sp_fixture_join(fx);
	sp_fixture_join(fx);
	sp_fixture_sync(fx);
	assert_int_equal(fx->result.outside, 0);
	assert_int_equal(fx->result.live, WORKERS + 1);
	assert_int_equal(fx->result.size, WORKERS + 1);
	sp_fixture_round(fx, set);
	sp_require_still(fx, set);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(connected__i1_member_of_a_steered_group__nobody_elses_flows_move,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_ALL, .workers = WORKERS),
		SP_CASE(connected__and_not_any_more__takes_flows_until_it_is_closed, .protocols = SP_CASE_UDP,
			.places = SP_PLACE_V4 | SP_PLACE_V4_ANY | SP_PLACE_V6 | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
		SP_CASE(connected__worker_that_joins_it_instead_of_the_group__is_noticed,
			.protocols = SP_CASE_UDP, .places = SP_PLACE_V4 | SP_PLACE_V6 | SP_PLACE_V6_ANY,
			.workers = WORKERS),
	};

	return sp_fixture_main("connected", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
