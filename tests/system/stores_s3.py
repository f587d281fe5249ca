#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# test: timeout=420 order=20
"""The S3 store, against two servers on loopback.

s3rver, from the npm registry (tests/deps.sh): a server by others, with multipart
uploads, ranges and lists in pages.  It does not check version 4 signatures, so
tests/stores/s3check.py does: a server in memory, written from the published
algorithm, which serves nothing that is not signed right, and fails on demand.
"""
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "stores"))
import common                                                   # noqa: E402
import s3check                                                  # noqa: E402
from client import Client, expect                               # noqa: E402
from s3rver import S3rver                                       # noqa: E402
from server import Hangup, Response                             # noqa: E402

TMP = os.environ.get("TEST_TMP") or tempfile.mkdtemp()
MB = 1 << 20


def client_of(server, address="s3://bucket/pre/fix", **env):
    settings = {"GODWIT_S3_ENDPOINT": server.url, "AWS_REGION": s3check.REGION,
                "AWS_ACCESS_KEY_ID": s3check.KEY, "AWS_SECRET_ACCESS_KEY": s3check.SECRET}
    return Client(address, **{**settings, **env})


def fault(response, times=1, **match):
    """A fault for requests of this method whose target has this in it."""
    left = [times]

    def act(request):
        if request.method != match["method"] or match.get("has", "") not in request.target or \
                match.get("hasnt", "\0") in request.target or not left[0]:
            return None
        left[0] -= 1
        return response(request) if callable(response) else response
    return act


# --- s3rver ----------------------------------------------------------------------

def with_s3rver(name, check):
    server = S3rver(TMP + "/s3rver-" + name, "bucket")
    try:
        check(client_of(server, AWS_ACCESS_KEY_ID=server.KEY, AWS_SECRET_ACCESS_KEY=server.SECRET))
    finally:
        server.close()


def check_s3rver_journey():
    with_s3rver("journey", lambda client: common.journey(client, reads_empty=False))


def check_s3rver_killed_writers():
    with_s3rver("killed", lambda client: common.killed_writers(client, lambda: [], 8))


def check_s3rver_pages():
    """More objects than one page of a list holds."""
    def many(client):
        folder = TMP + "/s3rver-pages/data/bucket/pre/fix/d"
        client.ok("put", "d/o.0000", data=b"0")
        form = {n.partition("_")[2]: n for n in os.listdir(folder)}
        expect(form, "s3rver keeps its objects elsewhere")
        for i in range(1, 1201):
            for name in form.values():
                os.link(os.path.join(folder, name),
                        os.path.join(folder, name.replace("o.0000", "o.%04d" % i)))
        names = client.names("d")
        expect(names == ["d/o.%04d" % i for i in range(1201)], len(names), "are listed")
    with_s3rver("pages", many)


# --- the server that checks --------------------------------------------------------

def check_journey(server):
    common.journey(client_of(server))
    expect(not server.refused, server.refused)
    expect(not server.uploads, "uploads were left")
    expect(server.largest_body == 8 * MB, "a part of", server.largest_body)
    methods = {m for m, _, _ in server.log}
    expect(methods == {"GET", "HEAD", "PUT", "POST", "DELETE"}, methods)


def check_no_prefix(server):
    for address in ("s3://bucket", "s3://bucket/"):
        client = client_of(server, address)
        client.ok("put", "d/" + str(len(address)), data=b"x")
    expect(client.names() == ["d/11", "d/12"], client.names())
    expect(sorted(server.objects) == ["bucket/d/11", "bucket/d/12"], list(server.objects))


def check_only_ours_is_listed(server):
    client = client_of(server)
    client.ok("put", "d/o", data=b"x")
    for key in ("pre/fix/x", "pre/fix/d/e/f", "pre/fix/d/.h", "pre/fix/d/", "pre/fix2/d/o", "d/o"):
        server.objects["bucket/" + key] = b"other"
    expect(client.names() == ["d/o"], client.names())


