"""Owns making new attacks of old ones: seeds, pieces of them, and bytes that matter.

Pure: a ``random.Random`` is the only source of chance, so that every finding can be repeated.
"""

from itertools import pairwise
from random import Random

from tests.attacks.vectors_requests import VECTORS as REQUESTS
from tests.attacks.vectors_responses import VECTORS as RESPONSES

_MOST_BYTES = 400
"""Larger seeds show limits, which have vectors of their own."""

REQUEST_SEEDS = [vector.raw for vector in REQUESTS if len(vector.raw) <= _MOST_BYTES]
RESPONSE_SEEDS = [
    (vector.method, vector.raw) for vector in RESPONSES if len(vector.raw) <= _MOST_BYTES
]
_PARTS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b";", b",", b"\x00", b"0", b"1", b"3",
    b"a",
    b"-", b"_", b"+", b"0x", b"/", b"//", b"%00", b"%2f", b"#", b"?", b"*", b"@", b"[::1]", b"\xff",
    b"\x0b", b"\x7f", b'"', b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"GET / HTTP/1.1\r\n",
    b"Host: a\r\n", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Connection: close\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n",
    b"3\r\nabc\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"X: y\r\n", b" folded\r\n",
    b"Expect: 100-continue\r\n", b"http://b.test/x", b"CONNECT a:1 HTTP/1.1\r\n", b"HEAD", b"POST",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 X\r\n\r\n", b"HTTP/1.1 204 X\r\n", b";x=y",
    b"X-Sum: 1\r\n",
]  # fmt: skip


def mutate(random: Random, seed: bytes, others: list[bytes]) -> bytes:
    """A seed with up to four changes."""
    data = seed
    for _ in range(random.randrange(5)):
        at, end = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
        kind = random.randrange(6)
        if kind == 0:
            data = data[:at] + random.choice(_PARTS) + data[at:]
        elif kind == 1:
            data = data[:at] + data[min(end, at + random.randrange(1, 9)) :]
        elif kind == 2:
            data = data[:at] + bytes((random.randrange(256),)) + data[at + 1 :]
        elif kind == 3:
            data = data[:end] + data[at : min(end, at + 60)] + data[end:]
        elif kind == 4:
            other = random.choice(others)
            data = data[:at] + other[random.randrange(len(other) + 1) :]
        else:
            at = data.find(b"\r\n", at)
            data = data[:at] + random.choice((b"\n", b"\r", b"", b"\r\n ")) + data[at + 2 :]
    return data


def cut(random: Random, data: bytes) -> list[bytes]:
    """Up to five pieces, none of them empty."""
    size = len(data)
    marks = [random.randrange(size + 1) for _ in range(random.choice((0, 1, 1, 2, 4)))]
    return [data[start:end] for start, end in pairwise(sorted({0, size, *marks}))]
