"""Owns whose turn it is when much comes at once: who was answered before goes first.

Thousands of connections that send together, as slow attackers' do, are all read in one turn of the
event loop, and whoever comes next waits for all of them. What connections that were never answered
send is spread over turns instead; reading it costs a fraction of serving it (ADR 11).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

MOST: Final = 16
"""Pieces in one turn: 1 to 2 ms."""


class Waiter(Protocol):
    """Who may have to wait.

    Attributes:
        transport: its connection, which is cut if its turn fails.
    """

    transport: asyncio.Transport

    def on_turn(self) -> bool:
        """Go on with what waited. Returns False if nothing does any more."""


class Turns:
    """The turns of one event loop.

    Args:
        loop: its ``time()`` stands still during a turn, as uvloop's does.
        most: pieces that a turn has room for.
    """

    __slots__ = ("_at", "_loop", "_most", "_spent", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int = MOST) -> None:
        self._loop = loop
        self._most = most
        self._at = 0.0
        self._spent = 0
        self._waiting: deque[Waiter] = deque()

    def take(self) -> bool:
        """Whether this turn has room for one more piece; if not, ``wait``."""
        if self._waiting:
            return False
        now = self._loop.time()
        if now != self._at:
            self._at = now
            self._spent = 0
        self._spent += 1
        return self._spent <= self._most

    def wait(self, waiter: Waiter) -> None:
        """Call ``waiter.on_turn`` once, in one of the next turns, in order."""
        if not self._waiting:
            self._loop.call_soon(self._next)
        self._waiting.append(waiter)

    def _next(self) -> None:
        waiting = self._waiting
        left = self._most
        while left and waiting:
            waiter = waiting[0]
            try:
                left -= waiter.on_turn()
            except Exception as error:  # noqa: BLE001 one that fails must not stop the others
                said = {"message": "a connection failed at its turn", "exception": error}
                self._loop.call_exception_handler(said)
                waiter.transport.abort()
            waiting.popleft()
        if waiting:
            self._loop.call_soon(self._next)
