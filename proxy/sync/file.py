"""Owns the watch over a file. Never parses it: hands each new text to a callback.

Polls instead of inotify: it needs no dependency and sees what inotify on a path misses, such as
Kubernetes swapping the symbolic link behind a mounted ConfigMap, editors that rename a new file
over the old one, and network file systems. A text is handed over only when it has settled, so a
file that is being written in place is not taken half. A file that vanished, cannot be read or is
empty is reported once, and nothing is handed over: the running configuration stays.
"""

import asyncio
import hashlib
import logging
import os
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

LOG = logging.getLogger("splitway.sync.file")

INTERVAL_S = 1.0
SETTLE_S = 0.05
"""Between two readings that must agree before a changed text counts as written whole."""
SETTLE_TRIES = 20
MAX_BYTES = 16 * 1024 * 1024
FRESH_NS = 2_000_000_000
"""A file may change twice within one tick of a file system's clock (up to 2 s on some), unseen in
its times; one that is younger is therefore read again."""


class Seen(NamedTuple):
    """What the file was at the last look; another one means: read it."""

    inode: int
    device: int
    size: int
    modified_ns: int
    changed_ns: int


class FileWatch:
    """Tells when the text of a file has changed.

    Args:
        path: the file; symbolic links are followed anew each time.
        text: what is running now; the same text is not handed over again.
        on_text: gets each new text. It answers for refusing what is wrong; an exception from it
            is logged and the watch goes on.
        interval_s: between two looks.
        wait: how time passes while a changed text settles.
    """

    def __init__(
        self,
        path: Path,
        text: str,
        on_text: Callable[[str], Awaitable[None]],
        *,
        interval_s: float = INTERVAL_S,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._on_text = on_text
        self._interval_s = interval_s
        self._wait = wait
        self._digest = _digest(text.encode())
        self._seen: Seen | None = None
        self._trouble = ""
        self._asked = asyncio.Event()

    @property
    def trouble(self) -> str:
        """Why the file could not be taken at the last look; empty if it could."""
        return self._trouble

    def reload_now(self) -> None:
        """Asks the running watch to hand over the text at once, changed or not (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            asked = await self._next_look()
            await self.poll(always=asked)

    async def poll(self, *, always: bool = False) -> bool:
        """One look at the file.

        Args:
            always: hand the text over even if it has not changed.

        Returns:
            Whether a text was handed over.
        """
        try:
            text = await self._changed_text(always=always)
        except (OSError, ValueError) as error:
            self._report(_reason(error))
            return False
        self._report("")
        if text is None:
            return False
        try:
            await self._on_text(text)
        except Exception:
            LOG.exception("%s: taking it over failed", self._path)
        return True

    async def _next_look(self) -> bool:
        try:
            async with asyncio.timeout(self._interval_s):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    async def _changed_text(self, *, always: bool) -> str | None:
        """The settled text, or None if it is what is running."""
        for _ in range(SETTLE_TRIES):
            raw = await asyncio.to_thread(self._read, always=always)
            if raw is None:
                return None
            digest = _digest(raw)
            if digest == self._digest and not always:
                return None
            await self._wait(SETTLE_S)
            if await asyncio.to_thread(self._read, always=True) == raw:
                text = _text(raw)
                self._digest = digest
                return text
        raise ValueError("is being written to all the time")

    def _read(self, *, always: bool) -> bytes | None:
        """The content, or None if the file is surely the one of the last look."""
        seen = _look(self._path)
        fresh = abs(time.time_ns() - seen.modified_ns) < FRESH_NS
        if seen == self._seen and not fresh and not always and not self._trouble:
            return None
        with self._path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"is larger than {MAX_BYTES} bytes")
        self._seen = seen
        return raw

    def _report(self, trouble: str) -> None:
        """Once for each change of state, not once a second."""
        if trouble == self._trouble:
            return
        if trouble:
            LOG.warning("%s %s; what was read before stays", self._path, trouble)
        else:
            LOG.info("%s is readable again", self._path)
        self._trouble = trouble


def _look(path: Path) -> Seen:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        # Reading a pipe would wait for ever, and take what is meant for somebody else.
        raise ValueError("is not a regular file")
    return Seen(
        status.st_ino, status.st_dev, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _text(raw: bytes) -> str:
    """Raises ValueError for what cannot be a configuration: an empty text is valid YAML, but comes
    from a disk that was full or a writer that has only begun."""
    if not raw.strip():
        raise ValueError("is empty")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from None


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {os.strerror(error.errno) if error.errno else error}"
    return str(error)
