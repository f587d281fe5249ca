# SPDX-License-Identifier: Apache-2.0
"""What every kind of store has to do: one set of checks, run against each."""
import os
import random
import signal

from client import expect

MB = 1 << 20
RNG = random.Random(20261120)


def some_bytes(size):
    return RNG.randbytes(size)


def journey(client, reads_empty=True):
    """Objects of sizes around the borders come back as they were, whole and in parts.

    reads_empty: whether the server answers a range of an empty object properly.
    """
    sizes = [0, 1, 4095, 8 * MB - 1, 8 * MB, 8 * MB + 1, 20 * MB + 77]
    data = {"dom-1/o.%d" % n: some_bytes(n) for n in sizes}
    expect(client.names() == [], "the store is not empty at first")
    for name, content in data.items():
        client.ok("put", name, data=content)
    client.ok("put", "other_dom/x", data=b"x")
    expect(client.names("dom-1") == sorted(data), "listed:", client.names("dom-1"))
    expect(client.names() == sorted([*data, "other_dom/x"]), "listed:", client.names())
    expect(client.names("nobody") == [], "objects of nobody")
    for name, content in data.items():
        if content or reads_empty:
            expect(client.ok("get", name) == content, name, "came back different")
    big = "dom-1/o.%d" % sizes[-1]
    for _ in range(12):
        offset, size = RNG.randrange(sizes[-1] + 10), RNG.randrange(1, 3 * MB)
        expect(client.ok("get", big, str(offset), str(size)) ==
               data[big][offset:offset + size], "range", offset, size, "differs")
    client.fails("EEXIST", "put", big, data=b"another")
    expect(client.ok("get", big, "0", "100") == data[big][:100], "a refused put changed it")
    client.ok("rm", big)
    client.fails("ENOENT", "get", big)
    client.fails("ENOENT", "rm", big)
    client.fails("ENOENT", "get", "nobody/o")
    for bad in ("../x", "a", "a/b/c", "a/.b", "a/b c"):
        client.fails("EINVAL", "put", bad)
    client.ok("put", big, data=b"again")
    expect(client.ok("get", big) == b"again", "the name could not be used again")


def killed_writers(client, leftovers, rounds):
    """kill -9 of a writer at any byte: what was there stays, its own name never shows half.

    leftovers(): names of what dead writers left, looked up behind the store's back.
    Returns how many rounds left something, so that a test can see it tested anything.
    """
    kept = {"d/kept-%d" % i: some_bytes(RNG.randrange(1, 2 * MB)) for i in range(3)}
    for name, content in kept.items():
        client.ok("put", name, data=content)
    left, finished = 0, 0
    for i in range(rounds):
        content = some_bytes(12 * MB)
        cut = RNG.choice([0, 1, RNG.randrange(12 * MB), RNG.randrange(12 * MB), 12 * MB])
        proc = client.start("put", "d/killed-%d" % i)
        proc.stdin.write(content[:cut])
        proc.stdin.flush()
        if cut == 12 * MB:
            # somewhere in the commit
            proc.stdin.close()
            try:
                proc.wait(RNG.random() * 0.05)
            except Exception:       # pylint: disable=broad-except
                pass
        proc.send_signal(signal.SIGKILL)
        proc.wait()
        for stream in (proc.stdin, proc.stdout, proc.stderr):
            stream.close()
        left += bool(leftovers())
        names = client.names("d")
        if "d/killed-%d" % i in names:
            expect(cut == 12 * MB, "half an object is listed")
            expect(client.ok("get", "d/killed-%d" % i) == content, "half an object is read")
            finished += 1
        expect([n for n in names if "kept" in n] == sorted(kept), "others went:", names)
    for name, content in kept.items():
        expect(client.ok("get", name) == content, name, "was harmed")
    print("# %d killed: %d left something, %d had finished" % (rounds, left, finished))
    return left


def peak_memory(client, name):
    """300 MB go through a writer of bounded memory."""
    block = some_bytes(MB)
    kb = client.peak_kb("put", name, feed=(block for _ in range(300)))
    print("# the writer took %.1f MB" % (kb / 1024))
    expect(kb < 48 << 10, "the writer took %d MB" % (kb >> 10))
    client.ok("rm", name)


def write_private(path, text, mode=0o600):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w",
              encoding="ascii") as f:
        f.write(text)
    os.chmod(path, mode)
    return path
