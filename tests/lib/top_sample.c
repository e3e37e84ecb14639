// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Samples of `top`, made by hand. */
#include "top_sample.h"

#include <stdio.h>
#include <stdlib.h>

struct sp_top_sample sp_top_sample_of(enum sp_protocol protocol, size_t nslots, __u64 now_ns)
{
	struct sp_top_sample s = {
		.now_ns = now_ns,
		.name = "h3",
		.protocol = protocol,
		.attached_at = 1,
		.program = "program 84 attached 3 h ago",
		.slots = calloc(nslots, sizeof(*s.slots)),
		.nslots = nslots,
	};

	snprintf(s.place, sizeof(s.place), "%s [::]:443", protocol == SP_UDP ? "udp" : "tcp");
	snprintf(s.slots_text, sizeof(s.slots_text), "%zu slots: %zu live", nslots, nslots);
	for (size_t i = 0; s.slots && i < nslots; i++) {
		s.slots[i] = (struct sp_top_slot){
			.slot = i,
			.state = SP_SLOT_LIVE,
			.incarnation = 1,
			.cookie = 100 + i,
			.share = 1.0 / nslots,
			.has_counters = true,
			.is_seen = true,
			.backlog_max = 128,
		};
		snprintf(s.slots[i].owner, sizeof(s.slots[i].owner), "h3d[%zu]", 4411 + i);
	}
	return s;
}
