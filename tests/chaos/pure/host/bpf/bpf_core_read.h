/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* As bpf_helpers.h here: nothing is relocated, and what is read through a cast is not read at all (sp_has_cast). */
#ifndef STEADYPORT_TESTS_BPF_CORE_READ_H
#define STEADYPORT_TESTS_BPF_CORE_READ_H

#define bpf_core_type_id_kernel(type) 0

#endif
