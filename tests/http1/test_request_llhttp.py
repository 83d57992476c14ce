"""Differential against llhttp: what our grammar accepts, an independent parser reads the same."""

import contextlib

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http1.errors import BadRequest
from proxy.http1.request import METHODS, parse_request

TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12)
VALUE = st.binary(max_size=20)
TARGET = st.one_of(
    st.text("abc/?&=%.;~!*'\"<>^|{}[]@:#\\", max_size=20).map("/".__add__),
    st.just("http://b.example:80/x?y=1"),
    st.just("*"),
)
FRAMING = st.sampled_from(
    [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
     b"Content-Length: 0\r\nConnection: keep-alive\r\n",
     b"Content-Length: 1\r\nContent-Length: 1\r\n"]
)  # fmt: skip
# llhttp knows fewer methods than the registry; these both know.
METHOD = st.sampled_from(
    sorted(
        METHODS.keys()
        - {b"BASELINE-CONTROL", b"CHECKIN", b"LABEL", b"MKREDIRECTREF", b"MKWORKSPACE",
           b"ORDERPATCH", b"UNCHECKOUT", b"UPDATE", b"UPDATEREDIRECTREF", b"VERSION-CONTROL"}
    )
)  # fmt: skip


class Heard:
    """What llhttp tells of a message."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.heads = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.heads += 1


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    method = draw(METHOD)
    lines = [(draw(TOKEN).encode(), draw(VALUE)) for _ in range(draw(st.integers(0, 4)))]
    fields = b"".join(b"%b: %b\r\n" % line for line in lines)
    minor = draw(st.sampled_from([0, 1]))
    framing = draw(FRAMING)
    target = "*" if method == b"OPTIONS" else draw(TARGET)
    return (
        b"%b %b HTTP/1.%d\r\nHost: a\r\n" % (method, target.encode(), minor)
        + fields
        + framing
        + b"\r\n"
    )


@settings(max_examples=400)
@given(heads())
def test_llhttp_reads_the_same(raw: bytes) -> None:
    try:
        head = parse_request(raw)
    except BadRequest:
        return
    heard = Heard()
    parser = httptools.HttpRequestParser(heard)
    with contextlib.suppress(httptools.HttpParserUpgrade):  # we drop the offer; llhttp stops there
        parser.feed_data(raw)
    assert heard.heads == 1
    assert parser.get_method().decode() == head.method
    assert parser.get_http_version() == f"1.{head.minor}"
    if raw.split(b" ")[1].startswith(b"/"):
        assert heard.target == head.target
    pairs = [line.split(b":", 1) for line in head.raw.splitlines()]
    ours = [(name, value.strip(b" \t")) for name, value in pairs]
    assert [(name, value.strip(b" \t")) for name, value in heard.fields] == ours
    if not any(name.lower() in (b"connection", b"upgrade") for name, _ in ours):
        assert parser.should_keep_alive() == head.keep_alive
