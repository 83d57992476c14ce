"""The grammar's own corners: what cannot become a head, and time linear in the bytes."""

import pytest

from proxy.http1 import grammar


@pytest.mark.parametrize("part", [b"", b"G", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nA: b\r\n\r"])
def test_parts_that_may_still_become_heads(part: bytes) -> None:
    assert not grammar.is_broken(part, 0)
    assert not any(grammar.is_broken(part, seen) for seen in range(len(part)))


@pytest.mark.parametrize(
    "part", [b"\n", b"GET /\nX", b"GET /\rX", b"a\r\r", b"\x00", b"A: b\r\n\n"]
)
def test_parts_that_cannot(part: bytes) -> None:
    assert grammar.is_broken(part, 0)
    assert grammar.is_broken(b"AB" + part, 2)


def test_a_look_at_what_is_new_sees_the_byte_before() -> None:
    part = b"GET / HTTP/1.1\r\n"
    for seen in range(1, len(part)):
        assert not grammar.is_broken(part, seen)
    assert grammar.is_broken(b"ab\rX", 3)
    assert not grammar.is_broken(b"ab\r\n", 3)
    assert not grammar.is_broken(b"ab\r\nc", 4)


def test_empty_lines() -> None:
    empty = grammar.EMPTY_LINES.match(b"x" + b"\r\n" * 9 + b"GET \r\n\r\n", 1)
    assert empty is not None
    assert empty.end() == 19
    assert grammar.EMPTY_LINES.match(b"\r\r\n") is None


@pytest.mark.parametrize(
    "raw", [b"A" * 60_000, b"GET " + b"/" * 60_000, b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 15_000]
)
def test_refusing_takes_one_pass(raw: bytes) -> None:
    """A pattern that backtracked would not come back from these within the suite's timeout."""
    assert grammar.REQUEST_HEAD.fullmatch(raw + b"\x00\r\n\r\n") is None
    assert grammar.RESPONSE_HEAD.fullmatch(b"HTTP/1.1 200 " + raw + b"\x00\r\n\r\n") is None
