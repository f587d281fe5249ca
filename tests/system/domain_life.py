#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=900 order=20
"""A guest's life on one host, seen from dom0 and from outside.

    outside (listener, TCP client) ---- lan ---- host1: xenbr0 -- vif -- web1, web2
                                                  `- dom0: godwit create ... destroy

A stock Debian kernel as guest: made, watched, stopped, rebooted, ended; then
twenty guests made and destroyed at different moments of their boot, after which
the host has exactly the frames, nodes and interfaces it had before.
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import (GUEST_BOOT_S, Story, expect, expect_equal, guest, quick,  # noqa: E402
                   vmlinux, wait_until)

WEB1, WEB2 = "10.77.0.101", "10.77.0.102"
ROUNDS = 20
POOLS = 16	# frames

story = Story(hosts=1, daemon=None, files={"guest/vmlinux": vmlinux()})


def console_log(w, name):
    """What xenconsoled kept of a guest's console, over all its lives."""
    return w.sh(f"cat /var/log/xen/guest-{name}.log").out


def wait_ready(w, name, times=1):
    """Until the guest's first program said READY so many times."""
    wait_until(f"{name} is ready", lambda: console_log(w, name).count("GUEST READY") >= times,
               GUEST_BOOT_S)


@story.step(fatal=True)
def create(w):
    """The stock bzImage, as `godwit create` finds it in a real dom0."""
    w.memo["listener"] = guest.Listener(w.lab)
    w.memo["before"] = w.state()
    text = guest.config(load=[guest.BEACON, "dirtier:16:500", "tcpecho"])
    said = w.create(text)
    expect_equal(said["name"], "web1", "name")
    expect(said["domid"] > 0, f"domid {said['domid']}")
    w.memo["domid"] = said["domid"]
    wait_ready(w, "web1")


@story.step
def console(w):
    """A line typed is a line run; the answer is not in the question."""
    out = w.sh("(sleep 1; echo; echo 'echo sum $((40+2)) $(uname -r)'; sleep 3) "
               "| timeout 8 godwit console web1; true", timeout=20).out
    expect("sum 42 " in out, f"no answer on the console: {out[-200:]!r}")


@story.step
def list_and_info(w):
    row = w.domain("web1")
    expect(row, "web1 is not listed")
    expect_equal((row["domid"], row["memory_mb"], row["vcpus"]), (w.memo["domid"], 256, 1), "row")
    info = w.json("godwit info --json web1")
    expect_equal((info["name"], info["paused"], info["shutdown"]), ("web1", False, False), "info")
    expect_equal(info["vifs"][0]["mac"], "00:16:3e:00:00:01", "MAC address")
    text = w.sh("godwit list").out.splitlines()
    expect_equal(len(text), 3, "lines of the list")
    expect(text[2].startswith("web1 "), f"row {text[2]!r}")


@story.step
def network(w):
    """Datagrams leave, a TCP stream comes back whole, two-way."""
    w.wait_program(WEB1, "tcpecho")
    w.memo["listener"].wait_flowing()
    stream = guest.TcpClient(w.lab, WEB1)
    time.sleep(3)
    said = stream.stop()
    expect(said["complete"] and said["unbroken"], f"TCP: {said}")
    expect(said["echoed_words"] > 1000, f"TCP: only {said['echoed_words']} words")


@story.step
def memory_holds(w):
    w.verify(WEB1)


@story.step
def clocks(w):
    """The guest's wall clock is the world's; neither of its clocks steps back."""
    seen = w.memo["listener"].status()
    expect(abs(seen["real_offset_last_ms"]) < 5000,
           f"wall clock {seen['real_offset_last_ms'] / 1000:.0f} s off")
    expect_equal((seen["mono_back"], seen["real_back"]), (0, 0), "backward steps")


@story.step
def pause_and_unpause(w):
    """Paused means silent; afterwards it goes on where it was."""
    listener = w.memo["listener"]
    w.sh("godwit pause web1")
    expect_equal(w.domain("web1")["state"], "paused", "state")
    cpu = w.domain("web1")["cpu_s"]
    time.sleep(0.5)
    before = listener.status()["received"]
    time.sleep(1.5)
    expect_equal(listener.status()["received"], before, "datagrams while paused")
    expect_equal(w.domain("web1")["cpu_s"], cpu, "CPU time while paused")
    w.sh("godwit unpause web1")
    wait_until("datagrams flow again", lambda: listener.status()["received"] > before + 50, 20)
    w.verify(WEB1)


@story.step
def two_guests(w):
    """A second guest beside the first: both serve, neither disturbs the other."""
    text = guest.config("web2", 2, 160, load=["dirtier:16:500", "tcpecho"])
    w.create(quick(text))
    w.wait_program(WEB2, "dirtier")
    expect_equal(w.names(), ["web1", "web2"], "guests")
    w.verify(WEB2)
    w.verify(WEB1)
    stream = guest.TcpClient(w.lab, WEB2)
    time.sleep(1)
    w.sh("godwit destroy web2")
    stream.stop()
    w.verify(WEB1)
    expect_equal(w.names(), ["web1"], "guests")


@story.step
def reboot(w):
    """Asked to, the guest comes back by itself under its name."""
    old = w.domain("web1")["domid"]
    w.sh("godwit reboot web1")
    wait_until("the old domain is gone", lambda: (w.domain("web1") or {}).get("domid") != old, 60)
    wait_ready(w, "web1", 2)
    expect(w.domain("web1"), "web1 is not listed after the reboot")
    up = guest.wait_answer(w.lab.net, WEB1, "dirtier", GUEST_BOOT_S)
    expect(up["mono_ns"] < 100e9, f"its clock did not start anew: {up}")
    w.verify(WEB1)


@story.step
def shutdown(w):
    """Asked to, it switches off; nothing of it stays."""
    w.sh("godwit shutdown -w -t 60 web1", timeout=90)
    expect_equal(w.names(), [], "guests")
    w.expect_state(w.memo["before"], slack=POOLS)


@story.step
def destroy_while_running(w):
    w.create(quick(guest.config(load=["churn:4"])))
    w.wait_program(WEB1, "churn")
    w.sh("godwit destroy web1")
    w.expect_state(w.memo["before"], slack=POOLS)


@story.step
def create_destroy_20_times(w):
    """Destroyed at another moment of its boot each time; not one frame leaks."""
    text = quick(guest.config("leak", 3, 128, load=["dirtier:8:500"]))
    before = w.state()
    for n in range(ROUNDS):
        w.create(text, args="--paused" if n % 5 == 4 else "")
        time.sleep(0.35 * (n % 7))
        w.sh("godwit destroy leak")
        expect(w.domain("leak") is None, f"round {n}: still listed")
    w.expect_state(before)
    w.healthy()


story.main()
