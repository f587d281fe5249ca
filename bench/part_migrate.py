# SPDX-License-Identifier: Apache-2.0
"""
part_migrate.py - a guest moves between two hosts while a beacon is watched
from outside both.

      listener, this program (outside)
           |          lan           |
     host1 1 vCPU 1400 MB     host2 1 vCPU 1400 MB       dom0 800 MB each
       [ web1 256 MB: beacon every 2 ms, dirtier ] ------>

Each load has a guest of its own, which moves to and fro once per sample.  A
sample counts only if the dirtier's whole buffer verifies after the move.
"""

import json
import os
import tempfile
import time

import beacon
import guest
from domains import Domains
from host import Lab
from qemu import LabError

LOADS = {"idle": [], "d2000": ["dirtier:32:2000"], "d20000": ["dirtier:64:20000"]}
ADDR = "10.77.0.101"
SETTLE_S = 2.0  # the guest runs this long, watched, before and after each move


def verify(lab, load):
    """The memory that the move carried is what the guest wrote, or this sample is none."""
    if LOADS[load]:
        said = guest.ask(lab.net, ADDR, "dirtier", "verify", timeout=10)
        if said["verdict"] != "PASS":
            raise LabError(f"memory after the move: {said['first_error'] or said}")


def moved(result):
    """What `migrate --json` says about a move that went well."""
    if result.rc:
        raise LabError(f"migrate gave {result.rc}: {(result.err or result.out).strip()[-300:]}")
    try:
        return json.loads(result.out)
    except json.JSONDecodeError as e:
        raise LabError(f"migrate --json: {e}") from e


def sample(lab, load, source, target, figures):
    """One move and its figures."""
    with tempfile.TemporaryDirectory(prefix="godwit-bench.") as tmp:
        log = os.path.join(tmp, "log")
        listener = guest.Listener(lab, log)
        listener.wait_flowing()
        time.sleep(SETTLE_S)
        start_ns = time.time_ns()
        start = time.monotonic()
        result = lab[source].run(f"migrate --json web1 host{target}", 180)
        total_s = time.monotonic() - start
        said = moved(result)
        listener.wait_flowing(20)
        time.sleep(SETTLE_S)
        end_ns = time.time_ns() - int(SETTLE_S * 5e8)
        listener.stop()
        try:
            seen = beacon.look(beacon.read_log(log), start_ns, end_ns)
        except ValueError as e:
            raise LabError(str(e)) from e
    verify(lab, load)
    figures.add(f"outage_ms.{load}", seen.outage_ms)
    figures.add(f"total_s.{load}", total_s)
    figures.add(f"sent_mb.{load}", said["bytes"] / 1e6)
    # As `migrate` counts for people: the last, with the guest stopped, is one.
    figures.add(f"rounds.{load}", len(said["rounds"]) + 1)
    figures.add(f"tick_ms.{load}", seen.tick_ms)
    figures.add(f"downtime_ms.{load}", said["downtime_us"] / 1e3)
    return seen


def load_run(bench, lab, load):
    """One guest with one load, moved to and fro."""
    domains = Domains(lab[1])
    listener = guest.Listener(lab)
    domains.create(guest.config("web1", load=[guest.BEACON] + LOADS[load]))
    listener.wait_flowing(60)
    listener.stop()
    if LOADS[load]:
        guest.wait_answer(lab.net, ADDR, "dirtier", 60)
    here, there = 1, 2
    for turn in range(bench.repeat):
        bench.say(f"migrate: {load}, {turn + 1} of {bench.repeat}: host{here} to host{there}")
        seen = sample(lab, load, here, there, bench.ours)
        bench.say(f"migrate: outage {seen.outage_ms:.0f} ms, ledger "
                  f"{bench.ours.samples[f'downtime_ms.{load}'][-1]:.0f} ms, "
                  f"{seen.lost} packets lost")
        here, there = there, here
    Domains(lab[here]).destroy("web1")


def run(bench):
    """The part.  Each load gets fresh hosts: what one leaves behind is no other's matter."""
    failed = []
    for load in bench.loads:
        bench.say(f"migrate: two hosts for {load}")
        with Lab(hosts=2, hypervisor=bench.hypervisor) as lab:
            try:
                lab.boot()
                load_run(bench, lab, load)
            except LabError as e:
                failed.append(f"{load}: {e}")
                bench.say(f"migrate: {load} FAILED: {e}")
    if failed:
        raise LabError("; ".join(failed))
