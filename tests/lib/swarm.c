// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Flows without descriptors: sending, hearing, and the process that does it all the time. */
#include "swarm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "cleanup.h"
#include "lab_wire.h"
#include "strays.h"

#define FIRST_ADDRESS 0x7f100001 /* 127.16.0.1; the workers' own is 127.0.0.1 */
#define BATCH 32 /* datagrams of one system call */
#define PATIENCE_MS 30000 /* without any answer; on an idle machine one takes some microseconds */
#define IDLE_MS 100 /* after so long without any answer those of excused workers are given up */
#define TICK_MS 1 /* of a swarm with a rate */
#define BYTES_EACH 1024 /* what the kernel charges a receive buffer for a small datagram, and some more */

/* What is on its way: the round that it carries, 0: nothing. A lost one may yet turn out to be late. */
struct sp_swarm_flow {
	__u32 asked;
	__u32 lost;
};

struct sp_swarm_shared {
	struct sp_swarm_tally tally;
	bool is_excused[SP_CREW_MAX];
	bool is_over; /* the process is to end */
	__u32 round; /* that is being sent */
	size_t cursor; /* the flow that is asked next */
	size_t on_their_way;
	int error; /* that has ended the process */
};

struct letter {
	struct sockaddr_in peer;
	struct iovec part;
	union {
		struct question question;
		struct answer answer;
	};
	union {
		char control[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr aligned;
	};
};

/* Plain memory shared by two processes: one writes a field, the other may read it meanwhile. */
#define load(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define store(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELEASE)

static struct in_addr address_of(const struct sp_swarm *swarm, size_t flow)
{
	return (struct in_addr){ htonl(FIRST_ADDRESS + flow % swarm->options.naddresses) };
}

static void address_letters(struct letter letters[BATCH], struct mmsghdr headers[BATCH], size_t payload)
{
	memset(headers, 0, BATCH * sizeof(*headers));
	for (size_t i = 0; i < BATCH; i++) {
		struct letter *letter = &letters[i];

		letter->part.iov_base = &letter->question;
		letter->part.iov_len = payload;
		headers[i].msg_hdr = (struct msghdr){
			.msg_name = &letter->peer,
			.msg_namelen = sizeof(letter->peer),
			.msg_iov = &letter->part,
			.msg_iovlen = 1,
			.msg_control = letter->control,
			.msg_controllen = sizeof(letter->control),
		};
	}
}

/* --- sending --- */

static bool is_excused(const struct sp_swarm *swarm, size_t flow)
{
	int owner = swarm->owners[flow];

	return owner >= 0 && load(swarm->shared->is_excused[owner]);
}

static bool has_strayed(const struct sp_swarm *swarm, size_t flow)
{
	__u16 source_port = swarm->options.source_port + flow / swarm->options.naddresses;
	struct question question = { .round = swarm->flows[flow].asked, .flow = flow };

	return sp_strays_took(swarm->strays, source_port, &question);
}

static void give_up(struct sp_swarm *swarm, size_t flow)
{
	struct sp_swarm_flow *f = &swarm->flows[flow];

	f->lost = f->asked;
	f->asked = 0;
	swarm->shared->on_their_way--;
	swarm->shared->tally.lost++;
}

/* After a while without answers: what excused workers have not answered they will not, nor will anybody a stray. */
static void give_up_lost(struct sp_swarm *swarm)
{
	for (size_t i = 0; i < swarm->count && swarm->shared->on_their_way; i++) {
		struct sp_swarm_flow *f = &swarm->flows[i];

		if (!f->asked)
			continue;
		if (is_excused(swarm, i)) {
			give_up(swarm, i);
		} else if (has_strayed(swarm, i)) {
			f->asked = 0;
			swarm->shared->on_their_way--;
			store(swarm->shared->tally.strays, swarm->shared->tally.strays + 1);
		}
	}
}

static bool is_free(struct sp_swarm *swarm, size_t flow)
{
	if (swarm->flows[flow].asked && is_excused(swarm, flow))
		give_up(swarm, flow);
	return !swarm->flows[flow].asked;
}

/* Sends the next ones of one socket, @room at most. Their number or -errno; 0: the next flow is not free yet. */
static int send_some(struct sp_swarm *swarm, size_t room)
{
	size_t first = swarm->shared->cursor, port = first / swarm->options.naddresses, n = 0;
	size_t end = (port + 1) * swarm->options.naddresses;
	struct mmsghdr headers[BATCH];
	struct letter letters[BATCH];
	int sent;

	address_letters(letters, headers, sizeof(struct question));
	while (n < BATCH && n < room && first + n < end && is_free(swarm, first + n)) {
		struct letter *letter = &letters[n];
		struct in_pktinfo info = { .ipi_spec_dst = address_of(swarm, first + n) };
		struct cmsghdr *control = CMSG_FIRSTHDR(&headers[n].msg_hdr);

		letter->peer = swarm->target;
		letter->question = (struct question){ .round = swarm->shared->round, .flow = first + n };
		control->cmsg_level = IPPROTO_IP;
		control->cmsg_type = IP_PKTINFO;
		control->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(control), &info, sizeof(info));
		n++;
	}
	if (n == 0)
		return 0;
	sent = sendmmsg(swarm->sockets[port], headers, n, 0);
	if (sent < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < sent; i++)
		swarm->flows[first + i].asked = swarm->shared->round;
	swarm->shared->cursor += sent;
	swarm->shared->on_their_way += sent;
	store(swarm->shared->tally.sent, swarm->shared->tally.sent + sent);
	return sent;
}

