"""Framers: the same payload, trailers and rest, whatever the pieces the bytes come in."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.body import (
    MAX_LINE_BYTES,
    MAX_TRAILER_BYTES,
    ChunkedFramer,
    CloseFramer,
    Framer,
    LengthFramer,
    encode_chunk,
    encode_last_chunk,
)
from proxy.http1.errors import BadChunk


def feed_all(framer: Framer, pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    """Payload, and what was behind the body; None if it did not end."""
    payload = b""
    rest: bytes | None = None
    for piece in pieces:
        if rest is not None:
            rest += piece
            continue
        part, rest = framer.feed(piece)
        payload += part
    return payload, rest


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Pieces of ``data``, none empty."""
    marks = sorted({0, len(data), *(mark % (len(data) + 1) for mark in at)})
    return [data[start:end] for start, end in pairwise(marks)]


BODY = b"5;x=y\r\nhello\r\n00a ; q\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nEmpty:\r\n\r\nGET /next"
PAYLOAD = b"hello0123456789"
TRAILERS = b"X-Sum: 1\r\nEmpty:\r\n"


def test_chunked_in_two_pieces_at_every_byte() -> None:
    for at in range(len(BODY) + 1):
        framer = ChunkedFramer()
        pieces = [piece for piece in (BODY[:at], BODY[at:]) if piece]
        assert feed_all(framer, pieces) == (PAYLOAD, b"GET /next"), at
        assert framer.trailers == TRAILERS


def test_chunked_byte_by_byte() -> None:
    framer = ChunkedFramer()
    assert feed_all(framer, [bytes((byte,)) for byte in BODY]) == (PAYLOAD, b"GET /next")
    assert framer.trailers == TRAILERS


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.sampled_from([b"", b"X-A: b\r\n", b"X-A:\tb\r\nGrpc-Status: 0\r\n"]),
    st.binary(max_size=10),
    st.lists(st.integers(0, 10_000), max_size=8),
)
def test_chunked_in_any_pieces(
    chunks: list[bytes], trailers: bytes, behind: bytes, at: list[int]
) -> None:
    wire = b"".join(b"".join(encode_chunk(chunk)) for chunk in chunks)
    wire += encode_last_chunk(trailers)
    framer = ChunkedFramer()
    assert feed_all(framer, cut(wire + behind, at)) == (b"".join(chunks), behind)
    assert framer.trailers == trailers


@given(st.binary(max_size=60), st.binary(max_size=10), st.lists(st.integers(0, 10_000), max_size=5))
def test_a_length_in_any_pieces(body: bytes, behind: bytes, at: list[int]) -> None:
    pieces = cut(body + behind, at) or [b""]
    framer = LengthFramer(len(body))
    payload, rest = feed_all(framer, pieces)
    assert (payload, rest) == (body, behind)
    assert framer.trailers == b""


def test_a_huge_length_ends_where_it_says() -> None:
    framer = LengthFramer(10**18 - 1)
    assert framer.feed(b"x" * 100) == (b"x" * 100, None)


def test_a_body_until_the_end_never_ends_by_itself() -> None:
    framer = CloseFramer()
    assert framer.feed(b"\r\n0\r\n\r\n") == (b"\r\n0\r\n\r\n", None)
    assert framer.trailers == b""


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n", b"\n", b"5\nhello", b"g\r\n", b"0x5\r\n", b"+5\r\n", b"-5\r\n", b" 5\r\n",
        b"5 \r\n",
        b"5\t\r\n", b"5_0\r\n", b"5,\r\n", b";x\r\n", b"5;\x00\r\n", b"5;a\rb\r\n", b"5;a\nb\r\n",
        b"1" * 16 + b"\r\n", b"5\r\r\nhello", b"5\r\nhello!\r\n", b"5\r\nhello\n0\r\n",
        b"5\r\nhelloX\n",
        b"5\r\nhello\r\r\n", b"5\r\nhello0\r\n\r\n", b"0\r\n\n", b"0\r\nX\r\n", b"0\r\n: x\r\n",
        b"0\r\nX : y\r\n", b"0\r\n X: y\r\n", b"0\r\nX: \x00\r\n", b"0\r\nX: a\nb\r\n",
        b"0\r\nX: a\rb\r\n", b"0;a\n\r\n", b"\xb5\r\n", b"\xef\xbc\x95\r\n",
    ],
)  # fmt: skip
def test_broken_framing_is_refused_whole_or_byte_by_byte(wire: bytes) -> None:
    for pieces in ([wire], [bytes((byte,)) for byte in wire]):
        with pytest.raises(BadChunk):
            feed_all(ChunkedFramer(), pieces)


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "CONTENT-LENGTH", "HOST"],
)
def test_framing_and_routing_fields_in_trailers_are_refused(name: str) -> None:
    with pytest.raises(BadChunk):
        ChunkedFramer().feed(b"0\r\n%b: x\r\n\r\n" % name.encode())


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Cookie", "Set-Cookie", "Connection", "TE", "Trailer", "Upgrade", "Expect",
     "Content-Type", "Content-Encoding", "Content-Range", "X-Request-Id", "X_Request_Id",
     "X-Forwarded-For", "x_forwarded_proto", "X-Splitway-Decision", "Keep-Alive", "Forwarded",
     "X-Real-IP", "Content_Length", "transfer_encoding"],
)  # fmt: skip
def test_other_fields_that_may_not_stand_in_trailers_are_dropped(name: str) -> None:
    framer = ChunkedFramer()
    wire = b"0\r\nX-A: 1\r\n%b: x\r\nX-B: 2\r\n\r\n" % name.encode()
    assert framer.feed(wire) == (b"", b"")
    assert framer.trailers == b"X-A: 1\r\nX-B: 2\r\n"


@pytest.mark.parametrize("start", [b"5;", b"0\r\nX: "])
def test_long_lines_are_refused_before_their_end(start: bytes) -> None:
    framer = ChunkedFramer()
    with pytest.raises(BadChunk):
        feed_all(framer, [start, *([b"x" * 512] * (MAX_LINE_BYTES // 512 + 1))])
    with pytest.raises(BadChunk):
        ChunkedFramer().feed(start + b"x" * 1_000_000 + b"\r\n")


def test_the_longest_line_passes() -> None:
    line = b"1;" + b"x" * (MAX_LINE_BYTES - 4) + b"\r\n"
    assert len(line) == MAX_LINE_BYTES
    assert ChunkedFramer().feed(line + b"a\r\n") == (b"a", None)


def test_trailers_are_bounded() -> None:
    line = b"X-A: " + b"x" * 1_000 + b"\r\n"
    framer = ChunkedFramer()
    with pytest.raises(BadChunk):
        feed_all(framer, [b"0\r\n", *([line] * (MAX_TRAILER_BYTES // 1_000 + 1))])
    assert len(framer.trailers) <= MAX_TRAILER_BYTES + 2 * len(line)


def test_huge_chunks_pass_piece_by_piece() -> None:
    framer = ChunkedFramer()
    assert framer.feed(b"fffffffffffffff\r\n") == (b"", None)
    assert framer.feed(b"x" * 70_000) == (b"x" * 70_000, None)


@given(st.lists(st.binary(max_size=12), max_size=4))
def test_any_bytes_are_framed_or_refused_never_an_error(pieces: list[bytes]) -> None:
    framer = ChunkedFramer()
    try:
        for piece in pieces:
            if framer.feed(piece)[1] is not None:
                return
    except BadChunk:
        return
