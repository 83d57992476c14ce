"""Owns when the proxy looks at its counters to report them. Never sends: the stream does.

The cadence is the monotonic clock's, from a random moment on, so that the reports of thousands of
proxies that were started together do not come together. What a proxy counts while it runs by its
file is not reported: nobody at the control plane knows those services.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from proxy.model.wire import Counts, Taken
from proxy.sync.report import Backlog, Interval, Shares, difference

LOG = logging.getLogger("splitway.sync.reporting")

EVERY_S = 10.0
"""Until a control plane says otherwise."""
LAST_S = 1.5
"""For the last report to be answered; a proxy that is told to go does not wait for long."""
_ANSWER_POLL_S = 0.01


class Measured(NamedTuple):
    """One look at the counters."""

    counts: Counts
    store: str
    """That numbered the revision in force; empty when it came from the file."""
    revision: int
    shares: Shares
    taken: Taken = Taken()
    """What was seen since the look before, where users are split."""


class _Look(NamedTuple):
    measured: Measured
    wall: datetime
    now_s: float


class Reporting:
    """Fills a backlog of reports.

    Args:
        measure: looks at the counters, which have counted since this process began.
        draw: 0 to 1.
    """

    def __init__(
        self,
        measure: Callable[[], Awaitable[Measured]],
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic_s: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.backlog = Backlog(os.urandom(8).hex(), monotonic_s)
        self._measure = measure
        self._wall = wall
        self._monotonic_s = monotonic_s
        self._draw = draw
        self._every_s = EVERY_S
        self._is_wanted = False
        self._watches_splits = False
        self._asked = asyncio.Event()
        self._looking = asyncio.Lock()
        self._before = _Look(Measured(Counts(versions=()), "", 0, {}), wall(), monotonic_s())

    @property
    def watches_splits(self) -> bool:
        """Whether it has asked for what is seen where users are split."""
        return self._watches_splits

    @property
    def waiting(self) -> int:
        """Reports that are not counted yet; none while nobody has asked for any."""
        return len(self.backlog) if self._is_wanted else 0

    def asked(self, every_s: float, *, splits: bool = False) -> None:
        """The control plane wants a report every so often; where users are split, maybe all there
        is to say."""
        self._is_wanted = True
        self._watches_splits = splits
        if every_s != self._every_s:
            self._every_s = every_s
            self._asked.set()

    async def run(self) -> None:
        """Looks for ever."""
        next_s = self._monotonic_s() + self._draw() * self._every_s
        while True:
            if await self._is_asked_within(next_s - self._monotonic_s()):
                next_s = self._monotonic_s() + self._draw() * self._every_s
                continue
            try:
                await self.look()
            except Exception:
                # The next look has it: what is told are differences.
                LOG.exception("the counters could not be looked at")
            # After a long halt (a suspended machine) one look, not all that were missed.
            next_s = max(next_s + self._every_s, self._monotonic_s())

    async def look(self) -> None:
        """End an interval here."""
        async with self._looking:
            before = self._before
            measured = await self._measure()
            now = self._before = _Look(measured, self._wall(), self._monotonic_s())
        if not measured.store or now.now_s <= before.now_s:
            return
        rows = difference(
            before.measured.counts,
            measured.counts,
            before.measured.shares,
            measured.shares,
            measured.taken,
        )
        self.backlog.add(
            Interval(before.wall, before.now_s, now.now_s, measured.store, measured.revision, rows)
        )

    async def last(self, within_s: float = LAST_S) -> None:
        """Nothing will be counted any more: report what was, and wait a moment for the answer."""
        if not self._is_wanted:
            return
        try:
            async with asyncio.timeout(within_s):
                await self.look()
                while len(self.backlog):  # noqa: ASYNC110 - it is the stream that takes from it
                    await asyncio.sleep(_ANSWER_POLL_S)
        except TimeoutError:
            LOG.warning("%d reports were not counted in time", len(self.backlog))

    async def _is_asked_within(self, wait_s: float) -> bool:
        try:
            async with asyncio.timeout(max(wait_s, 0.0)):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True
