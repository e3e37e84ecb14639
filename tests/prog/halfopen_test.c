// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Connections whose handshake is not complete when their listener dies.
 *
 * For the final ACK and the SYN-ACK timer the clients are packets made by hand: their addresses are
 * routed to the loopback device and are nobody's, so that no kernel answers in their place. IPv6 has no
 * such routes (ip6_route_info_create() makes them reject); there the listener defers, which leaves a
 * connection half-open until the first data, or loses the final ACKs.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <steadyport/choose.h>
#include "acks.h"
#include "fixture.h"
#include "group.h"

#define CLIENTS 96
#define WORKERS 4
#define DEFERRED 16
#define FIRST_SOURCE 40000
#define CLIENT_ISN 1000

static const char request[] = "who?\n";

struct client {
	__u32 seen; /* SYN-ACKs; each comes once unless it is sent again */
	__u32 next; /* the sequence number that is expected from the server */
	int owner; /* who has answered */
	__u64 hash;
};

/* All clients of one case, and the sockets that carry their packets. */
struct wire {
	struct sp_fixture *fx;
	struct sp_address address; /* of the clients */
	int out;
	int in;
	struct client clients[CLIENTS];
};

struct packet {
	struct iphdr ip;
	struct tcphdr tcp;
	char payload[sizeof(request)];
};

/* A route to the clients' network over the loopback device. */
static void add_route(const struct sp_address *address)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg message;
		struct rtattr oif;
		__u32 index;
		struct rtattr dst;
		__u8 bytes[4];
	} route = { 0 };
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		__u8 rest[256];
	} reply;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	assert_true(fd >= 0);
	route.header.nlmsg_len = sizeof(route);
	route.header.nlmsg_type = RTM_NEWROUTE;
	route.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	route.message.rtm_family = address->family;
	route.message.rtm_dst_len = sizeof(route.bytes) * 8;
	route.message.rtm_table = RT_TABLE_MAIN;
	route.message.rtm_protocol = RTPROT_STATIC;
	route.message.rtm_scope = RT_SCOPE_LINK;
	route.message.rtm_type = RTN_UNICAST;
	route.oif.rta_type = RTA_OIF;
	route.oif.rta_len = RTA_LENGTH(sizeof(route.index));
	route.index = if_nametoindex("lo");
	route.dst.rta_type = RTA_DST;
	route.dst.rta_len = RTA_LENGTH(sizeof(route.bytes));
	memcpy(route.bytes, address->bytes, sizeof(route.bytes));
	assert_int_equal(send(fd, &route, route.header.nlmsg_len, 0), route.header.nlmsg_len);
	assert_true(recv(fd, &reply, sizeof(reply), 0) > 0);
	close(fd);
	assert_int_equal(reply.header.nlmsg_type, NLMSG_ERROR);
	assert_int_equal(reply.error.error, 0);
}

static __u32 sum_words(const void *data, size_t len, __u32 sum)
{
	const __u8 *bytes = data;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : bytes[i] << 8;
	return sum;
}

