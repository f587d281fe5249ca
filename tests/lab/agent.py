# SPDX-License-Identifier: Apache-2.0
"""agent.py - the harness's side of agent.c: one connection, one command."""

import socket
import struct
from typing import NamedTuple

from qemu import LabError

PORT = 7777
RC_TIMEOUT = 124


class Result(NamedTuple):
    """What a command gave; rc is 124 when its time ran out."""

    rc: int
    out: str
    err: str


def _exact(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise LabError("the agent's connection ended early")
        data += part
    return data


def run(connection, cmd, timeout, stdin=b"", on_output=None):
    """
    Run a shell command over a fresh connection.  timeout in seconds is kept by
    the agent, and by the socket for the case that the host itself died.
    on_output(kind, bytes), kind 'o' or 'e', sees output as it comes.
    """
    text = cmd.encode()
    out = {b"o": [], b"e": []}
    with connection as s:
        s.settimeout(timeout + 15)
        try:
            s.sendall(b"RUN %d %d %d\n" % (int(timeout * 1000), len(text), len(stdin)))
            s.sendall(text)
            s.sendall(stdin)
            while True:
                kind, size = struct.unpack(">cI", _exact(s, 5))
                data = _exact(s, size)
                if kind == b"x":
                    rc = int(data)
                    break
                out[kind].append(data)
                if on_output:
                    on_output(kind.decode(), data)
        except (socket.timeout, ConnectionError) as e:
            raise LabError(f"lost the host while it ran {cmd!r}: {e}") from e
    return Result(rc, b"".join(out[b"o"]).decode("utf-8", "replace"),
                  b"".join(out[b"e"]).decode("utf-8", "replace"))
