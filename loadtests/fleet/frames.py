"""Owns the WebSocket frames that a simulated proxy sends and reads. No I/O.

Only what the control plane sends is understood: whole, unmasked frames. Source: RFC 6455 §5.2.
"""

import re

PING, PONG, CLOSE, TEXT = 9, 10, 8, 1
GOING_AWAY = (1001).to_bytes(2, "big")
_FINAL, _MASKED = 0x80, 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_HEAD = 2
_REVISION = re.compile(rb'^\{"type":"snapshot","revision":(\d+),')
_STORE = re.compile(rb'"store":"([^"]*)","edges":\{[^{}]*\}\}$')


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """A client's frame. It is masked with zeros: the same to the server, cheaper to us."""
    size = len(payload)
    if size < _TWO_BYTES:
        head = bytes((_FINAL | opcode, _MASKED | size))
    else:
        head = bytes((_FINAL | opcode, _MASKED | _TWO_BYTES)) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class Reader:
    """Bytes as they come → frames."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Every frame that is whole now, as opcode and payload."""
        kept = self._kept
        kept += data
        frames = []
        while (found := _first(kept)) is not None:
            opcode, start, end = found
            frames.append((opcode, bytes(kept[start:end])))
            del kept[:end]
        return frames


def snapshot_of(text: bytes) -> tuple[int, str]:
    """The revision and the store of a snapshot, without reading what is in between.

    Raises:
        ValueError: the text is no snapshot.
    """
    revision, store = _REVISION.search(text), _STORE.search(text)
    if revision is None or store is None:
        raise ValueError(f"no snapshot: {text[:80]!r}")
    return int(revision[1]), store[1].decode()


def _first(data: bytearray) -> tuple[int, int, int] | None:
    """The opcode and the bounds of the payload of the first frame, if it is whole."""
    if len(data) < _HEAD:
        return None
    size, start = data[1], _HEAD
    if size in (_TWO_BYTES, _EIGHT_BYTES):
        start += 2 if size == _TWO_BYTES else 8
        size = int.from_bytes(data[_HEAD:start], "big")
        if len(data) < start:
            return None
    return (data[0] & 0x0F, start, start + size) if len(data) >= start + size else None
