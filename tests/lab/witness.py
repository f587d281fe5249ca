#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
witness.py ADDRESS PORT - a witness for tests: a web server that keeps small
objects in memory and obeys If-Match and If-None-Match: * on PUT (RFC 9110,
13.1), which is all that migrate/witness.h asks of one.  GET /.hold=1 makes it
fall silent, GET /.hold=0 ends that.
"""

import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OBJECTS = {}
LOCK = threading.Lock()
OPEN = threading.Event()
OPEN.set()


def etag(data):
    """Of an object's bytes, which its writers never repeat."""
    return '"' + hashlib.sha256(data).hexdigest()[:24] + '"'


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        """Nothing: tests read the hosts' logs."""

    def answer(self, status, body=b"", tag=None):
        """A response."""
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        """An object, or the switch."""
        if self.path.startswith("/.hold="):
            (OPEN.clear if self.path.endswith("1") else OPEN.set)()
            self.answer(204)
            return
        OPEN.wait(30)
        with LOCK:
            data = OBJECTS.get(self.path)
        if data is None:
            self.answer(404)
        else:
            self.answer(200, data, etag(data))

    def do_PUT(self):
        """Replace an object on its conditions."""
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        OPEN.wait(30)
        match, none = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        with LOCK:
            old = OBJECTS.get(self.path)
            bad = (match is not None and (old is None or match not in ("*", etag(old)))) or \
                  (none is not None and old is not None)
            if not bad:
                OBJECTS[self.path] = data
        self.answer(412 if bad else 204 if old else 201, b"", None if bad else etag(data))


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
