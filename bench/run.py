#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
run.py - `make bench`: measures, writes build/bench/results.json, prints a table.

Every figure is measured on emulated hosts (tests/lab), from outside them where
that is possible; docs/bench.md says how.  A part that fails leaves its figures
out and makes the exit code 1; the other parts still run.

Exit codes: 0; 1 a part failed or nothing was measured; 2 wrong usage; 130 interrupted.
"""

import argparse
import os
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "lab"))

# pylint: disable=wrong-import-position
import figures
import part_checkpoint
import part_live
import part_micro
import part_migrate
import part_platform
from qemu import LabError

PARTS = {"migrate": part_migrate, "live": part_live, "checkpoint": part_checkpoint,
         "platform": part_platform, "micro": part_micro}


class Bench:
    """What the parts share: the options, the figures, the narrator."""

    def __init__(self, options):
        self.repeat = options.repeat
        self.least = options.least
        self.loads = options.loads
        self.hypervisor = options.hypervisor
        self.ours = figures.Figures()
        self.xen = figures.Figures() if options.with_xen else None
        self.started = time.monotonic()

    def rivals(self):
        """(figures, hypervisor) of all that are measured in this run."""
        yield self.ours, self.hypervisor
        if self.xen is not None:
            yield self.xen, "xen"

    def write(self, directory):
        """What was measured so far, as files."""
        self.ours.write(directory)
        if self.xen is not None:
            self.xen.write(directory, "xen")

    def say(self, text):
        """One line of progress."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", file=sys.stderr, flush=True)


def options(argv):
    """The command line."""
    p = argparse.ArgumentParser(description="Measure Godwit on emulated hosts.")
    p.add_argument("--only", default="", metavar="PART,...",
                   help="of: " + ", ".join(PARTS) + " (default: all)")
    p.add_argument("--repeat", type=int, default=3, metavar="N",
                   help="samples for each figure (default 3)")
    p.add_argument("--loads", default="idle,d2000,d20000", metavar="LOAD,...",
                   help="loads of the part migrate (default: %(default)s)")
    p.add_argument("--with-xen", action="store_true",
                   help="measure Debian's Xen in the same run, where it can do it")
    p.add_argument("--least", action="store_true",
                   help="micro: least of the runs instead of their median (busy machine)")
    p.add_argument("--hypervisor", default="godwit", help="another hypervisor image")
    p.add_argument("--out", default=os.path.join(TOP, "build", "bench"), metavar="DIR")
    o = p.parse_args(argv)
    o.only = [w for w in o.only.split(",") if w] or list(PARTS)
    o.loads = [w for w in o.loads.split(",") if w]
    for word, known in [(w, PARTS) for w in o.only] + [(w, part_migrate.LOADS) for w in o.loads]:
        if word not in known:
            p.error(f"{word!r} is none of: {', '.join(known)}")
    if o.repeat < 1:
        p.error("--repeat takes a number from 1")
    return o


def main(argv):
    """All parts asked for, in their order."""
    o = options(argv)
    bench = Bench(o)
    failed = []
    code = 0
    try:
        for name in o.only:
            try:
                PARTS[name].run(bench)
            except LabError as e:
                failed.append(f"{name}: {e}")
                bench.say(f"{name} FAILED: {e}")
            bench.write(o.out)
    except (KeyboardInterrupt, SystemExit):
        bench.say("interrupted; what was measured so far is kept")
        code = 130
    bench.write(o.out)
    print(figures.table(bench.ours, bench.xen))
    print(f"\n{os.path.relpath(o.out)}/results.json: median of {o.repeat}; ratio = Godwit / Xen; "
          "\"here\" = measured in this run, else docs/bench.md")
    for line in failed:
        print(f"FAILED {line.splitlines()[0]}", file=sys.stderr)
    return code or (1 if failed or not bench.ours.samples else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
