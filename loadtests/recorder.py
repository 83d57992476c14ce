"""Owns writing a journal to its file, cheaply enough for thousands of lines a second.

Never judges what it writes. What is written is on disk within ``FLUSH_S`` while requests flow, so
that others can follow the file live.
"""

import time
from pathlib import Path

from loadtests.journal import Record, encode

FLUSH_S = 0.25
_BUFFER_BYTES = 1 << 16


def now_us() -> int:
    """This machine's monotonic clock, the same for all its processes, in microseconds."""
    return time.monotonic_ns() // 1000


class Recorder:
    """A journal that is being written. A file that exists already is replaced."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb", buffering=_BUFFER_BYTES)
        self._flushed = time.monotonic()

    def write(self, record: Record) -> None:
        """Appends one line."""
        self._file.write(encode(record))
        if (now := time.monotonic()) - self._flushed > FLUSH_S:
            self._file.flush()
            self._flushed = now

    def flush(self) -> None:
        """Puts every line written so far into the file."""
        self._file.flush()

    def close(self) -> None:
        """Ends the journal; closing twice is allowed."""
        self._file.close()
