"""Owns who is let in: the store's tokens, whatever else can tell whose a bearer value is, then the
given token. Never speaks HTTP, and never logs.

Whoever sends what is nobody's is slowed down, by address: each refusal waits until ``REFUSED_S``
have passed, however soon it was known, so that its time does not tell which ids there are; after
``BURST`` of them what could be a guess at a secret waits in a line of its address, one at a time,
and is refused with the time to wait. A value that was found good before never waits, nor does one
that proves itself by a signature, and one that is good is let in from that line too: an attacker
does not lock out those who share its address, and costs others nothing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import NoReturn, Protocol

from controlplane.access.bearer import PREFIX
from controlplane.access.book import Admitted, TokenBook
from controlplane.access.caller import Caller
from controlplane.access.throttle import Throttle, network_of

BURST, REFILL_S = 20, 3.0
"""So many bad values at once from one address, then one each three seconds."""
REFUSED_S = 0.05
"""Some dozens of checks by scrypt."""
_WAITING = 64
"""In the line of an address that sent too many; more are refused unseen."""
_MAX_ADDRESSES = 10_000
"""From which the given token came."""


_Check = Callable[[str], Awaitable[Admitted | None]]


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


class _Line:
    """One address's guesses, one at a time."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting = 0


class Admission:
    """Says who calls.

    Args:
        given: see ``GivenToken``; ``None`` when there was none.
        verifiers: asked in turn for what is not of the store's form. Nobody can guess what they
            believe, and asking them is cheap.
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
        self._lines: dict[str, _Line] = {}
        self._given_from: OrderedDict[str, None] = OrderedDict()
        """Addresses that sent the given token, the one that began longest ago first."""

    async def admit(self, bearer: str, address: str) -> Admitted:
        """Who sends this from there.

        Raises: NotAdmittedError.
        """
        network = network_of(address)
        if (found := self._known(bearer, network)) is not None:
            return found
        asked_s = self._monotonic_s()
        if bearer.startswith(PREFIX):
            check: _Check | None = self._book.check if self._book.has(bearer) else None
        elif (person := await self._verified(bearer)) is not None:
            return person
        else:
            check = partial(self._find_given, network) if self._given is not None else None
        wait_s = self._throttle.wait_s(address)
        if not wait_s:
            return await self._judge(check, bearer, address, asked_s)
        if check is None:
            await self._refuse(address, asked_s)
        async with self._turn(network, wait_s):
            return await self._judge(check, bearer, address, self._monotonic_s())

    def _known(self, bearer: str, network: str) -> Admitted | None:
        found = self._book.find(bearer)
        # Found from anywhere, it could be guessed at from anywhere without being slowed down.
        if found is None and self._given is not None and network in self._given_from:
            found = self._given.find(bearer)
        return found

    async def _judge(
        self, check: _Check | None, bearer: str, address: str, asked_s: float
    ) -> Admitted:
        found = await check(bearer) if check is not None else None
        if found is None:
            await self._refuse(address, asked_s)
        return found

    async def _refuse(self, address: str, asked_s: float) -> NoReturn:
        wait_s = self._throttle.wait_s(address)
        self._throttle.count(address)
        await asyncio.sleep(REFUSED_S - (self._monotonic_s() - asked_s))
        raise NotAdmittedError(wait_s)

    @asynccontextmanager
    async def _turn(self, network: str, wait_s: float) -> AsyncIterator[None]:
        line = self._lines.setdefault(network, _Line())
        if line.waiting >= _WAITING:
            raise NotAdmittedError(wait_s)
        line.waiting += 1
        try:
            async with line.turn:
                yield
        finally:
            line.waiting -= 1
            if not line.waiting:
                self._lines.pop(network, None)

    async def _find_given(self, network: str, bearer: str) -> Admitted | None:
        found = self._given.find(bearer) if self._given is not None else None
        if found is not None:
            self._given_from[network] = None
            if len(self._given_from) > _MAX_ADDRESSES:
                self._given_from.popitem(last=False)
        return found

    async def _verified(self, bearer: str) -> Admitted | None:
        for verifier in self._verifiers:
            if (caller := await verifier.caller_of(bearer)) is not None:
                return Admitted(caller, _until(caller.until))
        return None


def _until(end: datetime | None) -> Callable[[datetime], bool]:
    return lambda now: end is None or now < end
