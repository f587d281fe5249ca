#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=420 order=20
"""Stores of checkpoints: a directory, and nginx with its DAV modules.

Everything runs on loopback and below TEST_TMP.  What a lying, slow or failing
server may do is tried by stores_hostile.py, S3 by stores_s3.py.
"""
import os
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "stores"))
import common                                                   # noqa: E402
from client import PROG, Client, expect                         # noqa: E402
from nginx import Nginx                                         # noqa: E402

TMP = os.environ.get("TEST_TMP") or tempfile.mkdtemp()


def below(path):
    return sorted(os.path.relpath(os.path.join(folder, n), path)
                  for folder, _, names in os.walk(path) for n in names)


# --- a directory -----------------------------------------------------------------

def check_dir_journey():
    client = Client(TMP + "/dir-journey")
    common.journey(client)
    expect(not [n for n in below(client.address) if "/." in n], below(client.address))
    expect(os.stat(client.address).st_mode & 0o777 == 0o700, "the directory is open to others")


def check_dir_killed_writers():
    client = Client(TMP + "/dir-killed")

    def leftovers():
        return [n for n in below(client.address) if "/.put-" in n]
    left = common.killed_writers(client, leftovers, 30)
    expect(left > 5, "only %d of 30 left anything: nothing was tested" % left)
    expect(not leftovers(), "not swept:", leftovers())


def check_dir_full():
    """A full disk: the object that does not fit is not there, the others are."""
    script = """set -e
        mount -t tmpfs -o size=6m tmpfs "$1"
        head -c 2000000 /dev/zero | "$2" store put "$1/s" d/first
        code=0
        head -c 9000000 /dev/zero | "$2" store put "$1/s" d/second || code=$?
        echo "second $code"
        "$2" store ls "$1/s"
        find "$1/s" -name '.put-*'
        head -c 2000000 /dev/zero | "$2" store put "$1/s" d/third
        "$2" store get "$1/s" d/first | cmp -n 2000000 - /dev/zero && echo same
        """
    where = TMP + "/full"
    os.mkdir(where)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", where, PROG],
                          timeout=60, capture_output=True, text=True, check=False)
    lines = [line.split() for line in done.stdout.splitlines()]
    expect(done.returncode == 0, done.stderr)
    expect(lines == [["second", "1"], ["2000000", "d/first"], ["same"]], done.stdout, done.stderr)
    expect("No space left" in done.stderr and "[ENOSPC]" in done.stderr, done.stderr)


def check_dir_memory():
    common.peak_memory(Client(TMP + "/dir-memory"), "d/big")


# --- nginx -----------------------------------------------------------------------

def check_http_journey(nginx):
    common.journey(Client(nginx.url + "journey/"))
    expect(not [n for n in nginx.files("journey") if ".put-" in n], nginx.files("journey"))


def check_http_killed_writers(nginx):
    client = Client(nginx.url + "killed/", GODWIT_STORE_STALE_S="0")
    common.killed_writers(client, lambda: [n for n in nginx.files("killed") if "~put-" in n], 25)
    # a PUT that was cut is nginx's own to forget; what had its whole PUT is swept by a list
    time.sleep(1.1)
    client.names("d")
    expect(not [n for n in nginx.files("killed") if "~put-" in n], nginx.files("killed"))


def check_http_sweep(nginx):
    """A temporary object goes when it is a day old, not before; nothing else goes."""
    client = Client(nginx.url + "sweep/")
    client.ok("put", "d/o", data=b"o")
    for name, age_s in (("~put-00000000000000aa", 90000), ("~put-00000000000000bb", 60),
                        (".other", 90000)):
        path = nginx.dir + "/www/sweep/d/" + name
        with open(path, "wb") as f:
            f.write(b"left")
        os.utime(path, (time.time() - age_s,) * 2)
    expect(client.names() == ["d/o"], client.names())
    expect(nginx.files("sweep") == ["sweep/d/" + n for n in (".other", "o",
                                                             "~put-00000000000000bb")],
           nginx.files("sweep"))


def check_http_memory(nginx):
    common.peak_memory(Client(nginx.url + "memory/"), "d/big")


