# SPDX-License-Identifier: Apache-2.0
"""A little web server whose every byte the test decides: for lies, stalls and cuts.

Server.answer(request) gives a Response; the functions in .faults are asked first,
and one that returns a Response is taken instead.  Each connection has a thread.
"""
import socket
import threading
import time
import urllib.parse


class Request:
    def __init__(self, method, target, headers, body):
        self.method = method
        self.target = target
        path, _, self.query = target.partition("?")
        self.path = urllib.parse.unquote(path)
        self.headers = headers          # names in lower case
        self.body = body


class Response:
    """claim: Content-Length said; cut: bytes after which the connection ends; stall: bytes
    after which nothing comes any more; trickle: seconds between bytes."""

    def __init__(self, status, body=b"", headers=None, claim=None, cut=None, stall=None,
                 trickle=0, close=False):
        self.status, self.body, self.headers = status, body, headers or {}
        self.claim, self.cut, self.stall, self.trickle = claim, cut, stall, trickle
        self.close = close


class Hangup(Exception):
    """Raised by a fault: end the connection without a word."""


class Server:
    def __init__(self):
        self.faults = []
        self.log = []                   # (method, path, query) of whole requests
        self.bodies_begun = []          # the same, when the head was read
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.url = "http://127.0.0.1:%d/" % self.port
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.stopping.set()
        self.sock.close()

    def accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        conn.settimeout(60)
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with conn, conn.makefile("rb") as stream:
                while self.exchange(conn, stream):
                    pass
        except (OSError, Hangup, ValueError):
            pass

    def exchange(self, conn, stream):
        line = stream.readline(8192).decode("latin-1").split()
        if len(line) < 3:
            return False
        headers = {}
        while True:
            text = stream.readline(65536).decode("latin-1").rstrip("\r\n")
            if not text:
                break
            name, _, value = text.partition(":")
            headers[name.strip().lower()] = value.strip()
        self.bodies_begun.append((line[0], line[1]))
        if headers.get("expect", "").lower() == "100-continue":
            conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = Request(line[0], line[1], headers, None)
        request.conn = conn
        self.before_body(request, stream)
        request.body = self.read_body(headers, stream)
        with self.lock:
            self.log.append((request.method, request.path, request.query))
            response = self.faulty(request) or self.answer(request)
        return self.send(conn, request, response)

    def before_body(self, request, stream):
        """For servers that end, or stall, an upload half-way."""

    def faulty(self, request):
        for fault in list(self.faults):
            response = fault(request)
            if response:
                return response
        return None

    @staticmethod
    def read_body(headers, stream):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while True:
                size = int(stream.readline(100).split(b";")[0], 16)
                data = stream.read(size)
                if len(data) < size:
                    raise Hangup
                stream.readline(10)
                if not size:
                    return b"".join(parts)
                parts.append(data)
        size = int(headers.get("content-length", 0))
        data = stream.read(size)
        if len(data) < size:
            raise Hangup
        return data

    def send(self, conn, request, response):
        body = response.body
        head = "HTTP/1.1 %d x\r\n" % response.status
        for name, value in response.headers.items():
            head += "%s: %s\r\n" % (name, value)
        if response.status != 204 and "Content-Length" not in response.headers:
            length = len(body) if response.claim is None else response.claim
            head += "Content-Length: %d\r\n" % length
        conn.sendall(head.encode() + b"\r\n")
        if request.method == "HEAD":
            return True
        if response.cut is not None:
            conn.sendall(body[:response.cut])
            return False
        if response.stall is not None:
            conn.sendall(body[:response.stall])
            self.stopping.wait(30)
            return False
        if response.trickle:
            for i in range(len(body)):
                conn.sendall(body[i:i + 1])
                time.sleep(response.trickle)
        else:
            conn.sendall(body)
        return not response.close


def range_of(request, size):
    """(first, last) of a Range header; None without one; (0, -1) out of reach."""
    text = request.headers.get("range")
    if not text:
        return None
    first, last = text.removeprefix("bytes=").split("-")
    first, last = int(first), min(int(last), size - 1)
    return (first, last) if first < size else (0, -1)


def get_response(request, data, headers=None):
    headers = dict(headers or {})
    span = range_of(request, len(data))
    if not span:
        return Response(200, data, headers)
    if span == (0, -1):
        headers["Content-Range"] = "bytes */%d" % len(data)
        return Response(416, b"", headers)
    headers["Content-Range"] = "bytes %d-%d/%d" % (span[0], span[1], len(data))
    return Response(206, data[span[0]:span[1] + 1], headers)


class Dav(Server):
    """As much of WebDAV as the store uses, in memory: .files maps path to bytes."""

    def __init__(self):
        super().__init__()
        self.files = {}
        self.dated = {}                 # path: Last-Modified text
        self.folders = {"/"}

    DATE = "Fri, 20 Nov 2026 12:00:00 GMT"

    def answer(self, request):
        handler = getattr(self, "do_" + request.method.lower(), None)
        return handler(request) if handler else Response(405)

    def do_get(self, request):
        if request.path not in self.files:
            return Response(404)
        return get_response(request, self.files[request.path],
                            {"Last-Modified": self.DATE})

    do_head = do_get

    def do_put(self, request):
        if request.path.rpartition("/")[0] + "/" not in self.folders:
            return Response(409)
        self.files[request.path] = request.body
        return Response(201)

    def do_mkcol(self, request):
        if request.path in self.folders:
            return Response(405)
        if request.path.rstrip("/").rpartition("/")[0] + "/" not in self.folders:
            return Response(409)
        self.folders.add(request.path)
        return Response(201)

    def do_delete(self, request):
        return Response(204 if self.files.pop(request.path, None) is not None else 404)

    def do_move(self, request):
        target = urllib.parse.urlsplit(request.headers["destination"]).path
        if request.path not in self.files:
            return Response(404)
        if target in self.files and request.headers.get("overwrite") == "F":
            return Response(412)
        self.files[target] = self.files.pop(request.path)
        return Response(201)

    def do_propfind(self, request):
        if request.path not in self.folders:
            return Response(404)
        out = [self.entry(request.path, None)]
        names = [p for p in list(self.files) + list(self.folders)
                 if p != request.path and p.startswith(request.path) and
                 "/" not in p[len(request.path):].rstrip("/")]
        out += [self.entry(p, self.files.get(p)) for p in names]
        return Response(207, ('<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">%s'
                              "</D:multistatus>" % "".join(out)).encode())

    def entry(self, path, data):
        props = "<D:resourcetype><D:collection/></D:resourcetype>"
        if data is not None:
            props = ("<D:resourcetype/><D:getcontentlength>%d</D:getcontentlength>"
                     "<D:getlastmodified>%s</D:getlastmodified>" %
                     (len(data), self.dated.get(path, self.DATE)))
        return ("<D:response><D:href>%s</D:href><D:propstat><D:prop>%s</D:prop><D:status>"
                "HTTP/1.1 200 OK</D:status></D:propstat></D:response>" %
                (urllib.parse.quote(path), props))
