"""Owns the newest snapshot and who is to have it. Never touches a socket.

A snapshot is encoded once a revision, as the frame that goes to every proxy, and handed to every
outbox at once; what a slow proxy skips is the outbox's to say.
"""

import asyncio
from collections.abc import Iterator
from typing import Protocol

import msgspec
from aiohttp import WSCloseCode

from controlplane.model import Revision
from controlplane.stream.frames import text_frame
from proxy.model.wire import Snapshot

GOODBYES = 250
"""Said in one turn of the event loop."""
GOODBYE_S = 3.0
"""How long the other sides may take to answer it."""


class Receiver(Protocol):
    """The way to one proxy."""

    def put(self, frame: bytes) -> None:
        """Send a snapshot, in place of any that was not sent yet."""

    def goodbye(self, code: int, reason: str) -> None:
        """Close the connection."""

    def cut(self) -> None:
        """End the connection without asking the other side."""


class Hub:
    """Hands every new revision to every proxy."""

    def __init__(self, store_id: str, newest: Revision) -> None:
        self.store_id = store_id
        self._newest = newest
        self._frame: bytes | None = None
        self._receivers: set[Receiver] = set()
        self._streams: set[Receiver] = set()
        """The receivers, and those that have not said hello."""
        self._closed = False
        self._all_gone = asyncio.Event()

    @property
    def revision(self) -> int:
        """What every proxy should be on; 0 before the first change."""
        return self._newest.number

    def publish(self, revision: Revision) -> None:
        """Pushes a revision that is durable. An old one never replaces a newer one."""
        if revision.number <= self._newest.number:
            return
        self._newest, self._frame = revision, None
        if self._receivers:
            frame = self._encoded()
            for receiver in self._receivers:
                receiver.put(frame)

    def open(self, receiver: Receiver) -> None:
        """Somebody has connected, and is yet to say who it is."""
        self._streams.add(receiver)
        if self._closed:
            _say_goodbye(receiver)

    def join(self, receiver: Receiver, has: int) -> None:
        """A proxy is there that runs on revision ``has`` of this store (0: on none)."""
        if not self._closed and self._newest.number > has:
            # Never back: this control plane may be behind another.
            receiver.put(self._encoded())
        self._receivers.add(receiver)

    def leave(self, receiver: Receiver) -> None:
        """The connection is over."""
        self._receivers.discard(receiver)
        self._streams.discard(receiver)
        if self._closed and not self._streams:
            self._all_gone.set()

    async def close(self, goodbye_s: float = GOODBYE_S) -> None:
        """Says goodbye to everybody who is connected, and to each that comes after; cuts who has
        not gone in time.

        To some at a time: those who have heard it answer and go meanwhile, and need not be waited
        for after thousands of others.
        """
        self._closed = True
        for batch in _batches(list(self._streams)):
            for receiver in batch:
                _say_goodbye(receiver)
            await asyncio.sleep(0)
        if not self._streams:
            return
        try:
            async with asyncio.timeout(goodbye_s):
                await self._all_gone.wait()
        except TimeoutError:
            for receiver in list(self._streams):
                receiver.cut()

    def _encoded(self) -> bytes:
        """Encoded once a revision, whatever the number of proxies."""
        if self._frame is None:
            newest = self._newest
            given = (newest.number, newest.traffic, newest.tables, self.store_id, newest.edges)
            snapshot = Snapshot(*given)
            self._frame = text_frame(msgspec.json.encode(snapshot))
        return self._frame


def _batches(receivers: list[Receiver]) -> Iterator[list[Receiver]]:
    for start in range(0, len(receivers), GOODBYES):
        yield receivers[start : start + GOODBYES]


def _say_goodbye(receiver: Receiver) -> None:
    receiver.goodbye(WSCloseCode.GOING_AWAY, "the control plane is stopping")
