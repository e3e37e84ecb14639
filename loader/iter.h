/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading a BPF iterator to its end. */
#ifndef STEADYPORT_ITER_H
#define STEADYPORT_ITER_H

#include <stddef.h>

struct bpf_program;
struct bpf_link;

/**
 * sp_iter_read - read all that an iterator program writes in one pass
 * @record_size: of what it writes with one bpf_seq_write(), up to 4 KiB
 * @link:        belongs to the skeleton of the program, which destroys it; attached first if it is NULL
 * @ret_records: malloc()ed, @ret_count records; may be NULL when there are none
 * Returns 0 or -errno (logged with @what), outputs untouched on failure but for @link.
 */
int sp_iter_read(const struct bpf_program *prog, const char *what, size_t record_size, struct bpf_link **link,
		 void **ret_records, size_t *ret_count);

#endif
