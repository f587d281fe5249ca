#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=1800 order=45
"""Checkpoints of a guest that hardly feels them, and what it comes back as.

    host1: web1 (beacon, dirtier, churn) --checkpoint--> store: full, delta, delta ...
                ^                                          |
                `------------- checkpoint restore ---------'

The dirtier's count of each page lies apart from the pages: a checkpoint that was not
one moment fails its judgement.  What kills a checkpoint must not hurt the guest.
"""
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import Story, expect, expect_equal, guest, quick, vmlinux, wait_until  # noqa: E402

WEB1 = "10.77.0.101"
STORE = "/root/store"
MANY = 50
POOLS = 32		# frames that the hypervisor's pools may keep
PAUSE_MS = 2000		# bounds against standing still; bench/ measures
KILLS = 12

story = Story(hosts=1, daemon=None, files={"guest/vmlinux": vmlinux()})


def take(w, args="", store=STORE, timeout=90):
    """One checkpoint; what it says."""
    return w.json(f"checkpoint --json {args} web1 {store}", timeout=timeout)


def objects(w, store=STORE):
    """Names in the store, leftovers of the dead too."""
    return sorted(w.sh(f"ls -A {store}/web1 2>/dev/null; true").out.split())


def healthy_guest(w):
    w.wait_program(WEB1, "dirtier", 60)
    w.verify(WEB1)
    expect_equal(guest.ask(w.lab.net, WEB1, "churn", timeout=10)["errors"], 0, "churn's errors")


@story.step(fatal=True)
def guest_runs(w):
    w.memo["listener"] = guest.Listener(w.lab)
    w.memo["empty"] = w.state()
    w.create(quick(guest.config("web1", 1, 128, load=[guest.BEACON, "dirtier:16:1000", "churn:2:5"])))
    w.memo["listener"].wait_flowing()
    healthy_guest(w)


@story.step(fatal=True)
def full_one(w):
    """All of it, while the guest runs on."""
    w.memo["listener"].reset()
    said = take(w)
    time.sleep(1)
    gap = w.memo["listener"].status()["longest_gap_ms"]
    expect_equal((said["seq"], said["full"]), (0, True), "place in the chain")
    expect(said["pause_us"] < PAUSE_MS * 1000, f"paused for {said['pause_us']} us")
    expect(gap < PAUSE_MS, f"silent for {gap} ms")
    expect(said["pages"] >= 128 << 8, f"{said['pages']} pages")
    for phase in ("suspend", "state", "protect", "resume", "copy"):
        expect(phase in said["phases_us"], f"no phase {phase!r}: {said['phases_us']}")
    healthy_guest(w)
    print(f"   pause {said['pause_us'] / 1000} ms, silent {gap} ms, {said['bytes'] >> 10} KB",
          file=sys.stderr)


@story.step(fatal=True)
def many_more(w):
    """Fifty in a row: each is the next of one chain and holds what changed."""
    w.memo["writes"] = [0]
    for n in range(1, MANY):
        w.memo["writes"].append(guest.ask(w.lab.net, WEB1, "dirtier")["writes"])
        said = take(w)
        expect_equal((said["seq"], said["full"]), (n, False), "place in the chain")
        expect(said["pages"] < 128 << 8, f"checkpoint {n} holds {said['pages']} pages")
    healthy_guest(w)
    expect_equal(len(objects(w)), MANY, "objects in the store")


@story.step
def clocks(w):
    """Fifty pauses later neither clock has stepped back."""
    seen = w.memo["listener"].status()
    expect_equal((seen["mono_back"], seen["real_back"]), (0, 0), "backward steps")


@story.step
def stopped_and_off(w):
    """--stop resumes after the write; --local-only leaves the guest in the file alone."""
    said = take(w, "--stop", "/root/stopped")
    expect(said["full"], f"not a full one: {said}")
    healthy_guest(w)
    w.sh("checkpoint --local-only web1 /root/off", timeout=90)
    expect_equal(w.names(), [], "guests")
    w.sh("checkpoint restore /root/off web1", timeout=90)
    healthy_guest(w)
    w.sh("rm -r /root/stopped /root/off")


@story.step
def no_room(w):
    """A store that fills up: one line, the guest runs, what was there stays sound."""
    w.sh("mkdir /root/small && mount -t tmpfs -o size=40m tmpfs /root/small")
    first = take(w, "--full", "/root/small")
    kept = objects(w, "/root/small")
    r = None
    for _ in range(4):
        r = w.sh("checkpoint --full web1 /root/small", timeout=90, check=False)
        if r.rc:
            break
        kept = objects(w, "/root/small")
    expect(r.rc == 1, f"exit code {r.rc}")
    errors = [l for l in r.err.splitlines() if l.strip()]
    expect(len(errors) == 1 and "space" in errors[0], f"it says {r.err.strip()[:250]!r}")
    expect_equal(objects(w, "/root/small"), kept, "objects of the full store")
    w.sh(f"checkpoint verify /root/small/{first['object']}", timeout=60)
    w.sh("umount /root/small && rmdir /root/small")
    healthy_guest(w)


