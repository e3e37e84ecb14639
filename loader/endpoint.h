/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Endpoints as people write them: PROTO:[ADDRESS[%DEV]:]PORT, e.g. tcp:127.0.0.1:8080, udp:[::]:443,
 * udp:[fe80::1%eth0]:53, tcp:8080. Pure, but for the name of a device.
 */
#ifndef STEADYPORT_ENDPOINT_H
#define STEADYPORT_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <net/if.h>
#include <sys/socket.h>
#include <steadyport/abi.h>

struct sp_address {
	__u16 family; /* AF_INET or AF_INET6 */
	__u8 bytes[16]; /* network byte order; IPv4 uses the first four, the rest is 0 */
};

struct sp_endpoint {
	enum sp_protocol protocol;
	bool has_address; /* false: any address will do ("tcp:8080") */
	struct sp_address address;
	char device[IF_NAMESIZE]; /* after %, a name or a number; empty: not given */
	__u16 port; /* 1..65535 */
};

#define SP_ENDPOINT_STRLEN 96 /* room for the longest text of an endpoint and its NUL */

/**
 * sp_endpoint_parse - text to endpoint
 * @ret_why: on error a static sentence that says what is wrong, without the text itself
 * Returns 0, or -EINVAL with @ret untouched.
 */
int sp_endpoint_parse(const char *text, struct sp_endpoint *ret, const char **ret_why);

/* ADDRESS:PORT, with [] around an IPv6 address; for `where`. Same contract. */
int sp_address_port_parse(const char *text, struct sp_address *ret_address, __u16 *ret_port,
			  const char **ret_why);

/* "0.0.0.0:443", "[::]:443", "[fe80::1%2]:53": the form that ss prints, brackets as in a URL. Returns buf. */
const char *sp_address_format(const struct sp_address *address, __u32 ifindex, __u16 port,
			      char buf[SP_ENDPOINT_STRLEN]);

/* "tcp" or "udp" */
const char *sp_protocol_name(enum sp_protocol protocol);

/* For bind() and connect(). Returns the length of what it wrote. */
socklen_t sp_address_to_sockaddr(const struct sp_address *address, __u16 port, struct sockaddr_storage *ret);

/* An IPv4-mapped IPv6 address becomes the IPv4 address; others stay. */
void sp_address_unmap(struct sp_address *address);

/* True for 0.0.0.0 and :: */
bool sp_address_is_any(const struct sp_address *address);

/*
 * True when a socket bound like this is what the endpoint asks for. An IPv4 address also fits an IPv6 socket that is
 * bound to its IPv4-mapped form. A device that is given must be the one the socket is bound to.
 */
bool sp_endpoint_matches(const struct sp_endpoint *endpoint, enum sp_protocol protocol,
			 const struct sp_address *address, __u32 ifindex, __u16 port);

#endif
