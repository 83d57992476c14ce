"""Owns what is on its way to one proxy. Never decides what that is.

A frame is made once for all proxies (``frames``) and written straight to the connection when that
is free: no task is woken and nothing is encoded for each of thousands. Where the one before has not
gone out yet, the newest waits, in the place of any that waited before it; a connection that takes
nothing for ``STALLED_S`` is cut. So one that reads slowly costs what is in its connection already
(one snapshot and 64 KB at most), skips revisions, and delays nobody.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from controlplane.stream.frames import close_frame

_log = logging.getLogger(__name__)

STALLED_S = 30.0
"""For the snapshot before, while a newer one waits. A proxy that reads needs far less."""

_SAID_BYTES = 65_536


class Outbox:
    """One proxy's side of the hub.

    Args:
        transport: of the connection, whose frames are written whole, one after the other.
        drained: waits until the connection takes more.
        name: of the proxy, or its address while it has not said who it is; for the log.
        stalled_s: see ``STALLED_S``.
    """

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        drained: Callable[[], Awaitable[None]],
        name: str,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._transport = transport
        self._drained = drained
        self.name = name
        self._stalled_s = stalled_s
        self._pending: bytes | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._closed = False

    def put(self, frame: bytes) -> None:
        """Sends a snapshot: now, or in the place of the one that waits."""
        if self._closed:
            return
        if self._waiting is None and not self._transport.get_write_buffer_size():
            self._write(frame)
            return
        self._pending = frame
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._send_later(), name=f"late to {self.name}")

    def say(self, frame: bytes) -> None:
        """Sends something short; not to one that reads so slowly that it would pile up."""
        if not self._closed and self._transport.get_write_buffer_size() < _SAID_BYTES:
            self._write(frame)

    def goodbye(self, code: int, reason: str) -> None:
        """Begins to close the connection; nothing is sent after it."""
        if not self._closed:
            self._pending, self._closed = None, True
            self._write(close_frame(code, reason))

    def cut(self) -> None:
        """Ends the connection without asking the other side."""
        self._transport.abort()

    async def leave(self) -> None:
        """The connection is over."""
        self._closed = True
        task, self._waiting = self._waiting, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _send_later(self) -> None:
        try:
            while (frame := self._pending) is not None:
                async with asyncio.timeout(self._stalled_s):
                    await self._drained()
                # Taken only now: what has waited may have been replaced.
                frame, self._pending = self._pending, None
                if frame is not None:
                    self._write(frame)
        except TimeoutError:
            _log.warning("proxy %r took nothing for %g s: cut", self.name, self._stalled_s)
            self._transport.abort()
        except ConnectionError:
            pass  # who listens to it sees the end of the connection too, and cleans up
        finally:
            self._waiting = None

    def _write(self, frame: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(frame)
