#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
demo_ft.py - `make demo-ft`: a guest outlives its machine.

     you, watcher, witness (outside)
          |        lan         |
        host1                host2        two emulated PCs
        [ web1 ] ==========> [ web1--standby ]      five checkpoints a second
          X  its power fails  [ web1 ]

Nothing here is replayed: every line after a prompt is what the command said.
What it starts is gone when it ends, also by Ctrl-C.

Exit codes: 0 the guest lives on host2 and its memory is whole; 1 not so; 130
interrupted.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import demo

# pylint: disable=wrong-import-position
import guest
from host import Lab
from net import OUTSIDE
from qemu import LabError

WITNESS = f"http://{OUTSIDE}:7099/web1"
LEASE_MS = 2000
LOG = "/root/standby.log"
COMMAND = (f"checkpoint web1 host2 --standby --every 200ms --witness {WITNESS} "
           f"--lease {LEASE_MS}ms --failover-after {LEASE_MS + 500}ms")
demo.STEPS = 6


def status(host):
    """The newest line that the source wrote, or an empty one."""
    lines = [l for l in host.run(f"tail -n 2 {LOG}", 20).out.splitlines() if l.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def protect(story, lab):
    """Start the standby; its figures after a while."""
    story.next("host2 gets a standby of web1: live checkpoints, five a second")
    print(f"  {demo.paint('1', f'root@host1:~# {COMMAND}')}", flush=True)
    lab[1].start(f"exec {COMMAND} --json", LOG)
    end = time.monotonic() + 120
    while status(lab[1]).get("checkpoints", 0) < 5:
        if time.monotonic() > end:
            raise LabError(f"no checkpoints: {lab[1].run(f'tail -n 3 {LOG}', 20).out}")
        time.sleep(0.5)
    story.tell("The first checkpoint is all of its memory, the next ones what changed since.")
    for _ in range(5):
        time.sleep(2)
        s = status(lab[1])
        story.quote(f"{s['checkpoints']} checkpoints; the last: paused {s['pause_us'] / 1e3:.0f} ms, "
                    f"{s['bytes'] / 1e6:.2f} MB; a copy at most {s['rpo_us'] / 1e3:.0f} ms old")
    demo.show(story, lab[2], "godwit list")
    return status(lab[1])


def power_failure(story, lab, listener):
    """host1 dies; what the watcher sees."""
    story.next("host1's power fails")
    before = listener.status()
    listener.reset()
    lab[1].kill()
    start = time.monotonic()
    story.tell("Its machine is gone: no last word, no clean shutdown.  host2 waits until the "
               "lease has run out, takes it, and runs web1.")
    while True:
        seen = listener.status()
        silent = time.monotonic() - start
        if silent > 1 and seen["received"] and seen["silent_ms"] < 100:
            break
        if silent > 60:
            raise LabError("web1 does not come back")
        time.sleep(0.02)
    story.quote(f"web1 was heard again {silent * 1000:.0f} ms after the power failed "
                f"(the lease lasts {LEASE_MS} ms)")
    demo.show(story, lab[2], "grep standby: /run/godwit/godwitd.log; godwit list")
    return before


def verdict(story, lab, figures):
    """Its memory, its name, its pulse."""
    story.next("What is left of web1")
    guest.wait_answer(lab.net, demo.ADDR, "dirtier", 60)
    memory = guest.ask(lab.net, demo.ADDR, "dirtier", "verify", timeout=20)
    time.sleep(2)
    names = [d["name"] for d in json.loads(lab[2].run("godwit list --json", 20, check=True).out)]
    good = story.check(memory["verdict"] == "PASS", f"the guest's memory: {memory['checks']} words "
                       f"checked, {memory['errors']} wrong")
    good &= story.check("web1" in names, "it runs on host2 under its own name")
    good &= story.check(figures["rpo_median_us"] < 1_000_000,
                        f"the copy's age before: {figures['rpo_median_us'] / 1e3:.0f} ms (median), "
                        f"each checkpoint paused web1 for {figures['pause_median_us'] / 1e3:.0f} ms")
    return good


def play(options):
    """The demo."""
    story = demo.Story()
    print(demo.paint("1", "Godwit: a Debian guest outlives its machine"))
    with Lab(hosts=2, hypervisor="godwit", boot_way=options.boot) as lab:
        lab.observe([sys.executable, os.path.join(demo.TOP, "tests/lab/witness.py"), OUTSIDE,
                     "7099"], stderr=subprocess.DEVNULL)
        listener = guest.Listener(lab)
        demo.boot(story, lab)
        demo.create(story, lab)
        listener.wait_flowing()
        figures = protect(story, lab)
        power_failure(story, lab, listener)
        good = verdict(story, lab, figures)
        story.next("The end: machines, network and files of the demo are removed")
    print(f"\n{demo.paint('1;32', 'web1 lives.') if good else demo.paint('1;31', 'Something is wrong.')}")
    return 0 if good else 1


def main():
    """Options, and the ways it can end."""
    p = argparse.ArgumentParser(description="Show a guest surviving the loss of its host.")
    p.add_argument("--boot", choices=("grub", "direct"), default="grub",
                   help="through GRUB2 (default), or by QEMU's own loader (faster)")
    try:
        return play(p.parse_args())
    except LabError as e:
        print(f"\ndemo-ft: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo-ft: interrupted; everything it started is gone", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
