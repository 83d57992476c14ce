"""Owns what is sent at the end of a turn of the event loop rather than at once.

Who gets bytes is woken by them, and to wake a sleeping process on another processor is the dearest
part of sending, above all on a virtual machine. Sent one behind the other, the messages of a turn
wake it once; sent as each is ready, it sleeps again in between (ADR 12).

Only whole messages wait, behind which nothing follows on the same connection before the answer. A
sender that has more to send sends first what waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

MOST: Final = 64
"""Messages that wait together; with more there is nothing left to gain, and the first is late."""
MOST_BYTES: Final = 32_768
"""A larger message is sent at once: it costs more than waking whom it is for."""

LARGE_BYTES: Final = 16_384
"""Of a piece that comes: before it is passed on, what waits is sent. Bodies would hold it up."""


class Sender(Protocol):
    """Who has something to send.

    Attributes:
        transport: its connection, which is cut if sending fails.
    """

    transport: asyncio.Transport

    def flush(self) -> None:
        """Send what waits, if anything still does."""


class Outbox:
    """Who has something to send at the end of this turn.

    Args:
        loop: whose turns they are.
    """

    __slots__ = ("_hurried", "_loop", "_senders")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._senders: list[Sender] = []
        self._hurried = False

    def hurry(self) -> None:
        """Work was put off to the end of this turn that takes longer than waiting is worth: send
        at once until it is done."""
        if not self._hurried:
            self._hurried = True
            self._loop.call_soon(self._calm)
            self.flush()

    def add(self, sender: Sender) -> None:
        """Call ``sender.flush`` at the end of this turn, or sooner."""
        if self._hurried:
            sender.flush()
            return
        senders = self._senders
        if not senders:
            self._loop.call_soon(self.flush)
        senders.append(sender)
        if len(senders) >= MOST:
            self.flush()

    def _calm(self) -> None:
        self._hurried = False

    def flush(self) -> None:
        """Send everything that waits."""
        senders, self._senders = self._senders, []
        for sender in senders:
            try:
                sender.flush()
            except Exception as error:  # noqa: BLE001 one that fails must not stop the others
                said = {"message": "a connection failed to send", "exception": error}
                self._loop.call_exception_handler(said)
                sender.transport.abort()
