# SPDX-License-Identifier: Apache-2.0
"""
beacon.py - what the listener's log says about one move.

Invariant: pure functions of the log.  Times of arrival are the observer's
(CLOCK_REALTIME of the machine outside both hosts); ticks are the guest's own
monotonic clock, and only between two packets that follow each other.
"""

import statistics
from typing import NamedTuple


class Packet(NamedTuple):
    """A line of the log (tests/lab/listener.c)."""

    arrival_ns: int
    run: int
    seq: int
    mono_ns: int
    real_ns: int


class Seen(NamedTuple):
    """One move as it looked from outside; tick_ms is None without two packets."""

    outage_ms: float
    outage_at_ns: int
    lost: int
    tick_ms: float


def read_log(path):
    """All whole lines of a log."""
    packets = []
    with open(path, encoding="ascii") as f:
        for line in f:
            words = line.split()
            if len(words) == 5 and line.endswith("\n"):
                packets.append(Packet(*(int(w) for w in words)))
    return packets


def look(packets, start_ns, end_ns):
    """
    The longest gap that ends after start_ns and begins before end_ns (the
    command's start and end, or some time later), the packets lost in this time
    and the median tick between start_ns and the gap.  Raises ValueError when
    packets are missing on either side: an outage that did not end is no figure.
    """
    before = [i for i, p in enumerate(packets) if p.arrival_ns <= start_ns]
    after = [i for i, p in enumerate(packets) if p.arrival_ns >= end_ns]
    if not before or not after:
        raise ValueError("no beacon " + ("before" if not before else "after") + " the move")
    part = packets[before[-1]:after[0] + 1]
    gaps = [(b.arrival_ns - a.arrival_ns, i) for i, (a, b) in enumerate(zip(part, part[1:]))]
    gap_ns, at = max(gaps)
    ticks = [b.mono_ns - a.mono_ns for a, b in zip(part[:at], part[1:at + 1])
             if b.seq == a.seq + 1]
    seqs = {p.seq for p in part}
    return Seen(gap_ns / 1e6, part[at].arrival_ns, max(seqs) - min(seqs) + 1 - len(seqs),
                statistics.median(ticks) / 1e6 if ticks else None)
