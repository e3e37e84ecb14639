// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The workers and the flows that an operator's commands act on. */
#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "cleanup.h"
#include "pin.h"

#define CROWD_TIMEOUT_MS 30000

/* --- workers --- */

/* For the teardown after a case that failed half-way. */
static struct sp_crew *crews[64];

static void remember(struct sp_crew *crew)
{
	size_t i = 0;

	while (i < SP_ARRAY_SIZE(crews) && crews[i] && crews[i] != crew)
		i++;
	assert_true(i < SP_ARRAY_SIZE(crews));
	crews[i] = crew;
}

void sp_crew_add(struct sp_crew *crew, unsigned int id)
{
	struct sp_lab_options options = crew->options;
	struct sp_lab_worker worker;
	int err;

	assert_true(id < SP_CREW_MAX);
	assert_int_equal(crew->workers[id].pid, 0);
	options.id = id;
	options.reuseport = true;
	err = sp_lab_start(crew->protocol, &crew->address, crew->port, &options, &worker);
	if (err)
		print_error("cannot start worker %u: %s\n", id, strerror(-err));
	assert_int_equal(err, 0);
	crew->workers[id] = worker;
	crew->port = worker.port;
	if (id >= crew->size)
		crew->size = id + 1;
}

void sp_crew_start(struct sp_crew *crew, enum sp_protocol protocol, const char *address, __u16 port,
		   unsigned int size, const struct sp_lab_options *options)
{
	char place[SP_ENDPOINT_STRLEN];

	memset(crew, 0, sizeof(*crew));
	remember(crew);
	crew->protocol = protocol;
	crew->port = port;
	if (options)
		crew->options = *options;
	assert_int_equal(sp_lab_address(address, &crew->address), 0);
	for (unsigned int id = 0; id < size; id++)
		sp_crew_add(crew, id);
	sp_address_format(&crew->address, 0, crew->port, place);
	snprintf(crew->endpoint, sizeof(crew->endpoint), "%s:%.80s", sp_protocol_name(protocol), place);
}

void sp_crew_kill(struct sp_crew *crew, unsigned int id)
{
	assert_int_not_equal(crew->workers[id].pid, 0);
	sp_lab_kill(&crew->workers[id]);
}

void sp_crew_leave(struct sp_crew *crew, unsigned int id)
{
	assert_int_equal(sp_lab_leave(&crew->workers[id]), 0);
}

void sp_crew_dismiss(struct sp_crew *crew)
{
	for (unsigned int id = 0; id < crew->size; id++)
		sp_lab_kill(&crew->workers[id]);
	for (size_t i = 0; i < SP_ARRAY_SIZE(crews); i++) {
		if (crews[i] == crew)
			crews[i] = NULL;
	}
}

int sp_crew_join(const struct sp_crew *crew)
{
	int type = crew->protocol == SP_TCP ? SOCK_STREAM : SOCK_DGRAM, one = 1;
	int fd = socket(crew->address.family, type | SOCK_CLOEXEC, 0);
	struct sockaddr_storage sa;
	socklen_t len = sp_address_to_sockaddr(&crew->address, crew->port, &sa);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	if (crew->protocol == SP_TCP)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

int sp_crew_borrow(struct sp_crew *crew, unsigned int id)
{
	int fd = -1;

	assert_int_equal(sp_lab_lend(&crew->workers[id], &fd), 0);
	return fd;
}

void sp_crew_send_away(const struct sp_crew *crew, int pair[2])
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int fd = sp_crew_join(crew);

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	assert_int_equal(sendmsg(pair[0], &message, 0), 1);
	close(fd);
}

const char *sp_crew_program(const struct sp_crew *crew)
{
	static char kind[32];
	json_t *groups = sp_groups_here();

	snprintf(kind, sizeof(kind), "%s",
		 sp_json_text(sp_json_object(sp_json_find(groups, "port", crew->port), "program"), "kind"));
	json_decref(groups);
	return kind;
}

