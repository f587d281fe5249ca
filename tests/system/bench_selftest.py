#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=60 order=10 fast
"""
The arithmetic of bench/, on logs and results made by hand: a wrong figure is
worse than none.  No emulator, no network.
"""
import json
import os
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for folder in ("tests/lab", "bench"):
    sys.path.insert(0, os.path.join(TOP, folder))

# pylint: disable=wrong-import-position
import beacon
import figures
import part_micro
from qemu import LabError

MS = 1_000_000
START = 1_000_000_000_000


def packets(nr, stop_at, stop_ms, lost=0):
    """A beacon of 2 ms that falls silent once, with some packets lost in the silence."""
    out = []
    at = seq = 0
    for i in range(nr):
        if i == stop_at:
            at += stop_ms * MS
            seq += lost
        out.append(beacon.Packet(START + at, 1, seq, 7 * MS + at, 0))
        at += 2 * MS
        seq += 1
    return out


def raises(error, function, *args):
    """Whether a call fails as it should."""
    try:
        function(*args)
    except error:
        return True
    return False


def look_finds_the_gap():
    """Gap, loss and tick are those that were put in."""
    log = packets(1000, 500, 300, lost=7)
    seen = beacon.look(log, START + 100 * MS, log[-1].arrival_ns - MS)
    return (abs(seen.outage_ms - 302) < 0.01 and seen.lost == 7 and seen.tick_ms == 2 and
            seen.outage_at_ns == log[499].arrival_ns)


def look_ignores_what_was_before():
    """A longer gap before the command is not its doing."""
    log = packets(1000, 100, 900)
    start = log[200].arrival_ns
    return beacon.look(log, start, log[-1].arrival_ns - MS).outage_ms == 2


def look_wants_both_sides():
    """An outage that did not end is no figure."""
    log = packets(100, 50, 10)
    return (raises(ValueError, beacon.look, log, START - MS, START + MS) and
            raises(ValueError, beacon.look, log, START + MS, log[-1].arrival_ns + MS) and
            raises(ValueError, beacon.look, [], START, START))


def log_skips_half_lines():
    """The listener may die in the middle of a line."""
    with tempfile.NamedTemporaryFile("w", suffix=".log") as f:
        f.write("5 1 2 3 4\n6 1 3 5 6\n7 1 4")
        f.flush()
        return [p.seq for p in beacon.read_log(f.name)] == [2, 3]


def results_hold_medians_only():
    """Keys without samples are absent; nesting and medians are right."""
    f = figures.Figures()
    for value in (3, 1, 20):
        f.add("outage_ms.idle", value)
    f.add("list_s", None)
    f.add_all("micro_us.domu", {"pipe": 2, "fork": 4})
    with tempfile.TemporaryDirectory() as d:
        f.write(d)
        with open(os.path.join(d, "results.json"), encoding="utf-8") as r:
            return json.load(r) == {"outage_ms": {"idle": 3.0},
                                    "micro_us": {"domu": {"pipe": 2.0, "fork": 4.0}}}


def table_divides_by_xen():
    """The ratio is ours by Xen's, and this run's Xen goes before the old figure."""
    ours, here = figures.Figures(), figures.Figures()
    ours.add("save_s", 1.0)
    ours.add("list_s", 0.5)
    here.add("list_s", 1.0)
    rows = {line.split(",")[0]: line for line in figures.table(ours, here).splitlines()}
    return rows["save 256 MB"].endswith(" 0.20") and rows["list"].endswith("1.00 here   0.50")


def micro_line_is_found():
    """In a console's noise; a torn line is an error."""
    values = {n: 2.0 for n in part_micro.NAMES}
    line = json.dumps({**values, "runs": 7, "min": {n: 1.0 for n in values}})
    text = "[    1.0] noise\r\n" + line + "\r\nGUEST EXIT 0\n"
    return (part_micro.parse(text) == values and part_micro.parse(text, True)["pipe"] == 1.0 and
            raises(LabError, part_micro.parse, text.replace("}}", "")) and
            raises(LabError, part_micro.parse, "GUEST EXIT 0\n"))


TESTS = (look_finds_the_gap, look_ignores_what_was_before, look_wants_both_sides,
         log_skips_half_lines, results_hold_medians_only, table_divides_by_xen,
         micro_line_is_found)


def main():
    """All tests, a line each."""
    print(f"PLAN {len(TESTS)}")
    failed = 0
    for test in TESTS:
        name = test.__name__.replace("_", "-")
        good = test()
        failed += not good
        print(f"PASS {name}" if good else f"FAIL {name}: {test.__doc__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
