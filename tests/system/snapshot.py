#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600 order=45
"""Snapshots of a stock Linux guest that keeps writing, forking and talking; one that starts
with its memory missing.

    host1: web1 (dirtier, churn)  <- snapcheck (dom0) compares every page with the instant
           web2                   <- lazycheck (dom0) brings each page when it is asked for
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import BUILD, Story, expect, guest, quick, vmlinux  # noqa: E402

WEB1 = "10.77.0.101"
WEB2 = "10.77.0.102"
SNAPCHECK = "/opt/godwit/snapcheck"
POOLS = 16	# frames that the hypervisor's pools may keep

LAZYCHECK = "/opt/godwit/lazycheck"

story = Story(hosts=1, daemon=None, files={"guest/vmlinux": vmlinux(),
                                           "snapcheck": os.path.join(BUILD, "bin", "snapcheck"),
                                           "lazycheck": os.path.join(BUILD, "bin", "lazycheck")})


def rounds(w, reserve, pace_us, number=5):
    """What snapcheck says of each round; it has to be content."""
    domid = w.domain("web1")["domid"]
    r = w.sh(f"{SNAPCHECK} {domid} {number} {reserve} {pace_us}", timeout=240, check=False)
    print(r.out, r.err, file=sys.stderr)
    expect(r.rc == 0, f"snapcheck gave {r.rc}: {(r.err.splitlines() or ['?'])[-1][:200]}")
    said = [json.loads(line) for line in r.out.splitlines()]
    expect(len(said) == number, f"{len(said)} rounds")
    return said


@story.step(fatal=True)
def guest_runs(w):
    w.memo["free"] = w.free_pages()
    w.create(quick(guest.config(load=[guest.BEACON, "dirtier:32:2000", "churn:2:5"])))
    w.wait_program(WEB1, "dirtier")
    w.verify(WEB1)


@story.step
def same_as_the_instant(w):
    """Page by page, a full set and four deltas; the guest never waits."""
    said = rounds(w, 60000, 2000)
    expect(sum(r["copied"] for r in said) > 100, "hardly anything was written: this proves nothing")
    expect(all(r["waits"] == 0 for r in said), "a vCPU waited with a reserve of all memory")
    expect(all(r["set"] < said[0]["set"] / 2 for r in said[1:]), "the deltas are as large as the full set")


@story.step
def small_reserve(w):
    """With room for few copies the guest waits and goes on; the contents are the same."""
    said = rounds(w, 32, 2000, 3)
    expect(sum(r["waits"] for r in said) > 0, "nobody waited: this proves nothing")


@story.step
def guest_is_well(w):
    w.verify(WEB1)
    churn = w.wait_program(WEB1, "churn")
    expect(churn["errors"] == 0, f"churn's errors: {churn['errors']}")
    w.healthy()


@story.step
def reader_killed(w):
    """A reader that dies in the middle: log-dirty is switched off, all is given back."""
    domid = w.domain("web1")["domid"]
    w.sh(f"({SNAPCHECK} {domid} 5 60000 200000 >/dev/null 2>&1 & echo $! > /root/pid; sleep 6; "
         "kill -9 $(cat /root/pid)); true", timeout=60)
    w.sh("godwit unpause web1; true", check=False)
    w.verify(WEB1)
    w.sh("godwit destroy web1", timeout=60)
    missing = w.memo["free"] - w.free_pages()
    expect(missing <= POOLS, f"{missing} frames are missing")


@story.step
def starts_without_memory(w):
    """A guest boots though its kernel, its stacks, its initrd come page by page."""
    w.create(quick(guest.config("web2", 2, memory=128, load=["dirtier:8:500", "churn:2:5"])), args="--paused")
    domid = w.domain("web2")["domid"]
    r = w.sh(f"{LAZYCHECK} {domid} 4", timeout=240, check=False)
    print(r.out, r.err, file=sys.stderr)
    expect(r.rc == 0, f"lazycheck gave {r.rc}: {(r.err.splitlines() or ['?'])[-1][:200]}")
    said = json.loads(r.out)
    expect(said["missing"] > 20000 and said["asked"] > 1000, f"hardly anything was missing: {said}")
    w.wait_program(WEB2, "dirtier")
    w.verify(WEB2)
    churn = w.wait_program(WEB2, "churn")
    expect(churn["errors"] == 0, f"churn's errors: {churn['errors']}")
    w.healthy()


story.main()
