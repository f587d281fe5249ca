# SPDX-License-Identifier: Apache-2.0
"""
net.py - the lab's network: one namespace, two bridges, a tap for each card.

          namespace gwlab-PID-N
     lan 10.77.0.254/24            mgmt 10.78.0.254/24
      |      |      |                |          |
    outside lan1   lan2             mgmt1      mgmt2      <- taps
           host1  host2             host1      host2

The hosts' bridges (xenbr0) and the guests live on `lan`; the harness talks to
its agents over `mgmt`, so that cutting or limiting `lan` never blinds it.

Invariant: everything is inside the namespace, so removing it removes all.
The name holds the owner's process id; stale ones can be told and removed.
"""

import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import threading

from qemu import LabError

PREFIX = "gwlab-"
OUTSIDE = "10.77.0.254"
_COUNT = itertools.count(1)
_CLONE_NEWNET = 0x40000000


def _ip(*args, check=True):
    r = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    if check and r.returncode:
        raise LabError(f"ip {' '.join(args)}: {r.stderr.strip()}")
    return r


def remove_stale():
    """Remove namespaces whose owner is gone; returns their names."""
    gone = []
    for line in _ip("netns", "list", check=False).stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        parts = name.split("-")
        if name.startswith(PREFIX) and len(parts) == 3 and not os.path.exists(f"/proc/{parts[1]}"):
            _ip("netns", "del", name, check=False)
            gone.append(name)
    return gone


class Net:
    """The network of one lab; close() when done."""

    def __init__(self):
        if not shutil.which("ip"):
            raise LabError("the program ip is not installed (package iproute2)")
        if os.geteuid() != 0:
            raise LabError("network namespaces need root")
        self.name = f"{PREFIX}{os.getpid()}-{next(_COUNT)}"
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        for bridge, addr, mac in (("lan", f"{OUTSIDE}/24", "52:54:00:79:00:01"),
                                  ("mgmt", "10.78.0.254/24", "52:54:00:79:00:02")):
            # An address of its own, or it would change with the taps that come and go.
            self.ip("link", "add", bridge, "address", mac, "type", "bridge", "forward_delay", "0",
                    "stp_state", "0", "mcast_snooping", "0")
            self.ip("addr", "add", addr, "dev", bridge)
            self.ip("link", "set", bridge, "up")

    def ip(self, *args):
        """Run `ip` inside the namespace."""
        return _ip("-n", self.name, *args)

    def prefix(self):
        """What to put before a command so that it runs in the namespace."""
        return ["ip", "netns", "exec", self.name]

    def popen(self, argv, **kwargs):
        """Start a program in the namespace (the observer outside the hosts)."""
        return subprocess.Popen(self.prefix() + list(argv), **kwargs)

    def add_tap(self, tap, bridge):
        """A tap on a bridge."""
        self.ip("tuntap", "add", "dev", tap, "mode", "tap")
        self.ip("link", "set", tap, "master", bridge)
        self.ip("link", "set", tap, "up")

    def del_tap(self, tap):
        """Remove a tap; it may be gone already."""
        _ip("-n", self.name, "link", "del", tap, check=False)

    def cut(self, tap):
        """As if the cable were pulled in the middle: frames vanish, no carrier is lost."""
        self.ip("link", "set", tap, "down")

    def restore(self, tap):
        """Put the cable back."""
        self.ip("link", "set", tap, "up")

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A socket that belongs to the namespace, usable from any thread here."""
        box = {}

        def make():
            try:
                with open(f"/run/netns/{self.name}", "rb") as f:
                    libc = ctypes.CDLL(None, use_errno=True)
                    if libc.setns(f.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                box["socket"] = socket.socket(family, kind)
            except OSError as e:
                box["error"] = e

        # setns changes the calling thread only, and a thread can be thrown away.
        t = threading.Thread(target=make)
        t.start()
        t.join()
        if "error" in box:
            raise LabError(f"namespace {self.name}: {box['error']}")
        return box["socket"]

    def connect(self, addr, port, timeout):
        """A TCP connection from inside the namespace."""
        s = self.socket()
        s.settimeout(timeout)
        try:
            s.connect((addr, port))
        except OSError:
            s.close()
            raise
        return s

    def close(self):
        """Remove the namespace with all in it."""
        if self.name:
            _ip("netns", "del", self.name, check=False)
            self.name = None
