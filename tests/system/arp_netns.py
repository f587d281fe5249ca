#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""godwit-arp on a real bridge: what leaves, where, and when.

    netns A:  br0 --- up0 ======veth====== peer0  :netns B  (the outside)
               |----- vif0 =====veth====== peer1  :netns B  (the guest's side)

Frames are captured with a raw socket in B and compared octet by octet with
frames made here, apart from the program's own code.  Needs root; prints one
PASS, FAIL or SKIP line per check (docs in tests/run).
"""
import ipaddress
import json
import os
import select
import socket
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROG = os.path.join(os.environ.get("GODWIT_BUILD", os.path.join(TOP, "build")),
                    "bin", "godwit-arp")
NS_A = "gwarp%da" % os.getpid()
NS_B = "gwarp%db" % os.getpid()
MAC = "00:16:3e:5a:01:02"
IP4 = "10.77.0.9"
IP6 = "2001:db8::17"
SCHEDULE_MS = [0, 50, 150, 300, 600]


def sh(*argv):
    subprocess.run(argv, check=True, timeout=20, capture_output=True, text=True)


def arp(ethertype, op, target, ip):
    mac = bytes.fromhex(MAC.replace(":", ""))
    body = b"\xff" * 6 + mac + ethertype.to_bytes(2, "big")
    body += bytes([0, 1, 8, 0, 6, 4, 0, op]) + mac + ip + target + ip
    return body.ljust(60, b"\0")


def advertisement(text):
    mac = bytes.fromhex(MAC.replace(":", ""))
    src = ipaddress.ip_address(text).packed
    dst = ipaddress.ip_address("ff02::1").packed
    msg = bytearray([136, 0, 0, 0, 0x20, 0, 0, 0]) + src + b"\x02\x01" + mac
    pseudo = src + dst + len(msg).to_bytes(4, "big") + b"\0\0\0\x3a"
    words = pseudo + bytes(msg)
    total = sum(int.from_bytes(words[i:i + 2], "big") for i in range(0, len(words), 2))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    msg[2:4] = (0xffff - total).to_bytes(2, "big")
    head = b"\x60\0\0\0" + len(msg).to_bytes(2, "big") + b"\x3a\xff"
    return b"\x33\x33\0\0\0\x01" + mac + b"\x86\xdd" + head + src + dst + bytes(msg)


def expected_round():
    mac = bytes.fromhex(MAC.replace(":", ""))
    ip = ipaddress.ip_address(IP4).packed
    return [
        arp(0x8035, 3, mac, b"\0" * 4),
        arp(0x0806, 2, mac, ip),
        arp(0x0806, 1, b"\0" * 6, ip),
        advertisement(IP6),
        advertisement("fe80::216:3eff:fe5a:102"),
    ]


def capture_socket(iface):
    """A raw socket inside NS_B: the socket stays there, the process comes back."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + NS_B, os.O_RDONLY)
    libc_setns(there)
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.bind((iface, 3))
        sock.setblocking(False)
    finally:
        libc_setns(home)
        os.close(there)
        os.close(home)
    return sock


def libc_setns(fd):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def drain(sock, until):
    """Frames from MAC with their arrival times, until the moment given."""
    src = bytes.fromhex(MAC.replace(":", ""))
    got = []
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([sock], [], [], left)[0]:
            return got
        frame = sock.recv(2048)
        if frame[6:12] == src:
            got.append((time.monotonic(), frame))


def run_arp(*args):
    return subprocess.Popen(["ip", "netns", "exec", NS_A, PROG, *args],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(proc):
    out, err = proc.communicate(timeout=20)
    return proc.returncode, out, err


def check_frames_and_schedule():
    sock = capture_socket("peer0")
    proc = run_arp("--json", "br0", MAC, IP4, IP6)
    got = drain(sock, time.monotonic() + 1.8)
    code, out, err = finish(proc)
    assert code == 0, "exit code %d: %s" % (code, err.strip())
    want = expected_round() * 5
    assert len(got) == len(want), "%d frames, %d expected" % (len(got), len(want))
    for i, (frame, right) in enumerate(zip([g[1] for g in got], want)):
        assert frame == right, "frame %d is %s, not %s" % (i, frame.hex(), right.hex())
    start = got[0][0]
    for i, ms in enumerate(SCHEDULE_MS):
        at = (got[i * 5][0] - start) * 1000
        # early is wrong by more than the clock's grain; late is this machine's load
        assert ms - 5 <= at <= ms + 400, "round %d came after %.0f ms, not %d" % (i, at, ms)
    report = json.loads(out)
    assert report["sent_frames"] == 25 and report["failed_frames"] == 0, out


def check_count_and_mac_alone():
    sock = capture_socket("peer0")
    proc = run_arp("--count", "2", "br0", MAC)
    got = [g[1] for g in drain(sock, time.monotonic() + 1.0)]
    code, _, err = finish(proc)
    assert code == 0, err
    right = [expected_round()[0], expected_round()[4]] * 2
    assert got == right, "%d frames: %s" % (len(got), [g.hex() for g in got])


def check_bridge_floods_all_ports():
    sock = capture_socket("peer1")
    proc = run_arp("--count", "1", "br0", MAC)
    got = drain(sock, time.monotonic() + 0.7)
    assert finish(proc)[0] == 0
    assert len(got) == 2, "%d frames on the second port" % len(got)


def check_except_spares_the_vif():
    outside, vif = capture_socket("peer0"), capture_socket("peer1")
    proc = run_arp("--count", "1", "--except", "vif0", "br0", MAC)
    got = drain(outside, time.monotonic() + 0.7)
    spared = drain(vif, time.monotonic() + 0.1)
    assert finish(proc)[0] == 0
    assert len(got) == 2, "%d frames outside" % len(got)
    assert not spared, "the guest heard its own announcement"


def check_neighbour_is_moved():
    """The outside held a stale address for the guest; one round corrects it."""
    sh("ip", "-n", NS_B, "neigh", "replace", IP4, "lladdr", "02:00:00:00:00:99",
       "dev", "peer0", "nud", "stale")
    assert finish(run_arp("--count", "1", "br0", MAC, IP4))[0] == 0
    out = subprocess.run(["ip", "-n", NS_B, "neigh", "show", IP4], timeout=20,
                         capture_output=True, text=True, check=True).stdout
    assert MAC in out, "neighbour is still " + out.strip()


def check_errors():
    for args, code, text in [
            (["nope0", MAC], 2, "no such interface"),
            (["../../etc", MAC], 2, "no such interface"),
            (["x" * 200, MAC], 2, "no such interface"),
            (["lo", MAC], 2, "not an Ethernet interface"),
            (["down0", MAC], 2, "is down"),
            (["--except", "vif0", "up0", MAC], 2, "not a bridge"),
            (["br0"], 1, "IFACE and MAC are needed"),
            (["br0", "ff:ff:ff:ff:ff:ff"], 1, "no station's"),
            (["br0", MAC, "10.0.0.256"], 1, "neither IPv4 nor IPv6"),
            (["br0", MAC, "224.0.0.1"], 1, "not an address of one station"),
            (["br0", MAC] + ["10.0.0.1"] * 17, 1, "more than 16"),
            (["-c", "1001", "br0", MAC], 1, "1 to 1000"),
            (["-c", "-1", "br0", MAC], 1, "1 to 1000")]:
        got, _, err = finish(run_arp(*args))
        assert got == code, "%s: exit code %d, not %d" % (args[:3], got, code)
        assert text in err and err.count("\n") == 1, "%s: %r" % (args[:3], err)


def build_topology():
    sh("ip", "netns", "add", NS_A)
    sh("ip", "netns", "add", NS_B)
    sh("ip", "-n", NS_A, "link", "add", "br0", "type", "bridge")
    for port, peer in (("up0", "peer0"), ("vif0", "peer1")):
        sh("ip", "-n", NS_A, "link", "add", port, "type", "veth",
           "peer", "name", peer, "netns", NS_B)
        sh("ip", "-n", NS_A, "link", "set", port, "master", "br0", "up")
        sh("ip", "-n", NS_B, "link", "set", peer, "up")
    sh("ip", "-n", NS_A, "link", "add", "down0", "type", "bridge")
    sh("ip", "-n", NS_A, "link", "set", "br0", "up")
    sh("ip", "-n", NS_A, "link", "set", "lo", "up")
    sh("ip", "-n", NS_B, "addr", "add", "10.77.0.1/24", "dev", "peer0")


def remove_topology():
    for ns in (NS_A, NS_B):
        subprocess.run(["ip", "netns", "del", ns], timeout=20, capture_output=True, check=False)


def main():
    checks = [check_frames_and_schedule, check_count_and_mac_alone,
              check_bridge_floods_all_ports, check_except_spares_the_vif,
              check_neighbour_is_moved, check_errors]
    if os.geteuid() != 0:
        print("SKIP arp_netns: needs root for network namespaces")
        return 0
    failed = 0
    try:
        build_topology()
        time.sleep(0.3)         # the links' own IPv6 start-up traffic passes
        for check in checks:
            name = "arp_netns." + check.__name__.removeprefix("check_")
            try:
                check()
                print("PASS " + name, flush=True)
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as e:
                print("FAIL %s: %s" % (name, str(e).replace("\n", " ")), flush=True)
                failed += 1
    finally:
        remove_topology()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
