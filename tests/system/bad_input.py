#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600 order=30
"""What a host does with wrong kernels, configurations and commands.

    host1: dom0: godwit create/... with spoilt input     web1: a guest that goes on

Each refusal is one line that names the cause and a documented exit code, and
leaves domains, frames, xenstore, interfaces and files as they were.  The guest
that runs beside it keeps its memory.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import LAB, Failed, Story, expect, expect_equal, guest, quick, vmlinux  # noqa: E402

FAILED, USAGE, NO_DOMAIN, EXISTS = 1, 2, 3, 4
DIR = "/opt/godwit/bad/"

with open(os.path.join(LAB, "vmlinuz"), "rb") as f:
    BZIMAGE = f.read()
with open(vmlinux(), "rb") as f:
    ELF = f.read(1 << 20)


def flipped(data, offset, mask=0xff):
    """The bytes with one of them changed."""
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1:]


KERNELS = {
    "empty": b"",
    "text": b"this is no kernel\n" * 1000,
    "half-bzimage": BZIMAGE[:len(BZIMAGE) // 2],
    "head-only": BZIMAGE[:600],
    "flipped-payload": flipped(BZIMAGE, len(BZIMAGE) // 2),
    "payload-outside": BZIMAGE[:0x248] + b"\xff\xff\xff\x7f" + BZIMAGE[0x24c:],
    "elf-head-only": ELF[:64],
    "elf-cut": ELF,
    "elf-huge-phnum": ELF[:56] + b"\xff\xff" + ELF[58:],
    "elf-phoff-outside": ELF[:32] + b"\xff" * 8 + ELF[40:],
    "elf-32-bit": flipped(ELF, 4, 3),
    "elf-other-machine": ELF[:18] + b"\xb7\x00" + ELF[20:],
    "gzip-bomb-head": b"\x1f\x8b\x08\x00" + b"\0" * 64,
}

story = Story(hosts=1, daemon=None, files=dict(
    {"bad/" + name: data for name, data in KERNELS.items()}, **{"guest/vmlinux": vmlinux()}))


def refuse(w, command, code, *words, usage=False):
    """The command must fail with this code, in one line with all of these words."""
    r = w.sh(command, timeout=90, check=False)
    lines = [l for l in r.err.splitlines() if l.strip()]
    expect_equal(r.rc, code, f"exit code of {command!r} ({r.err.strip()[:160]})")
    expect_equal(r.out, "", f"output of {command!r}")
    expect(lines, f"{command!r} fails without a word")
    if not usage:
        expect(len(lines) == 1, f"{command!r} says {len(lines)} lines: {r.err.strip()[:200]}")
        expect(lines[0].startswith("godwit: error: "), f"{command!r} says {lines[0]!r}")
    for word in words:
        expect(word.lower() in r.err.lower(), f"{command!r} does not name {word!r}: {lines[0]!r}")


def refuse_config(w, text, code, *words):
    """`godwit create` of this text must fail; nothing half-built stays."""
    w.lab[1].push(text.encode() if isinstance(text, str) else text, "/root/bad.cfg")
    refuse(w, "godwit create /root/bad.cfg", code, *words)


def collect(checks):
    """Run them all; one reason for all that failed."""
    wrong = []
    for name, check in checks:
        try:
            check()
        except Failed as e:
            wrong.append(f"{name}: {e}")
            print(f"   {name}: {e}", file=sys.stderr)
    expect(not wrong, f"{len(wrong)} wrong, the first: {wrong[0] if wrong else ''}")


@story.step(fatal=True)
def bystander(w):
    """A guest to stay unharmed, and the state to return to."""
    w.create(quick(guest.config(memory=192, load=["dirtier:16:500"])))
    w.wait_program("10.77.0.101", "dirtier")
    w.create(quick(guest.config("warm", 9, 96)), args="--paused")
    w.sh("godwit destroy warm")
    w.memo["before"] = w.state()


@story.step
def kernels(w):
    base = guest.config("bad", 2, 128)

    def one(name):
        text = base.replace("/opt/godwit/guest/vmlinuz", DIR + name)
        return lambda: refuse_config(w, text, FAILED, name)
    collect([(name, one(name)) for name in KERNELS])
    w.expect_state(w.memo["before"])


@story.step
def kernel_files(w):
    base = guest.config("bad", 2, 128)
    swap = lambda path: base.replace("/opt/godwit/guest/vmlinuz", path)  # noqa: E731
    collect([
        ("missing", lambda: refuse_config(w, swap("/no/such"), FAILED, "/no/such", "No such file")),
        ("directory", lambda: refuse_config(w, swap("/etc"), FAILED, "/etc")),
        ("a program", lambda: refuse_config(w, swap("/bin/ls"), FAILED, "/bin/ls")),
        ("no ramdisk", lambda: refuse_config(
            w, base.replace("/opt/godwit/guest/initrd", "/no/such"), FAILED, "/no/such")),
    ])
    w.expect_state(w.memo["before"])


@story.step
def memory(w):
    """More than the machine has; more than there is; too little for the kernel."""
    big = quick(guest.config("bad", 2, 3000))
    little = quick(guest.config("bad", 2, 32))
    collect([
        ("too much", lambda: refuse_config(w, big, FAILED, "3000 MB", "free")),
        ("too little", lambda: refuse_config(w, little, FAILED, "memory")),
    ])
    w.expect_state(w.memo["before"])


@story.step
def configurations(w):
    good = guest.config("bad", 2, 128)
    texts = {
        "not text": (bytes(range(256)), ""),
        "empty": ("", "name"),
        "no value": ("name=\n", ":1"),
        "open string": ('name="bad\nmemory=64\n', ":1"),
        "open list": (good + "disk=[\n", "list"),
        "memory zero": (good.replace("memory=128", "memory=0"), "memory"),
        "memory negative": (good.replace("memory=128", "memory=-5"), "memory"),
        "memory absurd": (good.replace("memory=128", "memory=99999999999999999999"), "memory"),
        "vcpus absurd": (good.replace("vcpus=1", "vcpus=100000"), "vcpus"),
        "name with slash": (good.replace('name="bad"', 'name="../bad"'), "name"),
        "name too long": (good.replace('name="bad"', f'name="{"x" * 300}"'), "name"),
        "bad mac": (good.replace("00:16:3e:00:00:02", "00:16:3e:00:02"), "mac"),
        "multicast mac": (good.replace("00:16:3e:00:00:02", "01:16:3e:00:00:02"), "mac"),
        "unknown action": (good + 'on_crash="dance"\n', "on_crash"),
        "too large": ("#" * (4 << 20), ""),
    }
    collect([(name, lambda text=text, word=word: refuse_config(w, text, USAGE, word))
             for name, (text, word) in texts.items()])
    refuse(w, "godwit create /no/such.cfg", USAGE, "/no/such.cfg", "No such file")
    w.expect_state(w.memo["before"])


@story.step
def devices(w):
    """A bridge that is not there, an interface of a wrong name, a missing disk."""
    good = quick(guest.config("bad", 2, 128))
    collect([
        ("no bridge", lambda: refuse_config(w, good.replace("xenbr0", "nobr7"), FAILED, "nobr7")),
        ("no disk", lambda: refuse_config(
            w, good + 'disk=["format=raw,vdev=xvda,access=rw,target=/no/such.img"]\n', FAILED,
            "/no/such.img")),
    ])
    w.expect_state(w.memo["before"], slack=4)


@story.step
def name_taken(w):
    text = quick(guest.config("web1", 2, 64))
    refuse_config(w, text, EXISTS, "web1", "already")
    refuse(w, "godwit rename web1 'a/b'", USAGE, "a/b")
    expect_equal(w.names(), ["web1"], "guests")
    w.expect_state(w.memo["before"])


@story.step
def unknown_domain(w):
    collect([(word, lambda word=word: refuse(w, f"godwit {word}", NO_DOMAIN, "nosuch"))
             for word in ("console nosuch", "pause nosuch", "unpause nosuch", "shutdown nosuch",
                          "reboot nosuch", "destroy nosuch", "info nosuch", "list nosuch",
                          "rename nosuch other", "save nosuch /root/x")])


@story.step
def domain_zero_is_safe(w):
    for word in ("pause", "destroy", "shutdown"):
        r = w.sh(f"godwit {word} 0", check=False)
        expect(r.rc not in (0, 124), f"godwit {word} 0 gave {r.rc}")
    expect_equal(w.sh("echo here").out, "here\n", "dom0")


@story.step
def wrong_usage(w):
    collect([(word, lambda word=word: refuse(w, f"godwit {word}", USAGE, usage=True))
             for word in ("frobnicate", "--frobnicate", "create", "pause", "pause a b",
                          "list --frobnicate", "shutdown -t x web1", "top -d -1", "save web1")])
    r = w.sh("godwit", check=False)
    expect_equal(r.rc, USAGE, "exit code of godwit alone")


@story.step
def bystander_is_well(w):
    w.verify("10.77.0.101")
    w.expect_state(w.memo["before"], slack=4)
    w.healthy()


story.main()
