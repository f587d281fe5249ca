# SPDX-License-Identifier: Apache-2.0
"""
guest.py - the test guest seen from outside: its configuration, its programs,
and the observers in the lab's namespace.

Invariant: nothing here goes through a host's agent except what says so, so a
guest can be watched while its hosts are busy, cut off or dead.
"""

import json
import os
import signal
import socket
import subprocess
import time

from net import OUTSIDE
from qemu import LAB, LabError, need

PORT = {"beacon": 6001, "dirtier": 6002, "tcpecho": 6003, "churn": 6004,
        "listener": 5000, "tcpclient": 5001}
BEACON = f"beacon:{OUTSIDE}:5000"


def config(name="web1", number=1, memory=256, load=(), vcpus=1, extra=""):
    """
    A domain configuration (text) for the test guest: address 10.77.0.(100+number),
    hardware address 00:16:3e:00:00:number; load: programs as "dirtier:32:2000".
    The kernel and initrd are those every lab host has at /opt/godwit/guest.
    """
    words = f"console=hvc0 host={name} ip=10.77.0.{100 + number}/24 gw={OUTSIDE}"
    if load:
        words += " load=" + ",".join(load)
    return (f'name="{name}"\nmemory={memory}\nvcpus={vcpus}\n'
            'kernel="/opt/godwit/guest/vmlinuz"\nramdisk="/opt/godwit/guest/initrd"\n'
            f'extra="{words} {extra}"\n'
            f'vif=["mac=00:16:3e:00:00:{number:02x},bridge=xenbr0"]\n')


def ask(net, addr, port, word="status", timeout=5.0, tries=3):
    """
    Ask a program (a name of PORT or a number) at addr one question; its JSON as
    a dict.  Repeated when lost, except that "verify" and "reset" have one long try.
    """
    port = PORT.get(port, port)
    if word in ("verify", "reset"):
        tries, timeout = 1, timeout * tries
    with net.socket(kind=socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        for _ in range(tries):
            try:
                s.sendto(word.encode(), (addr, port))
                return json.loads(s.recv(4096))
            except OSError:
                continue
            except json.JSONDecodeError as e:
                raise LabError(f"{addr} port {port}: no JSON: {e}") from e
    raise LabError(f"{addr} port {port}: no answer to {word!r}")


def wait_answer(net, addr, port, timeout):
    """Wait until a program answers; its first status."""
    end = time.monotonic() + timeout
    while True:
        try:
            return ask(net, addr, port, timeout=0.5, tries=1)
        except LabError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class _Observer:
    """A program of ours outside the hosts that prints one line of JSON at its end."""

    NAME = ""

    def __init__(self, lab, argv):
        self.lab = lab
        self.process = lab.observe([need(os.path.join(LAB, self.NAME))] + argv,
                                   stdout=subprocess.PIPE, text=True)

    def status(self):
        """The figures so far."""
        if self.process.poll() is not None:
            raise LabError(f"{self.NAME} ended with code {self.process.returncode}")
        return ask(self.lab.net, OUTSIDE, self.NAME)

    def stop(self, timeout=45):
        """End it; its last line."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=timeout)
        try:
            return json.loads(out)
        except json.JSONDecodeError as e:
            raise LabError(f"{self.NAME} ended with code {self.process.returncode}") from e


class Listener(_Observer):
    """The beacon's observer (listener.c)."""

    NAME = "listener"

    def __init__(self, lab, log=None):
        super().__init__(lab, ["--log", log] if log else [])

    def reset(self):
        """Start all figures anew; the old ones."""
        return ask(self.lab.net, OUTSIDE, "listener", "reset")

    def wait_flowing(self, timeout=60):
        """Wait until packets arrive."""
        end = time.monotonic() + timeout
        while True:
            try:
                seen = self.status()
                if seen["received"] > 20 and seen["silent_ms"] < 200:
                    return seen
            except LabError:
                pass
            if time.monotonic() > end:
                raise LabError(f"no beacon within {timeout} s")
            time.sleep(0.1)


class TcpClient(_Observer):
    """A TCP stream through the guest (tcpclient.c); stop()["complete"] is the verdict."""

    NAME = "tcpclient"

    def __init__(self, lab, addr, interval_us=10000, words=16):
        super().__init__(lab, [addr, "--interval-us", str(interval_us), "--words", str(words)])
        wait_answer(lab.net, OUTSIDE, self.NAME, 20)  # it answers once it is connected
