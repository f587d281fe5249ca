# SPDX-License-Identifier: Apache-2.0
"""
story.py - what the system tests share: steps, hosts, guests.

A script declares its lab and, in order, its steps; each step is one result:

    story = Story(hosts=1)

    @story.step(fatal=True)
    def create(w): ...          # PASS create, or FAIL create: reason

    story.main()

A step passes by returning and fails by raising; `expect` raises with a reason.
After a failed fatal step the rest is reported as not reached: a story never
says less than it promised (PLAN).  Invariant: whatever happens, leaving main()
has ended the lab; what the consoles said last is then in the test's log.
"""
import json
import lzma
import os
import re
import sys
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lab"))

import guest  # noqa: E402
from host import Lab  # noqa: E402
from qemu import LAB, LabError  # noqa: E402

BUILD = os.environ.get("GODWIT_BUILD", os.path.join(TOP, "build"))
TMP = os.environ.get("TEST_TMP", "/tmp")
CONSOLE_TAIL = 40
GUEST_BOOT_S = 120	# a guest's boot under emulation, on a machine with other work
BOOT_S = 240


class Failed(Exception):
    """A step's reason, in one line."""


def expect(condition, reason):
    """Go on if the condition holds."""
    if not condition:
        raise Failed(reason)


def expect_equal(got, want, what):
    """Go on if both are the same."""
    expect(got == want, f"{what}: {got!r}, not {want!r}")


def wait_until(what, probe, timeout, every=0.2):
    """The first true value of probe(); LabErrors count as not yet."""
    end = time.monotonic() + timeout
    while True:
        try:
            value = probe()
        except LabError:
            value = None
        if value:
            return value
        expect(time.monotonic() < end, f"{what}: not within {timeout} s")
        time.sleep(every)


def vmlinux():
    """
    The ELF image inside the stock kernel, for tests that start many guests:
    unpacking xz is most of a `godwit create` under emulation.
    Source: Linux Documentation/x86/boot.rst, payload_offset and setup_sects.
    """
    path = os.path.join(TMP, "vmlinux")
    if not os.path.exists(path):
        with open(os.path.join(LAB, "vmlinuz"), "rb") as f:
            image = f.read()
        start = (image[0x1f1] + 1) * 512 + int.from_bytes(image[0x248:0x24c], "little")
        with open(path, "wb") as f:
            f.write(lzma.LZMADecompressor().decompress(image[start:]))
    return path


QUICK = "/opt/godwit/guest/vmlinux"	# where files={"guest/vmlinux": vmlinux()} puts it


def quick(text):
    """A configuration with the unpacked kernel."""
    return text.replace("/opt/godwit/guest/vmlinuz", QUICK)


class World:
    """The lab of a running story, and questions that many steps ask."""

    def __init__(self, lab):
        self.lab = lab
        self.memo = {}	# what steps leave for later ones

    def host(self, number=1):
        return self.lab[number]

    def sh(self, command, number=1, timeout=60, check=True):
        """A command in a dom0."""
        return self.lab[number].run(command, timeout=timeout, check=check)

    def json(self, command, number=1, timeout=60):
        """A command's standard output as JSON."""
        out = self.sh(command, number, timeout).out
        try:
            return json.loads(out)
        except json.JSONDecodeError as e:
            raise Failed(f"{command!r}: no JSON: {e}") from e

    # --- domains ---------------------------------------------------------------
    def names(self, number=1):
        """Names of the guests of a host."""
        return sorted(d["name"] for d in self.json("godwit list --json", number)
                      if d["domid"] != 0)

    def domain(self, name, number=1):
        """Its row of the list, or None."""
        rows = [d for d in self.json("godwit list --json", number) if d["name"] == name]
        expect(len(rows) < 2, f"host{number} lists {name} twice")
        return rows[0] if rows else None

    def free_pages(self, number=1):
        """Frames that nobody has."""
        return self.json("godwit info --json", number)["free_pages"]

    def write_config(self, text, number=1, path="/root/test.cfg"):
        """Put a configuration into a dom0; its path."""
        self.lab[number].push(text.encode(), path)
        return path

    def create(self, text, number=1, args="", timeout=90):
        """`godwit create`; the JSON it prints."""
        path = self.write_config(text, number)
        return self.json(f"godwit create --json {args} {path}", number, timeout)

    def wait_program(self, address, program, timeout=GUEST_BOOT_S):
        """
        Until a guest's program answers; its status.  A busy one answers after
        seconds, so each question has its time: a shower of them would queue.
        """
        return wait_until(f"{program} at {address} answers", lambda: guest.ask(
            self.lab.net, address, program, timeout=4, tries=1), timeout)

    def verify(self, address, program="dirtier"):
        """The guest's own judgement over all of its buffer has to be good."""
        said = guest.ask(self.lab.net, address, program, "verify", timeout=15)
        expect(said["verdict"] == "PASS" and said["errors"] == 0,
               f"{program} at {address}: {said}")
        return said

    def healthy(self, number=1):
        """The host's hypervisor and its dom0 are well."""
        host = self.lab[number]
        expect(host.alive, f"{host.name} is gone")
        text = host.console()
        for word in ("(pv) panic", "BUG at", "Kernel panic", "Oops:"):
            expect(word not in text, f"{host.name}'s console says {word!r}")

    def state(self, number=1):
        """
        Everything that a refused command must leave as it was: domains, free
        frames, xenstore's domain trees, interfaces, loop devices, files.
        """
        return {
            "domains": self.names(number),
            "free frames": self.free_pages(number),
            # the empty folders of dom0's back ends stay after the first guest
            "xenstore": self.sh("(xenstore-ls -f /local/domain; xenstore-ls -f /vm 2>/dev/null) | "
                                "grep -vE '^/local/domain/0/backend(/vif|/vbd)? = \"\"$'; true",
                                number).out,
            "interfaces": re.findall(r"^(\S+)", self.sh("ip -br link", number).out, re.M),
            "loop devices": self.sh("cat /sys/block/loop*/loop/backing_file 2>/dev/null; true",
                                    number).out,
            "domain files": self.sh("ls /run/godwit/domains 2>/dev/null; true", number).out,
        }

    def expect_state(self, before, number=1, timeout=15, slack=0):
        """
        Back ends leave a moment after their domain: wait for what was.  slack:
        frames that may stay away, because the hypervisor's pools keep what the
        largest number of guests at once wanted.
        """
        end = time.monotonic() + timeout
        while True:
            now = self.state(number)
            if 0 <= before["free frames"] - now["free frames"] <= slack:
                now["free frames"] = before["free frames"]
            if now == before:
                return
            if time.monotonic() > end:
                break
            time.sleep(0.3)
        for key, value in before.items():
            if now[key] != value:
                print(f"{key} before:\n{value}\n{key} now:\n{now[key]}", file=sys.stderr)
                raise Failed(f"{key} changed: {shorten(value)} -> {shorten(now[key])}")


