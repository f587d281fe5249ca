# SPDX-License-Identifier: Apache-2.0
"""`checkpoint store` as the tests of stores call it, and what they expect of it."""
import json
import os
import subprocess
import time

BUILD = os.environ.get("GODWIT_BUILD", "build")
PROG = os.path.abspath(os.path.join(BUILD, "bin", "checkpoint"))

# nothing of the caller's settings reaches the program
CLEAN = {k: v for k, v in os.environ.items()
         if not k.startswith(("AWS_", "GODWIT_STORE", "GODWIT_S3")) and
         not k.lower().endswith("_proxy")}


def expect(condition, *words):
    if not condition:
        raise AssertionError(" ".join(str(w)[:300] for w in words))


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def errno(self):
        return self.err.rpartition("[")[2].rstrip("]\n") if self.code else ""


class Client:
    """One store and the environment to reach it with."""

    def __init__(self, address, **env):
        self.address = address
        self.env = dict(CLEAN, HOME="/nonexistent", GODWIT_STORE_RETRIES="3",
                        GODWIT_STORE_TIMEOUT_S="20")
        self.env.update(env)

    def with_env(self, **env):
        other = Client(self.address)
        other.env = dict(self.env, **env)
        return other

    def argv(self, verb, *args):
        options, args = [a for a in args if a == "--json"], [a for a in args if a != "--json"]
        return [PROG, "store", verb, *options, self.address, *args]

    def start(self, verb, *args):
        return subprocess.Popen(self.argv(verb, *args), stdin=subprocess.PIPE, env=self.env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, verb, *args, data=b"", timeout=120):
        start = time.monotonic()
        done = subprocess.run(self.argv(verb, *args), input=data, env=self.env,
                              capture_output=True, timeout=timeout, check=False)
        return Result(done.returncode, done.stdout, done.stderr.decode(errors="replace"),
                      time.monotonic() - start)

    def ok(self, verb, *args, data=b"", timeout=120):
        done = self.run(verb, *args, data=data, timeout=timeout)
        expect(done.code == 0, verb, args, "exit code", done.code, done.err)
        return done.out

    def fails(self, errno, verb, *args, data=b"", timeout=120):
        """It fails with this errno, in one line; returns the result."""
        done = self.run(verb, *args, data=data, timeout=timeout)
        expect(done.code != 0, verb, args, "succeeded, not", errno)
        wanted = errno if isinstance(errno, tuple) else (errno,)
        expect(done.errno() in wanted, verb, args, "fails with", done.err, "not", errno)
        expect(done.err.count("\n") == 1, "more than a line:", done.err)
        return done

    def names(self, *domain):
        return [o["name"] for o in json.loads(self.ok("ls", "--json", *domain))]

    def peak_kb(self, verb, *args, feed):
        """The most memory it had while `feed`, an iterable of bytes, went in."""
        proc = self.start(verb, *args)
        for block in feed:
            proc.stdin.write(block)
        proc.stdin.flush()
        # rusage would count this process before exec, too
        with open("/proc/%d/status" % proc.pid, encoding="ascii") as f:
            peak = [int(line.split()[1]) for line in f if line.startswith("VmHWM:")]
        _, err = proc.communicate(timeout=120)
        expect(proc.returncode == 0, verb, args, "exit code", proc.returncode, err)
        return peak[0]
