#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600 order=65
"""A guest outlives its host: a standby on another one, kept by live checkpoints.

    outside (listener, witness) --- lan ---+--- host1: web1 ==checkpoints==> host2: web1--standby
                                           `--- host2

host1 loses its power in the middle; host2 takes the lease when it has run out
and runs web1 as of the last checkpoint: memory whole, beacon back.
"""
import glob
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import LAB, TOP, Failed, Story, expect, expect_equal, guest, quick, vmlinux, wait_until  # noqa: E402,E501

WEB1 = "10.77.0.101"
OUTSIDE = "10.77.0.254"
POOLS = 24
WITNESS = f"http://{OUTSIDE}:7099/web1"
EVERY_MS, LEASE_MS = 200, 2000
RPO_MEDIAN_MS = 500
FAILOVER_MS = 1500
PROTECT_S = 15
REFUSED, TAKEN_OVER = 4, 7

MODULES = ("ifb", "sch_plug", "sch_ingress", "cls_matchall", "act_mirred")


def modules():
    """For a dom0 image that was made before it had them: {path in dom0: file}."""
    found = {}
    for name in MODULES:
        for path in glob.glob(os.path.join(LAB, f"pkg/linux-image-*/lib/modules/*/kernel/**/{name}.ko"),
                              recursive=True):
            found[f"modules/{name}.ko"] = path
    return found


story = Story(hosts=2, files={"guest/vmlinux": vmlinux(), **modules()})


def start(w, args, number=1, target=2, log="/root/standby.log"):
    """`checkpoint --standby` in the background; its pid."""
    return w.lab[number].start(f"exec checkpoint web1 host{target} --standby --json {args}", log)


def said(w, number=1, log="/root/standby.log"):
    """The last line of it, or None."""
    rows = [l for l in w.sh(f"tail -n 3 {log}", number).out.splitlines() if l.startswith("{")]
    return json.loads(rows[-1]) if rows else None


def held(w, number=2):
    """The one standby that a host holds."""
    r = w.sh("cat /run/godwit/standby/*.held.json", number, check=False)
    return json.loads(r.out) if r.rc == 0 else None


def lines(w, number=1, log="/root/standby.log"):
    """All that it wrote about checkpoints."""
    out = w.sh(f"cat {log}", number).out.splitlines()
    return [json.loads(l) for l in out if l.startswith('{"name"')]


