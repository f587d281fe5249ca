# SPDX-License-Identifier: Apache-2.0
"""An S3 server in memory that checks every signature itself.

Written from the published description ("Create a signed AWS API request", AWS
IAM user guide, and "Authenticating Requests: Using the Authorization Header",
Amazon S3 API reference), independently of the client: the payload's hash has to
be that of the bytes received, everything signed has to be there, the date has to
be now.  Nothing unsigned is served.  Lists come in pages of PAGE keys.
"""
import datetime
import hashlib
import hmac
import re
import urllib.parse

from server import Response, Server, get_response

KEY, SECRET, REGION = "AKIATESTKEY", "secret/with+signs=", "eu-test-1"
PAGE = 3
MIN_PART = 5 << 20
NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical_query(query):
    pairs = [p.partition("=") for p in query.split("&")] if query else []
    decoded = [(urllib.parse.unquote(k), urllib.parse.unquote(v)) for k, _, v in pairs]
    return "&".join(sorted("%s=%s" % (quote(k), quote(v)) for k, v in decoded))


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class S3(Server):
    def __init__(self, token=None):
        super().__init__()
        self.token = token
        self.objects = {}               # "bucket/key": bytes
        self.uploads = {}               # id: {"key", "parts", "initiated"}
        self.number = 0
        self.largest_body = 0
        self.refused = []               # why signatures were

    # -- the signature --

    def judge(self, request):
        """None, or what is wrong with the request's signature."""
        form = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
            r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
            request.headers.get("authorization", ""))
        if not form:
            return "no Authorization of the right form"
        key, day, region, signed, signature = form.groups()
        stamp = request.headers.get("x-amz-date", "")
        if key != KEY or region != REGION or not stamp.startswith(day):
            return "key, region or day"
        when = datetime.datetime.strptime(stamp + "+0000", "%Y%m%dT%H%M%SZ%z")
        if abs((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()) > 900:
            return "the date"
        digest = request.headers.get("x-amz-content-sha256")
        if digest != hashlib.sha256(request.body).hexdigest():
            return "x-amz-content-sha256 is %s, not the body's" % digest
        names = signed.split(";")
        must = {"host"} | {h for h in request.headers if h.startswith("x-amz-")}
        if names != sorted(names) or not must <= set(names):
            return "signed headers: " + signed
        if self.token and request.headers.get("x-amz-security-token") != self.token:
            return "the session token"
        headers = "".join("%s:%s\n" % (n, " ".join(request.headers[n].split())) for n in names)
        path = "/".join(quote(p) for p in request.path.split("/"))
        canonical = "\n".join([request.method, path, canonical_query(request.query), headers,
                               signed, digest])
        scope = "%s/%s/s3/aws4_request" % (day, region)
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                             hashlib.sha256(canonical.encode()).hexdigest()])
        signing = ("AWS4" + SECRET).encode()
        for part in (day, region, "s3", "aws4_request"):
            signing = mac(signing, part)
        if not hmac.compare_digest(mac(signing, to_sign).hex(), signature):
            return "the signature"
        return None

    # -- requests --

    @staticmethod
    def error(status, code):
        return Response(status, ("<?xml version='1.0'?><Error><Code>%s</Code></Error>" %
                                 code).encode())

    def answer(self, request):
        why = self.judge(request)
        if why:
            self.refused.append("%s %s: %s" % (request.method, request.target, why))
            return self.error(403, "SignatureDoesNotMatch")
        self.largest_body = max(self.largest_body, len(request.body))
        args = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
        bucket, _, key = request.path[1:].partition("/")
        if not key:
            return self.list_uploads(bucket, args) if "uploads" in args else \
                self.list_objects(bucket, args)
        handler = getattr(self, "do_" + request.method.lower())
        return handler(request, bucket + "/" + key, args)

    def do_get(self, request, key, args):
        if key not in self.objects:
            return self.error(404, "NoSuchKey")
        response = get_response(request, self.objects[key],
                                {"Last-Modified": "Fri, 20 Nov 2026 12:00:00 GMT"})
        if response.status == 416:
            del response.headers["Content-Range"]
            response.body = b"<Error><Code>InvalidRange</Code></Error>"
        return response

    do_head = do_get

    def taken(self, request, key):
        return request.headers.get("if-none-match") == "*" and key in self.objects

    def do_put(self, request, key, args):
        etag = {"ETag": '"%s"' % hashlib.md5(request.body).hexdigest()}
        if "uploadId" in args:
            if args["uploadId"] not in self.uploads:
                return self.error(404, "NoSuchUpload")
            self.uploads[args["uploadId"]]["parts"][int(args["partNumber"])] = request.body
            return Response(200, b"", etag)
        if self.taken(request, key):
            return self.error(412, "PreconditionFailed")
        self.objects[key] = request.body
        return Response(200, b"", etag)

    def do_post(self, request, key, args):
        if "uploads" in args:
            self.number += 1
            # characters that have to be encoded in a query
            name = "id/%d+= ~" % self.number
            self.uploads[name] = {"key": key, "parts": {}, "initiated":
                                  datetime.datetime.now(datetime.timezone.utc)}
            return Response(200, ("<InitiateMultipartUploadResult %s><UploadId>%s</UploadId>"
                                  "</InitiateMultipartUploadResult>" % (NS, name)).encode())
        return self.complete(request, key, args["uploadId"])

    def complete(self, request, key, name):
        if name not in self.uploads:
            return self.error(404, "NoSuchUpload")
        if self.taken(request, key):
            return self.error(412, "PreconditionFailed")
        parts = self.uploads[name]["parts"]
        listed = re.findall(
            r"<Part><PartNumber>(\d+)</PartNumber><ETag>\"([0-9a-f]+)\"</ETag></Part>",
            request.body.decode())
        if [int(n) for n, _ in listed] != list(range(1, len(parts) + 1)):
            return self.error(400, "InvalidPartOrder")
        for n, etag in listed:
            if hashlib.md5(parts[int(n)]).hexdigest() != etag:
                return self.error(400, "InvalidPart")
            if int(n) < len(parts) and len(parts[int(n)]) < MIN_PART:
                return self.error(400, "EntityTooSmall")
        self.objects[key] = b"".join(parts[int(n)] for n, _ in listed)
        del self.uploads[name]
        return Response(200, ("<?xml version='1.0'?>   <CompleteMultipartUploadResult %s><Key/>"
                              "</CompleteMultipartUploadResult>" % NS).encode())

    def do_delete(self, request, key, args):
        if "uploadId" in args:
            gone = self.uploads.pop(args["uploadId"], None)
            return Response(204) if gone else self.error(404, "NoSuchUpload")
        self.objects.pop(key, None)
        return Response(204)

    # -- lists --

    def list_objects(self, bucket, args):
        start = args.get("continuation-token", "")
        full = [k for k in sorted(self.objects)
                if k.startswith(bucket + "/" + args.get("prefix", "")) and k > start]
        page = full[:PAGE]
        more = len(full) > PAGE
        body = "".join("<Contents><Key>%s</Key><LastModified>2026-11-20T12:00:00.000Z"
                       "</LastModified><Size>%d</Size></Contents>" %
                       (k.partition("/")[2], len(self.objects[k])) for k in page)
        body += "<IsTruncated>%s</IsTruncated>" % ("true" if more else "false")
        if more:
            body += "<NextContinuationToken>%s</NextContinuationToken>" % page[-1]
        return Response(200, ("<?xml version='1.0'?><ListBucketResult %s>%s</ListBucketResult>" %
                              (NS, body)).encode())

    def list_uploads(self, bucket, args):
        body = "".join(
            "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>" %
            (u["key"].partition("/")[2], name, u["initiated"].strftime("%Y-%m-%dT%H:%M:%S.000Z"))
            for name, u in self.uploads.items()
            if u["key"].startswith(bucket + "/" + args.get("prefix", "")))
        return Response(200, ("<?xml version='1.0'?><ListMultipartUploadsResult %s>%s<IsTruncated>"
                              "false</IsTruncated></ListMultipartUploadsResult>" %
                              (NS, body)).encode())
