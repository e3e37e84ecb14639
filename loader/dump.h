/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The whole state of a steered group outside its maps, and as JSON: for support tickets, tests, and to put a group
 * back as it was. Times that mean nothing outside a boot are relative here: idle times, what is left of a window.
 */
#ifndef STEADYPORT_DUMP_H
#define STEADYPORT_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include <steadyport/abi.h>
#include "pin.h"
#include "state.h"

#define SP_DUMP_FORMAT 1
#define SP_BOOT_ID_STRLEN 37

struct sp_dump_flow {
	__u64 hash;
	__u32 slot;
	__u32 incarnation;
	__u32 idle_s;
};

struct sp_dump {
	char name[SP_NAME_MAX + 1];
	char boot_id[SP_BOOT_ID_STRLEN]; /* cookies of sockets and network namespaces are of this boot */
	__u64 taken_at; /* CLOCK_REALTIME, ns */
	bool has_key;
	struct sp_ctl ctl; /* current, abi, key (without has_key) are not of the snapshot */
	__u32 flows_room;
	bool has_previous;
	__u64 learn_remaining_ns; /* 0: the window is closed */
	struct sp_view current;
	struct sp_view previous;
	struct sp_info info[SP_SLOTS_MAX];
	struct sp_dump_flow *flows;
	size_t nflows;
	struct sp_counters *rows; /* nrows: the slots', then the group's */
	__u32 nrows;
};

void sp_dump_free(struct sp_dump **dump);
#define sp_autodump __attribute__((cleanup(sp_dump_free)))

/* This machine's, as the kernel gives it; "" when it does not. */
void sp_dump_boot_id(char ret_boot_id[SP_BOOT_ID_STRLEN]);

/* Reads all of it from the maps. Changing commands are kept out while it reads. Returns 0 or -errno (logged). */
int sp_dump_take(const struct sp_pins *pins, struct sp_dump **ret_dump);

/* To JSON; without the hash key unless @with_key. NULL without memory. */
json_t *sp_dump_json(const struct sp_dump *dump, bool with_key);

#define SP_DUMP_WHY_LEN 160

/**
 * sp_dump_parse - from JSON, of any origin
 * @ret_why: on error a sentence that names the field
 * Returns 0, or -EINVAL or -ENOMEM with @ret_dump untouched.
 */
int sp_dump_parse(const json_t *document, struct sp_dump **ret_dump, char ret_why[SP_DUMP_WHY_LEN]);

#endif
