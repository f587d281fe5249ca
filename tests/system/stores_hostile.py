#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=420 order=20
"""An HTTP store whose server lies, stalls, cuts connections, or fails and recovers.

The server is tests/stores/server.py, in memory and on loopback.  Each check says
which errno a lie gets, and that nothing half-way stays on the server.
"""
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "stores"))
import common                                                   # noqa: E402
from client import Client, expect                               # noqa: E402
from server import Dav, Hangup, Response, get_response          # noqa: E402

TMP = os.environ.get("TEST_TMP") or tempfile.mkdtemp()
MB = 1 << 20


def served(server, path="/d/o", data=b"0123456789" * 1000, **env):
    """An object on the server, and a client for it."""
    server.folders.add("/d/")
    server.files[path] = data
    return Client(server.url, **env)


def on(method, response, times=None, path=None):
    """A fault: this method gets this response (or what it computes), so many times."""
    left = [times]

    def fault(request):
        if request.method != method or (path and path not in request.path) or left[0] == 0:
            return None
        if left[0] is not None:
            left[0] -= 1
        return response(request) if callable(response) else response
    return fault


def count(server, method):
    return sum(m == method for m, _ in server.bodies_begun)


def hangup(request):
    raise Hangup


def check_sane(server):
    """The server itself is right, so what follows is about the faults."""
    common.journey(Client(server.url))


# --- lies about lengths ------------------------------------------------------------

def check_content_length_too_long(server):
    client = served(server)
    server.faults = [on("GET", lambda r: Response(
        206, b"x" * 50, {"Content-Range": "bytes 0-99/10000"}, claim=100, cut=50))]
    client.fails("EPROTO", "get", "d/o", "0", "100")
    expect(count(server, "GET") == 4, "tried %d times" % count(server, "GET"))


def check_more_than_asked(server):
    client = served(server)
    server.faults = [on("GET", Response(206, b"x" * 101, {"Content-Range": "bytes 0-99/10000"}))]
    client.fails("EPROTO", "get", "d/o", "0", "100")
    # without an end in sight
    server.faults = [on("GET", Response(206, b"x" * (64 * MB), {"Content-Range":
                                                                "bytes 0-99/10000"}))]
    done = client.fails("EPROTO", "get", "d/o", "0", "100")
    expect(done.seconds < 5, "took", done.seconds)


def check_content_range_lies(server):
    client = served(server)
    for text in ("bytes 1-100/10000", "bytes 0-98/10000", "bytes 0-199/10000", "bytes 0-99/50",
                 "bytes 0-99/99999999999999999999999", "bytes -1-99/10000", "bytes 0-99/*",
                 "bytes 99-0/10000", "bytes */10000", "lines 0-99/10000", "", "bytes 0-99/0",
                 "bytes 18446744073709551615-99/10000"):
        server.faults = [on("GET", Response(206, b"x" * 100, {"Content-Range": text}))]
        client.fails("EPROTO", "get", "d/o", "0", "100")
    server.faults = [on("GET", Response(206, b"x" * 100, {}))]
    client.fails("EPROTO", "get", "d/o", "0", "100")
    # "the object ends here", when it was promised to go on
    server.faults = [on("GET", Response(206, b"x" * 50, {"Content-Range": "bytes 0-49/10000"}))]
    client.fails("EPROTO", "get", "d/o", "0", "100")


def check_ranges_ignored(server):
    client = served(server, data=b"y" * 5000)
    server.faults = [on("GET", lambda r: Response(200, server.files["/d/o"]))]
    client.fails("EPROTO", "get", "d/o", "10", "100")
    client.fails("EPROTO", "get", "d/o", "0", "100")
    # all of it, as asked for, is as good as its range
    expect(client.ok("get", "d/o", "0", "5000") == b"y" * 5000, "not the object")


def check_unsatisfied_in_the_middle(server):
    client = served(server)
    server.faults = [on("GET", Response(416, b"", {"Content-Range": "bytes */10000"}))]
    client.fails("EPROTO", "get", "d/o", "5000", "100")
    server.faults = [on("GET", Response(416))]
    client.fails("EPROTO", "get", "d/o", "5000", "100")
    expect(client.ok("get", "d/o", "10000", "100") == b"", "bytes behind the end")


