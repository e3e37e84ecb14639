// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Does this kernel wake the listener to which it migrates a connection? A try in a network of one's own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <bpf/bpf.h>
#include "cleanup.h"
#include "lab.h"
#include "wake.h"

#define PATIENCE_MS 5000 /* for the whole of it, which takes milliseconds */
#define QUEUE_PATIENCE_MS 1000 /* for a handshake over the loopback device */
#define WAKE_PATIENCE_MS 100 /* a wake-up comes before close() returns */
#define BACKLOG 8

/* What the child says, in one write(). */
struct finding {
	enum sp_wake_need need;
	int err; /* UNKNOWN: why */
	int step; /* UNKNOWN: which could not be done */
};

static const char *const steps[] = {
	"cannot start a child process", /* the parent's; the rest is the child's */
	"cannot make a private network",
	"cannot bring up its loopback device",
	"cannot load a program that lets connections migrate",
	"cannot open a listener",
	"cannot attach the program",
	"cannot connect to the listener",
	"cannot open a second listener in its group",
	"cannot watch the second listener",
	"the connection was not migrated",
};

/* Opens a listener on the loopback device; *port 0: the kernel chooses. */
static int open_listener(__u16 *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(*port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	sp_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(address);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, len) || listen(fd, BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&address, &len))
		return -errno;
	*port = ntohs(address.sin_port);
	return sp_take_fd(&fd);
}

/* Selects nobody, so that the kernel's hash does, which is allowed to migrate because of the type. */
static int load_program(void)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = SK_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_SK_REUSEPORT_SELECT_OR_MIGRATE);

	return bpf_prog_load(BPF_PROG_TYPE_SK_REUSEPORT, "sp_probe", "Dual BSD/GPL", code,
			     SP_ARRAY_SIZE(code), &opts);
}

static int connect_client(__u16 port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons(port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	sp_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return sp_take_fd(&fd);
}

/* Until one connection waits in the listener. */
static int wait_queued(int listener)
{
	const struct timespec tick = { .tv_nsec = 1000000 };
	__u64 deadline = sp_lab_now_ms() + QUEUE_PATIENCE_MS;
	struct tcp_info info;

	do {
		socklen_t len = sizeof(info);

		if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &len))
			return -errno;
		/* Of a listening socket this is the length of its accept queue: tcp_get_info(). */
		if (info.tcpi_unacked)
			return 0;
		nanosleep(&tick, NULL);
	} while (sp_lab_left_ms(deadline));
	return -ETIMEDOUT;
}

/* Each step of `steps` in its turn. */
static int find_out(struct finding *f)
{
	struct epoll_event event = { .events = EPOLLIN };
	sp_autoclose int first = -1, second = -1, program = -1, client = -1, epoll = -1;
	__u16 port = 0;
	int n;

	f->step++;
	if (unshare(CLONE_NEWNET))
		return -errno;
	f->step++;
	n = sp_lab_bring_up_loopback();
	if (n)
		return n;
	f->step++;
	program = load_program();
	if (program < 0)
		return program;
	f->step++;
	first = open_listener(&port);
	if (first < 0)
		return first;
	f->step++;
	if (setsockopt(first, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof(program)))
		return -errno;
	f->step++;
	client = connect_client(port);
	n = client < 0 ? client : wait_queued(first);
	if (n)
		return n;
	f->step++;
	second = open_listener(&port);
	if (second < 0)
		return second;
	f->step++;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, second, &event))
		return -errno;
	f->step++;
	sp_close_fd(&first);
	n = wait_queued(second);
	if (n)
		return n;
	/* epoll looks at a file when it was told to, not when it is asked. */
	n = epoll_wait(epoll, &event, 1, WAKE_PATIENCE_MS);
	if (n < 0)
		return -errno;
	f->need = n ? SP_WAKE_NOT_NEEDED : SP_WAKE_NEEDED;
	return 0;
}

/* Holds nothing of the parent's, above all no lock and no socket. */
static void run_child(int answer, pid_t parent)
{
	struct finding f = { .need = SP_WAKE_UNKNOWN };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(answer, STDIN_FILENO) < 0 ||
	    syscall(SYS_close_range, (unsigned int)STDERR_FILENO + 1, ~0U, 0U))
		_exit(1);
	f.err = find_out(&f);
	_exit(write(STDIN_FILENO, &f, sizeof(f)) == sizeof(f) ? 0 : 1);
}

static int ask_child(struct finding *ret)
{
	__u64 deadline = sp_lab_now_ms() + PATIENCE_MS;
	struct finding f;
	pid_t parent = getpid(), child;
	struct pollfd ready;
	int ends[2], n, err = 0;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	sp_autoclose int ours = ends[0];
	sp_autoclose int theirs = ends[1];

	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0)
		run_child(theirs, parent);
	sp_close_fd(&theirs);
	ready = (struct pollfd){ .fd = ours, .events = POLLIN };
	do
		n = poll(&ready, 1, sp_lab_left_ms(deadline));
	while (n < 0 && errno == EINTR);
	if (n != 1)
		err = -ETIMEDOUT;
	else if (read(ours, &f, sizeof(f)) != sizeof(f))
		err = -ECHILD;
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (!err)
		*ret = f;
	return err;
}

enum sp_wake_need sp_wake_probe(char ret_why[SP_WAKE_WHY_LEN])
{
	struct finding f = { .need = SP_WAKE_UNKNOWN };
	int err = ask_child(&f);

	if (err)
		f.err = err;
	if (f.need == SP_WAKE_UNKNOWN)
		snprintf(ret_why, SP_WAKE_WHY_LEN, "%s: %s", steps[f.step], strerror(-f.err));
	return f.need;
}
