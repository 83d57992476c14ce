"""Owns the access log: one JSON line a request. Never blocks the event loop, never grows unbounded.

Lines are collected in memory and handed in chunks to a writer thread (``line_writer``). Once
``LIMIT_BYTES`` wait for it, because a pipe is full or a disk stalls, lines are dropped and counted.

Lines are ASCII, so nothing that a client sends can begin a line or move a terminal's cursor
(Envoy CVE-2024-45808). The query is left out of the path: it may hold secrets. A line is at most
``LINE_BYTES`` long, whatever was sent.
"""

import json
import time
from functools import lru_cache

import msgspec

from proxy.telemetry.line_writer import CHUNK_BYTES, LINE_BYTES, LineWriter

LIMIT_BYTES = 4 * 1024 * 1024
"""About 10,000 requests' lines: a second of full load while the reader is away."""
STDOUT_FD = 1

_LONGEST = {
    "id": 128,
    "client": 64,
    "method": 32,
    "host": 255,
    "path": 1024,
    "source": 256,
    "endpoint": 256,
    "error": 256,
}
_SHORT = 48
"""For a line that is too long still: a character takes six bytes at worst."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is told about one request. Text of clients is decoded as latin-1, byte by byte."""

    id: str
    client: str
    """The client's address."""
    method: str
    host: str
    path: str
    """A query that is still on it is cut off."""
    protocol: str
    status: int
    duration_s: float
    request_bytes: int = 0
    response_bytes: int = 0
    service: str = ""
    version: str = ""
    source: str = ""
    """The sticky source that decided."""
    slot: int | None = None
    revision: int = 0
    endpoint: str = ""
    attempts: int = 0
    reason: str = ""
    """Why this version."""
    error: str = ""
    """What went wrong, in our own words."""


class _Line(msgspec.Struct):
    time: str
    id: str
    client: str
    method: str
    host: str
    path: str
    protocol: str
    status: int
    service: str
    version: str
    source: str
    slot: int | None
    revision: int
    endpoint: str
    duration_ms: float
    request_bytes: int
    response_bytes: int
    attempts: int
    reason: str
    error: str


class AccessLog:
    """Writes entries to a file, or to standard output for ``-``. Make it after a fork.

    ``write``, ``flush``, ``reopen`` and ``close`` are for one thread, the event loop's.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(
        self, path: str, *, stdout_fd: int = STDOUT_FD, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._path = "" if path == "-" else path
        self._limit_bytes = limit_bytes
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        # Each figure has one writer only, so that no lock is needed.
        self._handed_bytes = 0
        self._refused_lines = 0
        self._writer = LineWriter(self._path, stdout_fd)

    @property
    def dropped(self) -> int:
        """Lines lost so far: refused by the limit here, or by the disk or pipe."""
        return self._refused_lines + self._writer.lost_lines

    def write(self, entry: Entry, now: float) -> None:
        """Adds a line.

        Args:
            entry: the request.
            now: when it ended, in seconds since the epoch.
        """
        line = format_line(entry, now)
        behind = self._handed_bytes - self._writer.done_bytes
        if behind + self._waiting_bytes + len(line) > self._limit_bytes:
            self._refused_lines += 1
            return
        self._lines.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hands the collected lines to the writer; to be called every second or so."""
        if not self._lines:
            return
        self._handed_bytes += self._waiting_bytes
        self._writer.put(self._lines)
        self._lines = []
        self._waiting_bytes = 0

    def reopen(self) -> None:
        """Opens the file anew after log rotation moved it away; earlier lines go to the old."""
        self.flush()
        if self._path:
            self._writer.reopen()

    def close(self, timeout_s: float = 2.0) -> bool:
        """Flushes and stops the writer.

        Returns:
            Whether everything was written in time; a reader that hangs is left behind.
        """
        self.flush()
        return self._writer.stop(timeout_s)


def format_line(entry: Entry, now: float) -> bytes:
    """One line of ASCII JSON, newline included, of at most ``LINE_BYTES``.

    Args:
        entry: the request.
        now: seconds since the epoch.
    """
    line = _encode(_line(entry, now, _LONGEST))
    if len(line) >= LINE_BYTES:
        line = _encode(_line(entry, now, dict.fromkeys(_LONGEST, _SHORT)))
    return line + b"\n"


def _line(entry: Entry, now: float, longest: dict[str, int]) -> _Line:
    return _Line(
        time=timestamp(now),
        id=_cut(entry.id, longest["id"]),
        client=_cut(entry.client, longest["client"]),
        method=_cut(entry.method, longest["method"]),
        host=_cut(entry.host, longest["host"]),
        path=_cut(entry.path.partition("?")[0], longest["path"]),
        protocol=entry.protocol,
        status=entry.status,
        service=entry.service,
        version=entry.version,
        source=_cut(entry.source, longest["source"]),
        slot=entry.slot,
        revision=entry.revision,
        endpoint=_cut(entry.endpoint, longest["endpoint"]),
        duration_ms=round(entry.duration_s * 1000, 3),
        request_bytes=entry.request_bytes,
        response_bytes=entry.response_bytes,
        attempts=entry.attempts,
        reason=entry.reason,
        error=_cut(entry.error, longest["error"]),
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "..."


def _encode(line: _Line) -> bytes:
    try:
        encoded = msgspec.json.encode(line)
    except UnicodeEncodeError:  # a lone surrogate
        encoded = b"\xff"
    if not encoded.isascii():
        # The rare way: \u escapes for everything, C1 controls and U+2028 among it.
        encoded = json.dumps(msgspec.structs.asdict(line), separators=(",", ":")).encode("ascii")
    # DEL is the one control that JSON leaves as it is.
    return encoded.replace(b"\x7f", b"\\u007f")


def timestamp(now: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    milliseconds = int(now * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=2)
def _second(epoch_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_s))
