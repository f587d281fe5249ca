# SPDX-License-Identifier: Apache-2.0
"""
figures.py - the figures of one run of the benchmark, and the rival's.

Invariant: a figure is a key and the samples that were measured for it.  A key
without a sample appears nowhere: neither in the file nor in the table.  What
results.json holds is the median of the samples; all samples are beside it in
samples.json.

results.json is nested: the key "outage_ms.idle" is {"outage_ms": {"idle": N}}.
docs/bench.md says what each key means and how it is measured.
"""

import json
import os
import statistics

# Xen 4.17.5, rebuilt with shadow paging (Debian's own build cannot move a PV
# guest at all), xl toolstack, measured earlier on the emulator that this
# benchmark uses; docs/bench.md, "The rival".
XEN = {
    "outage_ms.idle": 2562, "outage_ms.d2000": 4715, "outage_ms.d20000": 9394,
    "total_s.idle": 35.1, "total_s.d2000": 52.4, "total_s.d20000": 88.4,
    "tick_ms.d2000": 12,
    "create_s": 10.8,  # xl create 7.3 s, then 3.5 s of the guest until its shell
    "list_s": 0.25, "save_s": 5.0, "save_mb": 269, "restore_s": 6.1,
    # xl save stops the guest for all of the write
    "ckpt_gap_ms.idle.full": 5000, "ckpt_gap_ms.idle.next": 5000, "ckpt_mb.idle.full": 269,
    "ckpt_mb.idle.next": 269, "ckpt_gap_ms.d2000.full": 5000, "ckpt_gap_ms.d2000.next": 5000,
    "back_s.plain": 6.1,
    "micro_us.domu.getppid": 18.7, "micro_us.domu.pgfault": 52,
    "micro_us.domu.mprotect": 10270, "micro_us.domu.fork": 2550,
    "micro_us.domu.forkexec": 9850, "micro_us.domu.pipe": 228,
    "micro_us.native.getppid": 0.4, "micro_us.native.pgfault": 9.5,
    "micro_us.native.mprotect": 560, "micro_us.native.fork": 600,
    "micro_us.native.forkexec": 2700, "micro_us.native.pipe": 64,
}

WHAT = {
    "outage_ms": "outage seen from outside, ms", "total_s": "migrate, command to exit, s",
    "sent_mb": "sent, MB", "rounds": "rounds", "lost": "packets lost",
    "tick_ms": "guest's 2 ms tick while pre-copying, ms",
    "downtime_ms": "downtime by the ledger, ms",
    "create_s": "create, command to the guest's init, s", "list_s": "list, s",
    "save_s": "save 256 MB, s", "save_mb": "size of the save, MB", "restore_s": "restore, s",
    "ckpt_gap_ms": "silence seen from outside at a live checkpoint, ms",
    "ckpt_pause_ms": "of it pause by its ledger, ms", "ckpt_mb": "size of a live checkpoint, MB",
    "ckpt_s": "live checkpoint, until durable, s",
    "ckpt_tick_ms": "guest's 2 ms tick, a checkpoint each second, ms",
    "ckpt_late": "of 60 checkpoints, late",
    "back_s": "restore from a store, until the first packet, s",
    "micro_us": "us",
}


class Figures:
    """The samples of a run, by key."""

    def __init__(self):
        self.samples = {}

    def add(self, key, value):
        """One sample; None is no sample."""
        if value is not None:
            self.samples.setdefault(key, []).append(float(value))

    def add_all(self, prefix, values):
        """A sample for each of a dict's numbers, below a prefix."""
        for name, value in values.items():
            self.add(f"{prefix}.{name}", value)

    def median(self, key):
        """The figure, None without a sample."""
        return statistics.median(self.samples[key]) if key in self.samples else None

    def nested(self):
        """{"outage_ms": {"idle": N}}: what results.json holds."""
        out = {}
        for key in self.samples:
            at = out
            *path, last = key.split(".")
            for name in path:
                at = at.setdefault(name, {})
            at[last] = round(self.median(key), 4)
        return out

    def write(self, directory, name="results"):
        """results.json and the samples behind it; whole or not at all."""
        os.makedirs(directory, exist_ok=True)
        samples = "samples" if name == "results" else f"{name}-samples"
        for stem, data in ((name, self.nested()), (samples, self.samples)):
            path = os.path.join(directory, f"{stem}.json")
            with open(path + ".part", "w", encoding="utf-8") as f:
                json.dump(data, f, indent=1, sort_keys=True)
                f.write("\n")
            os.replace(path + ".part", path)


def number(value):
    """Three or four digits that mean something."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def label(key):
    """A key for people."""
    head, _, rest = key.partition(".")
    rest = rest.replace(".", " ")
    return f"{rest}, {WHAT[head]}" if head == "micro_us" else \
        f"{WHAT.get(head, head)}{f' ({rest})' if rest else ''}"


def table(ours, xen_here=None):
    """
    The figures beside Xen's: those of this run's oracle where it has them,
    else the ones above.  The last column is ours divided by Xen's.
    """
    rows = [("", "Godwit", "min .. max", "Xen", "ratio")]
    for key, samples in ours.samples.items():
        xen, mark = (xen_here.median(key) if xen_here else None), " here"
        if xen is None:
            xen, mark = XEN.get(key), ""
        mine = ours.median(key)
        native = key.startswith("micro_us.native.")
        rows.append((label(key), number(mine),
                     f"{number(min(samples))} .. {number(max(samples))}",
                     number(xen) + (mark if xen is not None else ""),
                     "" if native or not xen else f"{mine / xen:.2f}"))
    widths = [max(len(r[i]) for r in rows) for i in range(5)]
    return "\n".join("  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(r, widths))).rstrip()
                     for r in rows)
