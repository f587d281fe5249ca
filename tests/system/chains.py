#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240 order=21
"""Chains of checkpoints in real stores: a directory, and nginx with its DAV modules.

The golden chain goes in; `checkpoint` lists, verifies, compares, merges, prunes and
exports it, and is killed in the middle.  Everything runs on loopback and below TEST_TMP.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "stores"))
from client import PROG, Client, expect                         # noqa: E402
from nginx import Nginx                                         # noqa: E402

TMP = os.environ.get("TEST_TMP") or tempfile.mkdtemp()
GOLDEN = os.path.join(TOP, "tests", "golden", "chain-v1")


def checkpoint(client, *args, code=0, timeout=60):
    """Run a command; one line of error at most, and the exit code that is expected."""
    done = subprocess.run([PROG, *args], env=client.env, capture_output=True, timeout=timeout,
                          check=False)
    err = done.stderr.decode(errors="replace")
    expect(done.returncode == code, args, "exit code", done.returncode, "not", code, err)
    expect(err.count("\n") <= 1, "more than a line:", err)
    return done.stdout if code == 0 else err


def listed(client):
    return json.loads(checkpoint(client, "list", "--json", client.address, "web"))


def fill(client):
    """The golden chain as domain web; its ids, oldest first."""
    for name in sorted(os.listdir(GOLDEN)):
        with open(os.path.join(GOLDEN, name), "rb") as f:
            client.ok("put", "web/" + name, data=f.read())
    ids = [c["id"] for c in listed(client)]
    expect(len(ids) == 3, ids)
    return ids


def image(client, cid):
    """A checkpoint as the stream that restore would get, without what names its chain."""
    return checkpoint(client, "export", "--stream", client.address, "web@" + cid, "-")


def pages(stream):
    """What the independent reader counts in a stream."""
    done = subprocess.run([PROG, "verify", "--json", "-"], input=stream, capture_output=True,
                          timeout=60, check=True)
    return json.loads(done.stdout)["final"]


def journey(client):
    ids = fill(client)
    kinds = [c["kind"] for c in listed(client)]
    expect(kinds == ["full", "delta", "delta"], kinds)
    for cid in ids:
        checkpoint(client, "verify", client.address, "web@" + cid)
    finals = [pages(image(client, cid)) for cid in ids]
    expect(finals[0] != finals[2], "nothing changed:", finals)
    diff = json.loads(checkpoint(client, "diff", "--json", client.address, "web@0", "web@2"))
    expect(diff["differ"] > 3 and diff["same"] > 20, diff)
    err = checkpoint(client, "delete", client.address, "web@1", code=1)
    expect("depends on it" in err, err)
    checkpoint(client, "merge", client.address, "web@1")
    expect([c["kind"] for c in listed(client)] == ["full", "merged", "delta"], listed(client))
    expect([c["id"] for c in listed(client)] == ids, "ids changed:", listed(client))
    expect([pages(image(client, cid)) for cid in ids] == finals, "pages changed")
    checkpoint(client, "delete", client.address, "web@0")
    checkpoint(client, "prune", client.address, "web", "--keep", "1")
    left = listed(client)
    expect([(c["id"], c["kind"]) for c in left] == [(ids[2], "merged")], left)
    expect(pages(image(client, ids[2])) == finals[2], "pages changed")
    core = TMP + "/journey.core"
    checkpoint(client, "export", client.address, "web", core)
    with open(core, "rb") as f:
        expect(f.read(4) == b"\x7fELF", "no ELF file")
    os.unlink(core)
    checkpoint(client, "list", client.address, "nobody")
    checkpoint(client, "info", client.address, "nobody", code=1)


def killed(client, wipe, rounds):
    """kill -9 at any moment of merge and prune: what was to stay can be restored."""
    dice = random.Random(7)
    interrupted = 0
    for turn in range(rounds):
        wipe()
        ids = fill(client)
        args = [["merge", client.address, "web@2"],
                ["prune", client.address, "web", "--keep", "2"]][turn % 2]
        proc = subprocess.Popen([PROG, *args], env=client.env, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        time.sleep(dice.random() * 0.03)
        proc.kill()
        interrupted += proc.wait(60) == -9
        for cid in ids[turn % 2:]:
            checkpoint(client, "verify", client.address, "web@" + cid)
        checkpoint(client, *args)
        for cid in ids[turn % 2:]:
            checkpoint(client, "verify", client.address, "web@" + cid)
        left = [c["id"] for c in listed(client)]
        expect(left == ids[turn % 2:], "left:", left, "of", ids)
    expect(interrupted > rounds / 10, "only %d of %d were interrupted" % (interrupted, rounds))


def check_dir_journey():
    journey(Client(TMP + "/dir-journey"))


def check_dir_killed():
    client = Client(TMP + "/dir-killed")
    killed(client, lambda: shutil.rmtree(client.address, ignore_errors=True), 40)


def check_http_journey(nginx):
    journey(Client(nginx.url + "chains/"))


def check_http_killed(nginx):
    client = Client(nginx.url + "killed/")
    killed(client, lambda: shutil.rmtree(nginx.dir + "/www/killed", ignore_errors=True), 12)


def check_http_gone(nginx):
    """A server that is away is exit code 3, in one line, and soon."""
    client = Client(nginx.url + "gone/", GODWIT_STORE_RETRIES="1", GODWIT_STORE_TIMEOUT_S="3")
    fill(client)
    nginx.stop()
    try:
        checkpoint(client, "verify", client.address, "web", code=3, timeout=30)
        checkpoint(client, "list", client.address, code=3, timeout=30)
    finally:
        nginx.start()


def main():
    failed = 0
    nginx = None
    checks = [(name.removeprefix("check_"), f) for name, f in globals().items()
              if name.startswith("check_")]
    only = sys.argv[1:]
    try:
        for name, check in checks:
            if only and name not in only:
                continue
            start = time.monotonic()
            try:
                if name.startswith("http") and not nginx:
                    nginx = Nginx(TMP + "/nginx")
                check(*([nginx] if name.startswith("http") else []))
                print("# %s: %.1f s" % (name, time.monotonic() - start))
                print("PASS chains." + name, flush=True)
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as e:
                print("FAIL chains.%s: %s" % (name, str(e).replace("\n", " ")), flush=True)
                failed += 1
    finally:
        if nginx:
            nginx.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
