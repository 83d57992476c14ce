"""Owns one connection's deadline at the price of a store: the timer is re-armed only when it fires.

A timer a request would cost more than the routing does. Here the deadline moves freely and the
timer, already set for an earlier moment, looks again when it fires.
"""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls ``expired`` once when the time set last is over and was not cleared.

    Args:
        loop: its ``time()`` is monotonic, so steps of the wall clock fire nothing.
    """

    __slots__ = ("_armed_at", "_at", "_expired", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at = 0.0
        self._armed_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, delay_s: float) -> None:
        """Expire ``delay_s`` from now instead of whatever was set before."""
        self._at = at = self._loop.time() + delay_s
        if self._handle is None:
            self._arm(at)
        elif at < self._armed_at:
            self._handle.cancel()
            self._arm(at)

    def clear(self) -> None:
        """Expire no more, until set again."""
        self._at = 0.0

    def close(self) -> None:
        """Let go of the timer; the deadline is not used again."""
        self._at = 0.0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, at: float) -> None:
        self._armed_at = at
        self._handle = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._handle = None
        at = self._at
        if at == 0.0:
            return
        if self._loop.time() < at:
            self._arm(at)
            return
        self._at = 0.0
        self._expired()
