#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=120 order=10 fast
"""
selftest.py - the lab's instruments must be able to say no.

Each program that later proves a move is first shown a fault made on purpose: a
stopped sender, lost packets, a restarted sender, one changed word of memory, a
changed word in a TCP stream.  A measuring tool that passes these and then
finds nothing has found nothing.  Runs on loopback in a namespace of its own.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

# pylint: disable=wrong-import-position
import guest
from net import Net
from qemu import LAB, TOP, LabError

BIN = os.path.join(TOP, "build", "guest", "bin")
LOOP = "127.0.0.1"


class Bench:
    """Programs of ours in one namespace, ended together."""

    def __init__(self):
        self.net = Net()
        self.running = []

    def start(self, path, *argv):
        p = self.net.popen([path, *argv], stdout=subprocess.PIPE, text=True)
        self.running.append(p)
        return p

    def ask(self, port, word="status"):
        return guest.ask(self.net, LOOP, port, word)

    def close(self):
        for p in self.running:
            if p.poll() is None:
                p.kill()
            p.wait()
        self.net.close()


def check(name, good, seen):
    """One result line of the test driver."""
    print(f"PASS {name}" if good else f"FAIL {name}: {seen}", flush=True)
    return good


def listener_checks(b):
    """Gap, loss, restart."""
    b.start(os.path.join(LAB, "listener"))
    guest.wait_answer(b.net, LOOP, "listener", 5)
    beacon = b.start(os.path.join(BIN, "beacon"), LOOP, "5000")
    guest.wait_answer(b.net, LOOP, "beacon", 5)
    time.sleep(0.5)
    b.ask("listener", "reset")
    time.sleep(1)
    s = b.ask("listener")
    check("lab_listener_quiet", s["received"] > 100 and s["lost"] == 0 and s["duplicates"] == 0
          and s["runs"] == 1 and s["longest_gap_ms"] < 250, s)
    beacon.send_signal(signal.SIGSTOP)
    time.sleep(0.6)
    beacon.send_signal(signal.SIGCONT)
    time.sleep(0.3)
    s = b.ask("listener")
    check("lab_listener_sees_gap", 550 < s["longest_gap_ms"] < 900
          and 550 < s["gap_guest_ms"] < 900 and s["lost"] == 0, s)
    # A run of our own with holes, a duplicate and a swap.
    b.ask("listener", "reset")
    beacon.kill()
    with b.net.socket(kind=socket.SOCK_DGRAM) as sock:
        for seq in (1000, 1001, 1002, 1005, 1004, 1005, 1010):
            sock.sendto(struct.pack(">IIQQQ", 0x47574243, 7, seq, seq * 2000000, 1), (LOOP, 5000))
    time.sleep(0.1)
    s = b.ask("listener")
    check("lab_listener_counts_holes", (s["lost"], s["duplicates"], s["reordered"], s["runs"])
          == (5, 1, 1, 2), s)


def writable_mappings(pid):
    """The big anonymous mappings of a process, largest first."""
    maps = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        for line in f:
            span, perms = line.split()[:2]
            lo, hi = (int(x, 16) for x in span.split("-"))
            if perms.startswith("rw") and hi - lo >= 1 << 20:
                maps.append((hi - lo, lo))
    return [lo for _, lo in sorted(maps, reverse=True)]


def dirtier_checks(b):
    """Verify passes on a sound buffer and fails when one word was changed behind its back."""
    p = b.start(os.path.join(BIN, "dirtier"), "8", "2000")
    guest.wait_answer(b.net, LOOP, "dirtier", 10)
    time.sleep(1)
    s = b.ask("dirtier", "verify")
    check("lab_dirtier_passes", s["verdict"] == "PASS" and s["writes"] > 500
          and s["checks"] >= 8 * 256 * 512, s)
    b.ask("dirtier", "pause")
    # The last word of the mapping's first half: inside the buffer wherever it begins.
    where = writable_mappings(p.pid)[0] + (4 << 20) + 8
    fd = os.open(f"/proc/{p.pid}/mem", os.O_RDWR)
    try:
        old = os.pread(fd, 8, where)
        os.pwrite(fd, bytes([old[0] ^ 1]) + old[1:], where)
    finally:
        os.close(fd)
    s = b.ask("dirtier", "verify")
    check("lab_dirtier_sees_one_bit", s["verdict"] == "FAIL" and s["errors"] >= 1
          and s["first_error"] != "", s)


def swapping_proxy(b, port):
    """Passes a connection to tcpecho on, changing one byte of the echo after a while."""
    server = b.net.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((LOOP, port))
    server.listen(1)
    target = b.net.connect(LOOP, 7000, 5)

    def pass_on(src, dst, spoil_at):
        seen = 0
        try:
            while data := src.recv(4096):
                if spoil_at is not None and seen <= spoil_at < seen + len(data):
                    i = spoil_at - seen
                    data = data[:i] + bytes([data[i] ^ 1]) + data[i + 1:]
                seen += len(data)
                dst.sendall(data)
        except OSError:
            pass

    def serve():
        client, _ = server.accept()
        threading.Thread(target=pass_on, args=(client, target, None), daemon=True).start()
        pass_on(target, client, 2007)

    threading.Thread(target=serve, daemon=True).start()


def tcp_checks(b):
    """A sound stream is complete; a spoilt or a cut one is not."""
    client = os.path.join(LAB, "tcpclient")
    echo = b.start(os.path.join(BIN, "tcpecho"))
    guest.wait_answer(b.net, LOOP, "tcpecho", 5)
    p = b.start(client, LOOP, "--seconds", "1")
    out = p.communicate(timeout=60)[0]
    s = b.ask("tcpecho")
    check("lab_tcp_complete", p.returncode == 0 and '"complete":true' in out
          and s["words"] > 100 and s["errors"] == 0, f"{p.returncode} {out} {s}")
    swapping_proxy(b, 7100)
    p = b.start(client, LOOP, "--port", "7100", "--seconds", "1")
    time.sleep(2)
    s = b.ask("tcpclient")
    check("lab_tcp_sees_spoilt_word", s["errors"] >= 1 and not s["unbroken"], s)
    p.kill()
    p.communicate()
    p = b.start(client, LOOP)
    time.sleep(0.5)
    echo.kill()
    out = p.communicate(timeout=60)[0]
    check("lab_tcp_sees_broken_connection", p.returncode == 1 and '"unbroken":false' in out, out)


def churn_checks(b):
    """Page-table churn runs and finds nothing on a sound kernel."""
    b.start(os.path.join(BIN, "churn"), "2", "50")
    guest.wait_answer(b.net, LOOP, "churn", 5)
    time.sleep(0.5)
    s = b.ask("churn")
    check("lab_churn_runs", s["rounds"] >= 5 and s["errors"] == 0, s)


def main():
    try:
        b = Bench()
    except LabError as e:
        print(f"SKIP lab_selftest: {e}")
        return 0
    try:
        for part in (listener_checks, dirtier_checks, tcp_checks, churn_checks):
            part(b)
    finally:
        b.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