def check_credentials(server):
    client = client_of(server)
    client.with_env(AWS_SECRET_ACCESS_KEY="wrong").fails("EACCES", "ls")
    client.with_env(AWS_ACCESS_KEY_ID="AKIAOTHER").fails("EACCES", "put", "d/o")
    client.with_env(AWS_REGION="us-east-1").fails("EACCES", "ls")
    client.with_env(AWS_ACCESS_KEY_ID="").fails("EINVAL", "ls")
    nobody = client.with_env(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    nobody.fails("EACCES", "ls")
    expect(server.log and not server.objects, "nothing was asked, or something got in")
    path = common.write_private(TMP + "/s3-cred", "machine s3:other login a password b\n"
                                "machine s3:bucket login %s password %s\n" %
                                (s3check.KEY, s3check.SECRET))
    nobody.with_env(GODWIT_STORE_CREDENTIALS=path).ok("put", "d/o", data=b"x")
    Client("s3://key:secret@bucket/").fails("EINVAL", "ls")
    for address in ("s3://B/", "s3://a", "s3://bucket/a b", "s3://bucket/../x", "s3://bucket//x"):
        client_of(server, address).fails("EINVAL", "ls")
    client.with_env(GODWIT_S3_ENDPOINT="ftp://x/").fails("EINVAL", "ls")


def check_session_token():
    server = s3check.S3(token="tok/en+with==")
    try:
        client = client_of(server)
        client.fails("EACCES", "ls")
        client.with_env(AWS_SESSION_TOKEN="tok/en+with==").ok("put", "d/o", data=b"x" * (9 * MB))
        expect(list(server.objects) == ["bucket/pre/fix/d/o"], list(server.objects))
    finally:
        server.close()


def check_killed_writers(server):
    client = client_of(server)
    left = common.killed_writers(client, lambda: server.uploads, 20)
    expect(left > 3, "only %d of 20 left anything: nothing was tested" % left)
    expect(server.uploads, "uploads of writers that may live were aborted")
    client.with_env(GODWIT_STORE_STALE_S="0").ok("ls")
    time.sleep(1.1)
    client.with_env(GODWIT_STORE_STALE_S="0").ok("ls")
    expect(not server.uploads, "not swept:", list(server.uploads))
    expect(not server.refused, server.refused)


def check_memory(server):
    common.peak_memory(client_of(server), "d/big")


def check_part_fails_then_recovers(server):
    client = client_of(server)
    data = common.some_bytes(20 * MB)

    def hangup(request):
        raise Hangup
    server.faults = [fault(Response(500), 2, method="PUT", has="partNumber=2"),
                     fault(hangup, 1, method="PUT", has="partNumber=3"),
                     fault(Response(503), 1, method="POST", has="uploads="),
                     fault(Response(503), 1, method="POST", has="uploadId=")]
    client.ok("put", "d/o", data=data)
    expect(server.objects["bucket/pre/fix/d/o"] == data, "arrived different")


def check_part_fails_for_ever(server):
    """The upload is aborted: nothing is left, and nothing to pay for."""
    client = client_of(server)
    for match in ({"method": "PUT", "has": "partNumber=2"}, {"method": "POST", "has": "uploadId="},
                  {"method": "POST", "has": "uploads="}):
        server.faults = [fault(Response(500), 100, **match)]
        client.fails("EIO", "put", "d/o", data=b"x" * (20 * MB))
        expect(not server.uploads and not server.objects, "left:", list(server.uploads))
    server.faults = [fault(Response(200), 100, method="PUT", has="partNumber=1")]
    client.fails("EPROTO", "put", "d/o", data=b"x" * (20 * MB))     # a part without an ETag
    expect(not server.uploads and not server.objects, "left:", list(server.uploads))


def check_completion_lies(server):
    """200, and then: it went wrong.  Or nothing S3 would say."""
    client = client_of(server)
    error = b"<?xml version='1.0'?>  <Error><Code>InternalError</Code></Error>"
    for body, errno in ((error, "EIO"), (b"", "EPROTO"), (b"ok", "EPROTO"), (b"<a/>", "EPROTO")):
        server.faults = [fault(Response(200, body), 1, method="POST", has="uploadId=")]
        client.fails(errno, "put", "d/o", data=b"x" * (9 * MB))
        expect(not server.uploads and not server.objects, "left:", list(server.uploads))
    # said to be done, and not there
    done = Response(200, b"<CompleteMultipartUploadResult/>")
    server.faults = [fault(done, 1, method="POST", has="uploadId=")]
    client.fails("ENOENT", "put", "d/o", data=b"x" * (9 * MB))
    root = b"InitiateMultipartUploadResult>"
    for body in (b"<" + root + b"</" + root, b"", b"<" + root + b"<UploadId>" + b"i" * 1025 +
                 b"</UploadId></" + root):
        server.faults = [fault(Response(200, body), 1, method="POST", has="uploads=")]
        client.fails("EPROTO", "put", "d/o", data=b"x" * (9 * MB))


def check_lost_answers(server):
    """The server did it and the answer got lost."""
    client = client_of(server)

    def done_then_hangup(request):
        expect(server.answer(request).status < 300, "the fault itself went wrong")
        raise Hangup
    for size in (1000, 9 * MB):
        name = "d/o%d" % size
        server.faults = [fault(done_then_hangup, 1, method=m, has=h, hasnt=n)
                         for m, h, n in (("PUT", "", "uploadId"), ("POST", "uploadId=", "\0"))]
        data = common.some_bytes(size)
        client.ok("put", name, data=data)
        expect(server.objects["bucket/pre/fix/" + name] == data, "arrived different")
        server.faults = [fault(done_then_hangup, 1, method="DELETE")]
        client.ok("rm", name)
    expect(not server.uploads and not server.objects, "left:", list(server.objects))


def check_name_taken_meanwhile(server):
    """If-None-Match: another writer's object is not replaced."""
    client = client_of(server)

    def take(request):
        server.objects["bucket/pre/fix/d/o"] = b"theirs"
    for size in (6, 9 * MB):
        server.objects.clear()
        server.faults = [fault(take, 1, method="PUT", hasnt="uploadId"),
                         fault(take, 1, method="POST", has="uploadId=")]
        client.fails("EEXIST", "put", "d/o", data=b"x" * size)
        expect(server.objects == {"bucket/pre/fix/d/o": b"theirs"}, "it was replaced")
        expect(not server.uploads, "not aborted")


def check_condition_not_known(server):
    """A server that refuses the condition gets the request without it."""
    client = client_of(server)

    def refuse(request):
        return Response(501) if "if-none-match" in request.headers else None
    for size in (6, 9 * MB):
        server.faults = [fault(refuse, 1, method="PUT", hasnt="uploadId"),
                         fault(refuse, 1, method="POST", has="uploadId=")]
        client.ok("put", "d/o%d" % size, data=b"x" * size)


def check_lists_without_end(server):
    client = client_of(server, GODWIT_STORE_RETRIES="0")

    def page(token, more="true", size="1"):
        return Response(200, ("<ListBucketResult><Contents><Key>pre/fix/d/o</Key><Size>%s</Size>"
                              "</Contents><IsTruncated>%s</IsTruncated>%s</ListBucketResult>" %
                              (size, more, "<NextContinuationToken>%s</NextContinuationToken>" %
                               token if token else "")).encode())
    number = iter(range(1 << 30))
    for response, errno in ((page("same"), "EPROTO"), (page(""), "EPROTO"),
                            (page("", "false", "-1"), "EPROTO"), (page("t" * 1025), "EPROTO"),
                            (Response(200, b"<ListBucketResult>"), "EPROTO"),
                            (Response(200, b"<Other/>"), "EPROTO"),
                            (lambda r: page("t%d" % next(number)), "E2BIG")):
        server.faults = [fault(response, 1 << 30, method="GET", has="list-type")]
        client.fails(errno, "ls")


def main():
    failed = 0
    only = sys.argv[1:]
    for name, check in list(globals().items()):
        if not name.startswith("check_") or (only and name.removeprefix("check_") not in only):
            continue
        name = name.removeprefix("check_")
        server = s3check.S3() if check.__code__.co_argcount else None
        start = time.monotonic()
        try:
            check(*([server] if server else []))
            print("# %s: %.1f s" % (name, time.monotonic() - start))
            print("PASS stores_s3." + name, flush=True)
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as e:
            print("FAIL stores_s3.%s: %s" % (name, str(e).replace("\n", " ")), flush=True)
            failed += 1
        finally:
            if server:
                server.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
