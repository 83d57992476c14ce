"""Owns the newest snapshot and who waits for it. Never touches a socket.

Every proxy has a mailbox with room for one snapshot: the newest replaces the one before it, so a
proxy that reads slowly skips revisions and delays nobody.
"""

import asyncio

import msgspec

from controlplane.model import Revision
from proxy.model.wire import Snapshot


class HubClosedError(Exception):
    """The control plane is going away."""


class Mailbox:
    """The newest snapshot that one proxy has not been sent yet."""

    def __init__(self) -> None:
        self._pending: str | None = None
        self.closed = False
        self._filled = asyncio.Event()

    async def take(self) -> str:
        """Waits for a snapshot, as JSON text.

        Raises: HubClosedError.
        """
        await self._filled.wait()
        if self.closed:
            raise HubClosedError
        self._filled.clear()
        text, self._pending = self._pending, None
        if text is None:  # put() fills both together
            raise AssertionError("a filled mailbox without a snapshot")
        return text

    def put(self, text: str) -> None:
        """Replaces what is pending."""
        self._pending = text
        self._filled.set()

    def close(self) -> None:
        """Whoever waits, or will wait, is told that the hub is closed."""
        self.closed = True
        self._filled.set()


class Hub:
    """Hands every new revision to every mailbox."""

    def __init__(self, store_id: str, newest: Revision) -> None:
        self.store_id = store_id
        self._newest = newest
        self._text: str | None = None
        self._mailboxes: set[Mailbox] = set()
        self._closed = False

    @property
    def revision(self) -> int:
        """What every proxy should be on; 0 before the first change."""
        return self._newest.number

    def publish(self, revision: Revision) -> None:
        """Pushes a revision that is durable. An old one never replaces a newer one."""
        if revision.number <= self._newest.number:
            return
        self._newest, self._text = revision, None
        for mailbox in self._mailboxes:
            mailbox.put(self._encoded())

    def join(self, has: int) -> Mailbox:
        """A mailbox for a proxy that runs on revision ``has`` of this store (0: on none)."""
        mailbox = Mailbox()
        if self._closed:
            mailbox.close()
        elif self._newest.number not in (0, has):
            mailbox.put(self._encoded())
        self._mailboxes.add(mailbox)
        return mailbox

    def leave(self, mailbox: Mailbox) -> None:
        """The proxy is gone."""
        self._mailboxes.discard(mailbox)

    def close(self) -> None:
        """Tells every proxy's sender to say goodbye."""
        self._closed = True
        for mailbox in self._mailboxes:
            mailbox.close()

    def _encoded(self) -> str:
        """Encoded once a revision, whatever the number of proxies."""
        if self._text is None:
            newest = self._newest
            snapshot = Snapshot(newest.number, newest.traffic, newest.tables, self.store_id)
            self._text = msgspec.json.encode(snapshot).decode()
        return self._text
