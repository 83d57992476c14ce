"""Owns the last good snapshot on disk, for a start without the control plane. Never applies it.

Written whole and atomically: a temporary file in the same directory, fsync, rename, fsync of the
directory. A kill at any point leaves the old file or the new one. What is read back must match its
checksum and its types; a damaged file is put aside and never stops the start. Neither does a
directory that cannot be written: traffic matters more than its memory.

In which order: a snapshot is in force first, then told to the control plane (``Ack``), and kept
here beside that, by a thread that nobody waits for. That is safe, since an ack says "in force" and
promises nothing of this disk: the control plane had the revision durably before it sent it, and
sends it again to whoever says hello with less. Files replace each other in the order in which
snapshots came into force, so what is read back is never older than what was read back before. What
a kill in the milliseconds between costs: a proxy that starts anew *while no control plane answers*
serves by the snapshot before, as it would had the newest one come a moment later. A proxy that ends
in order writes first.
"""

import asyncio
import hashlib
import logging
import os
import threading
from pathlib import Path

import msgspec

from proxy.model.wire import Snapshot

LOG = logging.getLogger("splitway.sync.state")

FORMAT = 1
LEAVE_S = 2.0
"""A proxy that ends waits so long for a disk that hangs."""
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class _Stored(msgspec.Struct, frozen=True):
    format: int
    sha256: str
    """Of the snapshot's bytes as they stand in the file."""
    snapshot: msgspec.Raw


class StateFile:
    """Keeps one snapshot. ``write`` may be called again before the last call is done; the newest
    call wins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # One temporary name a process: a crash leaves at most one, and two proxies that overlap
        # during a deployment do not write into each other's.
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._calls = 0
        self._written_call = 0
        self._lock = threading.Lock()
        self._trouble = ""
        self._waiting: Snapshot | None = None
        self._keeping: asyncio.Task[None] | None = None

    def read(self) -> Snapshot | None:
        """The snapshot that was kept; None if there is none or it cannot be used. For the start,
        before the event loop runs."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            LOG.warning("last good snapshot %s cannot be read: %s", self._path, error.strerror)
            return None
        try:
            return decode(raw)
        except ValueError as error:
            self._put_aside(str(error))
            return None

    def keep(self, snapshot: Snapshot) -> None:
        """Begins to keep a snapshot. While one is being written only the newest waits."""
        self._waiting = snapshot
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="last good snapshot")

    async def kept(self, within_s: float = LEAVE_S) -> bool:
        """Waits for what ``keep`` began. Returns whether it is done, well or not."""
        if self._keeping is None:
            return True
        _, waiting = await asyncio.wait([self._keeping], timeout=within_s)
        return not waiting

    async def _keep(self) -> None:
        while (snapshot := self._waiting) is not None:
            self._waiting = None
            try:
                await self.write(snapshot)
            except Exception:
                LOG.exception("revision %d is not kept for a restart", snapshot.revision)
        self._keeping = None

    async def write(self, snapshot: Snapshot) -> bool:
        """Keeps a snapshot, off the event loop.

        Returns:
            Whether it, or a newer one, is on disk now.
        """
        self._calls += 1
        return await asyncio.to_thread(self._write, self._calls, snapshot)

    def _write(self, call: int, snapshot: Snapshot) -> bool:
        with self._lock:
            if call < self._written_call:
                return True
            try:
                self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._replace(encode(snapshot))
            except OSError as error:
                self._report(error.strerror or str(error))
                return False
            self._written_call = call
            self._report("")
            return True

    def _replace(self, raw: bytes) -> None:
        # 0600: salts are in it, and nobody else needs to know who gets the canary.
        fd = os.open(self._temporary, _FLAGS, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(fd)
            self._temporary.replace(self._path)
        except OSError:
            self._temporary.unlink(missing_ok=True)
            raise
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _put_aside(self, why: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
        except OSError as error:
            LOG.warning(
                "last good snapshot %s is damaged and ignored: %s (it cannot be renamed: %s)",
                self._path,
                why,
                error.strerror,
            )
        else:
            LOG.warning(
                "last good snapshot %s is damaged and ignored: %s; it is kept as %s",
                self._path,
                why,
                aside.name,
            )

    def _report(self, trouble: str) -> None:
        """Once for each change of state, not once a snapshot."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            LOG.warning(
                "last good snapshot cannot be kept in %s: %s; a restart while the control plane"
                " is away would start from the file alone (make the directory writable or set"
                " control.state_file)",
                self._path,
                trouble,
            )
        else:
            LOG.info("last good snapshot is kept in %s again", self._path)


def encode(snapshot: Snapshot) -> bytes:
    """The file's bytes."""
    raw = msgspec.json.encode(snapshot)
    stored = _Stored(
        format=FORMAT, sha256=hashlib.sha256(raw).hexdigest(), snapshot=msgspec.Raw(raw)
    )
    return msgspec.json.encode(stored)


def decode(raw: bytes) -> Snapshot:
    """The snapshot in a file's bytes.

    Raises:
        ValueError: they are not what ``encode`` made.
    """
    try:
        stored = msgspec.json.decode(raw, type=_Stored)
        if stored.format != FORMAT:
            raise ValueError(f"format {stored.format} is unknown, this release reads {FORMAT}")
        if hashlib.sha256(stored.snapshot).hexdigest() != stored.sha256:
            raise ValueError("its checksum does not match")
        return msgspec.json.decode(stored.snapshot, type=Snapshot)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
