"""Owns where a body ends: wire bytes in, payload and what is left over out. Never keeps a body.

Every framer has ``feed(data) -> (payload, rest)``; ``rest`` is None while the body goes on, and the
bytes behind it (maybe empty) once it is whole. Source: RFC 9112 §6, §7.1.
"""

from collections.abc import Callable
from typing import Final, Protocol

from proxy.http1 import grammar
from proxy.http1.errors import BadChunk

MAX_LINE_BYTES: Final = 4 * 1024
"""A chunk's size with its extensions: no known client comes near, attackers send megabytes."""
MAX_TRAILER_BYTES: Final = 8 * 1024

_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"host"))
"""Whoever merges trailers into the head would frame or route by these: refused."""
_DROPPED: Final = frozenset(
    b"authorization cache-control connection content-encoding content-range content-type cookie "
    b"expect forwarded keep-alive max-forwards proxy-authorization proxy-connection set-cookie te "
    b"trailer upgrade x-real-ip x-request-id".split()
)
"""Authentication, request modifiers, content format: nobody may take them from there, and whoever
forwards may drop them (RFC 9110 §6.5.1)."""
_DROPPED_PREFIXES: Final = (b"x-forwarded", b"x-splitway")


class Framer(Protocol):
    """Finds the end of one body."""

    trailers: bytes
    """Field lines that came behind the body, each with its CRLF."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Take the next wire bytes; see the module."""


class LengthFramer:
    """A body of a known number of bytes."""

    __slots__ = ("_left",)
    trailers = b""

    def __init__(self, length: int) -> None:
        self._left = length

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See ``Framer``."""
        size = len(data)
        if size < self._left:
            self._left -= size
            return data, None
        left, self._left = self._left, 0
        if size == left:
            return data, b""
        return data[:left], data[left:]


class CloseFramer:
    """A body that ends with the connection."""

    __slots__ = ()
    trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See ``Framer``; never ends by itself."""
        return data, None


class ChunkedFramer:
    """A chunked body. Extensions are dropped, and trailers that may not stand there.

    The states are: a size line, data, the CRLF behind data, trailers.
    """

    __slots__ = ("_left", "_part", "_step", "_trailer_bytes", "trailers")

    def __init__(self) -> None:
        self._step: Callable[[bytes, int, list[bytes]], int] = self._size
        self._left = 0
        self._part = b""
        self._trailer_bytes = 0
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """See ``Framer``.

        Raises:
            BadChunk: the framing is broken; nothing behind this point may be used.
        """
        if self._part:
            data, self._part = self._part + data, b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            at = self._step(data, at, pieces)
            if at < 0:
                self._step = _over  # its own method would make a cycle of it
                return b"".join(pieces), data[-at - 1 :]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), None

    def _line(self, data: bytes, at: int, limit: int) -> tuple[bytes | None, int]:
        """The line at ``at`` without its CRLF, and where the next begins; None if unfinished."""
        end = data.find(b"\n", at, at + limit)
        if end < 0:
            if len(data) - at >= limit:
                raise BadChunk("A line of the chunked framing is too long.")
            self._part = data[at:]
            return None, len(data)
        if end == at or data[end - 1] != 13:
            raise BadChunk("A line of the chunked framing does not end in CRLF.")
        return data[at : end - 1], end + 1

    def _size(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        line, after = self._line(data, at, MAX_LINE_BYTES)
        if line is None:
            return after
        match = grammar.CHUNK_LINE.fullmatch(line)
        if match is None:
            raise BadChunk("A chunk's size is not valid.")
        self._left = int(match[1], 16)
        self._step = self._data if self._left else self._trailer
        return after

    def _data(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        end = at + self._left
        if end > len(data):
            self._left -= len(data) - at
            end = len(data)
        else:
            self._step = self._data_end
        pieces.append(data[at:end])
        return end

    def _data_end(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        if data[at : at + 2] == b"\r\n":
            self._step = self._size
            return at + 2
        if data[at:] != b"\r":
            raise BadChunk("A chunk is longer than its size.")
        self._part = data[at:]
        return len(data)

    def _trailer(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        line, after = self._line(data, at, MAX_LINE_BYTES)
        if line is None:
            return after
        if not line:
            return -after - 1
        match = grammar.TRAILER.fullmatch(line)
        if match is None:
            raise BadChunk("A trailer is not a valid field.")
        name = match[1].lower()
        if name in _FRAMING:
            raise BadChunk("A trailer holds a field that may not stand there.")
        name = name.replace(b"_", b"-")
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise BadChunk("There are too many trailers.")
        # A framing field spelled with `_` is none, but some take it for one.
        if name not in _DROPPED and name not in _FRAMING and not name.startswith(_DROPPED_PREFIXES):
            self.trailers += line + b"\r\n"
        return after


def _over(_data: bytes, _at: int, _pieces: list[bytes]) -> int:
    raise BadChunk("The body has ended.")


def encode_chunk(payload: bytes) -> tuple[bytes, bytes, bytes]:
    """One chunk as the three pieces that go on the wire; the payload is not copied."""
    return b"%x\r\n" % len(payload), payload, b"\r\n"


def encode_last_chunk(trailers: bytes) -> bytes:
    """The end of a chunked body."""
    return b"0\r\n" + trailers + b"\r\n"
