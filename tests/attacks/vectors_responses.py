"""Every attack of an endpoint: an endpoint is trusted no more than a client.

Classes: bytes behind a response (response-queue poisoning), bodies where none may be, floods of
1xx, framing that two readers read differently, half line ends, NUL, truncation.
"""

from tests.attacks import vectors_responses_framing
from tests.attacks.vector import Relay, ResponseVector

WHOLE, REFUSED = Relay.WHOLE, Relay.REFUSED
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
_BODY = b"Content-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\n" + _BODY


def answer(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"abc") -> bytes:
    """A response with a length."""
    return b"\r\n".join((start, *lines, b"Content-Length: %d" % len(body), b"", body))


_STARTS_BAD = {
    "empty": b"", "no-status": b"HTTP/1.1", "no-status-blank": b"HTTP/1.1 ",
    "two-digits": b"HTTP/1.1 20 OK", "four-digits": b"HTTP/1.1 2000 OK", "zero": b"HTTP/1.1 000 OK",
    "ninety-nine": b"HTTP/1.1 099 OK", "letters": b"HTTP/1.1 abc OK", "minus": b"HTTP/1.1 -20 OK",
    "plus": b"HTTP/1.1 +20 OK", "decimal": b"HTTP/1.1 2.0 OK", "joined": b"HTTP/1.1 200OK",
    "hex": b"HTTP/1.1 0xc8 OK", "arabic": "HTTP/1.1 ٢٠٠ OK".encode(), "tab": b"HTTP/1.1\t200 OK",
    "two-blanks": b"HTTP/1.1  200 OK", "blank-ahead": b" HTTP/1.1 200 OK",
    "http-2": b"HTTP/2 200 OK", "http-2.0": b"HTTP/2.0 200 OK", "http-0.9": b"HTTP/0.9 200 OK",
    "http-1.2": b"HTTP/1.2 200 OK", "http-1": b"HTTP/1 200 OK", "http-1.10": b"HTTP/1.10 200 OK",
    "lower-case": b"http/1.1 200 OK", "icy": b"ICY 200 OK", "ssh": b"SSH-2.0-OpenSSH",
    "request": b"GET / HTTP/1.1", "nul-reason": b"HTTP/1.1 200 O\x00K",
    "control-reason": b"HTTP/1.1 200 O\x01K", "cr-reason": b"HTTP/1.1 200 O\rK",
    "lf-reason": b"HTTP/1.1 200 O\nK", "delete-reason": b"HTTP/1.1 200 O\x7fK",
    "escape-reason": b"HTTP/1.1 200 \x1b[2J", "nul-ahead": b"\x00HTTP/1.1 200 OK",
    "crlf-ahead": b"\r\nHTTP/1.1 200 OK", "lf-ahead": b"\nHTTP/1.1 200 OK",
    "tls": b"\x15\x03\x01\x00\x02",
    "html": b"<html>hello</html>", "bom": b"\xef\xbb\xbfHTTP/1.1 200 OK",
}  # fmt: skip
_LINES_BAD = {
    "no-colon": b"X", "empty-name": b": y", "blank-before-colon": b"X : y",
    "tab-before-colon": b"X\t: y",
    "blank-in-name": b"X Y: z", "fold": b"X: y\r\n z", "fold-tab": b"X: y\r\n\tz",
    "fold-first": b" X: y",
    "fold-empty": b"X: y\r\n ", "nul": b"X: \x00", "nul-inside": b"X: a\x00b",
    "control": b"X: \x01",
    "delete": b"X: \x7f", "escape": b"X: \x1b", "vertical-tab": b"X: \x0b", "bare-cr": b"X: a\rb",
    "bare-lf": b"X: a\nSet-Cookie: evil=1", "cr-crlf": b"X: a\r", "lf-crlf": b"X: a\n",
    "name-nul": b"X\x00: y", "name-high": b"X\xe9: y", "name-brackets": b"X(): y",
    "name-cr": b"X\r: y",
    "name-lf": b"X\n: y", "name-control": b"X\x01: y", "injected-head": b"X: a\n\n<evil>",
    "injected-head-cr": b"X: a\r\r<evil>", "template": b"{X}: y",
}  # fmt: skip