def shorten(value):
    """A value in at most a hundred characters, on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else text[:97] + "..."


class Story:
    """The steps of one script; arguments are those of host.Lab."""

    def __init__(self, boot=True, **lab):
        self.lab = lab
        self.boot = boot
        self.steps = []

    def step(self, function=None, *, fatal=False):
        """Declare the next step; fatal: without it the others make no sense."""
        if function is None:
            return lambda f: self.step(f, fatal=fatal)
        self.steps.append((function.__name__, function, fatal))
        return function

    def main(self):
        """Run all; exit 0 if all passed."""
        wanted = sys.argv[1:]	# by hand: only these steps (and the fatal ones)
        steps = [s for s in self.steps if not wanted or s[2] or s[0] in wanted]
        prefix = os.path.splitext(os.path.basename(sys.argv[0]))[0] + "."
        print(f"PLAN {len(steps)}", flush=True)
        good = True
        try:
            with Lab(**self.lab) as lab:
                if self.boot:
                    lab.boot(BOOT_S)
                good = self.run(World(lab), steps, prefix)
        except (LabError, OSError) as e:
            # the lab itself: none of the steps could run
            for name, _, _ in steps:
                print(f"FAIL {prefix}{name}: {one_line(e)}", flush=True)
            good = False
        sys.exit(0 if good else 1)

    def run(self, world, steps, prefix):
        good, stopped_by = True, None
        for name, function, fatal in steps:
            if stopped_by:
                print(f"FAIL {prefix}{name}: not reached, {stopped_by} failed", flush=True)
                continue
            start = time.monotonic()
            print(f"-- {name}", file=sys.stderr, flush=True)
            try:
                function(world)
                print(f"PASS {prefix}{name}", flush=True)
            except Exception as e:  # pylint: disable=broad-except
                good = False
                stopped_by = name if fatal else None
                print(f"FAIL {prefix}{name}: {one_line(e)}", flush=True)
                if not isinstance(e, (Failed, LabError)):
                    traceback.print_exc()
                tell(world)
            print(f"-- {name}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
        return good


def one_line(e):
    """An exception's text as a reason."""
    text = " ".join(str(e).split()) or type(e).__name__
    return text[:300]


def tell(world):
    """What the hosts said last, to the log."""
    for host in world.lab.hosts:
        lines = host.console().splitlines()[-CONSOLE_TAIL:]
        print(f"== {host.name}, {'running' if host.alive else 'ended'}", file=sys.stderr)
        print("\n".join(lines), file=sys.stderr)
        if not host.alive:
            continue
        try:
            print(host.run("godwit list; tail -n 15 /run/godwit/godwitd.log; "
                           "tail -c 600 /root/migrate.log 2>/dev/null; cd /var/log/xen && "
                           "for f in guest-*; do echo \"= $f\"; tail -n 12 $f; done", 20).out,
                  file=sys.stderr)
        except LabError as e:
            print(f"{host.name}: {e}", file=sys.stderr)
    sys.stderr.flush()