static __u16 fold(__u32 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

static __u64 hash_client(const struct wire *wire, __u16 source)
{
	const struct sp_fixture *fx = wire->fx;
	struct sp_tuple4 tuple = { .sport = htons(source), .dport = htons(fx->port) };

	memcpy(&tuple.src, wire->address.bytes, sizeof(tuple.src));
	memcpy(&tuple.dst, fx->target.bytes, sizeof(tuple.dst));
	return sp_flow_hash4(fx->state->ctl.key, &tuple);
}

static void open_wire(struct sp_fixture *fx, struct wire *wire)
{
	const struct sockaddr_ll lo = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex("lo"),
	};
	int room = 4 << 20;

	*wire = (struct wire){ .fx = fx };
	assert_int_equal(sp_lab_address("198.51.100.5", &wire->address), 0);
	add_route(&wire->address);
	wire->out = sp_fixture_own(fx, socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
	wire->in = sp_fixture_own(fx, socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	setsockopt(wire->in, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	assert_int_equal(bind(wire->in, (const struct sockaddr *)&lo, sizeof(lo)), 0);
	for (__u32 i = 0; i < CLIENTS; i++) {
		wire->clients[i].owner = SP_LAB_SILENT;
		wire->clients[i].hash = hash_client(wire, FIRST_SOURCE + i);
	}
}

static void send_segment(struct wire *wire, __u32 i, struct tcphdr tcp, const char *payload)
{
	const struct sp_fixture *fx = wire->fx;
	size_t payload_len = strlen(payload), len = offsetof(struct packet, payload) + payload_len;
	struct packet packet = { .ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP },
				 .tcp = tcp };
	struct sockaddr_in to = { .sin_family = AF_INET };
	__u32 sum;

	memcpy(&packet.ip.saddr, wire->address.bytes, sizeof(packet.ip.saddr));
	memcpy(&packet.ip.daddr, fx->target.bytes, sizeof(packet.ip.daddr));
	memcpy(&to.sin_addr, fx->target.bytes, sizeof(to.sin_addr));
	memcpy(packet.payload, payload, payload_len);
	packet.tcp.source = htons(FIRST_SOURCE + i);
	packet.tcp.dest = htons(fx->port);
	packet.tcp.doff = sizeof(tcp) / 4;
	packet.tcp.window = htons(65535);
	sum = sum_words(&packet.ip.saddr, 2 * sizeof(packet.ip.saddr),
			IPPROTO_TCP + sizeof(tcp) + payload_len);
	packet.tcp.check = fold(sum_words(&packet.tcp, sizeof(tcp) + payload_len, sum));
	assert_int_equal(sendto(wire->out, &packet, len, 0, (struct sockaddr *)&to, sizeof(to)), len);
}

static void send_syn(struct wire *wire, __u32 i)
{
	send_segment(wire, i, (struct tcphdr){ .syn = 1, .seq = htonl(CLIENT_ISN) }, "");
}

/* The last step of the handshake, and the request. */
static void send_ack(struct wire *wire, __u32 i)
{
	struct tcphdr tcp = {
		.ack = 1,
		.seq = htonl(CLIENT_ISN + 1),
		.ack_seq = htonl(wire->clients[i].next),
	};

	send_segment(wire, i, tcp, "");
	tcp.psh = 1;
	send_segment(wire, i, tcp, request);
}

static void send_reset(struct wire *wire, __u32 i)
{
	send_segment(wire, i, (struct tcphdr){ .rst = 1, .seq = htonl(CLIENT_ISN + sizeof(request)) }, "");
}

/* A segment from the server to one of our clients; the payload begins behind the options. */
static void note_segment(struct wire *wire, const __u8 *bytes, size_t len)
{
	struct client *client;
	struct packet packet;
	__u32 i, id;
	size_t start;

	if (len < offsetof(struct packet, payload))
		return;
	memcpy(&packet, bytes, offsetof(struct packet, payload));
	i = ntohs(packet.tcp.dest) - FIRST_SOURCE;
	if (packet.ip.version != 4 || packet.ip.protocol != IPPROTO_TCP || i >= CLIENTS ||
	    memcmp(&packet.ip.daddr, wire->address.bytes, sizeof(packet.ip.daddr)) ||
	    ntohs(packet.tcp.source) != wire->fx->port)
		return;
	client = &wire->clients[i];
	start = sizeof(packet.ip) + packet.tcp.doff * 4;
	if (packet.tcp.rst) {
		client->owner = SP_LAB_RESET;
	} else if (packet.tcp.syn) {
		client->seen++;
		client->next = ntohl(packet.tcp.seq) + 1;
	} else if (len >= start + sizeof(id) && ntohl(packet.tcp.seq) == client->next) {
		memcpy(&id, bytes + start, sizeof(id));
		client->owner = id;
	}
}

/* Reads what comes until each client of whom it is asked satisfies the condition. */
static void listen_until(struct wire *wire, bool (*is_done)(const struct wire *, __u32 i))
{
	__u64 deadline = sp_lab_now_ms() + SP_FIXTURE_PATIENCE_MS;

	for (;;) {
		struct sockaddr_ll from;
		socklen_t from_len = sizeof(from);
		__u8 packet[2048];
		__u32 done = 0;
		ssize_t len;

		len = recvfrom(wire->in, packet, sizeof(packet), 0, (struct sockaddr *)&from, &from_len);
		if (len > 0) {
			/* On the loopback device each packet is seen going out and coming in. */
			if (from.sll_pkttype != PACKET_OUTGOING)
				note_segment(wire, packet, len);
			continue;
		}
		while (done < CLIENTS && is_done(wire, done))
			done++;
		if (done == CLIENTS)
			return;
		if (!sp_lab_left_ms(deadline))
			fail_msg("client %u: %u SYN-ACKs, owner %d", done, wire->clients[done].seen,
				 wire->clients[done].owner);
		poll(&(struct pollfd){ .fd = wire->in, .events = POLLIN }, 1, sp_lab_left_ms(deadline));
	}
}

static bool has_syn_ack(const struct wire *wire, __u32 i)
{
	return wire->clients[i].seen > 0;
}

static bool has_second_syn_ack(const struct wire *wire, __u32 i)
{
	return wire->clients[i].seen > 1;
}

static bool has_answer(const struct wire *wire, __u32 i)
{
	return wire->clients[i].owner != SP_LAB_SILENT;
}

static int take_live(void *state, __u32 slot)
{
	return sp_slot_is_live(state, slot) ? 0 : -ENOENT;
}

/* The worker in the slot that the view in force names for the client now. */
static __u32 expected_owner(const struct wire *wire, __u32 i)
{
	const struct sp_fixture *fx = wire->fx;
	int choice = sp_choose(sp_state_current(fx->state), wire->clients[i].hash, fx->state, take_live);

	assert_true(choice >= 0);
	for (__u32 id = 0; id < fx->nworkers; id++)
		if (fx->workers[id].cookie == fx->state->cookie[SP_CHOICE_SLOT(choice)])
			return id;
	fail_msg("slot %u holds no worker's socket", SP_CHOICE_SLOT(choice));
	return 0;
}

/* Handshakes that the worker has begun: by the hash it must be those that are its. */
static __u32 count_begun(const struct wire *wire, __u32 id)
{
	struct sp_fixture *fx = wire->fx;
	__u32 begun = sp_fixture_row(fx, sp_fixture_slot(fx, id), steered), expected = 0;

	for (__u32 i = 0; i < CLIENTS; i++)
		expected += expected_owner(wire, i) == id;
	if (sp_fixture_goes_by_hash(fx))
		assert_int_equal(begun, expected);
	return begun;
}

static void require_owner(const struct wire *wire, __u32 i)
{
	const struct sp_fixture *fx = wire->fx;
	__u32 owner = wire->clients[i].owner;

	if (sp_fixture_goes_by_hash(fx))
		assert_int_equal(owner, expected_owner(wire, i));
	assert_true(owner < fx->nworkers && !fx->is_dead[owner]);
}

static void finish(struct wire *wire)
{
	for (__u32 i = 0; i < CLIENTS; i++)
		send_ack(wire, i);
	listen_until(wire, has_answer);
	sp_fixture_look(wire->fx);
	for (__u32 i = 0; i < CLIENTS; i++)
		require_owner(wire, i);
	for (__u32 i = 0; i < CLIENTS; i++)
		send_reset(wire, i);
}

static void begin(struct sp_fixture *fx, struct wire *wire)
{
	sp_fixture_attach(fx);
	open_wire(fx, wire);
	for (__u32 i = 0; i < CLIENTS; i++)
		send_syn(wire, i);
	listen_until(wire, has_syn_ack);
	assert_int_equal(sp_fixture_sum(fx, steered), CLIENTS);
}

static void steer__handshakes_complete_by_hand__every_client_is_answered(struct sp_fixture *fx)
{
	struct wire wire;

	begin(fx, &wire);
	finish(&wire);
	assert_int_equal(sp_fixture_sum(fx, migrated), 0);
}

static void
steer__i1_listener_killed_before_the_final_ack__others_complete_the_handshake(struct sp_fixture *fx)
{
	struct wire wire;
	__u32 halfopen;

	begin(fx, &wire);
	halfopen = count_begun(&wire, 1);
	assert_in_range(halfopen, 1, CLIENTS / 2);
	sp_fixture_kill(fx, 1);
	finish(&wire);
	/* At the final ACK, or by the timer if that was faster: once in any case. */
	assert_int_equal(sp_fixture_sum(fx, migrated), halfopen);
	assert_int_equal(sp_fixture_sum(fx, steered), CLIENTS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

/*
 * The kernel sends the SYN-ACK again after a second; the timer is what moves the request to another
 * listener.
 */
static void steer__i1_listener_killed_and_client_is_silent__timer_moves_the_request(struct sp_fixture *fx)
{
	struct wire wire;
	__u32 halfopen;

	begin(fx, &wire);
	halfopen = count_begun(&wire, 2);
	assert_in_range(halfopen, 1, CLIENTS / 2);
	sp_fixture_kill(fx, 2);
	listen_until(&wire, has_second_syn_ack);
	assert_int_equal(sp_fixture_sum(fx, migrated), halfopen);
	finish(&wire);
	assert_int_equal(sp_fixture_sum(fx, migrated), halfopen);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

static void steer__i1_listeners_killed_until_one_is_left__it_completes_every_handshake(struct sp_fixture *fx)
{
	struct wire wire;

	begin(fx, &wire);
	for (__u32 id = 0; id < WORKERS - 1; id++)
		sp_fixture_kill(fx, id);
	finish(&wire);
	for (__u32 i = 0; i < CLIENTS; i++)
		assert_int_equal(wire.clients[i].owner, WORKERS - 1);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

/* --- listeners that defer, and clients of the kernel's making --- */

static void set_deferring(struct sp_fixture *fx)
{
	const int seconds = 30;
	sp_autogroups struct sp_groups *groups = NULL;
	const struct sp_group *group;

	assert_int_equal(sp_members_scan(0, &groups), 0);
	group = sp_group_at(groups, &fx->state->ctl, fx->result.program_id);
	assert_non_null(group);
	assert_int_equal(group->nmembers, WORKERS);
	for (size_t i = 0; i < group->nmembers; i++) {
		int fd = -1;

		assert_int_equal(sp_group_socket(&group->members[i], &fd), 0);
		assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)), 0);
		close(fd);
	}
}

/*
 * Each client has its handshake behind it and sends nothing until the listeners have died; for the
 * server all of them are half-open until then. The kernel of each client is not disturbed by it.
 */
static void
steer__i1_deferring_listener_killed_before_the_data__others_take_the_connection(struct sp_fixture *fx)
{
	struct sockaddr_storage sa = { .ss_family = fx->target.family };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&sa;
	const struct linger abort = { .l_onoff = 1 };
	__u32 silent = 0, id;

	sp_fixture_attach(fx);
	set_deferring(fx);
	if (sa.ss_family == AF_INET)
		memcpy(&v4->sin_addr, fx->target.bytes, sizeof(v4->sin_addr));
	else
		memcpy(&v6->sin6_addr, fx->target.bytes, sizeof(v6->sin6_addr));
	v4->sin_port = htons(fx->port); /* at the same place in both */
	for (int i = 0; i < DEFERRED; i++) {
		int fd = sp_fixture_own(fx, socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
		assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	}
	assert_int_equal(sp_fixture_sum(fx, steered), DEFERRED);
	for (id = 0; id < WORKERS; id++)
		assert_int_equal(sp_fixture_waiting(fx, id), 0);

	for (id = 0; id < WORKERS - 1; id++) {
		silent += sp_fixture_row(fx, sp_fixture_slot(fx, id), steered);
		sp_fixture_kill(fx, id);
	}
	assert_true(silent > 0);
	for (int i = 0; i < DEFERRED; i++) {
		struct pollfd answer = { .fd = fx->files[i], .events = POLLIN };

		assert_int_equal(send(answer.fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
		assert_int_equal(poll(&answer, 1, SP_FIXTURE_PATIENCE_MS), 1);
		assert_int_equal(recv(answer.fd, &id, sizeof(id), 0), sizeof(id));
		assert_int_equal(id, WORKERS - 1);
	}
	assert_int_equal(sp_fixture_sum(fx, migrated), silent);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

/* --- listeners that lose the final ACK --- */

static void lose_acks(struct sp_fixture *fx, __u32 id)
{
	sp_autoclose int fd = sp_fixture_borrow(fx, id);

	sp_acks_lose(fd);
}

static void take_acks(struct sp_fixture *fx, __u32 id)
{
	sp_autoclose int fd = sp_fixture_borrow(fx, id);

	sp_acks_take(fd);
}

/* For the client the connection is there, and it says nothing: only the timer of the SYN-ACK can move the request. */
static void steer__i1_listener_killed_and_acks_are_lost__timer_moves_the_request(struct sp_fixture *fx)
{
	__u64 deadline = sp_lab_now_ms() + SP_FIXTURE_PATIENCE_MS;
	struct sp_flow_set *set;
	__u64 halfopen;
	__u32 id;

	sp_fixture_attach(fx);
	for (id = 0; id < WORKERS; id++)
		lose_acks(fx, id);
	fx->manner = SP_LAB_WAITS;
	set = sp_fixture_flows(fx, CLIENTS);
	assert_int_equal(sp_fixture_sum(fx, steered), CLIENTS);
	halfopen = sp_fixture_row(fx, sp_fixture_slot(fx, 2), steered);
	assert_in_range(halfopen, 1, CLIENTS / 2);
	sp_fixture_kill(fx, 2);
	while (sp_fixture_sum(fx, migrated) < halfopen) {
		assert_true(sp_lab_left_ms(deadline) > 0);
		poll(NULL, 0, 10);
	}
	for (id = 0; id < WORKERS; id++) {
		if (id == 2)
			continue;
		assert_int_equal(sp_fixture_waiting(fx, id), 0);
		take_acks(fx, id);
	}
	assert_int_equal(sp_lab_ask(&set->lab), 0);
	sp_fixture_answers(fx, set);
	sp_require_agreement(fx, set);
	assert_int_equal(sp_fixture_sum(fx, migrated), halfopen);
	assert_int_equal(sp_fixture_sum(fx, steered), CLIENTS);
	assert_int_equal(sp_fixture_sum(fx, unselected), 0);
}

int main(int argc, char **argv)
{
	static const struct sp_case cases[] = {
		SP_CASE(steer__handshakes_complete_by_hand__every_client_is_answered,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4_OWN, .workers = WORKERS),
		SP_CASE(steer__i1_listener_killed_before_the_final_ack__others_complete_the_handshake,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4_OWN | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
		SP_CASE(steer__i1_listener_killed_and_client_is_silent__timer_moves_the_request,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4_OWN | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
		SP_CASE(steer__i1_listeners_killed_until_one_is_left__it_completes_every_handshake,
			.protocols = SP_CASE_TCP, .places = SP_PLACE_V4_OWN | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
		SP_CASE(steer__i1_deferring_listener_killed_before_the_data__others_take_the_connection,
			.protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4 | SP_PLACE_V6 | SP_PLACE_V6_ANY | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
		SP_CASE(steer__i1_listener_killed_and_acks_are_lost__timer_moves_the_request,
			.protocols = SP_CASE_TCP,
			.places = SP_PLACE_V4 | SP_PLACE_V6 | SP_PLACE_V6_OWN | SP_PLACE_DUAL_V4,
			.workers = WORKERS),
	};

	return sp_fixture_main("halfopen", cases, SP_ARRAY_SIZE(cases), argc, argv);
}