def _heads() -> list[ResponseVector]:
    found = [
        ResponseVector("head/plain", OK, WHOLE, reusable=True),
        ResponseVector("head/no-reason", answer(start=b"HTTP/1.1 200 "), WHOLE, reusable=True),
        ResponseVector("head/long-reason", answer(start=b"HTTP/1.1 200 " + b"x" * 1_000), WHOLE,
                       reusable=True),
        ResponseVector("head/high-reason", answer(start=b"HTTP/1.1 200 \xe9t\xe9"), WHOLE,
                       reusable=True),
        ResponseVector("head/status-599", answer(start=b"HTTP/1.1 599 X"), WHOLE, reusable=True),
        ResponseVector("head/status-999", answer(start=b"HTTP/1.1 999 X"), WHOLE, reusable=True),
        ResponseVector("head/http-1.0", answer(start=b"HTTP/1.0 200 OK"), WHOLE, reusable=False),
        ResponseVector("head/http-1.0-keep-alive",
                       answer(b"Connection: keep-alive", start=b"HTTP/1.0 200 OK"), WHOLE,
                       reusable=True),
        ResponseVector("head/close", answer(b"Connection: close"), WHOLE, reusable=False),
        ResponseVector("head/close-in-list", answer(b"Connection: x, Close"), WHOLE,
                       reusable=False),
        ResponseVector("head/odd-name", answer(b"!#$%&'*+-.^_`|~9: y"), WHOLE, reusable=True),
        ResponseVector("head/repeated", answer(b"Set-Cookie: a", b"Set-Cookie: b"), WHOLE,
                       reusable=True),
        ResponseVector("head/nominated", answer(b"Connection: x-a", b"X-A: evil"), WHOLE,
                       reusable=True, never=(b"evil",)),
        ResponseVector("head/own", answer(b"X-Splitway-Decision: evil",
        b"X_Splitway_Version: evil"),
                       WHOLE, reusable=True, never=(b"evil",)),
        ResponseVector("head/upgrade-offer", answer(b"Upgrade: evil", b"Connection: upgrade"),
        WHOLE,
                       reusable=True, never=(b"evil",)),
        ResponseVector("head/too-long", answer(b"X: " + b"y" * 70_000), REFUSED),
        ResponseVector("head/too-long-open", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, REFUSED),
        ResponseVector("head/reason-too-long", answer(start=b"HTTP/1.1 200 " + b"x" * 70_000),
                       REFUSED),
        ResponseVector("head/too-many-fields", answer(*[b"X: y"] * 200), REFUSED),
        ResponseVector("head/10000-fields", answer(*[b"X: y"] * 10_000), REFUSED),
        ResponseVector("head/lf-line-ends", OK.replace(b"\r\n", b"\n"), REFUSED, closes=True),
        ResponseVector("head/cr-line-ends", OK.replace(b"\r\n", b"\r"), REFUSED, closes=True),
        ResponseVector("head/lf-end", b"HTTP/1.1 200 OK\r\nContent-Length: 3\n\nabc", REFUSED,
                       closes=True),
        ResponseVector("head/unfinished", b"HTTP/1.1 200 OK\r\nContent-Le", REFUSED, closes=True),
        ResponseVector("head/unfinished-reset", b"HTTP/1.1 200 OK\r\nContent-Le", REFUSED,
                       resets=True),
        ResponseVector("head/one-byte", b"H", REFUSED, closes=True),
        ResponseVector("head/nothing", b"", REFUSED, closes=True),
        ResponseVector("head/nothing-reset", b"", REFUSED, resets=True),
        ResponseVector("head/0.9", b"<html>hello</html>", REFUSED, closes=True),
    ]  # fmt: skip
    found += [
        ResponseVector(f"start/{name}", answer(start=start), REFUSED)
        for name, start in _STARTS_BAD.items()
    ]
    for name, line in _LINES_BAD.items():
        found.append(ResponseVector(f"line/{name}-first", answer(line, b"Z: z"), REFUSED,
                                    never=(b"evil",)))  # fmt: skip
        found.append(ResponseVector(f"line/{name}-last", answer(b"Z: z", line), REFUSED,
                                    never=(b"evil",)))  # fmt: skip
    return found


def _early() -> list[ResponseVector]:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    switch = b"HTTP/1.1 101 Switching Protocols\r\n"
    return [
        ResponseVector("early/hint", hint + OK, WHOLE, reusable=True),
        ResponseVector("early/continue", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, WHOLE,
                       reusable=True),
        ResponseVector("early/several", hint * 8 + OK, WHOLE, reusable=True),
        ResponseVector("early/with-length", b"HTTP/1.1 103 X\r\nContent-Length: 9\r\n\r\n" + OK,
                       WHOLE, reusable=True),
        ResponseVector("early/flood", hint * 1_000 + OK, Relay.CUT),
        ResponseVector("early/flood-open", hint * 100, Relay.CUT),
        ResponseVector("early/only", hint, Relay.CUT, closes=True),
        ResponseVector("early/broken-second", hint + b"HTTP/1.1 103 X\r\nX\r\n\r\n" + OK,
        Relay.CUT),
        ResponseVector("early/broken-final", hint + b"HTTP/1.1 200 OK\r\nX\r\n\r\n", Relay.CUT),
        ResponseVector("early/switch", switch + b"Connection: upgrade\r\nUpgrade: x\r\n\r\nevil",
                       REFUSED, never=(b"evil",)),
        ResponseVector("early/switch-bare", switch + b"\r\n" + EVIL, REFUSED, never=(b"evil",)),
        ResponseVector("early/switch-h2c", switch + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"
                       + bytes(9), REFUSED),
        ResponseVector("early/switch-behind-hint", hint + switch + b"\r\n" + EVIL, Relay.CUT,
                       never=(b"evil",)),
    ]  # fmt: skip


def _behind() -> list[ResponseVector]:
    """What stands behind a whole response answers nobody."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    never = (b"evil",)
    fronts = {"length": (OK, "GET"), "chunked": (chunked, "GET"),
              "no-body": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET"),
              "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
              "204-length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", "GET"),
              "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", "GET"),
              "head": (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "HEAD"),
              "head-chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD"),
              "post": (OK, "POST")}  # fmt: skip
    backs = {"response": EVIL, "four-bytes": b"evil", "crlf": b"\r\n", "byte": b"x", "nul": b"\x00",
             "hint": b"HTTP/1.1 103 X\r\nX: evil\r\n\r\n",
             "chunks": b"4\r\nevil\r\n0\r\n\r\n"}  # fmt: skip
    found = []
    for front, (raw, method) in fronts.items():
        found.append(ResponseVector(f"behind/{front}-nothing", raw, WHOLE, method, reusable=True))
        for back, more in backs.items():
            name = f"behind/{front}-{back}"
            found.append(ResponseVector(name, raw + more, WHOLE, method, never=never))
    return found


VECTORS: list[ResponseVector] = [
    *_heads(),
    *_early(),
    *_behind(),
    *vectors_responses_framing.VECTORS,
]
