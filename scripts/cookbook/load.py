#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients of scripts/cookbook.sh: load.py http|postgres|dns PORT SECONDS THREADS, each request on a socket of its own."""

import collections
import socket
import struct
import sys
import threading
import time

HOST = "127.0.0.1"


def ask_http(port):
    with socket.create_connection((HOST, port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    if not answer.startswith(b"HTTP/1."):
        raise ConnectionError("closed without an answer")


def ask_postgres(port):
    """Logs in to PgBouncer's own console, which needs no database."""
    words = struct.pack(">I", 196608) + b"user\0stats\0database\0pgbouncer\0\0"
    answer = b""
    with socket.create_connection((HOST, port), timeout=10) as sock:
        sock.sendall(struct.pack(">I", len(words) + 4) + words)
        while b"Z\0\0\0\5" not in answer:
            part = sock.recv(4096)
            if not part:
                raise ConnectionError("closed without an answer")
            answer += part
        sock.sendall(b"X\0\0\0\4")


def ask_dns(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect((HOST, port))
        sock.send(struct.pack(">6H", 4711, 0, 1, 0, 0, 0) + b"\1a\4test\0" + struct.pack(">2H", 1, 1))
        sock.recv(512)


def main():
    ask = {"http": ask_http, "postgres": ask_postgres, "dns": ask_dns}[sys.argv[1]]
    port, seconds, nthreads = int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    deadline = time.monotonic() + seconds
    totals, failures = [0] * nthreads, [collections.Counter() for _ in range(nthreads)]

    def run(thread):
        while time.monotonic() < deadline:
            totals[thread] += 1
            try:
                ask(port)
            except OSError as error:
                failures[thread][type(error).__name__] += 1

    threads = [threading.Thread(target=run, args=(i,)) for i in range(nthreads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = sum(failures, collections.Counter())
    print(f"{failed.total()} of {sum(totals):,} failed", dict(failed) or "")


main()
