// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Raw packets of many flows. */
#include "packets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include "bench.h"
#include "cleanup.h"
#include "endpoint.h"
#include "lab.h"

#define BATCH 64
#define PORTS_LOG2 14 /* of each source address */
#define FIRST_PORT 10000
#define SOURCE4 0x7f400001U /* 127.64.0.1 and on: the loopback device has all of 127.0.0.0/8 */
#define SOURCE6 0xfd000000U /* fd00::1 and on */
#define PAYLOAD 16
#define TTL 64

struct packet {
	union {
		struct iphdr ip4;
		struct {
			struct ip6_hdr ip6;
			char transport6[sizeof(struct tcphdr) + PAYLOAD];
		};
	};
	char transport4[sizeof(struct tcphdr) + PAYLOAD];
};

static int raw4 = -1, raw6 = -1;

struct sp_tuple4 sp_packets_tuple4(__u32 flow, __u16 port)
{
	return (struct sp_tuple4){
		.src = htonl(SOURCE4 + (flow >> PORTS_LOG2)),
		.dst = htonl(INADDR_LOOPBACK),
		.sport = htons(FIRST_PORT + (flow & ((1U << PORTS_LOG2) - 1))),
		.dport = htons(port),
	};
}

struct sp_tuple6 sp_packets_tuple6(__u32 flow, __u16 port)
{
	return (struct sp_tuple6){
		.src = { htonl(SOURCE6), 0, 0, htonl(1 + (flow >> PORTS_LOG2)) },
		.dst = { 0, 0, 0, htonl(1) },
		.sport = htons(FIRST_PORT + (flow & ((1U << PORTS_LOG2) - 1))),
		.dport = htons(port),
	};
}

void sp_packets_open(void)
{
	raw4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	raw6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	sp_bench_require(raw4 >= 0 && raw6 >= 0);
}

void sp_packets_close(void)
{
	sp_close_fd(&raw4);
	sp_close_fd(&raw6);
}

/* Ones' complement sum of bytes in network order. */
static __u32 sum(const void *data, size_t len, __u32 start)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		start += (__u32)bytes[i] << 8 | bytes[i + 1];
	return start;
}

static __be16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

/* @addresses: both, as they lie in the packet; their sum is part of the checksum. Returns the length. */
static size_t fill_transport(void *at, enum sp_protocol protocol, __be16 sport, __be16 dport,
			     const void *addresses, size_t addresses_len)
{
	size_t len = protocol == SP_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr) + PAYLOAD;
	__u32 pseudo = sum(addresses, addresses_len, protocol + len);

	memset(at, 0, len);
	if (protocol == SP_TCP) {
		struct tcphdr *tcp = at;

		tcp->source = sport;
		tcp->dest = dport;
		tcp->seq = htonl(1);
		tcp->doff = sizeof(*tcp) / 4;
		tcp->syn = 1;
		tcp->window = htons(0xffff);
		tcp->check = fold(sum(at, len, pseudo));
	} else {
		struct udphdr *udp = at;

		udp->source = sport;
		udp->dest = dport;
		udp->len = htons(len);
		udp->check = fold(sum(at, len, pseudo)) ?: 0xffff;
	}
	return len;
}

static size_t fill4(struct packet *packet, const struct sp_packets_target *target, __u32 flow)
{
	struct sp_tuple4 tuple = sp_packets_tuple4(flow, target->port);
	void *transport = &packet->ip4 + 1;

	/* The kernel fills in the length, the checksum and the identification. */
	packet->ip4 = (struct iphdr){
		.version = 4,
		.ihl = sizeof(packet->ip4) / 4,
		.ttl = TTL,
		.protocol = target->protocol,
		.saddr = tuple.src,
		.daddr = tuple.dst,
	};
	return sizeof(packet->ip4) + fill_transport(transport, target->protocol, tuple.sport, tuple.dport,
						    &packet->ip4.saddr, 2 * sizeof(tuple.src));
}

static size_t fill6(struct packet *packet, const struct sp_packets_target *target, __u32 flow)
{
	struct sp_tuple6 tuple = sp_packets_tuple6(flow, target->port);
	size_t len;

	memset(&packet->ip6, 0, sizeof(packet->ip6));
	memcpy(&packet->ip6.ip6_src, tuple.src, sizeof(tuple.src));
	memcpy(&packet->ip6.ip6_dst, tuple.dst, sizeof(tuple.dst));
	len = fill_transport(packet->transport6, target->protocol, tuple.sport, tuple.dport,
			     &packet->ip6.ip6_src, 2 * sizeof(tuple.src));
	packet->ip6.ip6_flow = htonl(6U << 28);
	packet->ip6.ip6_plen = htons(len);
	packet->ip6.ip6_nxt = target->protocol;
	packet->ip6.ip6_hlim = TTL;
	return sizeof(packet->ip6) + len;
}

void sp_packets_send(const struct sp_packets_target *target, const __u32 *flows, size_t count)
{
	static struct packet packets[BATCH];
	static struct iovec iov[BATCH];
	static struct mmsghdr messages[BATCH];
	struct sp_address address = { .family = target->family };
	struct sockaddr_storage to;
	socklen_t to_len;
	bool is_v4 = target->family == AF_INET;

	sp_bench_require(sp_lab_address(is_v4 ? "127.0.0.1" : "::1", &address) == 0);
	/* A raw IPv6 socket takes no port. */
	to_len = sp_address_to_sockaddr(&address, 0, &to);
	for (size_t done = 0; done < count;) {
		size_t n = count - done < BATCH ? count - done : BATCH;

		for (size_t i = 0; i < n; i++) {
			iov[i].iov_base = &packets[i];
			iov[i].iov_len = (is_v4 ? fill4 : fill6)(&packets[i], target, flows[done + i]);
			messages[i].msg_hdr = (struct msghdr){
				.msg_name = &to,
				.msg_namelen = to_len,
				.msg_iov = &iov[i],
				.msg_iovlen = 1,
			};
		}
		sp_bench_require(sendmmsg(is_v4 ? raw4 : raw6, messages, n, 0) == (int)n);
		done += n;
	}
}
