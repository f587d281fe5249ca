# SPDX-License-Identifier: Apache-2.0
"""
part_micro.py - what a kernel pays for being a guest: microbench natively (the
same kernel on the emulator, no hypervisor) and in a domU.

         native: QEMU [ kernel, test initrd: microbench ]
         domu:   QEMU [ hypervisor [ dom0, idle ] [ domU 256 MB: microbench ] ]

Each sample is a fresh boot of the kernel; microbench takes the median of seven
runs by itself.  With --least its least run counts: on a busy machine that says
more, but it is not what results.json is defined to hold.
"""

import json
import os
import shutil
import tempfile

import guest
from domains import Domains
from host import Lab
from qemu import LAB, LabError, Machine, need

RUN = "exec=microbench:7"
NAMES = ("getppid", "pgfault", "mprotect", "fork", "forkexec", "pipe")
DONE = "GUEST EXIT"
TIMEOUT_S = 240


def parse(text, least=False):
    """The line of JSON that microbench printed, as {name: us}."""
    for line in text.splitlines():
        start = line.find('{"getppid"')
        if start >= 0:
            try:
                got = json.loads(line[start:])
            except json.JSONDecodeError as e:
                raise LabError(f"microbench's line is damaged: {e}") from e
            return {name: got["min"][name] if least else got[name] for name in NAMES}
    raise LabError("microbench printed nothing:\n" + "\n".join(text.splitlines()[-8:]))


def native(least):
    """One boot of the bare kernel."""
    rundir = tempfile.mkdtemp(prefix="godwit-bench.")
    m = Machine("native", rundir, memory_mb=256)
    try:
        m.boot_multiboot1(None, "", need(os.path.join(LAB, "vmlinuz")),
                          f"console=ttyS0 host=native {RUN}",
                          need(os.path.join(LAB, "guest.cpio.gz")))
        m.start()
        m.wait_console(DONE, TIMEOUT_S)
        return parse(m.console(), least)
    finally:
        m.stop()
        shutil.rmtree(rundir, ignore_errors=True)


def domu(domains, least):
    """One domU that runs microbench and nothing else."""
    name = domains.create(guest.config("micro1", extra=RUN))
    try:
        return parse(domains.wait_log(name, DONE, TIMEOUT_S), least)
    finally:
        domains.destroy(name)


def run(bench):
    """The part: natively and under each hypervisor by turns, so that all see the same machine."""
    for turn in range(bench.repeat):
        bench.say(f"micro: native, {turn + 1} of {bench.repeat}")
        bench.ours.add_all("micro_us.native", native(bench.least))
        for figures, hypervisor in bench.rivals():
            bench.say(f"micro: domU on {hypervisor}, {turn + 1} of {bench.repeat}")
            with Lab(hosts=1, hypervisor=hypervisor, daemon=None) as lab:
                lab.boot()
                figures.add_all("micro_us.domu", domu(Domains(lab[1]), bench.least))
