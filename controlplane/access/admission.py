"""Owns who is let in: the given token, the store's tokens, then whatever else can tell whose a
bearer value is. Never speaks HTTP, and never logs.

Whoever sends what is nobody's is slowed down, by address: at first each answer waits until
``REFUSED_S`` have passed, however soon it was known, so that its time does not tell which ids there
are; after ``BURST`` of them the address's unknown values wait in a line of their own, one at a
time, and are refused with the time to wait. A value that was found good before never waits, and
one that is good is let in from that line too: an attacker does not lock out those who share its
address.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from controlplane.access.bearer import PREFIX
from controlplane.access.book import Admitted, TokenBook
from controlplane.access.caller import Caller
from controlplane.access.throttle import Throttle

BURST, REFILL_S = 20, 3.0
"""So many bad values at once from one address, then one each three seconds."""
REFUSED_S = 0.05
"""Some dozens of checks by scrypt."""
_WAITING = 64
"""In the line of addresses that sent too many; more are refused at once."""


class Verifier(Protocol):
    """Knows values that are not tokens of the store, such as those of an identity provider."""

    async def caller_of(self, bearer: str) -> Caller | None:
        """Who sends this; ``None`` when that cannot be told."""
        ...


class GivenToken(Protocol):
    """The token that the server was started with."""

    def find(self, bearer: str) -> Admitted | None:
        """Who sends this, if it is the one."""
        ...


class NotAdmittedError(Exception):
    """The value is nobody's, or is not looked at now."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("not admitted")
        self.wait_s = wait_s
        """Until it makes sense to try again; 0: the value is nobody's."""


class Admission:
    """Says who calls.

    Args:
        given: see ``GivenToken``; ``None`` when there was none.
        verifiers: asked in turn for what is not of the store's form.
    """

    def __init__(
        self,
        book: TokenBook,
        given: GivenToken | None,
        verifiers: Sequence[Verifier],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._book = book
        self._given = given
        self._verifiers = verifiers
        self._monotonic_s = monotonic_s
        self._throttle = Throttle(monotonic_s, BURST, REFILL_S)
        self._line = asyncio.Lock()
        self._waiting = 0

    async def admit(self, bearer: str, address: str) -> Admitted:
        """Who sends this from there.

        Raises: NotAdmittedError.
        """
        found = self._book.find(bearer)
        if found is None and self._given is not None:
            found = self._given.find(bearer)
        if found is not None:
            return found
        if not (wait_s := self._throttle.wait_s(address)):
            return await self._judge(bearer, address, wait_s)
        if self._waiting >= _WAITING:
            raise NotAdmittedError(wait_s)
        self._waiting += 1
        try:
            async with self._line:
                return await self._judge(bearer, address, wait_s)
        finally:
            self._waiting -= 1

    async def _judge(self, bearer: str, address: str, wait_s: float) -> Admitted:
        asked_s = self._monotonic_s()
        if (found := await self._ask(bearer)) is not None:
            return found
        self._throttle.count(address)
        await asyncio.sleep(REFUSED_S - (self._monotonic_s() - asked_s))
        raise NotAdmittedError(wait_s)

    async def _ask(self, bearer: str) -> Admitted | None:
        if bearer.startswith(PREFIX):
            return await self._book.check(bearer)
        for verifier in self._verifiers:
            if (caller := await verifier.caller_of(bearer)) is not None:
                return Admitted(caller, _until(caller.until))
        return None


def _until(end: datetime | None) -> Callable[[datetime], bool]:
    return lambda now: end is None or now < end