def check_http_tls(nginx):
    client = Client(nginx.tls_url + "tls/")
    done = client.fails("EACCES", "put", "d/o", data=b"x")
    expect("certificate" in done.err, done.err)
    known = client.with_env(GODWIT_STORE_CA=nginx.ca)
    known.ok("put", "d/o", data=b"x" * 9000000)
    expect(known.ok("get", "d/o", "8999999", "9") == b"x", "not what was written")
    # its certificate is for 127.0.0.1
    other = Client(nginx.tls_url.replace("127.0.0.1", "localhost"), GODWIT_STORE_CA=nginx.ca)
    other.fails("EACCES", "ls")
    client.with_env(GODWIT_STORE_CA="/nonexistent/ca.pem").fails("EACCES", "ls")


def check_http_credentials(nginx):
    plain = Client(nginx.url + "private/")
    plain.fails("EACCES", "put", "d/o", data=b"x")
    by_env = plain.with_env(GODWIT_STORE_USER="keeper", GODWIT_STORE_PASSWORD="open-sesame")
    by_env.ok("put", "d/o", data=b"x")
    plain.with_env(GODWIT_STORE_USER="keeper", GODWIT_STORE_PASSWORD="no").fails("EACCES", "ls")
    plain.with_env(GODWIT_STORE_USER="keeper").fails("EINVAL", "ls")
    text = "# stores\nmachine elsewhere login a password b\n" \
           "machine 127.0.0.1\n  login keeper\n  password open-sesame\n"
    path = common.write_private(TMP + "/cred", text)
    by_file = plain.with_env(GODWIT_STORE_CREDENTIALS=path)
    expect(by_file.ok("get", "d/o") == b"x", "not what was written")
    os.chmod(path, 0o640)
    expect("mode 640" in by_file.fails("EACCES", "ls").err, "the mode is not named")
    common.write_private(path, "machine 127.0.0.1 login keeper passwd open-sesame\n")
    expect("open-sesame" not in by_file.fails("EINVAL", "ls").err, "the secret is printed")
    by_file.with_env(GODWIT_STORE_CREDENTIALS="/nonexistent/c").fails("ENOENT", "ls")
    home = TMP + "/home"
    os.makedirs(home + "/.config/godwit")
    common.write_private(home + "/.config/godwit/credentials", text)
    plain.with_env(HOME=home).ok("ls")
    # never in the address, and never in the clear to another machine
    inside = Client(nginx.url.replace("//", "//keeper:open-sesame@"))
    expect("open-sesame" not in inside.fails("EINVAL", "ls").err, "the secret is printed")
    away = Client("http://store.invalid/", GODWIT_STORE_USER="a", GODWIT_STORE_PASSWORD="b")
    expect("in the clear" in away.fails("EACCES", "ls").err, "no word about why")


def check_http_server_comes_back(nginx):
    """Refused connections are tried again; a server away for longer is an error soon."""
    client = Client(nginx.url + "back/", GODWIT_STORE_RETRIES="6")
    nginx.stop()
    try:
        done = client.with_env(GODWIT_STORE_RETRIES="1").fails("ECONNREFUSED", "ls")
        expect(done.seconds < 5, "took", done.seconds)
        timer = threading.Timer(0.7, nginx.start)
        timer.start()
        client.ok("put", "d/o", data=b"x" * 9000000)
        timer.join()
    finally:
        if nginx.proc.poll() is not None:
            nginx.start()
    expect(client.names() == ["d/o"], client.names())


def check_http_server_killed(nginx):
    """The server dies in the middle of an upload: an error, and nothing of the object."""
    client = Client(nginx.url + "dies/")
    client.ok("put", "d/before", data=b"before")
    proc = client.start("put", "d/half")
    proc.stdin.write(b"x" * 10000000)
    proc.stdin.flush()
    nginx.stop()
    try:
        try:
            proc.stdin.write(b"x" * 10000000)
            proc.stdin.close()
        except BrokenPipeError:
            pass
        code = proc.wait(60)
        err = proc.stderr.read().decode()
    finally:
        nginx.start()
    expect(code == 1 and err.count("\n") == 1, "exit code", code, err)
    expect(client.names() == ["d/before"], client.names())
    expect(client.ok("get", "d/before") == b"before", "what was there was harmed")


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
                print("PASS stores." + name, flush=True)
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as e:
                print("FAIL stores.%s: %s" % (name, str(e).replace("\n", " ")), flush=True)
                failed += 1
    finally:
        if nginx:
            nginx.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
