"""Owns who of several control planes does what must be done once. Never does it itself.

The database's session lock says who may lead. It is not enough alone: a leader that is cut off
keeps believing for a while after the lock has gone to another. So a leader leads only for a lease
after the last time the database confirmed its lock, and who gets the lock waits as long first. A
lock that was given away at time t was last confirmed before t: its old leader ends before
t + lease, and the new one begins after it.

That is about beginning a step. One that is begun in time may end late: its process is stopped
between the question and the commit, say. So each leader has a number above all before it, given
with the lock, and a step that must not be done twice checks it in its own transaction
(``Unit.check_leader``): what a former leader commits late is refused. A step without that check
must do no harm when it is done twice.
"""

import asyncio
import logging
from collections.abc import Callable

from controlplane.store.base import StoreError
from controlplane.store.database import SessionLock

_log = logging.getLogger(__name__)

LEASE_S = 3.0
_CONFIRMS = 3
"""In one lease: one answer that is late does not end it."""
_AGAIN_S = 0.5


class Leader:
    """One candidate."""

    def __init__(
        self, lock: SessionLock, monotonic_s: Callable[[], float], lease_s: float = LEASE_S
    ) -> None:
        self._lock = lock
        self._monotonic_s = monotonic_s
        self._lease_s = lease_s
        self._until_s: float | None = None
        self._number = 0

    @property
    def leads(self) -> bool:
        """Whether this candidate leads now. Ask anew before every step that must be done once."""
        return self._until_s is not None and self._monotonic_s() < self._until_s

    @property
    def number(self) -> int:
        """Above that of every leader before; what to check with each step."""
        return self._number

    async def run(self) -> None:
        """Stands for election until it is cancelled; gives the lock back then."""
        try:
            while True:
                try:
                    if await self._lock.take():
                        await self._lead()
                except StoreError as error:
                    _log.warning("not standing for leader: %s", error)
                    await self._step_down()
                await asyncio.sleep(_AGAIN_S)
        finally:
            await self._step_down()

    async def _lead(self) -> None:
        await asyncio.sleep(self._lease_s)  # the one before may not know yet
        self._number = await self._lock.number()
        while True:
            asked_s = self._monotonic_s()
            await self._confirm()
            if not self.leads:
                _log.info("leading")
            self._until_s = asked_s + self._lease_s
            await asyncio.sleep(self._lease_s / _CONFIRMS)

    async def _confirm(self) -> None:
        try:
            async with asyncio.timeout(self._lease_s):
                await self._lock.confirm()
        except TimeoutError:
            raise StoreError("the leader's lock was not confirmed in time") from None

    async def _step_down(self) -> None:
        self._until_s = None
        await self._lock.release()
