"""Owns the deadlines of connections at the price of a store, and of a set's when one is new.

A timer a request, or a connection, would cost more than the routing does. Deadlines wait in buckets
of ``TICK_S`` instead, and one timer of the loop rings for the earliest bucket. A deadline that
moves out stays where it waits: when its bucket rings it looks again, and waits on. A hashed timing
wheel (Varghese and Lauck, SOSP 1987) whose wheel is a dict.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

TICK_S: Final = 0.03125
"""How late a deadline may be. The timeouts that count are seconds, and promised to 0.1 s: two
thirds of that are left to a turn of the loop or a machine that stalls. A power of two, so that
ticks and seconds convert without rounding."""


class Timers:
    """Where the deadlines of one event loop wait.

    Args:
        loop: its ``time()`` is monotonic, so steps of the wall clock fire nothing.
    """

    __slots__ = ("_buckets", "_handle", "_loop", "_rings_at", "_ticks", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.time = loop.time
        self._loop = loop
        self._buckets: dict[int, set[Deadline]] = {}
        self._ticks: list[int] = []  # a heap of the buckets' keys
        self._handle: asyncio.TimerHandle | None = None
        self._rings_at = 0

    def add(self, deadline: "Deadline", tick: int) -> None:
        """Have ``deadline`` look at the time at ``tick``."""
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.add(deadline)
            return
        self._buckets[tick] = {deadline}
        heappush(self._ticks, tick)
        if self._handle is None or tick < self._rings_at:
            self._arm()

    def discard(self, deadline: "Deadline", tick: int) -> None:
        """It waits for ``tick`` no more."""
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.discard(deadline)

    def close(self) -> None:
        """Ring no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        self.close()
        self._rings_at = self._ticks[0]
        self._handle = self._loop.call_at(self._rings_at * TICK_S, self._ring)

    def _ring(self) -> None:
        self._handle = None
        now = self._loop.time()
        while self._ticks and self._ticks[0] * TICK_S <= now:
            for deadline in self._buckets.pop(heappop(self._ticks)):
                try:
                    deadline.look(now)
                except Exception as error:  # noqa: BLE001 one that fails must not stop the others
                    said = {"message": "a deadline's owner failed", "exception": error}
                    self._loop.call_exception_handler(said)
        if self._ticks and not self._is_armed():
            self._arm()

    def _is_armed(self) -> bool:
        """Asked as a method: to mypyc the handle is None still, after it was set so above."""
        return self._handle is not None


def _nobody() -> None:
    """Who is called by a deadline that was let go."""


class Deadline:
    """Calls ``expired`` once when the time set last is over and was not cleared."""

    __slots__ = ("_at", "_expired", "_tick", "_timers")

    def __init__(self, timers: Timers, expired: Callable[[], None]) -> None:
        self._timers = timers
        self._expired = expired
        self._at = 0.0
        self._tick = 0  # 0: it waits nowhere

    def set(self, delay_s: float) -> None:
        """Expire ``delay_s`` from now instead of whatever was set before."""
        self._at = at = self._timers.time() + delay_s
        tick = int(at / TICK_S) + 1
        waits = self._tick
        if waits and waits <= tick:
            return
        if waits:
            self._timers.discard(self, waits)
        self._tick = tick
        self._timers.add(self, tick)

    def clear(self) -> None:
        """Expire no more, until set again."""
        self._at = 0.0

    def close(self) -> None:
        """Let go; the deadline is not used again."""
        self._at = 0.0
        if self._tick:
            self._timers.discard(self, self._tick)
            self._tick = 0
        # Whoever is called owns the deadline: without this, each connection would be a cycle, and
        # the garbage collector's work instead of the reference count's.
        self._expired = _nobody

    def look(self, now: float) -> None:
        """Its bucket rings: expire, or wait on."""
        self._tick = 0
        at = self._at
        if at == 0.0:
            return
        if now < at:
            self._tick = tick = int(at / TICK_S) + 1
            self._timers.add(self, tick)
            return
        self._at = 0.0
        self._expired()
