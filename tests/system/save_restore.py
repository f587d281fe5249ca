#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=900 order=40
"""A guest into a file and back, and what spoilt files and full disks do.

    host1: web1 (dirtier, churn) --godwit save--> file --godwit restore--> web1
                                                   `-- checkpoint verify

The guest's own judgement over every word of its buffer is asked before and after.
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import Story, expect, expect_equal, guest, quick, vmlinux, wait_until  # noqa: E402

WEB1 = "10.77.0.101"
FILE = "/root/web1.gws"
POOLS = 16	# frames that the hypervisor's pools may keep

story = Story(hosts=1, daemon=None, files={"guest/vmlinux": vmlinux()})


def refused(w, command, *codes, timeout=90):
    """The command fails with one line; that line."""
    r = w.sh(command, timeout=timeout, check=False)
    expect(r.rc in codes, f"{command!r} gave {r.rc}, not {codes}: {r.err.strip()[:200]}")
    lines = [l for l in r.err.splitlines() if l.strip()]
    expect(len(lines) == 1, f"{command!r} says {len(lines)} lines: {r.err.strip()[:250]!r}")
    return lines[0]


@story.step(fatal=True)
def guest_runs(w):
    w.memo["listener"] = guest.Listener(w.lab)
    w.memo["empty"] = w.state()
    w.create(quick(guest.config(load=[guest.BEACON, "dirtier:32:2000", "churn:2:5", "tcpecho"])))
    w.wait_program(WEB1, "dirtier")
    w.verify(WEB1)


@story.step(fatal=True)
def save(w):
    """The file is there, whole; the domain and all it had are gone."""
    w.memo["before"] = guest.ask(w.lab.net, WEB1, "dirtier")
    said = w.json(f"godwit save --json web1 {FILE}", timeout=120)
    size = int(w.sh(f"stat -c %s {FILE}").out)
    expect_equal(said["bytes"], size, "bytes")
    expect(size < 128 << 20, f"{size >> 20} MB for a 256 MB guest that uses a third")
    expect_equal(w.sh(f"ls {FILE}.partial 2>/dev/null; true").out, "", "partial file")
    w.expect_state(w.memo["empty"], slack=POOLS)


@story.step
def file_verifies(w):
    """The second reader has no complaint and knows what was saved."""
    said = w.json(f"checkpoint verify --json {FILE}")
    expect(said["sound"], f"not sound: {said}")
    expect_equal((said["domain"]["name"], said["mode"]), ("web1", "save"), "name and mode")
    expect(said["final"]["l4"] > 0, f"no page tables: {said['final']}")


@story.step
def spoilt_files(w):
    """Cut, flipped, of another version, made up: refused by reader and restore alike."""
    size = int(w.sh(f"stat -c %s {FILE}").out)
    before = w.state()
    spoil = [("empty", "truncate -s 0 F"), ("8 bytes", "truncate -s 8 F"),
             ("the last byte", f"truncate -s {size - 1} F"),
             ("half", f"truncate -s {size // 2} F"), ("more behind", "echo more >> F"),
             ("noise", "head -c 65536 /dev/urandom > F")]
    for offset in (0, 9, 40, size // 3, size // 2, size - 20):
        spoil.append((f"byte {offset}",
                      f"b=$(od -An -tu1 -j{offset} -N1 F); printf \"\\\\$(printf %o $((b ^ 255)))\" | "
                      f"dd of=F bs=1 seek={offset} conv=notrunc status=none"))
    for name, command in spoil:
        w.sh(f"cp {FILE} /root/bad.gws && {command.replace('F', '/root/bad.gws')}", timeout=120)
        r = w.sh("checkpoint verify /root/bad.gws", check=False, timeout=120)
        expect(r.rc not in (0, 124), f"{name}: verify gave {r.rc}")
        line = refused(w, "godwit restore /root/bad.gws", 1, 2, timeout=120)
        expect("bad.gws" in line, f"{name}: {line!r} does not name the file")
        expect_equal(w.names(), [], f"guests after {name}")
    refused(w, "godwit restore /no/such.gws", 1, 2)
    refused(w, "godwit restore /root", 1, 2)
    w.sh("rm -f /root/bad.gws")
    w.expect_state(before, slack=4)


@story.step(fatal=True)
def restore(w):
    """It goes on where it was: same buffer, same boot, clocks sane, network back."""
    time.sleep(2)
    w.memo["listener"].reset()
    said = w.json(f"godwit restore --json {FILE}", timeout=120)
    expect_equal(said["domain"], "web1", "name")
    after = w.wait_program(WEB1, "dirtier", 60)
    expect(after["writes"] >= w.memo["before"]["writes"], "the guest started anew")
    w.verify(WEB1)
    churn = w.wait_program(WEB1, "churn")
    expect_equal(churn["errors"], 0, "churn's errors")
    w.memo["listener"].wait_flowing()
    stream = guest.TcpClient(w.lab, WEB1)
    time.sleep(1)
    expect(stream.stop()["complete"], "TCP after restore")


@story.step
def clocks_after_restore(w):
    """Monotonic did not step back; the wall clock shows today, not the day of the save."""
    seen = w.memo["listener"].status()
    expect_equal(seen["mono_back"], 0, "steps back of the monotonic clock")
    expect(abs(seen["real_offset_last_ms"]) < 5000,
           f"wall clock {seen['real_offset_last_ms'] / 1000:.1f} s off")


@story.step
def name_taken(w):
    """The saved guest a second time, beside itself."""
    before = w.state()
    line = refused(w, f"godwit restore {FILE}", 1, 4)
    expect("web1" in line, f"{line!r} does not name web1")
    w.expect_state(before, slack=4)
    w.verify(WEB1)


@story.step
def save_and_keep_running(w):
    """A checkpoint of a guest that goes on; the file is sound; TCP lives through it."""
    domid = w.domain("web1")["domid"]
    stream = guest.TcpClient(w.lab, WEB1)
    w.sh(f"godwit save -k web1 {FILE}.2", timeout=120)
    w.verify(WEB1)
    time.sleep(1)
    said = stream.stop()
    expect(said["complete"] and said["unbroken"], f"TCP: {said}")
    expect_equal(w.domain("web1")["domid"], domid, "domid")
    expect(w.json(f"checkpoint verify --json {FILE}.2")["sound"], "not sound")
    w.sh(f"rm {FILE}.2")


@story.step
def full_disk(w):
    """Too small a disk: said so, nothing of the file stays, the guest runs on."""
    domid = w.domain("web1")["domid"]
    w.sh("mkdir -p /mnt/small && mount -t tmpfs -o size=8m tmpfs /mnt/small")
    line = refused(w, "godwit save web1 /mnt/small/x.gws", 1)
    expect("space" in line.lower(), f"{line!r} does not say that the disk is full")
    expect_equal(w.sh("ls -A /mnt/small").out, "", "files on the small disk")
    w.sh("umount /mnt/small")
    expect_equal(w.domain("web1")["domid"], domid, "domid")
    w.verify(WEB1)


@story.step
def guest_that_does_not_answer(w):
    """A paused guest cannot suspend: said at once, no file, and it goes on when unpaused."""
    w.sh("godwit pause web1")
    line = refused(w, "godwit save -t 30 web1 /root/never.gws", 5)
    expect("paused" in line, f"{line!r} does not say that it is paused")
    expect_equal(w.sh("ls /root | grep never; true").out, "", "files")
    w.sh("godwit unpause web1")
    wait_until("web1 answers", lambda: guest.ask(w.lab.net, WEB1, "dirtier", timeout=2, tries=1), 30)
    w.verify(WEB1)


@story.step
def five_times(w):
    """Save and restore, over and over: still the same memory, no frame lost."""
    for n in range(5):
        w.sh(f"rm -f {FILE}; godwit save web1 {FILE}", timeout=120)
        w.sh(f"godwit restore {FILE}", timeout=120)
        w.wait_program(WEB1, "dirtier", 60)
        w.verify(WEB1)
        expect_equal(w.names(), ["web1"], f"guests after round {n}")
    w.sh("godwit destroy web1")
    w.expect_state(w.memo["empty"], slack=POOLS)
    w.healthy()


story.main()
