# SPDX-License-Identifier: Apache-2.0
"""
host.py - a lab and its hosts: what tests, demo and bench import.

    from host import Lab
    with Lab(hosts=2, hypervisor="godwit") as lab:
        lab.boot()
        rc, out, err = lab[1].run("godwit list")

Invariant: leaving the `with` block (by any exception or signal that Python
sees) ends every process, the namespace and the run directory.  Host numbers
start at 1: host N is 10.77.0.N on the lan, 10.78.0.N on the management net.
Start machines from the main thread only: an emulator dies with the thread
that started it.
"""

import glob
import itertools
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import agent
from net import Net
from qemu import LAB, TOP, LabError, Machine, hypervisor_image, need

DAEMON = "godwitd --listen {ip}"
READY = "LAB READY"


def _sigterm(_sig, _frame):
    raise SystemExit(143)


def _copy(src, dst):
    os.makedirs(os.path.dirname(dst), exist_ok=True)
    shutil.copy2(src, dst)


class Host:
    """One emulated host.  Made by Lab."""

    def __init__(self, lab, number):
        self.lab = lab
        self.number = number
        self.name = f"host{number}"
        self.addr = f"10.77.0.{number}"
        self.mgmt = f"10.78.0.{number}"
        self.tap = f"lan{number}"
        self.mgmt_tap = f"mgmt{number}"
        self.machine = None
        self.boots = 0

    # --- start and end -------------------------------------------------------
    def boot(self):
        """Start the machine; wait_ready() afterwards."""
        o = self.lab
        self.boots += 1
        m = Machine(f"{self.name}.{self.boots}", o.rundir, o.memory_mb, o.cpus, o.cpu,
                    o.machine, o.qemu_args)
        for tap, bridge in ((self.tap, "lan"), (self.mgmt_tap, "mgmt")):
            o.net.del_tap(tap)
            o.net.add_tap(tap, bridge)
        m.add_disk(need(os.path.join(LAB, "dom0.img")), o.disk_bus)
        m.add_disk(o.overlay(), o.disk_bus)
        m.add_nic(self.tap, f"52:54:00:77:00:{self.number:02x}", o.nic)
        m.add_nic(self.mgmt_tap, f"52:54:00:78:00:{self.number:02x}", o.nic)
        kargs = self.kernel_args()
        hv, hv_args = hypervisor_image(o.hypervisor)
        if o.hypervisor == "xen" or hv:
            hv_args = f"{hv_args} dom0_mem={o.dom0_mb}M".strip()
        hv_args = f"{hv_args} {o.hv_args}".strip()
        kernel = need(os.path.join(LAB, "vmlinuz"))
        initrd = need(os.path.join(LAB, "boot.cpio.gz"))
        if o.boot_way == "grub":
            m.boot_cdrom(self.make_iso(hv, hv_args, kernel, kargs, initrd), o.firmware)
        else:
            m.boot_multiboot1(hv, hv_args, kernel, kargs, initrd)
        m.start(prefix=o.net.prefix())
        self.machine = m

    def kernel_args(self):
        """The dom0 kernel's command line."""
        o = self.lab
        hv = o.hypervisor not in (None, "none")
        bus = ("vda", "vdb") if o.disk_bus == "virtio" else ("sda", "sdb")
        return (f"{'console=hvc0 earlyprintk=xen' if hv else 'console=ttyS0'} "
                f"lab.root=/dev/{bus[0]} lab.overlay=/dev/{bus[1]} "
                f"godwit.host={self.name} godwit.ip={self.addr}/24 godwit.mgmt={self.mgmt}/24 "
                f"{o.dom0_args}").strip()

    def make_iso(self, hv, hv_args, kernel, kernel_args, initrd):
        """A GRUB2 ISO for BIOS and (where GRUB's EFI modules are installed) UEFI."""
        tree = os.path.join(self.lab.rundir, f"{self.name}.iso.d")
        boot = os.path.join(tree, "boot")
        os.makedirs(os.path.join(boot, "grub"), exist_ok=True)
        _copy(kernel, os.path.join(boot, "vmlinuz"))
        _copy(initrd, os.path.join(boot, "initrd"))
        if hv:
            _copy(hv, os.path.join(boot, "hypervisor"))
            entry = (f"multiboot2 /boot/hypervisor {hv_args}\n"
                     f"module2 /boot/vmlinuz {kernel_args}\nmodule2 /boot/initrd\n")
        else:
            entry = f"linux /boot/vmlinuz {kernel_args}\ninitrd /boot/initrd\n"
        with open(os.path.join(boot, "grub", "grub.cfg"), "w", encoding="utf-8") as f:
            f.write("serial --unit=0 --speed=115200\nterminal_output serial\n"
                    f"set timeout=0\nmenuentry godwit {{\n{entry}}}\n")
        iso = os.path.join(self.lab.rundir, f"{self.name}.iso")
        r = subprocess.run(["grub-mkrescue", "-o", iso, tree], capture_output=True, text=True,
                           check=False)
        if r.returncode:
            raise LabError(f"grub-mkrescue: {r.stderr.strip().splitlines()[-1:]}")
        return iso

    def wait_ready(self, timeout=120):
        """Wait for the ready line, and for the agent behind it."""
        self.machine.wait_console(READY, timeout)
        end = time.monotonic() + 10
        while True:
            try:
                if self.run("true", 10).rc == 0:
                    return self
            except LabError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def kill(self):
        """As if its power failed."""
        if self.machine:
            self.machine.stop()

    def shutdown(self, timeout=30):
        """Power off in order; killed when it does not end in time."""
        try:
            self.run("sync; (sleep 0.2; /opt/godwit/lab/busybox poweroff -f) "
                     ">/dev/null 2>&1 &", 10)
            self.machine.wait_exit(timeout)
        except LabError:
            self.kill()

    @property
    def alive(self):
        """Whether the emulator process runs."""
        return self.machine is not None and self.machine.alive

    # --- commands, files -------------------------------------------------------
    def run(self, cmd, timeout=60, stdin=b"", check=False, on_output=None):
        """
        Run a shell command in dom0: Result(rc, out, err), rc 124 on time-out.
        check=True raises LabError when rc is not 0.
        """
        try:
            conn = self.lab.net.connect(self.mgmt, agent.PORT, 10)
        except OSError as e:
            raise LabError(f"{self.name}: no agent at {self.mgmt}: {e}") from e
        r = agent.run(conn, cmd, timeout, stdin, on_output)
        if check and r.rc:
            raise LabError(f"{self.name}: {cmd!r} gave {r.rc}: "
                           f"{(r.err or r.out).strip()[-400:]}")
        return r

    def start(self, cmd, log="/dev/null"):
        """Start a command in the background that outlives the connection; its pid."""
        r = self.run(f"setsid sh -c {_quote(cmd)} >{log} 2>&1 </dev/null & echo $!", 20, check=True)
        return int(r.out)

    def push(self, src, dst, mode=None):
        """Copy a local file (or bytes) into dom0."""
        if isinstance(src, bytes):
            data = src
        else:
            with open(src, "rb") as f:
                data = f.read()
            if mode is None:
                mode = stat.S_IMODE(os.stat(src).st_mode)
        self.run(f"mkdir -p \"$(dirname {dst})\" && cat > {dst} && chmod {mode or 0o644:o} {dst}",
                 120, stdin=data, check=True)

    def pull(self, path):
        """The bytes of a dom0 file, up to a few MB."""
        import base64
        return base64.b64decode(self.run(f"base64 -w0 {path}", 120, check=True).out)

    def console(self):
        """Everything the serial line gave (hypervisor and dom0)."""
        return self.machine.console() if self.machine else ""

    def wait_console(self, text, timeout):
        """Wait for a text on the serial line."""
        return self.machine.wait_console(text, timeout)

    # --- the link ------------------------------------------------------------------
    def cut(self):
        """Pull the lan cable (the agent stays reachable)."""
        self.lab.net.cut(self.tap)

    def restore(self):
        """Put it back."""
        self.lab.net.restore(self.tap)

    def limit(self, mbit=None, delay_ms=None):
        """
        Limit what this host sends on the lan; no arguments: no limit.  Done by
        dom0's own traffic control: the outer machine's kernel may have none.
        """
        self.run("tc qdisc del dev eth0 root 2>/dev/null", 20)
        if mbit is None and delay_ms is None:
            return
        rule = "netem limit 10000" + (f" delay {delay_ms}ms" if delay_ms else "")
        if mbit:
            rule += f" rate {mbit}mbit"
        self.run(f"modprobe sch_netem; tc qdisc add dev eth0 root {rule}", 20, check=True)


