"""Owns the living tokens in memory, and which texts were found to be theirs. Never asks the store:
``controlplane.bookkeeping`` tells what is in it.

A text is checked by scrypt once, in another thread; afterwards it is known by its keyed digest, and
a request costs a look into a dictionary. The key is this process's own and drawn at its start, so
that nobody can prepare texts whose digests collide or begin alike. What is found is judged anew by
the record and by the clock each time, and so is over as soon as the record is.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from controlplane.access.bearer import Bearer, fits, read_bearer
from controlplane.access.caller import Caller
from controlplane.access.record import TokenRecord

_TOGETHER = 2
"""Checks at one time: each takes a core for about a millisecond."""


@dataclass(frozen=True, eq=False)
class Admitted:
    """A caller, and whether what they proved still holds."""

    caller: Caller
    holds: Callable[[datetime], bool]
    """Whether it holds at a time; to be asked as long as a connection stays open. It counts as use
    of what was proven by."""


@dataclass(frozen=True)
class _Known:
    """A text that was found to be a token's."""

    id: str
    kept: str
    admitted: Admitted


class TokenBook:
    """Every token that may be used."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._version = -1
        self._records: dict[str, TokenRecord] = {}
        self._known: dict[bytes, _Known] = {}
        """By the text's keyed digest; two a token at most."""
        self._checks: dict[bytes, asyncio.Task[Admitted | None]] = {}
        self._turns = asyncio.Semaphore(_TOGETHER)
        self._key = secrets.token_bytes(32)
        self._used: dict[str, datetime] = {}

    @property
    def version(self) -> int:
        """Of what was loaded last; -1 before that."""
        return self._version

    def load(self, version: int, records: Iterable[TokenRecord]) -> None:
        """Takes over what is in the store."""
        self._version = version
        self._records = {record.id: record for record in records}
        now = self._wall()
        self._known = {
            digest: known
            for digest, known in self._known.items()
            if self._accepts(known.id, known.kept, now)
        }

    def find(self, text: str) -> Admitted | None:
        """Whose text this is, if that was found before and still holds."""
        known = self._known.get(self._digest(text))
        if known is None or not known.admitted.holds(self._wall()):
            return None
        return known.admitted

    def has(self, text: str) -> bool:
        """Whether there is a token of the id in this text, whatever its secret."""
        bearer = read_bearer(text)
        return bearer is not None and bearer.id in self._records

    async def check(self, text: str) -> Admitted | None:
        """Whose text this is. Many that ask for the same text at once cost one check."""
        bearer = read_bearer(text)
        if bearer is None or bearer.id not in self._records:
            return None
        digest = self._digest(text)
        checking = self._checks.get(digest)
        if checking is None:
            checking = asyncio.create_task(self._check(bearer, digest), name="checking a token")
            self._checks[digest] = checking
            checking.add_done_callback(lambda _: self._checks.pop(digest))
        return await asyncio.shield(checking)  # who leaves ends it for nobody else

    def take_used(self) -> dict[str, datetime]:
        """When which tokens were used last, since this was asked before."""
        used, self._used = self._used, {}
        return used

    async def _check(self, bearer: Bearer, digest: bytes) -> Admitted | None:
        async with self._turns:
            # Looked up now: what has waited may have been revoked.
            record = self._records.get(bearer.id)
            for kept in record.secrets() if record else ():
                if await asyncio.to_thread(fits, bearer.secret, kept):
                    return self._admit(bearer.id, kept, digest)
        return None

    def _admit(self, ident: str, kept: str, digest: bytes) -> Admitted | None:
        if not self._holds(ident, kept, self._wall()):
            return None
        caller = self._records[ident].caller(kept)
        admitted = Admitted(caller, partial(self._holds, ident, kept))
        self._known[digest] = _Known(ident, kept, admitted)
        return admitted

    def _holds(self, ident: str, kept: str, now: datetime) -> bool:
        accepts = self._accepts(ident, kept, now)
        if accepts:
            self._used[ident] = now
        return accepts

    def _accepts(self, ident: str, kept: str, now: datetime) -> bool:
        record = self._records.get(ident)
        return record is not None and record.accepts(kept, now)

    def _digest(self, text: str) -> bytes:
        plain = text.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(plain, digest_size=32, key=self._key).digest()