def check_stored_length_differs(server):
    """The server says it has it, and has less: the object must not stay."""
    client = served(server)

    def truncate(request):
        server.files[request.path] = request.body[:-1]
        return Response(201)
    for size in (1000, 9 * MB):
        server.faults = [on("PUT", truncate)]
        client.fails("EPROTO", "put", "d/new", data=b"x" * size)
        expect(list(server.files) == ["/d/o"], "left:", list(server.files))


def check_no_length(server):
    client = served(server)
    server.faults = [on("HEAD", Response(200, b"", {"Content-Length": "-5"}), path="/d/new")]
    client.fails(("EPROTO", "EEXIST"), "put", "d/new", data=b"x")
    server.faults = [on("HEAD", Response(200, b"", {"Content-Length": "99999999999999999999"}))]
    client.fails(("EPROTO", "EEXIST", "EIO"), "put", "d/new", data=b"x")
    expect(list(server.files) == ["/d/o"], "left:", list(server.files))


# --- slow, cut, failing ------------------------------------------------------------

def check_cut_then_recovers(server):
    """The connection ends at byte n, twice; then the server is well again."""
    data = common.some_bytes(2 * MB)
    client = served(server, data=data)
    for cut in (0, 1, 777, MB - 1):
        server.faults = [on("GET", lambda r, n=cut: get_with(r, data, cut=n), times=2)]
        expect(client.ok("get", "d/o") == data, "cut at", cut, "came back different")
    server.faults = [on("GET", hangup, times=2)]
    expect(client.ok("get", "d/o") == data, "hung up: came back different")


def get_with(request, data, **how):
    response = get_response(request, data)
    vars(response).update(how)
    return response


def check_errors_then_recovers(server):
    client = served(server)
    server.faults = [on(m, Response(503, b"<html>busy</html>"), times=2)
                     for m in ("HEAD", "MKCOL", "PUT", "MOVE", "GET", "PROPFIND", "DELETE")]
    client.ok("put", "d/n", data=b"new")
    expect(client.ok("get", "d/n") == b"new", "came back different")
    expect(client.names() == ["d/n", "d/o"], client.names())
    client.ok("rm", "d/n")
    expect(list(server.files) == ["/d/o"], "left:", list(server.files))
    for status in (500, 502, 504, 429, 408):
        server.faults = [on("GET", Response(status, b"<html>busy</html>"), times=2)]
        client.ok("get", "d/o", "0", "10")


def check_errors_for_ever(server):
    client = served(server)
    server.faults = [on("GET", Response(500, b"no" * 100000))]
    done = client.fails("EIO", "get", "d/o")
    expect(count(server, "GET") == 4, "tried %d times" % count(server, "GET"))
    expect(0.3 < done.seconds < 5, "took", done.seconds)


def check_not_retried(server):
    """What cannot get better is asked once."""
    client = served(server)
    for status, errno in ((403, "EACCES"), (404, "ENOENT"), (400, "EPROTO"), (302, "EPROTO")):
        server.bodies_begun.clear()
        server.faults = [on("GET", Response(status, b"", {"Location": server.url + "d/o"}))]
        client.fails(errno, "get", "d/o")
        expect(count(server, "GET") == 1, "tried %d times" % count(server, "GET"))


def check_stalls(server):
    client = served(server, GODWIT_STORE_TIMEOUT_S="2")
    server.faults = [on("GET", lambda r: get_with(r, server.files["/d/o"], stall=500))]
    done = client.fails("ETIMEDOUT", "get", "d/o")
    expect(done.seconds < 10, "took", done.seconds)
    server.faults = [on("GET", lambda r: server.stopping.wait(30) and hangup(r))]
    done = client.fails("ETIMEDOUT", "get", "d/o")
    expect(done.seconds < 10, "took", done.seconds)