/* --- hearing --- */

static bool is_asked_address(const struct sp_swarm *swarm, struct msghdr *header, size_t flow)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);
	struct in_pktinfo info;

	if (!control || control->cmsg_level != IPPROTO_IP || control->cmsg_type != IP_PKTINFO)
		return false;
	memcpy(&info, CMSG_DATA(control), sizeof(info));
	return info.ipi_addr.s_addr == address_of(swarm, flow).s_addr;
}

static void note_owner(struct sp_swarm *swarm, size_t flow, __u32 owner)
{
	struct sp_swarm_tally *tally = &swarm->shared->tally;
	int before = swarm->owners[flow];

	if (before == (int)owner)
		return;
	if (before != SP_LAB_SILENT && !is_excused(swarm, flow)) {
		if (!tally->moved) {
			tally->first_move.flow = flow;
			tally->first_move.from = before;
			tally->first_move.to = owner;
		}
		store(tally->moved, tally->moved + 1);
	}
	store(swarm->owners[flow], (int)owner);
}

static void take(struct sp_swarm *swarm, size_t port, struct mmsghdr *header, const struct answer *answer)
{
	struct sp_swarm_shared *shared = swarm->shared;
	size_t flow = answer->question.flow;
	struct sp_swarm_flow *f = &swarm->flows[flow];
	__u32 round = answer->question.round;

	if (header->msg_len != sizeof(*answer) || answer->id >= SP_CREW_MAX || round == 0 ||
	    flow >= swarm->count || flow / swarm->options.naddresses != port ||
	    !is_asked_address(swarm, &header->msg_hdr, flow) || (f->asked != round && f->lost != round)) {
		shared->tally.strange++;
		return;
	}
	if (f->asked == round) {
		f->asked = 0;
		shared->on_their_way--;
	} else {
		f->lost = 0;
		shared->tally.lost--;
	}
	store(shared->tally.answered, shared->tally.answered + 1);
	note_owner(swarm, flow, answer->id);
}

