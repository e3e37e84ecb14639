#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Workers and clients of scripts/screens.sh.

lab.py serve NAME udp|tcp ADDRESS PORT     a worker called NAME; says "ready" when it is in its group. UDP: answers; TCP:
                                           accepts, greets and keeps
lab.py flows ADDRESS PORT FIRST N          N UDP flows from ADDRESS, ports FIRST and up; for each line on stdin each of
                                           them asks and is answered; then says "done"
lab.py connections ADDRESS PORT            TCP: for each line "greeted N" or "mute N" on stdin N more connect, and are
                                           greeted or not; then says "done"
"""

import socket
import sys

PATIENCE = 30  # seconds, for what takes milliseconds
BATCH = 50  # flows that ask at once: a worker's queue holds what they send, even if all are its own


def say(word):
    print(word, flush=True)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(name, protocol, address, port):
    # What the kernel calls the process, and so steadyport.
    with open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write(name)
    is_udp = protocol == "udp"
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, int(port)))
    if not is_udp:
        sock.listen(128)
    say("ready")
    kept = []
    while True:
        if is_udp:
            sock.sendto(*sock.recvfrom(2048))
        else:
            kept.append(sock.accept()[0])
            kept[-1].sendall(b"hello")


def flows(address, port, first, count):
    socks = []
    for i in range(int(count)):
        sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
        sock.bind((address, int(first) + i))
        sock.connect((address, int(port)))
        sock.settimeout(PATIENCE)
        socks.append(sock)
    for _ in sys.stdin:
        for start in range(0, len(socks), BATCH):
            batch = socks[start : start + BATCH]
            for sock in batch:
                sock.send(b"?")
            for sock in batch:
                sock.recv(2048)
        say("done")


def connections(address, port):
    kept = []
    for line in sys.stdin:
        how, count = line.split()
        for _ in range(int(count)):
            sock = socket.create_connection((address, int(port)), timeout=PATIENCE)
            kept.append(sock)
            if how == "greeted":
                sock.recv(2048)
        say("done")


if __name__ == "__main__":
    {"serve": serve, "flows": flows, "connections": connections}[sys.argv[1]](*sys.argv[2:])
