# SPDX-License-Identifier: Apache-2.0
"""
qemu.py - one emulated machine: its command line, its process, its console.

Invariant: a Machine owns exactly one QEMU process and the files in its run
directory; stop() ends that process by its own id and is safe to call twice.
The process dies with its parent (PR_SET_PDEATHSIG), so that a killed harness
leaves no emulator behind.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAB = os.path.join(TOP, "build", "lab")

# What each hypervisor wants to hear; the lab's own words come first, the
# caller's after them.  smap=0: see docs/debugging.md (QEMU 7.2's ring-3 IRETQ).
HYPERVISORS = {
    "godwit": (os.path.join(TOP, "build", "godwit"), "console=com1"),
    "xen": (os.path.join(LAB, "xen"),
            "console=com1 com1=115200,8n1 smap=0 dom0_max_vcpus=1 "
            "loglvl=all guest_loglvl=all sync_console"),
}


class LabError(Exception):
    """What went wrong, in one line for people."""


def hypervisor_image(name):
    """(file, base arguments) of a hypervisor named or given as a path; None for none."""
    if name in (None, "none"):
        return None, ""
    path, args = HYPERVISORS.get(name, (os.path.abspath(name), HYPERVISORS["godwit"][1]))
    if not os.path.exists(path):
        raise LabError(f"no hypervisor at {path} (make image hypervisor)")
    return path, args


def need(path, how="make image"):
    """The path, or an error that says how to make it."""
    if not os.path.exists(path):
        raise LabError(f"{path} is missing: {how}")
    return path


def _die_with_parent():
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Machine:
    """A QEMU process; see start() for what it boots."""

    def __init__(self, name, rundir, memory_mb=1400, cpus=1, cpu="max", machine="pc",
                 extra=()):
        self.name = name
        self.rundir = rundir
        self.memory_mb = memory_mb
        self.cpus = cpus
        self.cpu = cpu
        self.machine = machine
        self.extra = list(extra)
        self.devices = []
        self.boot = []
        self.process = None
        self.serial_log = os.path.join(rundir, f"{name}.serial")
        self.serial_sock = os.path.join(rundir, f"{name}.ser")
        self.monitor_sock = os.path.join(rundir, f"{name}.mon")

    def boot_multiboot1(self, hypervisor, hv_args, kernel, kernel_args, initrd):
        """Boot by QEMU's own multiboot1 loader; without a hypervisor the plain kernel."""
        if hypervisor is None:
            self.boot = ["-kernel", kernel, "-append", kernel_args, "-initrd", initrd]
            return
        # A comma ends a module in QEMU's list; a doubled one stands for itself.
        args = kernel_args.replace(",", ",,")
        self.boot = ["-kernel", hypervisor, "-append", hv_args,
                     "-initrd", f"{kernel} {args},{initrd}"]

    def boot_cdrom(self, iso, firmware=None):
        """Boot an ISO by the firmware: BIOS, or UEFI from a file (OVMF.fd)."""
        self.boot = ["-cdrom", iso, "-boot", "d"]
        if firmware:
            self.boot += ["-bios", firmware]

    def add_disk(self, image, bus="virtio"):
        """A raw image whose writes are thrown away when the machine ends."""
        ident = f"disk{len(self.devices)}"
        self.devices += ["-drive",
                         f"if=none,id={ident},format=raw,file={image},snapshot=on,cache=unsafe",
                         "-device", f"virtio-blk-pci,drive={ident}" if bus == "virtio"
                         else f"ide-hd,drive={ident}"]

    def add_nic(self, tap, mac, model="e1000"):
        """A network card on an existing tap device."""
        ident = f"net{len(self.devices)}"
        self.devices += ["-netdev", f"tap,id={ident},ifname={tap},script=no,downscript=no",
                         "-device", f"{model},netdev={ident},mac={mac},romfile="]

    def command(self, interactive=False):
        """
        The argument list, without any prefix.  Room for a second CPU, because
        QEMU leaves the guest's fences out where there can be only one; its
        devices run in another thread all the same, and then a virtio queue
        loses a kick now and then, and stands for ever (docs/debugging.md).
        """
        cmd = ["qemu-system-x86_64", "-name", self.name, "-machine", f"{self.machine},accel=tcg",
               "-cpu", self.cpu, "-smp", f"{self.cpus},maxcpus={max(self.cpus, 2)}",
               "-m", str(self.memory_mb),
               "-nodefaults", "-no-reboot", "-display", "none",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        if interactive:
            cmd += ["-chardev", f"stdio,id=ser,signal=off,logfile={self.serial_log}"]
        else:
            cmd += ["-chardev", f"socket,id=ser,path={self.serial_sock},server=on,wait=off,"
                    f"logfile={self.serial_log}"]
        cmd += ["-serial", "chardev:ser",
                "-chardev", f"socket,id=mon,path={self.monitor_sock},server=on,wait=off",
                "-mon", "chardev=mon,mode=readline"]
        return cmd + self.boot + self.devices + self.extra

    def start(self, prefix=(), interactive=False):
        """Start the process; prefix is put before QEMU (`ip netns exec NAME`)."""
        if not shutil.which("qemu-system-x86_64"):
            raise LabError("qemu-system-x86_64 is not installed (package qemu-system-x86)")
        with open(self.serial_log, "wb"):
            pass
        err = open(os.path.join(self.rundir, f"{self.name}.qemu"), "wb")
        self.process = subprocess.Popen(
            list(prefix) + self.command(interactive),
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=None if interactive else err, stderr=None if interactive else err,
            preexec_fn=None if interactive else _die_with_parent)
        err.close()

    def qemu_says(self):
        """What QEMU itself printed (start-up errors)."""
        try:
            with open(os.path.join(self.rundir, f"{self.name}.qemu"), "rb") as f:
                return f.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    @property
    def alive(self):
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def console(self):
        """All text that the serial line gave so far."""
        try:
            with open(self.serial_log, "rb") as f:
                return f.read().decode("utf-8", "replace").replace("\r", "")
        except OSError:
            return ""

    def wait_console(self, text, timeout):
        """Wait until `text` (or one of a tuple) stands on the console; returns which."""
        texts = (text,) if isinstance(text, str) else text
        end = time.monotonic() + timeout
        while True:
            seen = self.console()
            for t in texts:
                if t in seen:
                    return t
            if not self.alive:
                raise LabError(f"{self.name}: the machine ended (code {self.process.poll()}) "
                               f"before it said {texts[0]!r} {self.qemu_says()}")
            if time.monotonic() > end:
                raise LabError(f"{self.name}: no {texts[0]!r} within {timeout} s; last lines:\n"
                               + "\n".join(seen.splitlines()[-12:]))
            time.sleep(0.05)

    def send_console(self, text):
        """Type text on the serial line."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.serial_sock)
            s.sendall(text.encode())
            time.sleep(0.1)

    def monitor(self, line, timeout=10):
        """Send one line to QEMU's monitor; returns its answer."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(self.monitor_sock)
            data = b""
            while not data.endswith(b"(qemu) "):
                data += s.recv(4096)
            s.sendall(line.encode() + b"\n")
            data = b""
            while not data.endswith(b"(qemu) "):
                part = s.recv(65536)
                if not part:
                    break
                data += part
            return data.decode("utf-8", "replace").replace("\r", "")

    def stop(self):
        """End the process at once, as a power cut would."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def wait_exit(self, timeout):
        """Wait for the machine to switch itself off; its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: still running after {timeout} s") from None
