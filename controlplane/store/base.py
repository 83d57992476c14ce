"""Owns what a store promises and how it fails. Never names a database.

Promises: revisions are numbered 1, 2, 3 … without gaps; what was written in a ``Unit`` survives a
crash of the process and of the machine once ``writing`` has ended; no two of them ever see the same
newest revision.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from controlplane.access.record import TokenRecord
from controlplane.audit import Entry
from controlplane.gate import Freeze, Freezes, Window
from controlplane.model import ControlError, Draft, Kept, Revision, RevisionNote
from controlplane.rollup import CellKey, Cells, Figures
from controlplane.screening import Seen


class StoreError(ControlError):
    """The store cannot do its work now."""


class StoreFullError(StoreError):
    """No room is left for a change."""


class StoreUnsureError(StoreError):
    """The connection was lost at the commit: the change is in force, or it is not."""


class NotLeadingError(ControlError):
    """Another control plane leads now; nothing was written."""


class Unit(Protocol):
    """One transaction. All that was written in it is there after it, or nothing of it.

    Each method raises StoreError; those that write raise StoreFullError too.
    """

    async def newest(self) -> Revision:
        """The newest revision."""
        ...

    async def revision(self, number: int) -> Revision | None:
        """A revision by its number, 0 included; ``None`` when there is none."""
        ...

    async def append(self, newest: Revision, draft: Draft) -> Revision:
        """Adds a revision after the newest one, which was read in this transaction."""
        ...

    async def record(self, entry: Entry) -> None:
        """Adds an entry to the audit log."""
        ...

    async def entries(
        self, limit: int, *, after: int | None, before: int | None
    ) -> list[tuple[int, str]]:
        """Numbers and entries of the audit log, as the JSON that was kept: the first ones above
        ``after``, oldest first; without it the last ones below ``before``, newest first."""
        ...

    async def freezes(self, now: datetime) -> Freezes:
        """The freezes that are not over."""
        ...

    async def put_freeze(self, service: str | None, freeze: Freeze | None) -> None:
        """Replaces the freeze of a service (``None``: of everything); ``None`` lifts it."""
        ...

    async def windows(self) -> tuple[Window, ...]:
        """The change windows; none means always."""
        ...

    async def put_windows(self, windows: Sequence[Window]) -> None:
        """Replaces the change windows."""
        ...

    async def check_leader(self, name: str, number: int) -> None:
        """Whether this number is still that of the last leader (``controlplane.leader``); nobody
        can become leader before the transaction has ended.

        Raises: NotLeadingError.
        """
        ...

    async def reply(self, author: str, key: str, now: datetime) -> Kept | None:
        """What was answered to an author's key within the last 24 hours."""
        ...

    async def keep(self, author: str, key: str, reply: Kept, now: datetime) -> None:
        """Keeps a reply for 24 hours under a key that has none."""
        ...

    async def token_changes(self) -> int:
        """How often tokens were changed; 0 when there never was one."""
        ...

    async def unrevoked_tokens(self) -> list[TokenRecord]:
        """The tokens that are not revoked; some of them may be expired."""
        ...

    async def tokens(self, limit: int, before: int | None) -> list[TokenRecord]:
        """The last ``limit`` tokens numbered below ``before``, newest first."""
        ...

    async def token(self, ident: str) -> TokenRecord | None:
        """The token of that id."""
        ...

    async def put_token(self, record: TokenRecord, now: datetime) -> None:
        """Adds a token or replaces it; those that were over long before ``now`` go."""
        ...

    async def use_tokens(self, used: Mapping[str, datetime]) -> None:
        """Notes when tokens, by id, were used last. That is no change of them."""
        ...

    async def add_figures(self, cells: Cells) -> None:
        """Adds sums of reports to those that are there. ``cells`` are the whole sums then."""
        ...

    async def intervals(
        self, level_s: int, *, since: int, below: int, limit: int
    ) -> list[tuple[int, Figures]]:
        """The last intervals of a level in which there were reports, that begin at ``since`` or
        later and below ``below``, newest first: their starts, and what all reports have in
        common."""
        ...

    async def figures(
        self,
        level_s: int,
        starts: Sequence[int],
        service: str,
        *,
        by_endpoint: bool = False,
        segment: str | None = None,
    ) -> list[tuple[CellKey, Figures]]:
        """The sums of a service in these intervals, the oldest first, then by version, and segment
        or endpoint; of one segment, where it is named."""
        ...

    async def forget_figures(self, before: Mapping[int, int]) -> None:
        """Deletes, of each level in seconds, the intervals that began before a time."""
        ...

    async def seen_reports(self, boots: Sequence[str]) -> dict[str, Seen]:
        """Which reports of these lives of proxies were counted; of the others none were."""
        ...

    async def keep_seen_reports(
        self, seen: Mapping[str, Seen], before: Mapping[str, Seen], now: datetime
    ) -> None:
        """Replaces what ``seen_reports`` gave in this transaction, ``before``."""
        ...

    async def forget_seen_reports(self, before: datetime) -> None:
        """Deletes what was not changed since a time."""
        ...


class Store(Protocol):
    """The control plane's memory."""

    @property
    def id(self) -> str:
        """Names the store for ever: revisions are compared only within one store."""
        ...

    def reading(self) -> AbstractAsyncContextManager[Unit]:
        """A transaction in which nothing is written.

        Raises: StoreError.
        """
        ...

    def writing(self) -> AbstractAsyncContextManager[Unit]:
        """A transaction after every other one of them, durable when the block has ended.

        Raises: StoreFullError, StoreError.
        """
        ...

    async def newest(self) -> Revision:
        """The newest revision with its traffic and tables; number 0 before the first change.

        Raises: StoreError.
        """
        ...

    async def newest_number(self) -> int:
        """The number of ``newest`` alone, which costs little.

        Raises: StoreError.
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


class Board(Protocol):
    """Where the control planes on one database write to each other. Each has a row under its name.

    Each method raises StoreError.
    """

    async def put(self, name: str, beat: int, summary: str, proxies: str | None) -> bool:
        """Replaces what a row says (the list of proxies only where it is given); false when there
        is none of that name."""
        ...

    async def add(self, name: str, beat: int, summary: str, proxies: str) -> None:
        """Makes a row."""
        ...

    async def summaries(self, but: str) -> dict[str, tuple[int, str]]:
        """Beat and summary of every row but one, by name."""
        ...

    async def proxies(self, names: Sequence[str]) -> list[str]:
        """The lists of proxies in the rows of these names, as far as they are there."""
        ...

    async def remove(self, name: str, beat: int) -> None:
        """Removes a row, if its beat is still this one."""
        ...
