// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Endpoints as people write them: parsing, printing, matching. Pure, but for the name of a device. */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_DIGITS 5

static const char WHY_NO_PROTOCOL[] = "it starts with neither tcp: nor udp:";
static const char WHY_NO_PORT[] = "the port is missing";
static const char WHY_PORT[] = "a port is a number from 1 to 65535, in plain digits";
static const char WHY_BRACKETS[] = "an IPv6 address needs brackets around it, as in [::1]:53";
static const char WHY_UNCLOSED[] = "the bracket [ is not closed";
static const char WHY_AFTER_BRACKET[] = "only :PORT can follow the bracket ]";
static const char WHY_IPV4[] =
	"the address is not four numbers from 0 to 255 with dots between them, nor [IPv6]";
static const char WHY_IPV6[] = "what stands in brackets is not an IPv6 address";
static const char WHY_EMPTY[] =
	"the address is empty: leave it out with its colon for any address, as in tcp:8080";
static const char WHY_STAR[] =
	"* is not an address: leave it out for any address, as in tcp:8080, or write 0.0.0.0 or [::]";
static const char WHY_DEVICE[] = "what follows % is not the name or number of a network device";
static const char WHY_NO_DEVICE[] = "a device has no place here: leave out % and what follows it";

static int refuse(const char *why, const char **ret_why)
{
	*ret_why = why;
	return -EINVAL;
}

static int parse_port(const char *text, __u16 *ret_port, const char **ret_why)
{
	size_t len = strspn(text, "0123456789");
	unsigned long port;

	if (!*text)
		return refuse(WHY_NO_PORT, ret_why);
	if (text[len] || len > PORT_DIGITS || *text == '0')
		return refuse(WHY_PORT, ret_why);
	port = strtoul(text, NULL, 10);
	if (port > 65535)
		return refuse(WHY_PORT, ret_why);
	*ret_port = port;
	return 0;
}

/* The kernel's dev_valid_name(), less what would be ambiguous here. */
static bool is_device(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < IF_NAMESIZE && !strpbrk(text, "/:%[] \t\n") && strcmp(text, ".") &&
	       strcmp(text, "..");
}

