#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
lab.py - boot emulated hosts and do things on them; tests/lab/README.md.
"""

import argparse
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
from qemu import LAB, LabError, Machine, hypervisor_image, need

CONSOLE = {"xen": "console=hvc0", "none": "console=ttyS0"}


def kernel_only(a):
    """Hypervisor, dom0 kernel and the bring-up initramfs, on this terminal."""
    rundir = tempfile.mkdtemp(prefix="godwit-lab.")
    try:
        m = Machine("bringup", rundir, memory_mb=a.memory, cpus=a.cpus, cpu=a.cpu,
                    machine=a.machine, extra=a.qemu)
        hv, hv_args = hypervisor_image(a.hypervisor)
        if a.hypervisor == "xen":
            hv_args += f" dom0_mem={a.dom0_mem}M"
        kargs = "console=hvc0 earlyprintk=xen" if hv else "console=ttyS0"
        if a.cmd:
            kargs += " lab.cmd=" + a.cmd.replace(" ", "+")
        m.boot_multiboot1(hv, f"{hv_args} {a.hv_args}".strip(),
                          need(a.kernel), f"{kargs} {a.dom0_args}".strip(), need(a.initrd))
        return run_bringup(m, a)
    finally:
        shutil.rmtree(rundir, ignore_errors=True)


def run_bringup(m, a):
    """Interactive on a terminal; otherwise the console is printed until it ends."""
    if a.print_command:
        print(" ".join(f"'{w}'" if " " in w else w for w in m.command(True)))
        return 0
    if a.interactive:
        m.start(interactive=True)
        try:
            return m.process.wait()
        finally:
            m.stop()
    m.start()
    shown = 0
    code = 0
    try:
        m.wait_console(("LAB EXIT", "\n" + a.until) if a.until else "LAB EXIT", a.timeout)
    except LabError as e:
        print(m.console())
        print(f"lab: {e}", file=sys.stderr)
        shown = 1
        code = 1
    finally:
        m.stop()
    if not shown:
        print(m.console())
    return code


def parser():
    p = argparse.ArgumentParser(prog="lab.py", description=__doc__)
    sub = p.add_subparsers(dest="verb", required=True)
    k = sub.add_parser("kernel-only", help="hypervisor, dom0 kernel, tiny initramfs; no disk")
    k.add_argument("--hypervisor", default="godwit", help="godwit, xen, none or a file")
    k.add_argument("--hv-args", default="", help="more hypervisor arguments")
    k.add_argument("--dom0-args", default="", help="more kernel arguments")
    k.add_argument("--dom0-mem", type=int, default=512, metavar="MB", help="with xen only")
    k.add_argument("--kernel", default=os.path.join(LAB, "vmlinuz"))
    k.add_argument("--initrd", default=os.path.join(LAB, "bringup.cpio.gz"))
    k.add_argument("--memory", type=int, default=1400, metavar="MB")
    k.add_argument("--cpus", type=int, default=1)
    k.add_argument("--cpu", default="max", help="QEMU's -cpu")
    k.add_argument("--machine", default="pc", help="pc or q35")
    k.add_argument("--cmd", help="run this in dom0 and power off (no quotes inside)")
    k.add_argument("--until", help="end when a console line begins with this text")
    k.add_argument("--timeout", type=float, default=60, help="seconds, not interactive")
    k.add_argument("-i", "--interactive", action="store_true",
                   help="console on this terminal, no time-out")
    k.add_argument("--print-command", action="store_true", help="show the QEMU command, run nothing")
    k.add_argument("--qemu", action="append", default=[], metavar="ARG",
                   help="one more QEMU argument (repeat; --qemu=-s --qemu=-S for gdb)")
    k.set_defaults(func=kernel_only)
    return p


def main():
    a = parser().parse_args()
    try:
        return a.func(a)
    except LabError as e:
        print(f"lab: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
