# SPDX-License-Identifier: Apache-2.0
"""
part_live.py - one host: checkpoints of a guest that runs on, and its way back.

         listener (outside) --- lan --- host1 [ dom0: checkpoint web1 STORE ] [ web1 ]

The gap is the longest silence of the 2 ms beacon, seen from outside, from before
the command until some time after it.  "next" is a checkpoint of what changed since
the one before it.  Back: from the command until the first packet outside.
"""

import json
import os
import statistics
import tempfile
import time

import beacon
import guest
from domains import Domains
from host import Lab
from qemu import LabError

STORE = "/opt/godwit/store"
ADDR = "10.77.0.101"
GUESTS = {"idle": (256, []), "1g": (1024, []), "d2000": (256, ["dirtier:32:2000"])}
SETTLE_S = 1.0
EVERY_S, FOR_S = 1.0, 60


def watched(lab, action, settle_s=SETTLE_S):
    """What the beacon showed while something was done: (its result, packets, start, end)."""
    with tempfile.TemporaryDirectory(prefix="godwit-bench.") as tmp:
        log = os.path.join(tmp, "log")
        listener = guest.Listener(lab, log)
        listener.wait_flowing()
        time.sleep(settle_s)
        start_ns = time.time_ns()
        result = action()
        time.sleep(settle_s)
        end_ns = time.time_ns() - int(settle_s * 5e8)
        time.sleep(settle_s)
        listener.stop()
        return result, beacon.read_log(log), start_ns, end_ns


def take(lab, args=""):
    """One checkpoint; what it says."""
    r = lab[1].run(f"checkpoint --json {args} web1 {STORE}", 120)
    if r.rc:
        raise LabError(f"checkpoint gave {r.rc}: {r.err.strip()[-300:]}")
    return json.loads(r.out)


def pauses(bench, lab, name):
    """Full ones and next ones of one guest, and what they cost it."""
    figures = bench.ours
    for turn in range(bench.repeat):
        for kind, args in (("full", "--full"), ("next", "")):
            said, packets, start, end = watched(lab, lambda a=args: take(lab, a))
            seen = beacon.look(packets, start, end)
            figures.add(f"ckpt_gap_ms.{name}.{kind}", seen.outage_ms)
            figures.add(f"ckpt_pause_ms.{name}.{kind}", said["pause_us"] / 1e3)
            figures.add(f"ckpt_mb.{name}.{kind}", said["bytes"] / 1e6)
            figures.add(f"ckpt_s.{name}.{kind}", said["us"] / 1e6)
            bench.say(f"live: {name}, {kind}, {turn + 1} of {bench.repeat}: gap "
                      f"{seen.outage_ms:.0f} ms, {said['bytes'] / 1e6:.1f} MB")


def each_second(bench, lab):
    """A checkpoint each second for a minute: what the guest's own tick is meanwhile."""
    def minute():
        begin = time.monotonic()
        late = 0
        for n in range(int(FOR_S / EVERY_S)):
            take(lab)
            wait = begin + (n + 1) * EVERY_S - time.monotonic()
            late += wait < 0
            time.sleep(max(wait, 0))
        return late
    late, packets, start, end = watched(lab, minute)
    part = [p for p in packets if start <= p.arrival_ns <= end]
    ticks = [b.mono_ns - a.mono_ns for a, b in zip(part, part[1:]) if b.seq == a.seq + 1]
    bench.ours.add("ckpt_tick_ms", statistics.median(ticks) / 1e6)
    bench.ours.add("ckpt_late", late)
    bench.say(f"live: one each second: tick {statistics.median(ticks) / 1e6:.2f} ms, {late} late")


def back(bench, lab, domains):
    """From the store to the first packet."""
    for turn in range(bench.repeat):
        for kind, args in (("plain", ""), ("lazy", "--lazy")):
            domains.destroy("web1")
            time.sleep(SETTLE_S)
            listener = guest.Listener(lab)
            start = time.monotonic()
            lab[1].start(f"checkpoint restore {args} {STORE} web1", "/tmp/restore.log")
            while not listener.status()["received"]:
                if time.monotonic() - start > 60:
                    raise LabError("no packet after the restore")
                time.sleep(0.02)
            first = time.monotonic() - start
            listener.stop()
            bench.ours.add(f"back_s.{kind}", first)
            bench.say(f"live: back {kind}, {turn + 1} of {bench.repeat}: {first:.2f} s")
            time.sleep(8)	# a lazy one is whole by then


def one_guest(bench, name):
    """One host, one guest."""
    memory, load = GUESTS[name]
    with Lab(hosts=1, hypervisor=bench.hypervisor, daemon=None,
             memory_mb=1400 + max(0, memory - 256)) as lab:
        lab.boot()
        domains = Domains(lab[1])
        domains.create(guest.config("web1", memory=memory, load=[guest.BEACON] + load))
        listener = guest.Listener(lab)
        listener.wait_flowing(60)
        listener.stop()
        if load:
            guest.wait_answer(lab.net, ADDR, "dirtier", 60)
        pauses(bench, lab, name)
        if load:
            said = guest.ask(lab.net, ADDR, "dirtier", "verify", timeout=10)
            if said["verdict"] != "PASS":
                raise LabError(f"memory after checkpoints: {said}")
        if name == "idle":
            each_second(bench, lab)
            back(bench, lab, domains)


def run(bench):
    """The part."""
    for name in GUESTS:
        bench.say(f"live: a host for {name}")
        one_guest(bench, name)
