"""Owns the revisions in a SQL database, through SQLAlchemy Core. Never decides what a change is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from sqlalchemy import func, select

from controlplane.model import Revision, RevisionNote
from controlplane.store.database import Database
from controlplane.store.tables import revisions, store
from controlplane.store.unit import SqlUnit

_HIGHEST = 2**31 - 1


class SqlStore:
    """See ``Store``. Made by ``on``."""

    def __init__(self, database: Database, store_id: str) -> None:
        self._database = database
        self.id = store_id

    @classmethod
    async def on(cls, database: Database) -> Self:
        """The store in a database that is open.

        Raises: StoreError.
        """
        async with database.reading() as connection:
            store_id = (await connection.execute(select(store.c.id))).scalar_one()
        return cls(database, store_id)

    async def newest(self) -> Revision:
        """See ``Store``."""
        async with self.reading() as unit:
            return await unit.newest()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlUnit]:
        """See ``Store``."""
        async with self._database.reading() as connection:
            yield SqlUnit(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[SqlUnit]:
        """See ``Store``."""
        async with self._database.writing() as connection:
            yield SqlUnit(connection)

    async def newest_number(self) -> int:
        """See ``Store``."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(func.max(revisions.c.revision)))
            return found.scalar_one() or 0

    async def notes(self, limit: int, before: int | None) -> list[RevisionNote]:
        """See ``Store``."""
        columns = (revisions.c.revision, revisions.c.at, revisions.c.author, revisions.c.reason)
        query = select(*columns).order_by(revisions.c.revision.desc()).limit(limit)
        if before is not None:
            # PostgreSQL refuses to compare with what its integer cannot hold.
            query = query.where(revisions.c.revision < min(before, _HIGHEST))
        async with self._database.reading() as connection:
            return [RevisionNote(*row) for row in await connection.execute(query)]

    async def ping(self) -> None:
        """See ``Store``."""
        self._database.check()
        async with self._database.reading() as connection:
            await connection.execute(select(store.c.id))
