/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A socket of our own that the kernel takes for a member of another process's group. */
#ifndef STEADYPORT_SIBLING_H
#define STEADYPORT_SIBLING_H

/**
 * sp_sibling_make - a bound TCP socket like another
 * @socket: a member that listens; its group lasts for as long as it is open
 *
 * Alike is what the kernel compares before it puts two sockets into one group (inet_reuseport_add_sock()): network
 * namespace, address, port, family, IPV6_V6ONLY, device and owner; and, as far as they can be read, the options that
 * a connection inherits from its listener. Not TCP-MD5 keys, socket filters and TCP Fast Open.
 *
 * The result does not listen yet. It is close-on-exec and does not block. Another owner needs CAP_SETUID, another
 * network namespace CAP_SYS_ADMIN and CAP_NET_ADMIN, a port below 1024 CAP_NET_BIND_SERVICE.
 * Returns 0 or -errno (not logged).
 */
int sp_sibling_make(int socket, int *ret_fd);

#endif