def _quote(s):
    return "'" + s.replace("'", "'\\''") + "'"


class Lab:
    """
    hosts: how many; hypervisor: godwit, xen, none or a file; boot_way: direct
    (QEMU's multiboot1) or grub; nic: a QEMU model; memory of a host and of dom0
    in MB; files: {path in dom0 below /opt/godwit: local file or bytes};
    daemon: godwitd's command line ({ip} is this host's), None for none.
    """

    _count = itertools.count(1)

    def __init__(self, hosts=1, hypervisor="godwit", boot_way="direct", nic="virtio-net-pci",
                 memory_mb=1400, dom0_mb=800, cpus=1, cpu="max", machine="pc",
                 hv_args="", dom0_args="", qemu_args=(), disk_bus="virtio", firmware=None,
                 files=None, daemon=DAEMON, keep=False):
        self.hypervisor = hypervisor
        self.boot_way = boot_way
        self.nic = nic
        self.memory_mb = memory_mb
        self.dom0_mb = dom0_mb
        self.cpus = cpus
        self.cpu = cpu
        self.machine = machine
        self.hv_args = hv_args
        self.dom0_args = dom0_args
        self.qemu_args = qemu_args
        self.disk_bus = disk_bus
        self.firmware = firmware
        self.files = dict(files or {})
        self.daemon = daemon
        self.keep = keep
        self.net = None
        self.observers = []
        self.hosts = [Host(self, n + 1) for n in range(hosts)]
        self._overlay = None
        os.makedirs(os.path.join(LAB, "run"), exist_ok=True)
        self.rundir = tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=os.path.join(LAB, "run"))
        signal.signal(signal.SIGTERM, _sigterm)

    def __enter__(self):
        try:
            self.net = Net()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc):
        self.close()

    def __getitem__(self, number):
        """Host by its number, from 1."""
        return self.hosts[number - 1]

    def boot(self, timeout=180):
        """Boot all hosts and wait until each is ready."""
        for h in self.hosts:
            h.boot()
        for h in self.hosts:
            h.wait_ready(timeout)
        return self

    def overlay(self):
        """The image of what changes often, made once for all hosts of this lab."""
        if self._overlay:
            return self._overlay
        tree = os.path.join(self.rundir, "overlay.d")
        lab = os.path.join(tree, "lab")
        _copy(os.path.join(TOP, "tests/lab/init/dom0"), os.path.join(lab, "init"))
        os.chmod(os.path.join(lab, "init"), 0o755)
        _copy(need(os.path.join(LAB, "agent")), os.path.join(lab, "agent"))
        _copy(need(os.path.join(LAB, "pkg/busybox-static/bin/busybox")),
              os.path.join(lab, "busybox"))
        with open(os.path.join(lab, "nic-modules"), "w", encoding="utf-8") as f:
            f.write({"virtio-net-pci": "virtio_net"}.get(self.nic, self.nic) + "\n")
        if self.daemon:
            # The address is the host's own, known only there.
            with open(os.path.join(lab, "daemon"), "w", encoding="utf-8") as f:
                f.write(self.daemon.replace("{ip}", "$(hostname -i)") + "\n")
        for prog in glob.glob(os.path.join(TOP, "build/bin/*")):
            _copy(prog, os.path.join(tree, "bin", os.path.basename(prog)))
            subprocess.run(["strip", "-g", os.path.join(tree, "bin", os.path.basename(prog))],
                           check=False)
        _copy(need(os.path.join(LAB, "guest.cpio.gz")), os.path.join(tree, "guest/initrd"))
        _copy(need(os.path.join(LAB, "vmlinuz")), os.path.join(tree, "guest/vmlinuz"))
        for dst, src in self.files.items():
            path = os.path.join(tree, dst)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(src, bytes):
                with open(path, "wb") as f:
                    f.write(src)
            else:
                _copy(src, path)
        used = int(subprocess.run(["du", "-sm", tree], capture_output=True, text=True,
                                  check=True).stdout.split()[0])
        image = os.path.join(self.rundir, "overlay.img")
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0",
                        "-E", "lazy_itable_init=1", "-d", tree, image,
                        f"{used * 5 // 4 + 600}M"], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
        self._overlay = image
        return image

    def observe(self, argv, **kwargs):
        """Start a program outside the hosts; it ends with the lab."""
        p = self.net.popen(argv, **kwargs)
        self.observers.append(p)
        return p

    def close(self):
        """End everything."""
        for p in self.observers:
            if p.poll() is None:
                p.kill()
            p.wait()
        self.observers = []
        for h in self.hosts:
            h.kill()
        if self.net:
            self.net.close()
            self.net = None
        if not self.keep:
            shutil.rmtree(self.rundir, ignore_errors=True)
