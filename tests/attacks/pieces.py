"""Owns the pieces a stream is sent in. Never sends them."""

from collections.abc import Iterator

SMALL_BYTES = 600
"""Up to here a stream is cut at every offset; larger ones where it may matter, and elsewhere at a
sample."""
_EDGE_BYTES = 40
_SAMPLE = 10


def bytewise(data: bytes) -> list[bytes]:
    """One byte at a time; the middle of a large stream in larger pieces."""
    if len(data) <= SMALL_BYTES:
        return [data[at : at + 1] for at in range(len(data))]
    step = max(1_000, len(data) // 200)
    middle = data[_EDGE_BYTES:-_EDGE_BYTES]
    return [
        *bytewise(data[:_EDGE_BYTES]),
        *(middle[at : at + step] for at in range(0, len(middle), step)),
        *bytewise(data[-_EDGE_BYTES:]),
    ]


def offsets(data: bytes) -> Iterator[int]:
    """Where to cut a stream in two."""
    size = len(data)
    if size <= SMALL_BYTES:
        yield from range(1, size)
        return
    yield from range(1, _EDGE_BYTES)
    for number in range(1, _SAMPLE):
        yield size * number // _SAMPLE
    yield from range(size - _EDGE_BYTES, size)


def halves(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Every way to send a stream in two pieces."""
    for at in offsets(data):
        yield at, [data[:at], data[at:]]
