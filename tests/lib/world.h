/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Refusals: what is said, and that nothing was changed: all pins, and what is attached to which group. */
#ifndef STEADYPORT_TESTS_WORLD_H
#define STEADYPORT_TESTS_WORLD_H

#include "run.h"

/* Setup of a case, for cmocka: the world as it is now is what later ones are compared with. */
int sp_world_setup(void **state);
/* The test itself has changed it. */
void sp_world_changed(void);

/* stderr of the run holds the text. */
#define says(run, text) sp_world_expect_text(__FILE__, __LINE__, run, text)
void sp_world_expect_text(const char *file, int line, const struct sp_run *run, const char *text);

/* A refusal in the house form: the error on one line, the next step on the line below it; and the same world. */
#define refuses(run, what, next_step) sp_world_expect_refusal(__FILE__, __LINE__, run, what, next_step)
void sp_world_expect_refusal(const char *file, int line, const struct sp_run *run, const char *what,
			     const char *next_step);

#define same_world() sp_world_expect_same(__FILE__, __LINE__)
void sp_world_expect_same(const char *file, int line);

#endif