def median(values):
    """Of a list that is not empty."""
    return sorted(values)[len(values) // 2]


def running(w, count, number=1, log="/root/standby.log"):
    """Wait until so many checkpoints have been applied."""
    def probe():
        s = said(w, number, log)
        if s and "outcome" in s:
            raise Failed(f"it ended: {w.sh(f'tail -n 4 {log}', number).out}")
        return s if s and s["checkpoints"] >= count else None
    return wait_until(f"{count} checkpoints", probe, 90)


def end_of(w, pid, number=1, timeout=30):
    """Wait until a process has ended."""
    wait_until("the source ends", lambda: w.sh(f"test -d /proc/{pid}", number, check=False).rc,
               timeout)


@story.step(fatal=True)
def guest_runs(w):
    w.lab.observe([sys.executable, os.path.join(TOP, "tests/lab/witness.py"), OUTSIDE, "7099"],
                  stderr=subprocess.DEVNULL)
    w.memo["there"] = w.state(2)
    w.memo["listener"] = guest.Listener(w.lab)
    w.create(quick(guest.config(load=[guest.BEACON, "dirtier:32:500"])))
    w.wait_program(WEB1, "dirtier")
    w.memo["listener"].wait_flowing()


@story.step(fatal=True)
def a_standby_waits(w):
    """It is built, paused, up to date, listed under a name of its own."""
    w.memo["pid"] = start(w, "--every 200ms")
    running(w, 5)
    row = w.domain("web1--standby", 2)
    expect(row and row["state"] == "paused", f"host2 lists {row}")
    info = w.json("godwit info --json web1")
    expect(info["standby"]["checkpoints"] >= 5, f"godwit info: {info.get('standby')}")
    there = w.json("godwit info --json web1--standby", 2)
    expect(there["standby"]["rpo_us"] < 5e6, f"godwit info there: {there.get('standby')}")
    r = w.sh("godwit failover web1", 2, check=False)
    expect_equal(r.rc, REFUSED, f"failover of a living guest ({r.err.strip()[:200]})")
    expect("--force" in r.err, f"message {r.err.strip()[:200]!r}")


@story.step(fatal=True)
def the_line_breaks(w):
    """host2 is out of reach for longer than a line may be silent: the guest does not care."""
    before = w.json("cat /run/godwit/standby/*.json")["checkpoints"]
    w.memo["listener"].reset()
    w.lab[2].cut()
    time.sleep(14)
    seen = w.memo["listener"].status()
    w.lab[2].restore()
    expect(seen["longest_gap_ms"] < 2000, f"the guest was silent for {seen['longest_gap_ms']} ms")
    s = w.json("cat /run/godwit/standby/*.json")
    expect(not s["connected"] and s["why"], f"nothing is said: {s}")
    running(w, before + 10)
    held_now = held(w)
    expect(held_now["state"] == "ready" and held_now["connected"], f"host2 holds {held_now}")
    w.verify(WEB1)


@story.step(fatal=True)
def ended_by_hand(w):
    """Ctrl-C: the standby is gone, the guest runs on."""
    w.sh(f"kill -INT {w.memo['pid']}")
    end_of(w, w.memo["pid"])
    w.expect_state(w.memo["there"], 2, slack=POOLS)
    w.verify(WEB1)


def min_until(measure, enough, times):
    """The least of some measurements; no more than are needed."""
    least = measure()
    while least >= enough and times > 1:
        least, times = min(least, measure()), times - 1
    return least


def recovery_point(w):
    """Watch the source for a while; the median of how old the copy got, in ms."""
    w.memo["listener"].reset()
    before = said(w)["checkpoints"]
    time.sleep(PROTECT_S)
    seen = w.memo["listener"].status()
    new = [l for l in lines(w) if l["checkpoints"] > before and not l["why"]]
    expect(len(new) > 10, f"only {len(new)} checkpoints")
    expect(new[-1]["connected"] and not new[-1]["fenced"], f"{new[-1]}")
    rpo = median([l["rpo_us"] for l in new]) / 1000
    print(f"   {len(new)} checkpoints in {PROTECT_S} s, RPO median {rpo:.0f} ms, most "
          f"{max(l['rpo_us'] for l in new) / 1000:.0f} ms, pause median "
          f"{median([l['pause_us'] for l in new]) / 1000:.1f} ms, "
          f"{median([l['bytes'] for l in new]) / 1e6:.2f} MB; longest gap outside "
          f"{seen['longest_gap_ms']:.0f} ms", file=sys.stderr)
    return rpo


@story.step
def protected(w):
    """Fifteen seconds at 200 ms under a dirtier: the recovery point, and the guest's pace."""
    w.memo["listener"].reset()
    w.memo["source"] = start(w, f"--every {EVERY_MS}ms --witness {WITNESS} "
                             f"--lease {LEASE_MS}ms")
    # The first one holds all of the memory, and the next ones what changed meanwhile.
    wait_until("small checkpoints", lambda: (said(w) or {}).get("bytes", 1 << 30) < 2 << 20, 90)
    # The machine may have other work: the best of three times counts.
    rpo = min_until(lambda: recovery_point(w), RPO_MEDIAN_MS, 3)
    expect(rpo < RPO_MEDIAN_MS, f"RPO median {rpo:.0f} ms")
    r = w.sh("godwit failover web1", 2, check=False)
    expect_equal(r.rc, REFUSED, "failover while the lease is held")
    expect("lease" in r.err, f"message {r.err.strip()[:200]!r}")


def hold(w, on):
    """Make the witness fall silent, or speak again."""
    with w.lab.net.socket() as s:
        s.settimeout(10)
        s.connect((OUTSIDE, 7099))
        s.sendall(f"GET /.hold={int(on)} HTTP/1.0\r\n\r\n".encode())
        s.recv(100)


def wait_paused(w, paused):
    """Until web1 stands on host1, or runs."""
    wait_until(f"web1 {'stands' if paused else 'runs'}",
               lambda: (w.domain("web1")["state"] == "paused") == paused, 15)


@story.step
def no_witness_no_guest(w):
    """A source that cannot renew its lease pauses its guest, and nobody else runs it."""
    hold(w, True)
    try:
        wait_paused(w, True)
        r = w.sh("godwit failover web1", 2, 30, check=False)
        expect_equal(r.rc, REFUSED, f"failover without a witness ({r.err.strip()[:200]})")
    finally:
        hold(w, False)
    wait_paused(w, False)
    running(w, said(w)["checkpoints"] + 3)
    w.verify(WEB1)


@story.step(fatal=True)
def killed_source(w):
    """kill -9 of the source: the guest stands before its lease ends; a new source frees it."""
    w.sh(f"kill -9 {w.memo['source']}")
    wait_paused(w, True)
    for name in MODULES:
        w.sh(f"modprobe {name} 2>/dev/null || insmod /opt/godwit/modules/{name}.ko")
    start(w, f"--every {EVERY_MS}ms --witness {WITNESS} --lease {LEASE_MS}ms --output-commit")
    running(w, 3)
    wait_paused(w, False)
    w.verify(WEB1)


@story.step
def output_waits(w):
    """What the guest sends leaves with its checkpoint: in bursts, late, complete."""
    w.memo["listener"].reset()
    before = said(w)["checkpoints"]
    time.sleep(5)
    s = said(w)
    seen = w.memo["listener"].status()
    print(f"   {s['checkpoints'] - before} checkpoints, RPO median {s['rpo_median_us'] / 1000:.0f} "
          f"ms; {seen['received']} packets, {seen['lost']} lost, longest gap "
          f"{seen['longest_gap_ms']:.0f} ms", file=sys.stderr)
    expect(seen["longest_gap_ms"] > 100, f"nothing was held back: {seen}")
    expect(seen["received"] > 100, f"little came: {seen}")
    expect_equal((seen["lost"], seen["duplicates"], seen["reordered"]), (0, 0, 0),
                 "lost, duplicates, reordered")


@story.step(fatal=True)
def host_dies(w):
    """host1's power fails; after the lease host2 runs web1, and the world hears of it."""
    w.lab[1].kill()
    dead = time.monotonic()
    time.sleep(LEASE_MS / 1000 + 1)
    before = w.memo["listener"].status()
    decided = time.monotonic()
    r = w.sh("godwit failover --json web1", 2)
    answered = time.monotonic()
    first = None
    while not first and time.monotonic() < decided + 30:
        seen = w.memo["listener"].status()
        first = seen["received"] > before["received"] and time.monotonic()
        time.sleep(0.01)
    expect(first, "no packet")
    w.memo["failover_ms"] = (first - decided) * 1000
    ledger = json.loads(r.out)["ledger"]
    phases = {p["name"]: (p["end_us"] - p["begin_us"]) / 1000 for p in ledger["phases"]}
    print(f"   first packet {w.memo['failover_ms']:.0f} ms after the decision (answer after "
          f"{(answered - decided) * 1000:.0f} ms), {(first - dead) * 1000:.0f} ms after the "
          f"power failed; {phases}", file=sys.stderr)
    expect(w.memo["failover_ms"] < FAILOVER_MS, f"{w.memo['failover_ms']:.0f} ms")


@story.step
def nobody_knew_more(w):
    """With output commit nothing that was heard is said again: no number comes twice."""
    w.memo["listener"].wait_flowing()
    time.sleep(1)
    seen = w.memo["listener"].status()
    expect_equal((seen["duplicates"], seen["reordered"]), (0, 0), "duplicates, reordered")


@story.step
def it_is_whole(w):
    """Every word of its memory; its own name; it goes on."""
    w.wait_program(WEB1, "dirtier", 60)
    w.verify(WEB1)
    wait_until("it has its name", lambda: w.names(2) == ["web1"], 30)
    before = guest.ask(w.lab.net, WEB1, "dirtier")
    time.sleep(1)
    expect(guest.ask(w.lab.net, WEB1, "dirtier")["writes"] > before["writes"], "it stands")
    w.healthy(2)


@story.step
def end(w):
    w.sh("godwit destroy web1", 2)
    w.expect_state(w.memo["there"], 2, slack=POOLS)
    w.healthy(2)


story.main()
