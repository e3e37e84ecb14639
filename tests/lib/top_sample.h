/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Samples of `top`, made by hand. */
#ifndef STEADYPORT_TESTS_TOP_SAMPLE_H
#define STEADYPORT_TESTS_TOP_SAMPLE_H

#include "top_model.h"

#define SP_TOP_TEST_NS 1000000000ULL

/* A group called "h3" with so many live slots and nothing counted. The slots belong to the sample. */
struct sp_top_sample sp_top_sample_of(enum sp_protocol protocol, size_t nslots, __u64 now_ns);

#endif
