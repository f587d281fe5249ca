#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=900 order=46
"""Checkpoints every so often, by godwitd: kept, pruned, survived, missed, restored.

    host1: godwitd --every 2s--> checkpoint take ---> /root/store, /mnt/small
             web1 (dirtier) <-------'
    outside: asks for a schedule of its own, and is refused
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import Story, expect, expect_equal, guest, quick, vmlinux, wait_until  # noqa: E402

WEB1 = "10.77.0.101"
STORE = "/root/store"
SMALL = "/mnt/small"
KEEP, FULL_EVERY, EVERY_S = 3, 4, 2
FOLDER = "/var/lib/godwit/schedules"

story = Story(hosts=1, files={"guest/vmlinux": vmlinux()})


def schedules(w):
    return w.json("checkpoint schedule list --json")["schedules"]


def schedule(w):
    """The one and only."""
    found = schedules(w)
    expect_equal(len(found), 1, "schedules")
    return found[0]


def objects(w, store=STORE):
    return sorted(o["name"] for o in w.json(f"checkpoint store ls --json {store} web1"))


def usage(w, command, *codes):
    """Refused with one line."""
    r = w.sh(command, check=False)
    expect(r.rc in codes, f"{command!r} gave {r.rc}, not {codes}: {r.err.strip()[:200]}")
    lines = [l for l in r.err.splitlines() if l.strip()]
    expect(len(lines) == 1, f"{command!r} says {len(lines)} lines: {r.err.strip()[:250]!r}")
    return lines[0]


def wait_taken(w, more, timeout):
    """
    Until so many more checkpoints were taken; the schedule then.  How long one
    takes depends on what else the machine does: deadlines may be missed.
    """
    want = schedule(w)["taken"] + more
    return wait_until(f"{more} more checkpoints",
                      lambda: (s := schedule(w))["taken"] >= want and s, timeout, 0.5)


def http(w, text):
    """What the daemon says to someone from outside; the status line."""
    with w.lab.net.connect(w.host().addr, 7070, 10) as s:
        s.sendall(text.encode())
        return s.recv(4096).decode("latin-1").split("\r\n")[0]


def start_daemon(w):
    w.host().start("exec godwitd --listen $(hostname -i)", "/run/godwit/godwitd.log")
    wait_until("godwitd listens", lambda: ":7070" in w.sh("ss -Hltn sport = :7070").out, 20)


@story.step(fatal=True)
def guest_runs(w):
    w.create(quick(guest.config("web1", 1, 128, load=[guest.BEACON, "dirtier:8:200"])))
    w.wait_program(WEB1, "dirtier")
    w.verify(WEB1)
    expect_equal(schedules(w), [], "schedules of a new host")


@story.step
def refusals(w):
    """Nonsense is refused with one line and leaves nothing behind."""
    for options in ("--every 200ms", "--every 8d", "--every 5", "--every 2s --keep 0",
                    "--every 2s --keep 10001", "--every 2s --full-every 10001",
                    "--every 2s --stop", "--every 2s --full"):
        usage(w, f"checkpoint web1 {STORE} {options}", 2)
    usage(w, f"checkpoint web9 {STORE} --every 2s", 3)
    usage(w, "checkpoint web1 /no/such/folder --every 2s", 1)
    usage(w, "checkpoint web1 http://me:secret@h/x/ --every 2s", 1)
    usage(w, f"checkpoint web1 {STORE} --every 2s --daemon 127.0.0.1:1", 6)
    line = usage(w, "checkpoint schedule stop web1", 3)
    expect("no schedule" in line, line)
    expect_equal(schedules(w), [], "schedules")
    expect_equal(w.sh(f"ls {FOLDER}").out, "", "files")


@story.step
def others_are_refused(w):
    """From another host: neither looked at nor set, whatever the body."""
    body = "{}"
    for line in ("GET /v1/schedules", "POST /v1/schedules", "POST /v1/schedules/stop"):
        said = http(w, f"{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n{body}")
        expect(" 403 " in said, f"{line}: {said!r}")
    said = http(w, "GET /v1/health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    expect(" 200 " in said, f"health: {said!r}")


@story.step(fatal=True)
def takes_and_keeps(w):
    """Every 2 s, the newest 3 and what they stand on; the guest does not mind."""
    said = w.json(f"cd /root && checkpoint web1 store --every {EVERY_S}s --keep {KEEP} "
                  f"--full-every {FULL_EVERY} --json")
    expect_equal((said["name"], said["store"]), ("web1", STORE), "name and store")
    expect_equal(w.sh(f"ls {FOLDER}").out.strip(), said["uuid"] + ".json", "its file")
    s = wait_taken(w, FULL_EVERY + KEEP, 240)
    print(f"taken {s['taken']}, missed {s['missed']}, last {s['last_success']}", file=sys.stderr)
    expect(s["last_success"]["pause_us"] > 0, f"no pause: {s['last_success']}")
    expect(s["last_success"]["seq"] < FULL_EVERY, f"no full one: {s['last_success']}")
    expect_equal(s["failed"], 0, "failed")
    expect_equal(s["prune_error"], None, "pruning")
    # one may be between commit and prune
    names = objects(w)
    expect(KEEP <= len(names) <= KEEP + FULL_EVERY, f"{len(names)} objects: {names}")
    w.verify(WEB1)


@story.step
def survives_its_daemon(w):
    """Killed, and away for some intervals: it goes on, and knows what it missed."""
    begin = time.monotonic()
    before = schedule(w)
    w.sh("kill -9 $(pgrep -x godwitd)")
    usage(w, "checkpoint schedule list", 6)
    time.sleep(3 * EVERY_S + 1)
    start_daemon(w)
    after = schedule(w)
    most = (time.monotonic() - begin) / EVERY_S + 2
    for key in ("uuid", "store", "every_ms", "keep", "full_every", "created_ns"):
        expect_equal(after[key], before[key], key)
    missed = after["missed"] - before["missed"]
    expect(3 <= missed <= most, f"{missed} missed while away, not 3 to {most:.0f}")
    expect(after["taken"] >= before["taken"], "it forgot what was taken")
    log = w.sh("cat /run/godwit/godwitd.log").out
    expect("while godwitd was not there" in log, f"the log does not tell: {log[-300:]!r}")
    wait_taken(w, 2, 120)
    w.verify(WEB1)


@story.step
def ends_and_begins(w):
    """A clean end too; what was under way is not called a failure."""
    before = schedule(w)
    w.sh("kill $(pgrep -x godwitd)")
    wait_until("godwitd is gone", lambda: w.sh("pgrep -x godwitd; true").out == "", 60)
    expect_equal(w.sh("pgrep -x checkpoint; true").out, "", "jobs")
    start_daemon(w)
    expect_equal(schedule(w)["failed"], before["failed"], "failures")
    wait_taken(w, 1, 120)


@story.step
def moves_go_first(w):
    """Moved (to here) and saved amid all this: both get their turn, and it goes on afterwards."""
    domid = w.domain("web1")["domid"]
    w.sh("migrate --quiet web1 $(hostname -i)", timeout=180)
    expect_equal(w.names(), ["web1"], "guests")
    expect(w.domain("web1")["domid"] != domid, "it has not moved")
    w.wait_program(WEB1, "dirtier", 60)
    w.verify(WEB1)
    w.sh("godwit save -k web1 /root/web1.gws && checkpoint verify /root/web1.gws && rm /root/web1.gws",
         timeout=180)
    w.verify(WEB1)
    wait_taken(w, 2, 120)
    w.sh(f"checkpoint verify {STORE} web1", timeout=90)
    w.verify(WEB1)


@story.step(fatal=True)
def restores_and_goes_on(w):
    """The guest is lost: inactive; its newest checkpoint comes back, and so does the schedule."""
    before = guest.ask(w.lab.net, WEB1, "dirtier")
    w.sh("godwit destroy web1")
    s = wait_until("it notices", lambda: (s := schedule(w))["state"] == "inactive" and s, 60)
    expect_equal(s["last_error"]["text"], "domain is not here", "the reason")
    expect_equal(objects(w)[-1], s["last_success"]["object"], "the newest")
    kept = len(objects(w))
    expect(KEEP <= kept < KEEP + FULL_EVERY, f"{kept} objects, none is being taken")
    w.sh(f"checkpoint verify {STORE} web1", timeout=90)
    print(w.sh(f"checkpoint restore {STORE} web1", timeout=120).out, file=sys.stderr)
    after = w.wait_program(WEB1, "dirtier", 60)
    w.verify(WEB1)
    expect(0 < after["writes"], "the guest started anew")
    print(f"writes: {before['writes']} before, {after['writes']} after", file=sys.stderr)
    wait_until("it is active again", lambda: schedule(w)["state"] != "inactive", 30)
    s = wait_taken(w, 2, 120)
    expect(s["state"] != "inactive" and not s["failing"], f"{s['state']}, {s['last_error']}")


@story.step
def stops(w):
    """Stopped: nothing more is taken, the checkpoints stay, no file is left."""
    w.sh("checkpoint schedule stop web1")
    expect_equal(schedules(w), [], "schedules")
    expect_equal(w.sh(f"ls {FOLDER}").out, "", "files")
    wait_until("no job", lambda: w.sh("pgrep -x checkpoint; true").out == "", 60)
    names = objects(w)
    expect(len(names) >= KEEP, f"left: {names}")
    time.sleep(2 * EVERY_S)
    expect_equal(objects(w), names, "objects")
    expect_equal(w.sh(f"find {STORE} -name '.put-*'").out, "", "leftovers")
    w.verify(WEB1)


@story.step
def store_fills_up(w):
    """Errors are shown, deadlines go on, nothing half-written stays, the guest does not care."""
    w.sh(f"mkdir -p {SMALL} && mount -t tmpfs -o size=6m tmpfs {SMALL}")
    w.sh(f"checkpoint web1 {SMALL}/s --every {EVERY_S}s --keep 2")
    s = wait_until("it failed twice", lambda: (s := schedule(w))["failed"] >= 2 and s, 60)
    expect_equal(s["taken"], 0, "taken")
    expect("space" in s["last_error"]["text"].lower(), f"the reason: {s['last_error']}")
    text = w.sh("checkpoint schedule list").out
    expect("last error" in text and "space" in text, f"list: {text!r}")
    w.verify(WEB1)
    # room is made: it recovers by itself
    w.sh(f"mount -o remount,size=300m {SMALL}")
    wait_until("it is taken", lambda: (s := schedule(w))["taken"] and not s["failing"], 60)
    w.sh("checkpoint schedule stop web1")
    wait_until("no job", lambda: w.sh("pgrep -x checkpoint; true").out == "", 60)
    expect_equal(w.sh(f"find {SMALL} -name '.put-*'").out, "", "leftovers")
    w.sh(f"umount {SMALL}")
    w.verify(WEB1)
    w.healthy()


story.main()