static int hear(struct sp_swarm *swarm, size_t port)
{
	struct mmsghdr headers[BATCH];
	struct letter letters[BATCH];
	int n;

	do {
		address_letters(letters, headers, sizeof(struct answer));
		n = recvmmsg(swarm->sockets[port], headers, BATCH, 0, NULL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		for (int i = 0; i < n; i++)
			take(swarm, port, &headers[i], &letters[i].answer);
	} while (n == BATCH);
	return 0;
}

/* Takes what has come or comes within so many milliseconds. 1: something came; 0: nothing; or -errno. */
static int listen_for(struct sp_swarm *swarm, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(swarm->epoll, events, EVENTS, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int e = 0; e < n; e++) {
		int err = hear(swarm, events[e].data.u32);

		if (err)
			return err;
	}
	return n > 0;
}

/* Waits for answers, and gives up those that cannot come; -ETIMEDOUT when one is overdue that should. */
static int wait_for_answers(struct sp_swarm *swarm)
{
	for (int waited = 0; waited < PATIENCE_MS; waited += IDLE_MS) {
		size_t before = swarm->shared->on_their_way;
		int heard = listen_for(swarm, IDLE_MS);

		if (heard)
			return heard < 0 ? heard : 0;
		give_up_lost(swarm);
		if (swarm->shared->on_their_way < before)
			return 0;
	}
	return -ETIMEDOUT;
}

/* --- rounds --- */

/* How many the pace allows by now. */
static size_t due(const struct sp_swarm *swarm, __u64 start_ms, __u64 sent_before)
{
	__u64 allowed = (sp_lab_now_ms() - start_ms) * swarm->options.rate / 1000;
	__u64 sent = swarm->shared->tally.sent - sent_before;

	return allowed > sent ? allowed - sent : 0;
}

/* Sends to each flow from the cursor on to the last, and hears meanwhile. @start_ms 0: as fast as it goes. */
static int send_round(struct sp_swarm *swarm, __u64 start_ms, __u64 sent_before)
{
	struct sp_swarm_shared *shared = swarm->shared;
	int err = 0;

	while (!err && shared->cursor < swarm->count && !load(shared->is_over)) {
		size_t room = swarm->options.window - shared->on_their_way;
		size_t allowed = start_ms ? due(swarm, start_ms, sent_before) : room;
		int sent = 0;

		if (allowed == 0) {
			err = listen_for(swarm, TICK_MS);
			err = err < 0 ? err : 0;
			continue;
		}
		if (room)
			sent = send_some(swarm, allowed < room ? allowed : room);
		if (sent < 0)
			return sent;
		/* Half of them are waited for, so that the next are sent in batches, too. */
		while (!err && (sent == 0 || shared->on_their_way > swarm->options.window / 2)) {
			err = wait_for_answers(swarm);
			sent = 1;
		}
	}
	return err;
}

static int finish(struct sp_swarm *swarm)
{
	int err = 0;

	while (!err && swarm->shared->on_their_way)
		err = wait_for_answers(swarm);
	return err;
}

static void begin_round(struct sp_swarm *swarm)
{
	swarm->shared->round++;
	swarm->shared->cursor = 0;
}

static int send_until_over(struct sp_swarm *swarm)
{
	struct sp_swarm_shared *shared = swarm->shared;
	__u64 start_ms = swarm->options.rate ? sp_lab_now_ms() : 0, sent_before = shared->tally.sent;
	int err = 0;

	while (!err && !load(shared->is_over)) {
		begin_round(swarm);
		err = send_round(swarm, start_ms, sent_before);
		if (!err && shared->cursor == swarm->count)
			store(shared->tally.rounds, shared->tally.rounds + 1);
	}
	return err ?: finish(swarm);
}

/* --- what tests call --- */

static int open_port(struct sp_swarm *swarm, size_t port)
{
	struct sockaddr_in own = { .sin_family = AF_INET,
				   .sin_port = htons(swarm->options.source_port + port) };
	int room = swarm->options.window * BYTES_EACH * 2;
	int fd = open_socket(SP_UDP, AF_INET);

	swarm->sockets[port] = fd;
	if (fd < 0)
		return fd;
	/* Answers to all that is on its way may come to one socket. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		return -errno;
	if (set_option(fd, IPPROTO_IP, IP_PKTINFO) || bind(fd, (struct sockaddr *)&own, sizeof(own)))
		return -errno;
	return watch(swarm->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, port);
}

/* For the teardown after a case that failed half-way. */
static struct sp_swarm *swarms[8];

static void remember(struct sp_swarm *swarm)
{
	size_t i = 0;

	while (i < SP_ARRAY_SIZE(swarms) && swarms[i])
		i++;
	assert_true(i < SP_ARRAY_SIZE(swarms));
	swarms[i] = swarm;
}

void sp_swarm_open(struct sp_swarm *swarm, const struct sp_crew *crew, const struct sp_swarm_options *options)
{
	size_t count = options->nports * options->naddresses;
	char *memory;

	*swarm = (struct sp_swarm){
		.options = *options,
		.count = count,
		.target = { .sin_family = AF_INET,
			    .sin_port = htons(crew->port),
			    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.size = sizeof(*swarm->shared) + count * (sizeof(*swarm->flows) + sizeof(*swarm->owners)),
	};
	swarm->options.window = options->window ?: SP_SWARM_WINDOW;
	remember(swarm);
	assert_true(swarm->epoll >= 0);
	swarm->strays = sp_strays_start(crew->port);
	memory = mmap(NULL, swarm->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED);
	swarm->shared = (void *)memory;
	swarm->flows = (void *)(swarm->shared + 1);
	swarm->owners = (void *)(swarm->flows + count);
	for (size_t i = 0; i < count; i++)
		swarm->owners[i] = SP_LAB_SILENT;

	swarm->sockets = malloc(options->nports * sizeof(*swarm->sockets));
	assert_non_null(swarm->sockets);
	for (size_t port = 0; port < options->nports; port++)
		swarm->sockets[port] = -1;
	for (size_t port = 0; port < options->nports; port++)
		assert_int_equal(open_port(swarm, port), 0);
}

void sp_swarm_close(struct sp_swarm *swarm)
{
	if (swarm->pid) {
		kill(swarm->pid, SIGKILL);
		waitpid(swarm->pid, NULL, 0);
	}
	for (size_t port = 0; swarm->sockets && port < swarm->options.nports; port++)
		sp_close_fd(&swarm->sockets[port]);
	free(swarm->sockets);
	sp_strays_stop(swarm->strays);
	sp_close_fd(&swarm->epoll);
	if (swarm->shared)
		munmap(swarm->shared, swarm->size);
	*swarm = (struct sp_swarm){ .epoll = -1 };
	for (size_t i = 0; i < SP_ARRAY_SIZE(swarms); i++)
		if (swarms[i] == swarm)
			swarms[i] = NULL;
}

int sp_swarm_teardown(void **state)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(swarms); i++)
		if (swarms[i])
			sp_swarm_close(swarms[i]);
	return sp_run_teardown(state);
}

/* The first flow that waits for an answer, to say more than "timed out". */
static void require_done(const struct sp_swarm *swarm, int err)
{
	size_t i = 0;

	if (!err)
		return;
	while (i < swarm->count && !swarm->flows[i].asked)
		i++;
	print_error("%s: %zu of %zu flows have no answer", strerror(-err), swarm->shared->on_their_way,
		    swarm->count);
	if (i < swarm->count)
		print_error("; the first is flow %zu, which was answered by %d last", i, swarm->owners[i]);
	print_error("\n");
	fail();
}

void sp_swarm_ask(struct sp_swarm *swarm)
{
	int err;

	assert_int_equal(swarm->pid, 0);
	begin_round(swarm);
	err = send_round(swarm, 0, 0);
	require_done(swarm, err ?: finish(swarm));
}

void sp_swarm_start(struct sp_swarm *swarm)
{
	pid_t parent = getpid();

	assert_int_equal(swarm->pid, 0);
	swarm->shared->is_over = false;
	swarm->pid = fork();
	assert_true(swarm->pid >= 0);
	if (swarm->pid > 0)
		return;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	prctl(PR_SET_NAME, "swarm");
	swarm->shared->error = send_until_over(swarm);
	_exit(0);
}

/*
 * The rest of this round, a whole one, and another: when that is sent, each flow has been found free, and so the one
 * before was answered or is lost.
 */
__u64 sp_swarm_mark(const struct sp_swarm *swarm)
{
	return load(swarm->shared->tally.rounds) + 3;
}

void sp_swarm_wait(struct sp_swarm *swarm, __u64 mark)
{
	__u64 last = 0, deadline = 0;

	for (;;) {
		__u64 now = load(swarm->shared->tally.rounds);

		if (now >= mark)
			return;
		if (now != last || !deadline)
			deadline = sp_lab_now_ms() + PATIENCE_MS;
		last = now;
		if (load(swarm->shared->error) || sp_lab_left_ms(deadline) == 0)
			require_done(swarm, load(swarm->shared->error) ?: -ETIMEDOUT);
		poll(NULL, 0, TICK_MS);
	}
}

void sp_swarm_wait_round(struct sp_swarm *swarm)
{
	sp_swarm_wait(swarm, sp_swarm_mark(swarm));
}

void sp_swarm_stop(struct sp_swarm *swarm)
{
	int status;

	assert_true(swarm->pid > 0);
	store(swarm->shared->is_over, true);
	/* It has deadlines of its own. */
	assert_int_equal(waitpid(swarm->pid, &status, 0), swarm->pid);
	swarm->pid = 0;
	store(swarm->shared->is_over, false);
	assert_int_equal(status, 0);
	require_done(swarm, swarm->shared->error);
}

void sp_swarm_excuse(struct sp_swarm *swarm, unsigned int id)
{
	assert_true(id < SP_CREW_MAX);
	store(swarm->shared->is_excused[id], true);
}

const struct sp_swarm_tally *sp_swarm_tally(const struct sp_swarm *swarm)
{
	return &swarm->shared->tally;
}

void sp_swarm_owners(const struct sp_swarm *swarm, int *ret_owners)
{
	for (size_t i = 0; i < swarm->count; i++)
		ret_owners[i] = load(swarm->owners[i]);
}

void sp_swarm_check_still(const struct sp_swarm *swarm, const char *file, int line)
{
	const struct sp_swarm_tally *tally = sp_swarm_tally(swarm);
	__u64 moved = load(tally->moved), strange = load(tally->strange), strays = load(tally->strays);
	__u64 nexcused = 0;

	for (size_t id = 0; id < SP_CREW_MAX; id++)
		nexcused += load(swarm->shared->is_excused[id]);
	if (!moved && !strange && strays <= nexcused)
		return;
	print_error(
		"of %zu flows %llu moved, %llu datagrams were no answer, and %llu of those of workers that live were left in the sockets of %llu that ended",
		swarm->count, moved, strange, strays, nexcused);
	if (moved)
		print_error("; the first is flow %zu, from worker %d to %d", tally->first_move.flow,
			    tally->first_move.from, tally->first_move.to);
	print_error("\n");
	_fail(file, line);
}

void sp_swarm_see_settled(struct sp_swarm *swarm, const char *name, const char *file, int line)
{
	sp_swarm_wait_round(swarm);
	if (!sp_status_bool(name, "learning")) {
		print_error(
			"no learn window is open: it has closed before every flow was asked, or never was\n");
		_fail(file, line);
	}
	sp_status_wait_settled(name);
	sp_run("sync", name);
	sp_swarm_wait_round(swarm);
	sp_swarm_check_still(swarm, file, line);
}
