// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The laboratory itself: private namespaces, addresses, time. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include "cleanup.h"
#include "lab.h"
#include "log.h"

__u64 sp_lab_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000 + (__u64)now.tv_nsec / 1000000;
}

int sp_lab_left_ms(__u64 deadline_ms)
{
	__u64 now = sp_lab_now_ms();

	return now < deadline_ms ? (int)(deadline_ms - now) : 0;
}

int sp_lab_address(const char *text, struct sp_address *ret)
{
	struct sp_address address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

	if (inet_pton(address.family, text, address.bytes) != 1)
		return -EINVAL;
	*ret = address;
	return 0;
}

__u32 sp_lab_peer(const struct sockaddr_storage *sa)
{
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const struct sockaddr_in *v4 = (const void *)sa;
	__u32 port = ntohs(sa->ss_family == AF_INET ? v4->sin_port : v6->sin6_port);

	if (sa->ss_family == AF_INET)
		return (ntohl(v4->sin_addr.s_addr) & 0xffff) << 16 | port;
	return (__u32)v6->sin6_addr.s6_addr[14] << 24 | (__u32)v6->sin6_addr.s6_addr[15] << 16 | port;
}

int sp_lab_bring_up_loopback(void)
{
	sp_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };

	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFFLAGS, &request))
		return -errno;
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) ? -errno : 0;
}

int sp_lab_enter(const char *bpffs)
{
	int err;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		err = sp_fail(-errno, "cannot make a private network");
		if (err == -EPERM)
			sp_hint("run as root: namespaces of one's own need CAP_SYS_ADMIN");
		else if (err == -EINVAL || err == -ENOSPC)
			sp_hint("this kernel has no network namespaces, or no more of them");
		return err;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return sp_fail(-errno, "cannot make the mounts of the new namespace private");
	if (bpffs && mount("bpf", bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700")) {
		err = sp_fail(-errno, "cannot mount a private bpffs at %s", bpffs);
		if (err == -ENOENT)
			sp_hint("say where: --bpffs DIR, an existing directory");
		return err;
	}
	err = sp_lab_bring_up_loopback();
	if (err)
		return sp_fail(err, "cannot bring up the private loopback device");
	return 0;
}

int sp_lab_add_address(const struct sp_address *address)
{
	struct {
		struct nlmsghdr header;
		struct ifaddrmsg message;
		struct rtattr attribute;
		__u8 bytes[16];
	} request = { 0 };
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[256];
	} reply;
	sp_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	size_t len = address->family == AF_INET ? 4 : 16;
	ssize_t got;

	if (fd < 0)
		return -errno;
	request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.message)) + RTA_LENGTH(len);
	request.header.nlmsg_type = RTM_NEWADDR;
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	request.message.ifa_family = address->family;
	request.message.ifa_prefixlen = len * 8;
	request.message.ifa_index = if_nametoindex("lo");
	/* Usable at once: no duplicate address detection. */
	request.message.ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0;
	request.attribute.rta_type = IFA_LOCAL;
	request.attribute.rta_len = RTA_LENGTH(len);
	memcpy(request.bytes, address->bytes, len);
	if (send(fd, &request, request.header.nlmsg_len, 0) < 0)
		return -errno;
	got = recv(fd, &reply, sizeof(reply), 0);
	if (got < 0)
		return -errno;
	if ((size_t)got < sizeof(reply.header) + sizeof(reply.error) ||
	    reply.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return reply.error.error;
}

int sp_lab_reserve_files(size_t nfiles)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	if (limit.rlim_cur >= nfiles)
		return 0;
	if (limit.rlim_max < nfiles)
		return -EMFILE;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;
}
