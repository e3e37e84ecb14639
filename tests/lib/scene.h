/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A group with flows, looked at by this process and not by the binary: thousands of looks take no time that way. Every
 * function fails the test that calls it when the thing is not as it must be.
 */
#ifndef STEADYPORT_TESTS_SCENE_H
#define STEADYPORT_TESTS_SCENE_H

#include "kill.h"
#include "state.h"

#define SP_SCENE_NAME "dns"
#define SP_SCENE_WORKERS 4
#define SP_SCENE_EXTRA SP_SCENE_WORKERS /* id of one that comes and goes, and has no flow */
#define SP_SCENE_FLOWS 64

struct sp_scene {
	struct sp_crew crew;
	struct sp_crowd crowd;
	int before[SP_SCENE_FLOWS], after[SP_SCENE_FLOWS];
};

/* UDP workers, and flows that the kernel has placed. */
void sp_scene_open(struct sp_scene *scene);
void sp_scene_close(struct sp_scene *scene);

/* No flow of a living worker has moved. */
void sp_scene_check_flows(struct sp_scene *scene);
/* Pins are complete or absent, there if a program is attached, and nothing was mounted over them. */
void sp_scene_check_pins(const struct sp_scene *scene);

bool sp_scene_is_attached(const struct sp_scene *scene);
/* Published, attached, nothing staged, and this many members in slots that the view in force uses. */
bool sp_scene_is_steered(const struct sp_scene *scene, unsigned int enrolled);
/* What is recorded of a slot; state SP_SLOT_FREE when there are no pins. */
struct sp_info sp_scene_slot(__u32 slot);
__u32 sp_scene_idle_s(void); /* sp_ctl.flow_idle_s */
__u64 sp_scene_parking(void); /* the cookie of the parking socket in its slot; 0: none is there */
/* The slot of a worker; -1: it is in none. */
int sp_scene_slot_of(const struct sp_scene *scene, unsigned int id);
__u32 sp_scene_program(void); /* 0: none is pinned */

/* Two looks that are the same have found the same: pins, staging, program, slots and views. */
__u64 sp_scene_fingerprint(const struct sp_scene *scene);

/* It holds no socket of a worker. */
bool sp_scene_holds_none(const struct sp_scene *scene, pid_t pid);
unsigned int sp_scene_count_files(pid_t pid);

/*
 * Runs the tests at the same time, each in a process and in namespaces of its own; FAULTS_ONLY=TEXT: only those that
 * have it in their names. Returns how many have failed.
 */
int sp_scene_run_side_by_side(const struct CMUnitTest *tests, size_t count);

#endif
