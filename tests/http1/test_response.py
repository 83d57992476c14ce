"""Response heads: an endpoint is no more trusted than a client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.errors import BadResponse
from proxy.http1.grammar import MAX_FIELDS
from proxy.http1.response import Framing, ResponseHead, parse_response


def parse(*lines: str, first: str = "HTTP/1.1 200 OK", method: str = "GET") -> ResponseHead:
    return parse_response("\r\n".join((first, *lines, "", "")).encode("latin-1"), method)


@pytest.mark.parametrize(
    ("lines", "framing", "length"),
    [
        ((), Framing.CLOSE, 0),
        (("Content-Length: 5",), Framing.LENGTH, 5),
        (("Content-Length: 0",), Framing.LENGTH, 0),
        (("Transfer-Encoding: Chunked",), Framing.CHUNKED, 0),
    ],
)
def test_framing(lines: tuple[str, ...], framing: Framing, length: int) -> None:
    head = parse(*lines)
    assert (head.status, head.minor, head.framing, head.length) == (200, 1, framing, length)
    assert head.reusable is (framing is not Framing.CLOSE)


@pytest.mark.parametrize("lines", [(), ("Content-Length: 5",), ("Transfer-Encoding: chunked",)])
@pytest.mark.parametrize(
    ("first", "method"),
    [
        ("HTTP/1.1 200 OK", "HEAD"),
        ("HTTP/1.1 204 No Content", "GET"),
        ("HTTP/1.1 304 Not Modified", "GET"),
        ("HTTP/1.1 103 Early Hints", "GET"),
    ],
)
def test_bodiless(lines: tuple[str, ...], first: str, method: str) -> None:
    head = parse(*lines, first=first, method=method)
    assert head.framing is Framing.NONE
    assert head.reusable


@pytest.mark.parametrize("first", ["HTTP/1.1 204 No Content", "HTTP/1.1 103 Early Hints"])
def test_a_length_that_must_not_stand_there_is_dropped(first: str) -> None:
    assert parse("Content-Length: 5", first=first).plain is None


@pytest.mark.parametrize(
    ("first", "lines", "reusable"),
    [
        ("HTTP/1.1 200 OK", ("Connection: close",), False),
        ("HTTP/1.1 200 OK", ("Connection: keep-alive",), True),
        ("HTTP/1.1 200 OK", ("Connection: keep-alive", "Keep-Alive: timeout=5"), True),
        ("HTTP/1.1 200 OK", ("Connection: Keep-Alive, Close",), False),
        ("HTTP/1.1 200 OK", ("Connection: close", "Connection: keep-alive"), False),
        ("HTTP/1.0 200 OK", (), False),
        ("HTTP/1.0 200 OK", ("Connection: keep-alive",), True),
        ("HTTP/1.0 200 OK", ("Connection: x",), False),
    ],
)
def test_reuse(first: str, lines: tuple[str, ...], reusable: bool) -> None:
    assert parse("Content-Length: 1", *lines, first=first).reusable is reusable


def test_a_body_until_the_end_is_never_reusable() -> None:
    assert not parse("Connection: keep-alive").reusable


def test_the_usual_keep_alive_is_cut_without_looking_at_each_line() -> None:
    head = parse("Content-Length: 1", "Connection: keep-alive", "A: b")
    assert head.plain == b"Content-Length: 1\r\nA: b\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 5"),
        ("Content-Length: 5, 5",),
        ("Content-Length: +5",),
        ("Content-Length: 0x5",),
        ("Content-Length: -5",),
        ("Content-Length:",),
        (f"Content-Length: {'9' * 19}",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: identity",),
        ("Transfer-Encoding:",),
        ("X: a\nb",),
        ("X: a\rb",),
        ("X: \x00",),
        ("X : a",),
        (": a",),
        (" folded",),
        ("no colon",),
    ],
)
def test_refused_fields(lines: tuple[str, ...]) -> None:
    for method in ("GET", "HEAD"):
        with pytest.raises(BadResponse):
            parse(*lines, method=method)


def test_http_1_0_has_no_coding() -> None:
    with pytest.raises(BadResponse):
        parse("Transfer-Encoding: chunked", first="HTTP/1.0 200 OK")


@pytest.mark.parametrize(
    "first",
    ["HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 abc OK", "HTTP/1.1 099 x", "HTTP/1.1 000 x",
     "HTTP/2.0 200 OK", "HTTP/0.9 200 OK", "http/1.1 200 OK", "HTTP/1.1  200 OK",
     "HTTP/1.1\t200 OK",
     "HTTP/1.1 200OK", "ICY 200 OK", "", "HTTP/1.1 200 \x00", "HTTP/1.1 -20 OK", " HTTP/1.1 200 OK",
     "HTTP/1.1 200\tOK", "HTTP/1.1 200 a\rb"],
)  # fmt: skip
def test_refused_status_lines(first: str) -> None:
    with pytest.raises(BadResponse):
        parse(first=first)


@pytest.mark.parametrize(
    ("first", "line"),
    [
        ("HTTP/1.1 200 OK", b"HTTP/1.1 200 OK"),
        ("HTTP/1.1 200 ", b"HTTP/1.1 200 "),
        ("HTTP/1.1 200", b"HTTP/1.1 200 "),
        ("HTTP/1.0 999 Très Bien", "HTTP/1.0 999 Très Bien".encode("latin-1")),
    ],
)
def test_status_lines(first: str, line: bytes) -> None:
    assert parse(first=first).line == line


def test_too_many_fields() -> None:
    fields = [f"X-{n}: {n}" for n in range(MAX_FIELDS)]
    assert parse(*fields).header(b"x-127") == b"127"
    with pytest.raises(BadResponse):
        parse(*fields, "One: more")


@given(st.binary(max_size=200))
def test_any_bytes_are_accepted_or_refused_never_an_error(noise: bytes) -> None:
    for raw in (noise + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + noise + b"\r\n\r\n"):
        try:
            assert parse_response(raw, "GET").status >= 100
        except BadResponse:
            continue
