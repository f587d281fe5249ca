#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
lab.py - boot emulated hosts and do things on them; tests/lab/README.md.
"""

import argparse
import json
import os
import select
import shlex
import shutil
import socket
import sys
import tempfile
import termios
import time
import tty

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
import agent
from host import DAEMON, Lab
from net import Net, remove_stale
from qemu import LAB, LabError, Machine, hypervisor_image, need

CURRENT = os.path.join(LAB, "run", "current.json")


# --- the whole lab ----------------------------------------------------------------
def make_lab(a):
    """A Lab from the command line's options."""
    return Lab(hosts=a.hosts, hypervisor=a.hypervisor, boot_way=a.boot, nic=a.nic,
               memory_mb=a.memory, dom0_mb=a.dom0_mem, cpus=a.cpus, cpu=a.cpu,
               machine=a.machine, hv_args=a.hv_args, dom0_args=a.dom0_args, qemu_args=a.qemu,
               firmware=a.firmware, daemon=a.daemon or None, keep=a.keep)


def show_failure(lab, error):
    """The console's end beside the reason, for somebody who was not watching."""
    print(f"lab: {error}", file=sys.stderr)
    for h in lab.hosts:
        print(f"--- console of {h.name}:", file=sys.stderr)
        print("\n".join(h.console().splitlines()[-40:]), file=sys.stderr)


def show_output(kind, data):
    """Pass a command's output on as it comes."""
    stream = sys.stdout if kind == "o" else sys.stderr
    stream.write(data.decode("utf-8", "replace"))
    stream.flush()


def run(a):
    """Boot, run one command on host 1, end with its code."""
    with make_lab(a) as lab:
        try:
            lab.boot(a.boot_timeout)
            code = lab[1].run(" ".join(a.command), a.timeout, on_output=show_output).rc
        except LabError as e:
            show_failure(lab, e)
            return 1
        if a.console:
            print(lab[1].console(), file=sys.stderr)
        return code


def shell(a):
    """Boot and put host 1's console on this terminal; Ctrl-] ends."""
    with make_lab(a) as lab:
        lab.hosts[0].boot()
        attach(lab[1])
    return 0


def attach(host):
    """Join the terminal and the serial line."""
    fd = sys.stdin.fileno()
    old = termios.tcgetattr(fd)
    print("lab: Ctrl-] leaves", file=sys.stderr)
    with socket.socket(socket.AF_UNIX) as s:
        for _ in range(50):
            try:
                s.connect(host.machine.serial_sock)
                break
            except OSError:
                time.sleep(0.1)
        tty.setraw(fd)
        try:
            while True:
                ready, _, _ = select.select([fd, s], [], [])
                if fd in ready:
                    data = os.read(fd, 1024)
                    if b"\x1d" in data or not data:
                        return
                    s.sendall(data)
                if s in ready:
                    data = s.recv(4096)
                    if not data:
                        return
                    os.write(1, data)
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, old)


def up(a):
    """Boot and stay, until Ctrl-C or `lab.py down`; `lab.py exec` meanwhile."""
    with make_lab(a) as lab:
        try:
            lab.boot(a.boot_timeout)
        except LabError as e:
            show_failure(lab, e)
            return 1
        with open(CURRENT, "w", encoding="utf-8") as f:
            json.dump({"pid": os.getpid(), "namespace": lab.net.name, "rundir": lab.rundir,
                       "hosts": {h.name: h.mgmt for h in lab.hosts}}, f)
        print(f"lab: ready; namespace {lab.net.name}, consoles in {lab.rundir}", flush=True)
        try:
            while all(h.alive for h in lab.hosts):
                time.sleep(0.5)
            print("lab: a host ended", flush=True)
        finally:
            os.unlink(CURRENT)
    return 0


def current():
    """The lab that `up` keeps running."""
    try:
        with open(CURRENT, encoding="utf-8") as f:
            state = json.load(f)
    except OSError:
        raise LabError("no lab is up (lab.py up)") from None
    if not os.path.exists(f"/proc/{state['pid']}"):
        raise LabError("the lab that was up is gone")
    return state


def exec_(a):
    """Run a command on a host of the lab that is up."""
    state = current()
    net = Net.__new__(Net)  # only to reach into the namespace; nothing is made
    net.name = state["namespace"]
    name = a.host if a.host in state["hosts"] else f"host{a.host}"
    if name not in state["hosts"]:
        raise LabError(f"no {name} in the lab that is up")
    stdin = b""
    cmd = " ".join(a.command)
    if a.push:
        with open(a.push, "rb") as f:
            stdin = f.read()
        cmd = f"cat > {shlex.quote(cmd)} && chmod 755 {shlex.quote(cmd)}"
    conn = net.connect(state["hosts"][name], agent.PORT, 10)
    return agent.run(conn, cmd, a.timeout, stdin, show_output).rc


def outside(a):
    """Run a command in the lab's network, outside the hosts."""
    os.execvp("ip", ["ip", "netns", "exec", current()["namespace"]] + a.command)