def check_trickles(server):
    """A byte now and then is no progress."""
    client = served(server, GODWIT_STORE_TIMEOUT_S="2")
    server.faults = [on("GET", lambda r: get_with(r, server.files["/d/o"], trickle=0.1))]
    done = client.fails("ETIMEDOUT", "get", "d/o")
    expect(done.seconds < 15, "took", done.seconds)


def upload_fault(server, size, act):
    """At the first `size` bytes of a PUT's body, act() and hang up."""
    def before_body(request, stream):
        if request.method == "PUT":
            stream.read(size)
            act()
            raise Hangup
    server.before_body = before_body


def check_upload_cut(server):
    """Longer than what waits in memory: an error, nothing left, and the next one works."""
    client = served(server)
    data = common.some_bytes(20 * MB)
    for cut in (1, 100000, 9 * MB, 19 * MB):
        upload_fault(server, cut, lambda: None)
        done = client.fails(("ECONNRESET", "EPROTO", "EIO"), "put", "d/new", data=data)
        expect(done.seconds < 10, "took", done.seconds)
        expect(list(server.files) == ["/d/o"], "left:", list(server.files))
    del server.before_body
    client.ok("put", "d/new", data=data)
    expect(server.files["/d/new"] == data, "arrived different")


def check_upload_answered_early(server):
    """The server says it has it while the body is still coming: a refusal, or a lie."""
    client = served(server)
    for status, errno in (("201 Created", ("EPROTO", "ECONNRESET")), ("507 Full", "ENOSPC")):
        def before_body(request, stream, line=status):
            if request.method != "PUT":
                return
            stream.read(MB)
            server.files[request.path] = b"some of it"
            request.conn.sendall(b"HTTP/1.1 " + line.encode() + b"\r\nContent-Length: 0\r\n\r\n")
            time.sleep(0.5)
            raise Hangup
        server.before_body = before_body
        client.fails(errno, "put", "d/new", data=b"x" * (60 * MB))
        expect(list(server.files) == ["/d/o"], "left:", list(server.files))


def check_upload_cut_is_repeated(server):
    """Shorter ones wait in memory and are sent whole again."""
    client = served(server)
    data = common.some_bytes(3 * MB)
    left = [2]

    def before_body(request, stream):
        if request.method == "PUT" and left[0]:
            left[0] -= 1
            stream.read(MB)
            raise Hangup
    server.before_body = before_body
    client.ok("put", "d/new", data=data)
    expect(server.files["/d/new"] == data, "arrived different")


def check_upload_stalls(server):
    client = served(server, GODWIT_STORE_TIMEOUT_S="2")
    upload_fault(server, 100000, lambda: server.stopping.wait(30))
    done = client.fails("ETIMEDOUT", "put", "d/new", data=b"x" * (40 * MB))
    expect(done.seconds < 12, "took", done.seconds)
    expect(list(server.files) == ["/d/o"], "left:", list(server.files))


def check_writer_may_be_slow(server):
    """It is the writer that pauses, longer than the stall time: no reason to give up."""
    client = served(server, GODWIT_STORE_TIMEOUT_S="1")
    data = common.some_bytes(24 * MB)
    proc = client.start("put", "d/new")
    for i in range(3):
        proc.stdin.write(data[8 * MB * i:8 * MB * (i + 1)])
        proc.stdin.flush()
        time.sleep(1.7)
    _, err = proc.communicate(timeout=60)
    expect(proc.returncode == 0, "exit code", proc.returncode, err)
    expect(server.files["/d/new"] == data, "arrived different")


def check_no_room(server):
    client = served(server)
    for size in (1000, 20 * MB):
        server.faults = [on("PUT", Response(507))]
        client.fails("ENOSPC", "put", "d/new", data=b"x" * size)
        expect(list(server.files) == ["/d/o"], "left:", list(server.files))


# --- answers that get lost ---------------------------------------------------------

def done_then_hangup(server):
    def act(request):
        getattr(server, "do_" + request.method.lower())(request)
        raise Hangup
    return act


