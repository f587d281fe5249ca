#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
demo.py - `make demo`: a running Debian guest moves between two machines, with
a TCP connection open and a watcher outside both.

     you, watcher (outside)
          |        lan         |
        host1                host2        two emulated PCs, started by GRUB2
     Godwit, Debian       Godwit, Debian
        [ web1 ]  ------->  [ web1 ]      a stock Debian kernel

Nothing here is replayed: every line after a prompt is what the command said.
Everything runs in a network namespace and a directory of its own, which go
when the demo ends, also by Ctrl-C.

Exit codes: 0 the guest moved and nothing was lost; 1 not so; 130 interrupted.
"""

import argparse
import os
import re
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "lab"))

# pylint: disable=wrong-import-position
import beacon
import guest
from host import Lab
from qemu import LabError

ADDR = "10.77.0.101"
LOAD = [guest.BEACON, "tcpecho", "dirtier:16:500"]
STEPS = 6
TTY = sys.stdout.isatty()
ROUND = re.compile(r"^round=(\d+) sent=(\d+) zero=(\d+) dirty=(\d+) bytes=(\d+) ms=(\d+)")


def paint(code, text):
    """Colour, on a terminal."""
    return f"\033[{code}m{text}\033[0m" if TTY else text


class Story:
    """What the spectator reads."""

    def __init__(self):
        self.step = 0
        self.started = time.monotonic()

    def next(self, title):
        """A new chapter."""
        self.step += 1
        took = time.monotonic() - self.started
        print(f"\n{paint('1;36', f'[{self.step}/{STEPS}] {title}')}"
              f"{paint('2', f'   ({took:.0f} s)')}", flush=True)

    @staticmethod
    def tell(text):
        """A line of the narrator."""
        print("  " + text, flush=True)

    @staticmethod
    def quote(text):
        """What a program said."""
        for line in text.splitlines():
            print("    " + line, flush=True)

    @staticmethod
    def check(good, text):
        """A finding."""
        print(f"  {paint('1;32', 'ok  ') if good else paint('1;31', 'BAD ')} {text}", flush=True)
        return good


def show(story, host, command, timeout=60, quiet_errors=False):
    """Type a command on a host, as it were, and show what it says."""
    print(f"  {paint('1', f'root@{host.name}:~# {command}')}", flush=True)
    r = host.run(command, timeout)
    story.quote(r.out + ("" if quiet_errors else r.err))
    if r.rc:
        raise LabError(f"{command!r} on {host.name} gave {r.rc}")
    return r.out


def banner(host):
    """The hypervisor's first line on the serial console."""
    for line in host.console().splitlines():
        if line.startswith("(pv)"):
            return line
    raise LabError(f"{host.name}: no hypervisor spoke on the console")


def boot(story, lab):
    """Both machines, from the firmware up."""
    story.next("Two machines boot through GRUB2: Godwit, then a stock Debian kernel as dom0")
    story.tell("Each is a QEMU PC without hardware virtualisation: 1 CPU, "
               f"{lab.memory_mb} MB, a disk, a network card.")
    lab.boot(300)
    for h in lab.hosts:
        story.quote(f"serial line of {h.name}:  {banner(h)}")
    show(story, lab[1], "uname -a; grep PRETTY /etc/os-release; godwit info")


def create(story, lab):
    """web1 on host1."""
    story.next("host1 starts a guest: web1, 256 MB, an unmodified Debian kernel")
    text = guest.config("web1", load=LOAD)
    lab[1].push(text.encode(), "/root/web1.cfg")
    show(story, lab[1], "cat /root/web1.cfg")
    show(story, lab[1], "godwit create /root/web1.cfg", 120)
    guest.wait_answer(lab.net, ADDR, "tcpecho", 90)
    guest.wait_answer(lab.net, ADDR, "dirtier", 60)
    show(story, lab[1], "godwit list")


