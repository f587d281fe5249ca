# SPDX-License-Identifier: Apache-2.0
"""Runs a micro-guest as domain 0 and passes its verdicts on.

    python3 tests/guest/run_guest.py NAME [only=TEST] [seed=N] [-v] [option ...]

seed=N repeats a run of a test with random input.  NAME is tests/guest/src/NAME.c, built as BUILD/guest-tests/NAME.elf.  A comment "run: word ..." in
its source gives options to the hypervisor's command line; smp=N and mem=MB are QEMU's.  A test
that must crash its domain ("CRASHTEST name" in the guest's output) gets a boot of its own, and
passes when the hypervisor names the reason and does not panic.  With -v the whole serial output is
shown.  Exit code: 0 all passed, 1 not, 2 wrong usage.
"""
import os
import re
import subprocess
import sys
import tempfile

BUILD = os.environ.get("GODWIT_BUILD", "build")
BOOT_TIMEOUT_S = 60
DEBUG_EXIT = 0x501


class Boot:
    """One run of QEMU: its serial output as lines, and how it ended."""

    def __init__(self, name, options, arguments):
        words = dict(o.split("=", 1) for o in options if "=" in o)
        kernel = [o for o in options if not o.startswith(("smp=", "mem="))]
        if not any(o.startswith("dom0_mem=") for o in kernel):
            kernel.append("dom0_mem=64M")
        elf = os.path.join(BUILD, "guest-tests", name + ".elf")
        with tempfile.TemporaryDirectory() as tmp:
            serial = os.path.join(tmp, "serial")
            command = [
                "qemu-system-x86_64", "-machine", "pc", "-m", words.get("mem", "256"),
                "-smp", words.get("smp", "1"), "-display", "none", "-no-reboot", "-nodefaults",
                "-device", f"isa-debug-exit,iobase={DEBUG_EXIT:#x}", "-serial", "file:" + serial,
                "-kernel", os.path.join(BUILD, "godwit"),
                "-append", " ".join([f"debug_exit={DEBUG_EXIT:#x} noreboot loglvl=2", *kernel]),
                "-initrd", " ".join([elf, *arguments]),
            ]
            try:
                self.code = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=BOOT_TIMEOUT_S,
                                           check=False).returncode
            except subprocess.TimeoutExpired:
                self.code = None
            with open(serial, "rb") as f:
                self.text = f.read().decode("utf-8", "replace").replace("\r", "")
        self.lines = self.text.splitlines()

    def trouble(self):
        """Why the hypervisor did not do well, or None."""
        for line in self.lines:
            if re.search(r"panic|BUG at", line, re.I) and not line.startswith(("PASS", "FAIL")):
                return "hypervisor: " + line
        if self.code is None:
            return f"no end within {BOOT_TIMEOUT_S} s"
        return None

    def last(self):
        """The last line said, for a report."""
        return self.lines[-1] if self.lines else "no output"


def report(verdict, name, reason=None):
    print(f"{verdict} {name}" + (f": {reason}" if reason else ""), flush=True)
    return verdict == "PASS"


def run_crash_test(name, test, options, verbose):
    boot = Boot(name, options, ["only=" + test])
    if verbose:
        print(boot.text)
    for line in boot.lines:
        if line.startswith("FAIL "):
            print(line)
            return False
    if boot.trouble():
        return report("FAIL", test, boot.trouble())
    want = next((l[len("EXPECT-CRASH "):] for l in boot.lines if l.startswith("EXPECT-CRASH ")), None)
    crash = next((l for l in boot.lines if re.search(r"d\d+ crashed: ", l)), None)
    if want is None or crash is None:
        return report("FAIL", test, "no crash; last line: " + boot.last())
    if want not in crash:
        return report("FAIL", test, f"'{crash}' does not say '{want}'")
    return report("PASS", test)


def run(name, arguments, options, verbose):
    boot = Boot(name, options, arguments)
    if verbose:
        print(boot.text)
    good = True
    for line in boot.lines:
        if line.startswith("PASS "):
            print(line)
        elif line.startswith("FAIL "):
            print(line)
            good = False
        elif line.startswith("seed="):
            print("#", name, line)
    if boot.trouble():
        return report("FAIL", name, boot.trouble())
    if "TESTS DONE" not in boot.lines:
        return report("FAIL", name, "the guest did not finish; last line: " + boot.last())
    for line in boot.lines:
        if line.startswith("CRASHTEST "):
            good &= run_crash_test(name, line.split()[1], options, verbose)
    return good


def main(argv):
    verbose = "-v" in argv
    words = [a for a in argv if a != "-v"]
    if not words or words[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    name = words[0]
    with open(os.path.join("tests/guest/src", name + ".c"), encoding="utf-8") as f:
        found = re.search(r"^ \* run: (.*)$", f.read(), re.M)
    options = found.group(1).split() if found else []
    for_guest = ("only=", "seed=")
    arguments = [w for w in words[1:] if w.startswith(for_guest)]
    options += [w for w in words[1:] if not w.startswith(for_guest)]
    return 0 if run(name, arguments, options, verbose) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
