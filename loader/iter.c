// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reading a BPF iterator to its end. */
#include <errno.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "cleanup.h"
#include "iter.h"
#include "log.h"

#define RECORDS_PER_READ 64

/* The kernel hands out whole records only: seq_file never splits a bpf_seq_write(). */
static int read_records(int iter, size_t size, void **ret_records, size_t *ret_count)
{
	sp_autofree char *records = NULL;
	size_t used = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (room - used < RECORDS_PER_READ) {
			void *grown;

			room = room ? room * 2 : RECORDS_PER_READ * 2;
			grown = reallocarray(records, room, size);
			if (!grown)
				return -ENOMEM;
			records = grown;
		}
		n = read(iter, records + used * size, (room - used) * size);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (n % size)
			return -EPROTO;
		used += n / size;
	}
	*ret_records = sp_take_ptr(records);
	*ret_count = used;
	return 0;
}

int sp_iter_read(const struct bpf_program *prog, const char *what, size_t record_size, struct bpf_link **link,
		 void **ret_records, size_t *ret_count)
{
	sp_autoclose int iter = -1;
	int err;

	if (!*link)
		*link = bpf_program__attach_iter(prog, NULL);
	if (!*link)
		return sp_fail(-errno, "cannot attach the %s iterator", what);
	iter = bpf_iter_create(bpf_link__fd(*link));
	if (iter < 0)
		return sp_fail(iter, "cannot start the %s iterator", what);
	err = read_records(iter, record_size, ret_records, ret_count);
	return err ? sp_fail(err, "cannot read the %s iterator", what) : 0;
}
