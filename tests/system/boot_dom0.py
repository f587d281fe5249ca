#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600 order=10
"""A host boots: GRUB2 by multiboot2 as on a real machine, and QEMU's multiboot1.

    BIOS -- GRUB2 ISO --multiboot2--> hypervisor -- stock Debian kernel (dom0) -- Debian root
    QEMU -kernel ------multiboot1---> hypervisor -- the same

Proves that dom0 reaches its ready line, that Debian's xenstored and xenconsoled
serve it, that the hypercalls agree with what the machine has, and that dom0 can
switch the machine off.
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import BOOT_S, Story, expect, expect_equal, wait_until  # noqa: E402
from host import Lab  # noqa: E402

story = Story(boot=False, hosts=1, boot_way="grub", machine="q35", daemon=None)


def check_host(w):
    """What any booted host must show."""
    text = w.host().console()
    expect("(pv)" in text, "the hypervisor said nothing on the serial line")
    expect_equal(w.sh("cat /sys/hypervisor/type").out.strip(), "xen", "/sys/hypervisor/type")
    expect("control_d" in w.sh("cat /proc/xen/capabilities").out, "dom0 is not in control")
    info = w.json("godwit info --json")
    expect(info["memory_mb"] <= w.lab.memory_mb, f"more memory than the machine has: {info}")
    expect(info["memory_mb"] > w.lab.memory_mb - 64, f"memory got lost: {info}")
    dom0 = w.domain("Domain-0")
    expect(dom0 and dom0["domid"] == 0, "Domain-0 is not listed")
    expect_equal(dom0["memory_mb"], w.lab.dom0_mb, "dom0's memory in MB")
    w.healthy()


@story.step(fatal=True)
def grub_multiboot2(w):
    w.host().boot()
    w.host().wait_ready(BOOT_S)
    check_host(w)


@story.step
def messages(w):
    out = w.sh("godwit dmesg").out
    expect("multiboot2" in out, "godwit dmesg does not tell how it was loaded")


@story.step
def xenstore_and_console_daemons(w):
    w.sh("xenstore-write /test/story 42")
    expect_equal(w.sh("xenstore-read /test/story").out.strip(), "42", "xenstore's value")
    w.sh("xenstore-rm /test")
    w.sh("kill -0 $(cat /run/xenstored.pid) && kill -0 $(cat /run/xenconsoled.pid)")


@story.step
def clock_runs_true(w):
    """dom0's clock against the outer machine's, over two seconds."""
    sh = "cut -d' ' -f1 /proc/uptime; sleep 2; cut -d' ' -f1 /proc/uptime"
    a, b = map(float, w.sh(sh).out.split())
    expect(1.9 < b - a < 4, f"2 s of sleep took {b - a:.2f} s")
    off = abs(float(w.sh("date +%s").out) - time.time())
    expect(off < 5, f"dom0's date is {off:.0f} s off")


@story.step
def power_off(w):
    host = w.host()
    w.sh("(sleep 0.2; /opt/godwit/lab/busybox poweroff -f) >/dev/null 2>&1 &")
    wait_until("the machine is off", lambda: not host.alive, 60)


@story.step
def multiboot1_two_cpus(w):
    """The other way in, on the other machine type, with both CPUs up."""
    with Lab(hosts=1, cpus=2, machine="pc", daemon=None) as lab:
        lab.boot(BOOT_S)
        second = type(w)(lab)
        check_host(second)
        expect_equal(second.json("godwit info --json")["cpus"], 2, "CPUs")


story.main()
