"""Owns what a store promises and how it fails. Never names a database.

Promises: revisions are numbered 1, 2, 3 … without gaps; ``append`` is one transaction, and when it
returns the revision survives a crash of the process and of the machine; two appends never see the
same newest revision.
"""

from collections.abc import Callable
from typing import Protocol

from controlplane.model import ControlError, Draft, Revision, RevisionNote

Decide = Callable[[Revision], Draft | None]
"""From the newest revision to the change; ``None`` when nothing would change. Pure: it runs inside
the transaction, in another thread. What it raises ends the transaction and reaches the caller."""


class StoreError(ControlError):
    """The store cannot do its work now."""


class StoreFullError(StoreError):
    """No room is left for a change."""


class Store(Protocol):
    """The control plane's memory."""

    @property
    def id(self) -> str:
        """Names the store for ever: revisions are compared only within one store."""
        ...

    async def newest(self) -> Revision:
        """The newest revision with its traffic and tables; number 0 before the first change.

        Raises: StoreError.
        """
        ...

    async def append(self, decide: Decide, expected: frozenset[int] | None) -> Revision:
        """Adds the revision that ``decide`` makes of the newest one, and returns the newest.

        Args:
            decide: the change.
            expected: the numbers that the newest revision may have; ``None`` means any.

        Raises: StaleRevisionError, StoreFullError, StoreError, and whatever ``decide`` raises.
        """
        ...

    async def notes(self, limit: int, before: int | None) -> list[RevisionNote]:
        """The last ``limit`` revisions below ``before``, newest first.

        Raises: StoreError.
        """
        ...

    async def ping(self) -> None:
        """Asks the database for the least it can do.

        Raises: StoreError.
        """
        ...

    async def close(self) -> None:
        """Gives everything back. Nothing may be called after this."""
        ...
