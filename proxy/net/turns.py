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

MOST: Final = 64
"""Pieces that are taken in one turn as they come: 2 to 5 ms; to wait costs something, too."""
TURN_S: Final = 0.0002
"""What those that wait have of each turn."""
PART: Final = 0.125
"""Of what all else took, if that is more: reading thousands of pieces is part of it, and must not
be followed by as long a time again in which nobody else is served."""


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

    __slots__ = ("_bodies", "_clock", "_heads", "_is_due", "_loop", "_most", "_spent", "_stopped")

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
        self._is_due = False
        self._heads: deque[Waiter] = deque()
        self._bodies: deque[Waiter] = deque()

    def take(self, *, body: bool) -> bool:
        """Whether this turn has room for one more piece; if not, ``wait``.

        Args:
            body: it is one of a body, not what a connection begins with.
        """
        if self._heads or (body and self._bodies):
            return False
        if not self._spent:
            self._loop.call_soon(self._begin)
        self._spent += 1
        return self._spent <= self._most

    def wait(self, waiter: Waiter, *, body: bool) -> None:
        """Call ``waiter.on_turn`` once, in one of the next turns, in order.

        Whoever is new does not wait behind thousands of pieces of bodies, nor these behind
        thousands who are new: both are served by turns.
        """
        (self._bodies if body else self._heads).append(waiter)
        if not self._is_due:
            self._is_due = True
            self._stopped = self._clock()
            self._loop.call_soon(self._next)

    def _begin(self) -> None:
        """Another turn."""
        self._spent = 0

    def _next(self) -> None:
        """Serve who waits for a part of what all else took since the last time: so however busy
        others keep the loop, a ninth of its time is theirs."""
        start = self._clock()
        end = start + max(TURN_S, (start - self._stopped) * PART)
        while (self._heads or self._bodies) and self._clock() < end:
            for waiting in (self._heads, self._bodies):
                if waiting:
                    self._serve(waiting.popleft())
        self._is_due = bool(self._heads or self._bodies)
        if self._is_due:
            self._stopped = self._clock()
            self._loop.call_soon(self._next)

    def _serve(self, waiter: Waiter) -> None:
        try:
            waiter.on_turn()
        except Exception as error:  # noqa: BLE001 one that fails must not stop the others
            said = {"message": "a connection failed at its turn", "exception": error}
            self._loop.call_exception_handler(said)
            waiter.transport.abort()