def connect(story, lab, log):
    """The two that watch from outside."""
    story.next("From outside, we open a TCP connection to web1 and watch its heartbeat")
    stream = guest.TcpClient(lab, ADDR)
    listener = guest.Listener(lab, log)
    listener.wait_flowing()
    time.sleep(2)
    seen = stream.status()
    story.tell(f"TCP to {ADDR}:7000: {seen['sent_words']} numbered words sent so far, "
               f"{seen['echoed_words']} came back in order.")
    story.tell("UDP: web1 sends a packet every 2 ms; the longest gap until now was "
               f"{listener.status()['longest_gap_ms']:.0f} ms.")
    story.tell("Inside web1 a program rewrites 500 random pages a second and can check every word.")
    return stream, listener


def show_round(story, line):
    """A round as a sentence; every other line as it is."""
    m = ROUND.match(line)
    if not m:
        story.quote(line)
        return
    number, sent, zero, dirty, size, ms = (int(w) for w in m.groups())
    story.quote(f"round {number}: {sent} pages, {zero} of them zero, {size / 1e6:.1f} MB in "
                f"{ms / 1e3:.2f} s; meanwhile {dirty} were written again")


def migrate(story, lab):
    """The move, told as it goes; (start, end) in ns of this machine's clock."""
    story.next("migrate web1 host2")
    print(f"  {paint('1', 'root@host1:~# migrate web1 host2')}", flush=True)
    rest = {"o": "", "e": ""}

    def hear(kind, data):
        lines = (rest[kind] + data.decode("utf-8", "replace")).split("\n")
        rest[kind] = lines.pop()
        for line in lines:
            show_round(story, line)

    start = time.time_ns()
    r = lab[1].run("migrate web1 host2", 180, on_output=hear)
    end = time.time_ns()
    if r.rc:
        raise LabError(f"migrate gave {r.rc}")
    return start, end


def verdict(story, lab, stream, listener, log, when):
    """What those outside saw, and what the guest's memory says."""
    story.next("What happened, seen from outside both machines")
    listener.wait_flowing(30)
    time.sleep(2.5)
    listener.stop()
    try:
        seen = beacon.look(beacon.read_log(log), when[0], when[1] + 1_000_000_000)
    except ValueError as e:
        raise LabError(str(e)) from e
    memory = guest.ask(lab.net, ADDR, "dirtier", "verify", timeout=20)
    tcp = stream.stop()
    good = story.check(True, f"web1 was silent for {seen.outage_ms:.0f} ms "
                             f"({seen.lost} of its packets were lost on the way)")
    good &= story.check(tcp["complete"], f"the TCP connection lived: {tcp['echoed_words']} of "
                        f"{tcp['sent_words']} words came back, in order, on one connection")
    good &= story.check(memory["verdict"] == "PASS", f"the guest's memory: {memory['checks']} "
                        f"words checked, {memory['errors']} wrong")
    here = lab[1].run("godwit list", 20, check=True).out
    there = lab[2].run("godwit list", 20, check=True).out
    good &= story.check("web1" not in here and "web1" in there, "exactly one web1 runs: on host2")
    show(story, lab[2], "godwit list")
    return good


def play(options):
    """The demo."""
    story = Story()
    print(paint("1", "Godwit: a running Debian guest moves from one machine to another"))
    with Lab(hosts=2, hypervisor="godwit", boot_way=options.boot) as lab, \
            tempfile.TemporaryDirectory(prefix="godwit-demo.") as tmp:
        log = os.path.join(tmp, "beacon")
        boot(story, lab)
        create(story, lab)
        stream, listener = connect(story, lab, log)
        when = migrate(story, lab)
        good = verdict(story, lab, stream, listener, log, when)
        story.next("The end: machines, network and files of the demo are removed")
    took = time.monotonic() - story.started
    print(f"\n{paint('1;32', 'web1 moved.') if good else paint('1;31', 'Something is wrong.')} "
          f"{took:.0f} s in all.  README.md says what to read next.")
    return 0 if good else 1


def main():
    """Options, and the ways it can end."""
    p = argparse.ArgumentParser(description="Show a live migration between two emulated hosts.")
    p.add_argument("--boot", choices=("grub", "direct"), default="grub",
                   help="through GRUB2 (default), or by QEMU's own loader (faster)")
    try:
        return play(p.parse_args())
    except LabError as e:
        print(f"\ndemo: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything it started is gone", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
