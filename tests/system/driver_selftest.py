#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=180 order=1 fast
"""tests/run on programs that misbehave: whatever they do, it must be counted.

Small fake test programs are written to a directory; the driver runs them, and
its last line and exit code are compared with what they deserve.
"""
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = os.path.join(TOP, "tests", "run")

CMOCKA = """#!/bin/sh
test "$CMOCKA_MESSAGE_OUTPUT" = TAP || exit 99
%s
"""


class Case:
    """A build directory and a system directory of fakes, and one run on them."""

    def __init__(self, root):
        self.root = root
        for d in ("build/unit", "build/fuzz/bin", "system"):
            os.makedirs(os.path.join(root, d))

    def script(self, where, name, body):
        path = os.path.join(self.root, where, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(body if body.startswith("#!") else "#!/bin/sh\n" + body + "\n")
        os.chmod(path, 0o755)

    def run(self, *args):
        p = subprocess.run(
            [sys.executable, DRIVER, "--build", os.path.join(self.root, "build"),
             "--system-dir", os.path.join(self.root, "system"),
             "--guest-dir", os.path.join(self.root, "none"), *args],
            capture_output=True, text=True, timeout=100, check=False)
        return p.returncode, p.stdout


def expect(case, passed, failed, *args):
    code, out = case.run(*args)
    last = out.splitlines()[-1] if out else ""
    want = "%d passed, %d failed" % (passed, failed)
    assert last == want, "last line %r, not %r, of: %s" % (last, want, out)
    right = 1 if failed or not passed else 0
    assert code == right, "exit code %d, not %d" % (code, right)
    return out


def check_nothing_ran_is_a_failure(case):
    expect(case, 0, 0)


def check_unit_results_are_counted_one_by_one(case):
    case.script("build/unit", "test_a", CMOCKA % "echo 1..2; echo 'ok 1 - x'; echo 'ok 2 - y'")
    expect(case, 2, 0)
    case.script("build/unit", "test_b",
                CMOCKA % "echo 1..2; echo 'not ok 1 - x'; echo 'ok 2 - y'; exit 1")
    out = expect(case, 3, 1)
    assert "FAIL unit.b.x" in out, out


def check_unit_crash_and_lies(case):
    case.script("build/unit", "test_crash", CMOCKA % "echo 1..3; echo 'ok 1 - x'; kill -SEGV $$")
    case.script("build/unit", "test_short", CMOCKA % "echo 1..3; echo 'ok 1 - x'")
    case.script("build/unit", "test_leak", CMOCKA % "echo 1..1; echo 'ok 1 - x'; exit 23")
    case.script("build/unit", "test_mute", CMOCKA % "true")
    out = expect(case, 3, 4)
    assert "FAIL unit.crash: killed by SIGSEGV; 1 of 3" in out, out
    assert "FAIL unit.leak: exit code 23" in out, out


def check_missing_program_is_a_failure(case):
    case.script("build/unit", "test_a", CMOCKA % "echo 1..1; echo 'ok 1 - x'")
    out = expect(case, 1, 1, "--units", "test_a test_gone")
    assert "FAIL unit.test_gone: was not built" in out, out


def check_stale_program_is_not_run(case):
    case.script("build/unit", "test_a", CMOCKA % "echo 1..1; echo 'ok 1 - x'")
    case.script("build/unit", "test_stale", CMOCKA % "echo 1..1; echo 'not ok 1 - x'; exit 1")
    expect(case, 1, 0, "--units", "test_a")


def check_skip_is_a_failure_unless_allowed(case):
    case.script("system", "s.sh", "echo 'PASS s.a'; echo 'SKIP s.b: no network'")
    expect(case, 1, 1)
    expect(case, 1, 0, "--allow-skip")


def check_system_endings(case):
    case.script("system", "bad_code.sh", "echo 'PASS a'; exit 3")
    case.script("system", "killed.sh", "echo 'PASS b'; kill -ABRT $$")
    case.script("system", "mute.sh", "echo hello; echo 'PASSING by'; echo ' PASS x'")
    case.script("system", "short.sh", "echo 'PLAN 2'; echo 'PASS c'")
    case.script("system", "said_it.sh", "echo 'FAIL d: wrong'; exit 1")
    out = expect(case, 3, 5)
    for text in ("system.bad_code: exit code 3", "system.killed: killed by SIGABRT",
                 "system.mute: it reported no result",
                 "system.short: 1 results, 2 were planned", "system.d: wrong"):
        assert "FAIL " + text in out, "%s is missing in: %s" % (text, out)


def check_time_out_kills_the_whole_group(case):
    pid_file = os.path.join(case.root, "pid")
    case.script("system", "slow.sh", "# test: timeout=1\necho 'PASS a'\nsleep 60 &\n"
                "echo $! > %s\nwait" % pid_file)
    start = time.monotonic()
    out = expect(case, 1, 1)
    assert "FAIL system.slow: no end after 1 s" in out, out
    assert time.monotonic() - start < 30, "it took too long"
    with open(pid_file, encoding="ascii") as f:
        pid = int(f.read())
    assert not alive(pid), "the child of the slow test lives on"


def alive(pid):
    for _ in range(20):         # a killed orphan may wait for its reaper
        try:
            with open("/proc/%d/stat" % pid, encoding="ascii") as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return False
        except FileNotFoundError:
            return False
        time.sleep(0.1)
    return True


def check_fast_runs_the_marked_only(case):
    case.script("system", "slow.sh", "echo 'PASS slow'")
    case.script("system", "quick.sh", "# test: fast\necho 'PASS quick'")
    case.script("build/fuzz/bin", "fuzz_x", "exit 1")
    expect(case, 1, 0, "--fast")


def check_fuzz_needs_inputs_and_code(case):
    stats = "echo 'stat::number_of_executed_units: %d' >&2\n"
    case.script("build/fuzz/bin", "fuzz_good", stats % 1234)
    case.script("build/fuzz/bin", "fuzz_idle", stats % 0)
    case.script("build/fuzz/bin", "fuzz_crash", (stats % 99) + "exit 77")
    out = expect(case, 1, 2, "--fuzz-seconds", "1")
    assert "PASS fuzz.fuzz_good: 1234 inputs" in out, out
    assert "FAIL fuzz.fuzz_crash: exit code 77 after 99 inputs" in out, out


def check_budget_is_a_limit(case):
    case.script("system", "a.sh", "echo 'PASS a'; sleep 1.2")
    case.script("system", "b.sh", "echo 'PASS b'")
    out = expect(case, 1, 2, "--budget", "1")
    assert "FAIL system.b.sh: not run" in out, out


def main():
    checks = [v for k, v in sorted(globals().items()) if k.startswith("check_")]
    failed = 0
    print("PLAN %d" % len(checks))
    for check in checks:
        name = "driver_selftest." + check.__name__.removeprefix("check_")
        try:
            with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMP")) as root:
                check(Case(root))
            print("PASS " + name, flush=True)
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as e:
            print("FAIL %s: %s" % (name, " / ".join(str(e).splitlines())), flush=True)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
