# SPDX-License-Identifier: Apache-2.0
"""
domains.py - a host's domains, by whichever toolstack its hypervisor has, with
the times that commands took.

Invariant: times are taken outside the host by this machine's monotonic clock,
from before the command is sent until its answer (or a line of it) is here, so
that no guest's clock is trusted; the harness adds a few ms.  The exception is
timed_inside(), for commands that are shorter than the harness's own cost.
"""

import time

from qemu import LabError

TOOLS = {"godwit": "godwit", "xen": "xl"}


class Domains:
    """The domains of one lab host."""

    def __init__(self, host):
        self.host = host
        self.tool = TOOLS.get(host.lab.hypervisor, "godwit")

    def create(self, config, timeout=120):
        """Start a domain; its name."""
        name = config.split('"')[1]
        self.host.push(config.encode(), f"/root/{name}.cfg")
        self.host.run(f"rm -f {self.log(name)}; {self.tool} create /root/{name}.cfg", timeout,
                      check=True)
        return name

    def destroy(self, name):
        """End a domain without asking it."""
        self.host.run(f"{self.tool} destroy {name}", 60, check=True)

    @staticmethod
    def log(name):
        """Where xenconsoled keeps the domain's console."""
        return f"/var/log/xen/guest-{name}.log"

    def follow(self, name, text):
        """The shell command that ends once the console showed a text, without polling."""
        log = self.log(name)
        return (f"until [ -e {log} ]; do sleep 0.05; done; "
                f"tail -n +1 -f {log} 2>/dev/null | grep -a -m1 '{text}'")

    def wait_log(self, name, text, timeout):
        """Wait for a text on the domain's console; all of the console."""
        end = time.monotonic() + timeout
        # Following a file that its writer makes anew can end early: once more, then.
        while self.host.run(self.follow(name, text), max(end - time.monotonic(), 1)).rc:
            if time.monotonic() > end:
                raise LabError(f"{name}: no {text!r} on its console within {timeout} s")
        return self.host.run(f"cat {self.log(name)}", 20, check=True).out

    def timed(self, command, timeout=120):
        """Run a command; the seconds it took."""
        start = time.monotonic()
        self.host.run(command, timeout, check=True)
        return time.monotonic() - start

    def timed_inside(self, command, times):
        """Seconds of each of some runs of a short command, timed by dom0's shell."""
        r = self.host.run("bash -c 'TIMEFORMAT=%R; for i in $(seq " + str(times + 1) + "); do "
                          f"time {command} >/dev/null 2>&1; done'", 60, check=True)
        seconds = [float(w) for w in r.err.split()]
        if len(seconds) != times + 1:
            raise LabError(f"{command!r} was not timed: {r.err[-200:]!r}")
        return seconds[1:]  # the first brings the program into memory