/* @text: ADDRESS or ADDRESS%DEV, no brackets, at most INET6_ADDRSTRLEN + IF_NAMESIZE long */
static int parse_address(const char *text, size_t len, __u16 family, struct sp_address *ret_address,
			 char ret_device[IF_NAMESIZE], const char **ret_why)
{
	const char *why = family == AF_INET6 ? WHY_IPV6 : WHY_IPV4;
	char copy[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
	struct sp_address address = { .family = family };
	char *device;

	if (len == 0)
		return refuse(family == AF_INET6 ? WHY_IPV6 : WHY_EMPTY, ret_why);
	if (text[0] == '*')
		return refuse(WHY_STAR, ret_why);
	if (len >= sizeof(copy))
		return refuse(memchr(text, '%', len) ? WHY_DEVICE : why, ret_why);
	memcpy(copy, text, len);
	copy[len] = '\0';
	device = strchr(copy, '%');
	if (device)
		*device++ = '\0';

	if (inet_pton(family, copy, address.bytes) != 1)
		return refuse(why, ret_why);
	if (device && !is_device(device))
		return refuse(WHY_DEVICE, ret_why);
	ret_device[0] = '\0';
	if (device)
		strcpy(ret_device, device);
	*ret_address = address;
	return 0;
}

/* [ADDRESS:]PORT. Without an address @ret_has_address is false and the address all zero. */
static int parse_place(const char *text, bool *ret_has_address, struct sp_address *ret_address,
		       char ret_device[IF_NAMESIZE], __u16 *ret_port, const char **ret_why)
{
	const char *colon = strrchr(text, ':'), *end;
	struct sp_address address = {};
	char device[IF_NAMESIZE] = "";
	int err;

	if (*text == '[') {
		end = strchr(text, ']');
		if (!end)
			return refuse(WHY_UNCLOSED, ret_why);
		if (!end[1])
			return refuse(WHY_NO_PORT, ret_why);
		if (end[1] != ':')
			return refuse(WHY_AFTER_BRACKET, ret_why);
		err = parse_address(text + 1, end - text - 1, AF_INET6, &address, device, ret_why) ?:
			      parse_port(end + 2, ret_port, ret_why);
	} else if (!colon) {
		if (strchr(text, '.'))
			return refuse(WHY_NO_PORT, ret_why);
		err = parse_port(text, ret_port, ret_why);
	} else if (strchr(text, ':') != colon) {
		return refuse(WHY_BRACKETS, ret_why);
	} else {
		err = parse_address(text, colon - text, AF_INET, &address, device, ret_why) ?:
			      parse_port(colon + 1, ret_port, ret_why);
	}
	if (err)
		return err;

	*ret_has_address = address.family != 0;
	*ret_address = address;
	strcpy(ret_device, device);
	return 0;
}

int sp_endpoint_parse(const char *text, struct sp_endpoint *ret, const char **ret_why)
{
	struct sp_endpoint endpoint = {};
	int err;

	if (!strncmp(text, "tcp:", 4))
		endpoint.protocol = SP_TCP;
	else if (!strncmp(text, "udp:", 4))
		endpoint.protocol = SP_UDP;
	else
		return refuse(WHY_NO_PROTOCOL, ret_why);

	err = parse_place(text + 4, &endpoint.has_address, &endpoint.address, endpoint.device, &endpoint.port,
			  ret_why);
	if (err)
		return err;
	*ret = endpoint;
	return 0;
}

int sp_address_port_parse(const char *text, struct sp_address *ret_address, __u16 *ret_port,
			  const char **ret_why)
{
	char device[IF_NAMESIZE];
	struct sp_address address;
	bool has_address;
	__u16 port;
	int err;

	err = parse_place(text, &has_address, &address, device, &port, ret_why);
	if (err)
		return err;
	if (!has_address)
		return refuse("the address is missing: write ADDRESS:PORT", ret_why);
	if (device[0])
		return refuse(WHY_NO_DEVICE, ret_why);
	*ret_address = address;
	*ret_port = port;
	return 0;
}

const char *sp_address_format(const struct sp_address *address, __u32 ifindex, __u16 port,
			      char buf[SP_ENDPOINT_STRLEN])
{
	bool is_v6 = address->family == AF_INET6;
	char text[INET6_ADDRSTRLEN] = "?", scope[16] = "";

	inet_ntop(address->family, address->bytes, text, sizeof(text));
	if (ifindex)
		snprintf(scope, sizeof(scope), "%%%u", ifindex);
	snprintf(buf, SP_ENDPOINT_STRLEN, "%s%s%s%s:%u", is_v6 ? "[" : "", text, scope, is_v6 ? "]" : "",
		 port);
	return buf;
}

const char *sp_protocol_name(enum sp_protocol protocol)
{
	return protocol == SP_UDP ? "udp" : "tcp";
}

socklen_t sp_address_to_sockaddr(const struct sp_address *address, __u16 port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = address->family;
	if (address->family == AF_INET) {
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, address->bytes, sizeof(v4->sin_addr));
		return sizeof(*v4);
	}
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, address->bytes, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

bool sp_address_is_any(const struct sp_address *address)
{
	static const __u8 zero[sizeof(address->bytes)];

	return !memcmp(address->bytes, zero, sizeof(zero));
}

void sp_address_unmap(struct sp_address *address)
{
	static const __u8 mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof(mapped)))
		return;
	address->family = AF_INET;
	memmove(address->bytes, address->bytes + 12, 4);
	memset(address->bytes + 4, 0, 12);
}

static bool address_fits(const struct sp_address *asked, const struct sp_address *bound)
{
	struct sp_address unmapped = *bound;

	if (asked->family == AF_INET) {
		sp_address_unmap(&unmapped);
		bound = &unmapped;
	}
	return asked->family == bound->family && !memcmp(asked->bytes, bound->bytes, sizeof(asked->bytes));
}

static bool device_fits(const char *device, __u32 ifindex)
{
	if (!device[strspn(device, "0123456789")])
		return ifindex && strtoul(device, NULL, 10) == ifindex;
	return ifindex && if_nametoindex(device) == ifindex;
}

bool sp_endpoint_matches(const struct sp_endpoint *endpoint, enum sp_protocol protocol,
			 const struct sp_address *address, __u32 ifindex, __u16 port)
{
	return endpoint->protocol == protocol && endpoint->port == port &&
	       (!endpoint->has_address || address_fits(&endpoint->address, address)) &&
	       (!endpoint->device[0] || device_fits(endpoint->device, ifindex));
}
