// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Four numbers for every flow. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "cleanup.h"
#include "lab.h"
#include "lab_wire.h"
#include "sources.h"

/* Above every port that a worker listens on: on any-address groups the two would collide. */
#define PORT_FIRST 10000
#define PORT_LAST 59999

void storm_sources_init(struct storm_sources *sources, const char *first, const char *second)
{
	memset(sources, 0, sizeof(*sources));
	assert_int_equal(sp_lab_address(first, &sources->by_target[0].target), 0);
	sources->ntargets = 1;
	if (!second)
		return;
	assert_int_equal(sp_lab_address(second, &sources->by_target[1].target), 0);
	sources->ntargets = 2;
}

/*
 * 127.1.x.y are ours already; fd00::x:y has to be given to the device. The numbers of the families differ, too: a
 * worker's notes tell peers by the last two bytes of the address.
 */
static void open_address(int family, __u32 number, struct sp_address *ret)
{
	*ret = (struct sp_address){ .family = family };
	assert_true(number <= 0x7fff);
	if (family == AF_INET) {
		memcpy(ret->bytes, (__u8[]){ 127, 1, number >> 8, number }, 4);
		return;
	}
	ret->bytes[0] = 0xfd;
	ret->bytes[14] = 0x80 | number >> 8;
	ret->bytes[15] = number;
	assert_int_equal(sp_lab_add_address(ret), 0);
}

void storm_sources_take(struct storm_sources *sources, struct storm_source *ret)
{
	__typeof__(&sources->by_target[0]) t = &sources->by_target[sources->next++ % sources->ntargets];

	if (!t->port || t->port == PORT_LAST) {
		open_address(t->target.family, ++t->naddresses, &t->own);
		t->port = PORT_FIRST;
	}
	*ret = (struct storm_source){ .target = t->target, .own = t->own, .port = t->port++ };
}

int storm_source_connect(const struct storm_source *source, enum sp_protocol protocol, __u16 port)
{
	sp_autoclose int fd = open_socket(protocol, source->target.family);
	struct sockaddr_storage own, target;
	socklen_t own_len = sp_address_to_sockaddr(&source->own, source->port, &own);
	socklen_t target_len = sp_address_to_sockaddr(&source->target, port, &target);

	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&own, own_len))
		return -errno;
	if (connect(fd, (struct sockaddr *)&target, target_len) && errno != EINPROGRESS)
		return -errno;
	return sp_take_fd(&fd);
}
