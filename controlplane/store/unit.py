"""Owns one transaction on a SQL database, as ``Unit`` promises it. Never opens or ends one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.access.record import TokenRecord
from controlplane.audit import Entry
from controlplane.gate import Freeze, Freezes, Window
from controlplane.model import Draft, Kept, Revision
from controlplane.rollup import CellKey, Cells, Figures
from controlplane.screening import Seen
from controlplane.store import figures, history, tokens
from controlplane.store.leaders import check_leader
from controlplane.store.rows import insert_revision, read_newest, read_revision


class SqlUnit:
    """See ``Unit``."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def newest(self) -> Revision:
        """See ``Unit``."""
        return await self._connection.run_sync(read_newest)

    async def revision(self, number: int) -> Revision | None:
        """See ``Unit``."""
        return await self._connection.run_sync(read_revision, number)

    async def append(self, newest: Revision, draft: Draft) -> Revision:
        """See ``Unit``."""
        revision = Revision(newest.number + 1, draft.traffic, draft.tables, draft.edges)
        await self._connection.run_sync(insert_revision, newest, revision, draft)
        return revision

    async def record(self, entry: Entry) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(history.append_entry, entry)

    async def entries(
        self, limit: int, *, after: int | None, before: int | None
    ) -> list[tuple[int, str]]:
        """See ``Unit``."""
        return await self._connection.run_sync(history.entries, limit, after, before)

    async def freezes(self, now: datetime) -> Freezes:
        """See ``Unit``."""
        return await self._connection.run_sync(history.read_freezes, now)

    async def put_freeze(self, service: str | None, freeze: Freeze | None) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(history.put_freeze, service, freeze)

    async def windows(self) -> tuple[Window, ...]:
        """See ``Unit``."""
        return await self._connection.run_sync(history.read_windows)

    async def put_windows(self, windows: Sequence[Window]) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(history.put_windows, windows)

    async def check_leader(self, name: str, number: int) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(check_leader, name, number)

    async def reply(self, author: str, key: str, now: datetime) -> Kept | None:
        """See ``Unit``."""
        return await self._connection.run_sync(history.read_reply, author, key, now)

    async def keep(self, author: str, key: str, reply: Kept, now: datetime) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(history.keep_reply, author, key, reply, now)

    async def token_changes(self) -> int:
        """See ``Unit``."""
        return await self._connection.run_sync(tokens.changes)

    async def unrevoked_tokens(self) -> list[TokenRecord]:
        """See ``Unit``."""
        return await self._connection.run_sync(tokens.unrevoked)

    async def tokens(self, limit: int, before: int | None) -> list[TokenRecord]:
        """See ``Unit``."""
        return await self._connection.run_sync(tokens.page, limit, before)

    async def token(self, ident: str) -> TokenRecord | None:
        """See ``Unit``."""
        return await self._connection.run_sync(tokens.one, ident)

    async def put_token(self, record: TokenRecord, now: datetime) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(tokens.put, record, now)

    async def use_tokens(self, used: Mapping[str, datetime]) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(tokens.use, used)

    async def add_figures(self, cells: Cells) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(figures.add_figures, cells)

    async def intervals(
        self, level_s: int, *, since: int, below: int, limit: int
    ) -> list[tuple[int, Figures]]:
        """See ``Unit``."""
        return await self._connection.run_sync(figures.read_intervals, level_s, since, below, limit)

    async def figures(
        self,
        level_s: int,
        starts: Sequence[int],
        service: str,
        *,
        by_endpoint: bool = False,
        segment: str | None = None,
    ) -> list[tuple[CellKey, Figures]]:
        """See ``Unit``."""
        read = partial(figures.read_figures, by_endpoint=by_endpoint, segment=segment)
        return await self._connection.run_sync(read, level_s, starts, service)

    async def forget_figures(self, before: Mapping[int, int]) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(figures.forget_figures, before)

    async def seen_reports(self, boots: Sequence[str]) -> dict[str, Seen]:
        """See ``Unit``."""
        return await self._connection.run_sync(figures.read_seen, boots)

    async def keep_seen_reports(
        self, seen: Mapping[str, Seen], before: Mapping[str, Seen], now: datetime
    ) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(figures.put_seen, seen, before, now)

    async def forget_seen_reports(self, before: datetime) -> None:
        """See ``Unit``."""
        await self._connection.run_sync(figures.forget_seen, before)
