#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=1500 order=30
"""The micro-guests of tests/guest as ordinary domains of a real dom0.

    host1: dom0 (godwit create) -- micro-guest: PASS and FAIL lines on its console

What tests/guest shows of domain 0 has to hold for a domain without privileges,
and unprivileged.c only says something here.  Each verdict of a guest is a result
of its own; a test that must crash its domain passes when the hypervisor's log
names the reason, domain 0 lives, and the domain is gone.  In the end the host has
as much free memory as before.
"""
import glob
import json
import os
import re
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lab"))

from host import Lab  # noqa: E402
from qemu import LabError  # noqa: E402

BUILD = os.environ.get("GODWIT_BUILD", os.path.join(TOP, "build"))
BOOT_S = 240
GUEST_S = 180
WARM_UP = ("evtchn", "grants")
SOURCES = os.path.join(TOP, "tests", "guest", "src")


def vcpus(name):
    """What the source's "run:" line asks of domain 0 holds for a guest, too."""
    with open(os.path.join(SOURCES, name + ".c"), encoding="utf-8") as f:
        found = re.search(r"^ \* run: .*dom0_max_vcpus=(\d+)", f.read(), re.M)
    return int(found.group(1)) if found else 1


def makes_domains(path):
    """A program that needs to be domain 0: it makes domains of its own."""
    with open(path, encoding="utf-8") as f:
        return "lib/domu.h" in f.read()


def run_guest(host, name, label, extra):
    """The console of one life of a micro-guest, and the log lines it caused."""
    config = (f'name="{label}"\nmemory=32\nvcpus={vcpus(name)}\nextra="{extra}"\n'
              f'kernel="/opt/godwit/micro/{name}.elf"\n'
              'on_poweroff="destroy"\non_crash="destroy"\n')
    host.push(config.encode(), "/root/micro.cfg")
    log = f"/var/log/xen/guest-{label}.log"
    before = len(host.run("godwit dmesg", timeout=30, check=True).out)
    host.run("godwit create /root/micro.cfg", timeout=90, check=True)
    end = time.monotonic() + GUEST_S
    while f"{label} " in host.run("godwit list", timeout=30).out:
        if time.monotonic() > end:
            host.run(f"godwit destroy {label}", timeout=30)
            break
        time.sleep(0.3)
    text = host.run(f"cat {log} 2>/dev/null; true", timeout=30).out.replace("\r", "")
    return text.splitlines(), host.run("godwit dmesg", timeout=30, check=True).out[before:]


# Random input, but the same one each time (tests/guest/fuzz says why).
SEED = {"fuzz": "seed=94004123"}


def verdict(word, name, reason=None):
    """One result, as tests/run reads them."""
    print(f"{word} {name}" + (f": {reason}" if reason else ""), flush=True)
    return word == "PASS"


def crash_test(host, name, test):
    """A life that has to end in a crash, for the reason the test names."""
    lines, log = run_guest(host, name, "micro-" + test.replace(".", "-"), "only=" + test)
    want = next((s[len("EXPECT-CRASH "):] for s in lines if s.startswith("EXPECT-CRASH ")), None)
    crash = re.search(r"d\d+ crashed: .*", log)
    if want is None or not crash:
        return verdict("FAIL", test, f"no crash; console ends {lines[-1:]}")
    if want not in crash.group(0):
        return verdict("FAIL", test, f"'{crash.group(0)}' does not say '{want}'")
    return verdict("PASS", test)


def one(host, name):
    """All tests of one micro-guest."""
    lines, log = run_guest(host, name, "micro-" + name, SEED.get(name, ""))
    good = True
    for line in lines:
        if line.startswith("PASS "):
            print(line, flush=True)
        elif line.startswith("FAIL "):
            print(line, flush=True)
            good = False
    if "TESTS DONE" not in lines:
        crash = re.search(r"d\d+ crashed: .*", log)
        return verdict("FAIL", name, crash.group(0) if crash else f"not finished: {lines[-1:]}")
    for line in lines:
        if line.startswith("CRASHTEST "):
            good &= crash_test(host, name, line.split()[1])
    return good


def free_pages(host):
    """Frames that nobody has, once everything that died is gone."""
    return json.loads(host.run("godwit info --json", timeout=30, check=True).out)["free_pages"]


def leak_check(host, before):
    """Guests that are gone have left nothing behind."""
    end = time.monotonic() + 20
    while free_pages(host) != before and time.monotonic() < end:
        time.sleep(0.5)
    left = before - free_pages(host)
    return verdict("FAIL", "leak", f"{left} frames are missing") if left else verdict("PASS", "leak")


def main():
    names = sys.argv[1:] or sorted(os.path.basename(p)[:-2]
                                   for p in glob.glob(os.path.join(SOURCES, "*.c")) if not makes_domains(p))
    elfs = {f"micro/{n}.elf": os.path.join(BUILD, "guest-tests", n + ".elf")
            for n in {*names, *WARM_UP}}
    good = True
    with Lab(hosts=1, hypervisor="godwit", cpus=2, files=elfs) as lab:
        lab.boot()
        # the hypervisor keeps the pages it cut into small objects: let those grow first
        for name in WARM_UP:
            run_guest(lab[1], name, "warm-" + name, "")
        before = free_pages(lab[1])
        for name in names:
            try:
                good &= one(lab[1], name)
            except LabError as e:
                good = verdict("FAIL", name, str(e).replace("\n", " "))
                if not lab[1].alive:
                    break
        if lab[1].alive:
            good &= leak_check(lab[1], before)
        console = lab[1].console()
        if "panic" in console:
            at = console.index("panic")
            good = verdict("FAIL", "hypervisor", console[at:at + 200].split("\n", maxsplit=1)[0])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
