// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <arpa/inet.h>
#include <stdio.h>
#include "world.h"

#define HEADERS_LEN 24 /* IPv4 and ports */

struct sp_fuzz_kernel kernel;
struct sp_fuzz_packet packet;

void scan_from(__u32 slot)
{
	do
		packet.kernel_hash++;
	while ((__u32)sp_flow_hash_kernel(packet.kernel_hash) % kernel.views[0].nslots != slot);
}

void own_all(struct sp_view *view, __u32 slot)
{
	for (__u32 b = 0; b < SP_BUCKETS; b++)
		view->owner[b] = slot;
}

void close_slot(__u32 slot)
{
	kernel.select_err[slot] = -ENOENT;
}

void close_all(void)
{
	for (__u32 s = 0; s < SP_SLOTS_MAX; s++)
		close_slot(s);
}

void set_usable(struct sp_view *view, __u32 slot, bool is_usable)
{
	__u64 bit = 1ULL << (slot % 64);

	if (is_usable)
		view->usable[slot / 64] |= bit;
	else
		view->usable[slot / 64] &= ~bit;
}

__u32 bucket(void)
{
	return sp_bucket(sp_flow_hash_kernel(packet.kernel_hash));
}

void group_of(enum sp_protocol protocol, __u32 nslots)
{
	static __u8 bytes[HEADERS_LEN];

	memset(&kernel, 0, sizeof(kernel));
	close_all();
	kernel.protocol = kernel.ctl.protocol = protocol;
	kernel.hash = kernel.ctl.hash = SP_HASH_KERNEL;
	kernel.track = kernel.ctl.track = SP_TRACK_TRANSITION;
	kernel.counter_slots = SP_SLOTS_MAX;
	kernel.now_ns = 50 * SECOND;
	for (__u32 v = 0; v < SP_VIEWS; v++) {
		struct sp_view *view = &kernel.views[v];

		view->kind = SP_VIEW_PLAIN;
		view->prev = SP_VIEW_NONE;
		view->nslots = nslots;
		for (__u32 s = 0; s < nslots; s++)
			set_usable(view, s, true);
	}
	for (__u32 s = 0; s < nslots; s++) {
		kernel.select_err[s] = 0;
		kernel.info[s] = (struct sp_info){ .state = SP_SLOT_LIVE,
						   .incarnation = 1,
						   .weight = SP_WEIGHT_DEFAULT,
						   .cookie = 1000 + s };
	}
	packet = (struct sp_fuzz_packet){
		.network = bytes,
		.header_len = HEADERS_LEN - 4,
		.len = HEADERS_LEN,
		.linear_len = HEADERS_LEN,
		.eth_protocol = htons(0x0800),
	};
	if (nslots)
		scan_from(0);
}

static void append(char *text, size_t size, const char *name, __u64 count)
{
	size_t len = strlen(text);

	if (count)
		snprintf(text + len, size - len, count == 1 ? "%s%s" : "%s%s*%llu", len ? ", " : "", name,
			 count);
}

struct sp_fuzz_run expect(int slot, const char *counted)
{
	struct sp_fuzz_run run = sp_fuzz_steer(&kernel, &packet);
	struct sp_counters sum = { 0 };
	char text[256] = "";

	for (__u32 row = 0; row <= kernel.counter_slots; row++) {
#define SP_COUNTER(name, kind, text) sum.name += kernel.counters[row].name;
#include <steadyport/counters.def>
#undef SP_COUNTER
	}
#define SP_COUNTER(name, kind, description) append(text, sizeof(text), #name, sum.name);
#include <steadyport/counters.def>
#undef SP_COUNTER
	assert_string_equal(text, counted);
	assert_int_equal(run.selected, slot);
	/* For the table in docs/branches.md. */
	print_message("counted: %s\n", text);
	return run;
}