/* Whatever comes of it: after a case that failed there may be pins that no command can read. */
static void detach(const char *name)
{
	const char *const words[] = { "steadyport", "detach", name, NULL };
	struct sp_run run;

	sp_run_start(&run, NULL, words);
	sp_run_wait(&run);
	sp_run_free(&run);
}

int sp_run_teardown(void **state)
{
	DIR *dir = opendir("/sys/fs/bpf/steadyport");
	struct dirent *entry;

	(void)state;
	while (dir && (entry = readdir(dir))) {
		if (sp_name_is_valid(entry->d_name))
			detach(entry->d_name);
	}
	if (dir)
		closedir(dir);
	for (size_t i = 0; i < SP_ARRAY_SIZE(crews); i++) {
		if (crews[i])
			sp_crew_dismiss(crews[i]);
	}
	return 0;
}

/* --- flows --- */

void sp_crowd_open(struct sp_crowd *crowd, const struct sp_crew *crew, const char *to, const char *also_to,
		   __u16 source_port, size_t count)
{
	const char *targets[2] = { to, also_to };
	size_t nparts = also_to ? 2 : 1, part_count = count / nparts;

	assert_int_equal(count % nparts, 0);
	assert_int_equal(sp_lab_reserve_files(3 * count + 256), 0);
	*crowd = (struct sp_crowd){ .count = count, .source_port = source_port };
	for (size_t i = 0; i < nparts; i++) {
		struct sp_address address;
		int err;

		assert_int_equal(sp_lab_address(targets[i], &address), 0);
		err = sp_lab_open(crew->protocol, &address, crew->port, source_port + i * part_count,
				  part_count, CROWD_TIMEOUT_MS, &crowd->parts[i]);
		if (err)
			print_error("cannot open %zu flows to %s: %s\n", part_count, targets[i],
				    strerror(-err));
		assert_int_equal(err, 0);
		crowd->nparts++;
	}
}

void sp_crowd_close(struct sp_crowd *crowd)
{
	for (size_t i = 0; i < crowd->nparts; i++)
		sp_lab_close_flows(&crowd->parts[i]);
	*crowd = (struct sp_crowd){ 0 };
}

void sp_crowd_ask(struct sp_crowd *crowd, int *ret_owners)
{
	size_t done = 0, unanswered = 0;

	for (size_t i = 0; i < crowd->nparts; i++) {
		assert_int_equal(sp_lab_round(&crowd->parts[i], CROWD_TIMEOUT_MS, ret_owners + done), 0);
		done += crowd->parts[i].count;
	}
	for (size_t i = 0; i < crowd->count; i++)
		unanswered += ret_owners[i] < 0;
	assert_int_equal(unanswered, 0);
}

void sp_crowd_answers(struct sp_crowd *crowd, int *ret_owners)
{
	size_t done = 0;

	for (size_t i = 0; i < crowd->nparts; i++) {
		assert_int_equal(sp_lab_answers(&crowd->parts[i], CROWD_TIMEOUT_MS, ret_owners + done), 0);
		done += crowd->parts[i].count;
	}
}

void sp_crowd_check(const char *file, int line, struct sp_crowd *crowd, const struct sp_crew *crew,
		    const int *before, int *after)
{
	bool is_dead[SP_CREW_MAX] = { 0 };
	struct sp_lab_moves moves;

	for (unsigned int id = 0; id < crew->size; id++)
		is_dead[id] = crew->workers[id].pid == 0;
	sp_crowd_ask(crowd, after);
	moves = sp_lab_count_moves(before, after, crowd->count, is_dead, crew->size);
	if (!moves.moved && !moves.lost)
		return;
	print_error("%s: of %zu flows of living workers %zu moved, %zu were not answered\n", crew->endpoint,
		    moves.survivor_flows, moves.moved, moves.lost);
	_fail(file, line);
}