def down(_a):
    """End the lab that is up."""
    pid = current()["pid"]
    os.kill(pid, 15)
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}"):
            return 0
        time.sleep(0.1)
    raise LabError(f"process {pid} does not end")


def clean(_a):
    """Remove what killed labs left: namespaces and run directories."""
    for name in remove_stale():
        print(f"removed namespace {name}")
    base = os.path.join(LAB, "run")
    for name in os.listdir(base) if os.path.isdir(base) else []:
        pid = name.split("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(os.path.join(base, name), ignore_errors=True)
            print(f"removed {name}")
    return 0


# --- hypervisor bring-up ------------------------------------------------------------

def kernel_only(a):
    """Hypervisor, dom0 kernel and the bring-up initramfs, on this terminal."""
    rundir = tempfile.mkdtemp(prefix="godwit-lab.")
    try:
        m = Machine("bringup", rundir, memory_mb=a.memory, cpus=a.cpus, cpu=a.cpu,
                    machine=a.machine, extra=a.qemu)
        hv, hv_args = hypervisor_image(a.hypervisor)
        if hv:
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


def common_options(p, kernel_only_verb=False):
    """What every verb that starts a machine takes."""
    p.add_argument("--hypervisor", default="godwit", help="godwit, xen, none or a file")
    p.add_argument("--hv-args", default="", help="more hypervisor arguments")
    p.add_argument("--dom0-args", default="", help="more kernel arguments")
    p.add_argument("--dom0-mem", type=int, default=512 if kernel_only_verb else 800, metavar="MB")
    p.add_argument("--memory", type=int, default=1400, metavar="MB")
    p.add_argument("--cpus", type=int, default=1)
    p.add_argument("--cpu", default="max", help="QEMU's -cpu")
    p.add_argument("--machine", default="pc", help="pc or q35")
    p.add_argument("--qemu", action="append", default=[], metavar="ARG",
                   help="one more QEMU argument (repeat; --qemu=-s --qemu=-S for gdb)")


def lab_options(p):
    """What the verbs with whole hosts take besides."""
    common_options(p)
    p.add_argument("--hosts", type=int, default=1)
    p.add_argument("--boot", default="direct", choices=("direct", "grub"),
                   help="QEMU's multiboot1 loader, or an ISO with GRUB2")
    p.add_argument("--firmware", help="a UEFI image, with --boot grub")
    p.add_argument("--nic", default="virtio-net-pci", help="virtio-net-pci, e1000 ...")
    p.add_argument("--daemon", default=DAEMON, help="godwitd's command line; '' for none")
    p.add_argument("--boot-timeout", type=float, default=180, help="seconds")
    p.add_argument("--keep", action="store_true", help="keep the run directory (consoles)")


def bringup_options(k):
    """What kernel-only takes besides."""
    common_options(k, True)
    k.add_argument("--kernel", default=os.path.join(LAB, "vmlinuz"))
    k.add_argument("--initrd", default=os.path.join(LAB, "bringup.cpio.gz"))
    k.add_argument("--cmd", help="run this in dom0 and power off (no quotes inside)")
    k.add_argument("--until", help="end when a console line begins with this text")
    k.add_argument("--timeout", type=float, default=60, help="seconds, not interactive")
    k.add_argument("-i", "--interactive", action="store_true",
                   help="console on this terminal, no time-out")
    k.add_argument("--print-command", action="store_true",
                   help="show the QEMU command, run nothing")


def parser():
    """All verbs and options."""
    p = argparse.ArgumentParser(prog="lab.py", description=__doc__)
    sub = p.add_subparsers(dest="verb", required=True)
    k = sub.add_parser("kernel-only", help="hypervisor, dom0 kernel, tiny initramfs; no disk")
    bringup_options(k)
    k.set_defaults(func=kernel_only)
    for name, func in (("run", run), ("shell", shell), ("up", up)):
        v = sub.add_parser(name, help=func.__doc__.splitlines()[0])
        lab_options(v)
        v.set_defaults(func=func)
        if name == "run":
            v.add_argument("--timeout", type=float, default=120, help="seconds for the command")
            v.add_argument("--console", action="store_true", help="print the console at the end")
            v.add_argument("command", nargs="+", help="after --")
    v = sub.add_parser("exec", help=exec_.__doc__)
    v.add_argument("--timeout", type=float, default=120)
    v.add_argument("--push", metavar="FILE", help="copy FILE to the path given as the command")
    v.add_argument("host", help="1, 2 or host1, host2")
    v.add_argument("command", nargs="+")
    v.set_defaults(func=exec_)
    v = sub.add_parser("outside", help=outside.__doc__)
    v.add_argument("command", nargs="+")
    v.set_defaults(func=outside)
    for name, func in (("down", down), ("clean", clean)):
        v = sub.add_parser(name, help=func.__doc__)
        v.set_defaults(func=func)
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
