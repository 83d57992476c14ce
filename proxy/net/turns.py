"""Owns whose turn it is when much comes at once: who was answered before goes first.

Thousands of connections that send together, as slow attackers' do, are all read in one turn of the
event loop, and whoever comes next waits for all of them. What connections that were never answered
send is spread over turns instead; reading it costs a fraction of serving it (ADR 11).
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

MOST: Final = 16
"""Pieces that are taken in one turn as they come: 1 to 2 ms."""
TURN_S: Final = 0.001
"""What those that wait have of each turn; more where all else takes more."""


class Waiter(Protocol):
    """Who may have to wait.

    Attributes:
        transport: its connection, which is cut if its turn fails.
    """

    transport: asyncio.Transport

    def on_turn(self) -> None:
        """Go on with what waited, if anything still does."""


class Turns:
    """The turns of one event loop.

    Args:
        most: pieces that a turn has room for as they come.
        clock: seconds, from anywhere.
    """

    __slots__ = ("_clock", "_loop", "_most", "_spent", "_stopped", "_waiting")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        most: int = MOST,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._most = most
        self._spent = 0
        self._stopped = 0.0
        self._waiting: deque[Waiter] = deque()

    def take(self) -> bool:
        """Whether this turn has room for one more piece; if not, ``wait``."""
        if self._waiting:
            return False
        if not self._spent:
            self._loop.call_soon(self._begin)
        self._spent += 1
        return self._spent <= self._most

    def wait(self, waiter: Waiter) -> None:
        """Call ``waiter.on_turn`` once, in one of the next turns, in order."""
        if not self._waiting:
            self._stopped = self._clock()
            self._loop.call_soon(self._next)
        self._waiting.append(waiter)

    def _begin(self) -> None:
        """Another turn."""
        self._spent = 0

    def _next(self) -> None:
        """Serve who waits for as long as all else took since the last time: that is half of the
        loop's time, so nobody waits more than twice as long as if nobody had to."""
        waiting = self._waiting
        start = self._clock()
        end = start + max(TURN_S, start - self._stopped)
        while waiting:
            waiter = waiting[0]
            try:
                waiter.on_turn()
            except Exception as error:  # noqa: BLE001 one that fails must not stop the others
                said = {"message": "a connection failed at its turn", "exception": error}
                self._loop.call_exception_handler(said)
                waiter.transport.abort()
            waiting.popleft()
            self._stopped = self._clock()
            if self._stopped >= end:
                break
        if waiting:
            self._loop.call_soon(self._next)
