"""Responses whose body ends where two readers do not agree, or ends too early."""

from tests.attacks.vector import Relay, ResponseVector
from tests.attacks.vectors_chunks import HEAD as _REQUEST_HEAD
from tests.attacks.vectors_chunks import VECTORS as _CHUNK_VECTORS
from tests.attacks.vectors_framing import VECTORS as _FRAMING_VECTORS

WHOLE, REFUSED, CUT = Relay.WHOLE, Relay.REFUSED, Relay.CUT


def _said(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"", body))


def _bad_chunks() -> list[ResponseVector]:
    """The same chunked bodies that clients must not send."""
    head = _said(b"Transfer-Encoding: chunked")
    return [
        ResponseVector(f"body/{vector.name}", head + vector.raw[len(_REQUEST_HEAD) :], CUT)
        for vector in _CHUNK_VECTORS
        if vector.statuses and vector.raw.startswith(_REQUEST_HEAD)
    ]


def _bad_framing() -> list[ResponseVector]:
    """The same framing fields that clients must not send."""
    found = []
    for vector in _FRAMING_VECTORS:
        lines, _, body = vector.raw.partition(b"\r\n\r\n")
        start, _, fields = lines.partition(b"\r\nHost: a.test\r\n")
        if not vector.statuses or not fields or vector.served or b"HTTP/1.0" in start:
            continue
        raw = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body
        found.append(ResponseVector(f"framing/{vector.name}", raw, REFUSED))
    return found


def _ends() -> list[ResponseVector]:
    chunked = _said(b"Transfer-Encoding: chunked")
    length = _said(b"Content-Length: 9")
    old = b"HTTP/1.0 200 OK\r\n"
    cut = {
        "length": length + b"abc",
        "length-nothing": length,
        "length-one-short": length + b"12345678",
        "chunked-size": chunked + b"3",
        "chunked-data": chunked + b"9\r\nabc",
        "chunked-data-end": chunked + b"3\r\nabc\r\n",
        "chunked-last": chunked + b"3\r\nabc\r\n0\r\n",
        "chunked-last-cr": chunked + b"3\r\nabc\r\n0\r\n\r",
        "chunked-trailer": chunked + b"3\r\nabc\r\n0\r\nX: y\r\n",
        "chunked-nothing": chunked,
    }
    found = [
        ResponseVector(f"cut/{name}-{how}", raw, CUT, closes=how == "fin", resets=how == "reset")
        for name, raw in cut.items()
        for how in ("fin", "reset")
    ]
    found += [
        ResponseVector("end/close", _said(body=b"abc"), WHOLE, closes=True, reusable=False),
        ResponseVector("end/close-1.0", old + b"\r\nabc", WHOLE, closes=True, reusable=False),
        ResponseVector("end/close-empty", _said(), WHOLE, closes=True, reusable=False),
        ResponseVector("end/close-keep-alive", _said(b"Connection: keep-alive", body=b"abc"), WHOLE,
                       closes=True, reusable=False),
        ResponseVector("end/close-reset", _said(body=b"abc"), CUT, resets=True),
        ResponseVector("end/length-then-close", _said(b"Content-Length: 3", body=b"abc"), WHOLE,
                       closes=True, reusable=False),
        ResponseVector("end/204-chunked",
                       b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n", WHOLE,
                       reusable=True),
        ResponseVector("end/304-chunked",
                       b"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n", WHOLE,
                       reusable=True),
        ResponseVector("end/head-no-framing", _said(), WHOLE, method="HEAD", reusable=True),
        ResponseVector("end/head-huge", _said(b"Content-Length: 99999999999"), WHOLE, method="HEAD",
                       reusable=True),
        ResponseVector("end/205", b"HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n", WHOLE,
                       reusable=True),
        ResponseVector("end/trailers", chunked + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", WHOLE,
                       reusable=True),
        ResponseVector("end/te-1.0", old + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REFUSED,
                       closes=True),
        ResponseVector("end/te-1.0-length",
                       old + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                       REFUSED, closes=True),
    ]  # fmt: skip
    return found


VECTORS = [*_bad_chunks(), *_bad_framing(), *_ends()]
