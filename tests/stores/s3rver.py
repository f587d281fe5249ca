# SPDX-License-Identifier: Apache-2.0
"""The S3 server `s3rver` that tests/deps.sh put into build/npm, on loopback.

It keeps objects in files, does multipart uploads, ranges and lists in pages; it
does not check version 4 signatures, cannot list or abort uploads, and answers a
range of an empty object wrongly.  tests/stores/s3check.py is there for those.
"""
import os
import socket
import subprocess
import time

from client import BUILD
from nginx import free_port

MAIN = os.path.abspath(os.path.join(BUILD, "npm/node_modules/s3rver/bin/s3rver.js"))


class S3rver:
    KEY = SECRET = "S3RVER"

    def __init__(self, where, bucket):
        if not os.path.exists(MAIN):
            raise AssertionError("s3rver is not in build/npm: run tests/deps.sh, where an npm "
                                 "registry is in reach")
        os.makedirs(where)
        self.dir = where
        self.port = free_port()
        self.url = "http://127.0.0.1:%d/" % self.port
        self.log = open(where + "/log", "wb")   # pylint: disable=consider-using-with
        self.proc = subprocess.Popen(
            # its continuation tokens are enciphered with what OpenSSL 3 calls legacy
            ["node", "--openssl-legacy-provider", MAIN, "-d", where + "/data",
             "-a", "127.0.0.1", "-p", str(self.port),
             "--no-vhost-buckets", "--configure-bucket", bucket],
            stdout=self.log, stderr=self.log)
        until = time.monotonic() + 30
        while time.monotonic() < until and self.proc.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        self.close()
        with open(where + "/log", "rb") as f:
            raise AssertionError("s3rver does not start: %s" % f.read()[-300:])

    def close(self):
        self.proc.kill()
        self.proc.wait()
        self.log.close()