@story.step
def killed_at_any_moment(w):
    """kill -9 while it works: the guest runs, the store holds whole checkpoints only."""
    dice = random.Random(3)
    killed = 0
    for n in range(KILLS):
        after = dice.uniform(0.02, 0.35)
        r = w.sh(f"checkpoint --json web1 {STORE} >/dev/null & p=$!; sleep {after:.3f}; "
                 "kill -9 $p 2>/dev/null; wait $p; echo $?", timeout=60, check=False)
        killed += r.out.strip().endswith("137")
        wait_until("the guest runs", lambda: not w.domain("web1").get("shutdown"), 20)
        w.wait_program(WEB1, "dirtier", 30)
    expect(killed >= 2, f"only {killed} of {KILLS} were killed in time")
    healthy_guest(w)
    said = take(w)
    left = [o for o in objects(w) if not o.endswith(".ckpt")]
    expect_equal(left, [], "leftovers after the next one")
    w.sh(f"checkpoint verify {STORE}/{said['object']}", timeout=60)


@story.step
def nothing_to_take(w):
    """Unknown, paused, in use: one line and the right exit code."""
    for command, code, word in (("checkpoint nosuch /root/x", 3, "nosuch"),
                                ("checkpoint Domain-0 /root/x", 3, "Domain-0"),
                                (f"checkpoint restore {STORE} nosuch", 3, "nosuch"),
                                (f"checkpoint restore {STORE} web1@ffffffff", 3, "web1"),
                                (f"checkpoint restore {STORE} web1", 4, "web1")):
        r = w.sh(command, check=False)
        errors = [l for l in r.err.splitlines() if l.strip()]
        expect_equal(r.rc, code, f"exit code of {command!r} ({r.err.strip()[:200]})")
        expect(len(errors) == 1 and word in errors[0], f"{command!r} says {r.err.strip()[:250]!r}")
    w.sh("godwit pause web1")
    r = w.sh(f"checkpoint web1 {STORE}", check=False)
    w.sh("godwit unpause web1")
    expect(r.rc == 1 and "paused" in r.err, f"of a paused guest: {r.rc} {r.err.strip()[:200]!r}")
    healthy_guest(w)


@story.step(fatal=True)
def each_comes_back(w):
    """Every one of the fifty is the guest of its moment."""
    w.sh("godwit destroy web1")
    w.expect_state(w.memo["empty"], slack=POOLS)
    names = objects(w)[:MANY]
    for n, name in enumerate(names):
        said = w.json(f"checkpoint restore --json {STORE} web1@{name}", timeout=60)
        expect_equal(said["depth"], n + 1, "checkpoints it is made of")
        seen = w.wait_program(WEB1, "dirtier", 60)
        w.verify(WEB1)
        expect(seen["writes"] >= w.memo["writes"][n], f"checkpoint {n} is older than it should be")
        w.sh("godwit destroy web1")
    w.expect_state(w.memo["empty"], slack=POOLS)


@story.step
def a_clone_beside_it(w):
    """Another name, uuid and MAC; it runs beside the original."""
    w.sh(f"checkpoint restore {STORE} web1", timeout=60)
    w.wait_program(WEB1, "dirtier", 60)
    w.sh(f"checkpoint restore --clone -n web2 {STORE} web1", timeout=60)
    one, two = (w.json(f"godwit info --json {n}") for n in ("web1", "web2"))
    expect(one["uuid"] != two["uuid"], "the same uuid")
    expect(one["vifs"][0]["mac"] != two["vifs"][0]["mac"], "the same MAC")
    expect_equal(w.sh(f"xenstore-read /local/domain/{two['domid']}/clone-of").out.strip(),
                 one["uuid"], "clone-of")
    expect_equal(w.names(), ["web1", "web2"], "guests")
    w.sh("godwit destroy web2")
    # both had one address, and the world believes the one that spoke last
    w.lab.observe(["ip", "neigh", "flush", "to", WEB1]).wait(10)
    w.wait_program(WEB1, "dirtier", 60)
    w.verify(WEB1)


@story.step
def end(w):
    w.sh("godwit destroy web1")
    w.expect_state(w.memo["empty"], slack=POOLS)
    w.healthy()


story.main()
