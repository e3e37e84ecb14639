// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Endpoints: any text is read or refused with a reason; what was read and is printed reads the same. */
#include "endpoint.h"
#include "fuzz.h"

/* PROTO:[ADDRESS[%DEV]:]PORT of an endpoint */
static void print(const struct sp_endpoint *e, char buf[SP_ENDPOINT_STRLEN])
{
	char address[SP_ENDPOINT_STRLEN], *end;

	if (!e->has_address) {
		snprintf(buf, SP_ENDPOINT_STRLEN, "%s:%u", sp_protocol_name(e->protocol), e->port);
		return;
	}
	sp_address_format(&e->address, 0, e->port, address);
	/* A device stands behind the address, which ends at the bracket, or at the only colon. */
	end = address + strcspn(address, e->address.family == AF_INET6 ? "]" : ":");
	snprintf(buf, SP_ENDPOINT_STRLEN, "%s:%.*s%s%s%s", sp_protocol_name(e->protocol),
		 (int)(end - address), address, e->device[0] ? "%" : "", e->device, end);
}

static void check_same(const struct sp_endpoint *a, const struct sp_endpoint *b, const char *text)
{
	sp_must(a->protocol == b->protocol && a->has_address == b->has_address && a->port == b->port &&
			!memcmp(&a->address, &b->address, sizeof(a->address)) &&
			!strcmp(a->device, b->device),
		"%s is another endpoint when it is read back", text);
}

/* A socket that is bound to just this is what the endpoint asks for. */
static void check_matches(const struct sp_endpoint *e, const char *text)
{
	bool is_numbered = !e->device[strspn(e->device, "0123456789")];
	__u32 ifindex = strtoul(e->device, NULL, 10);

	/* The name of a device is this machine's to know. */
	if (!is_numbered || (e->device[0] && (!ifindex || strlen(e->device) > 9)))
		return;
	sp_must(sp_endpoint_matches(e, e->protocol, &e->address, ifindex, e->port),
		"%s does not match itself", text);
	sp_must(!sp_endpoint_matches(e, e->protocol, &e->address, ifindex, e->port ^ 1),
		"%s matches another port", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = sp_fuzz_text(data, size), printed[SP_ENDPOINT_STRLEN];
	struct sp_endpoint endpoint, back, untouched;
	const char *why = NULL;
	int err;

	memset(&endpoint, 0xa5, sizeof(endpoint));
	untouched = endpoint;
	err = sp_endpoint_parse(text, &endpoint, &why);
	if (err) {
		sp_must(err == -22, "%d is not -EINVAL", err);
		sp_must_be_sentence(why);
		sp_must(!memcmp(&endpoint, &untouched, sizeof(endpoint)),
			"a refused text has changed the output");
	} else {
		sp_must(endpoint.port, "%s has no port", text);
		print(&endpoint, printed);
		sp_must(!sp_endpoint_parse(printed, &back, &why), "%s was read, %s is not: %s", text, printed,
			why);
		check_same(&endpoint, &back, text);
		check_matches(&endpoint, text);
	}
	free(text);
	return 0;
}