def check_lost_answers(server):
    """The server did it and the answer got lost: repeating it is no failure."""
    client = served(server)
    for method in ("MKCOL", "PUT", "MOVE"):
        server.faults = [on(method, done_then_hangup(server), times=1)]
        client.ok("put", method + "/n", data=b"new")
        expect(server.files["/%s/n" % method] == b"new", "not there after", method)
    server.faults = [on("DELETE", done_then_hangup(server), times=1)]
    client.ok("rm", "MOVE/n")
    expect("/MOVE/n" not in server.files, "still there")


def check_name_taken_meanwhile(server):
    """Another writer was first, and the first MOVE broke before it did anything."""
    client = served(server)

    def taken(request):
        server.files["/d/new"] = b"theirs"
        raise Hangup
    server.faults = [on("MOVE", taken, times=1)]
    client.fails("EEXIST", "put", "d/new", data=b"mine.!")
    expect(server.files == {"/d/o": server.files["/d/o"], "/d/new": b"theirs"},
           "now:", list(server.files))


# --- lists -------------------------------------------------------------------------

def multistatus(*entries):
    return ('<?xml version="1.0"?><m:multistatus xmlns:m="DAV:">%s</m:multistatus>' %
            "".join(entries)).encode()


def entry(href, size="5"):
    return ("<m:response><m:href>%s</m:href><m:propstat><m:prop><m:resourcetype/>"
            "<m:getcontentlength>%s</m:getcontentlength></m:prop></m:propstat></m:response>" %
            (href, size))


def check_lists_of_wrong_names(server):
    client = served(server)
    good = entry(server.url + "d/full-url") + entry("/d/%6F")
    bad = [entry(h) for h in ("/d/../x", "/d/%2e%2e", "/d/a%2fb", "/d/a%00b", "/d/%zz", "/d/a/b",
                              "/e/x", "x", "", "/d/", "/d/.hidden", "/d/" + "n" * 129,
                              "//d/x", "/d/a%0Ab", "/d/&lt;x&gt;", "http://only-a-host")]
    server.faults = [on("PROPFIND", Response(207, multistatus(good, *bad)))]
    expect(client.names("d") == ["d/full-url", "d/o"], client.names("d"))


def check_lists_that_are_none(server):
    client = served(server, GODWIT_STORE_RETRIES="0")
    whole = multistatus(entry("/d/a"))
    bodies = [b"", b"<", b"not xml", b"<html><br></html>", whole[:-5], whole + b"x",
              b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
              b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
              b"<a>" * 100 + b"</a>" * 100, b"<a>" + b"x" * 5000 + b"</a>",
              multistatus(entry("/d/a", size="")), multistatus(entry("/d/a", size="-1")),
              multistatus(entry("/d/a", size="1" * 30)), multistatus(entry("/d/a", size="5 "))]
    for body in bodies:
        server.faults = [on("PROPFIND", Response(207, body))]
        client.fails("EPROTO", "ls", "d")
    server.faults = [on("PROPFIND", Response(200, whole))]
    client.fails("EPROTO", "ls", "d")
    server.faults = [on("PROPFIND", Response(405))]
    client.fails("EOPNOTSUPP", "ls", "d")


def check_list_too_long(server):
    client = served(server)
    many = multistatus(*[entry("/d/n%d" % i) for i in range(100001)])
    server.faults = [on("PROPFIND", Response(207, many))]
    client.fails("E2BIG", "ls", "d")
    server.faults = [on("PROPFIND", Response(207, multistatus(
        *[entry("/d/n%d" % i) for i in range(100000)])))]
    expect(len(client.names("d")) == 100000, "not all are listed")


def main():
    failed = 0
    only = sys.argv[1:]
    for name, check in list(globals().items()):
        if not name.startswith("check_") or (only and name.removeprefix("check_") not in only):
            continue
        name = name.removeprefix("check_")
        server = Dav()
        start = time.monotonic()
        try:
            check(server)
            print("# %s: %.1f s" % (name, time.monotonic() - start))
            print("PASS stores_hostile." + name, flush=True)
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as e:
            print("FAIL stores_hostile.%s: %s" % (name, str(e).replace("\n", " ")), flush=True)
            failed += 1
        finally:
            server.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
