"""Owns the store on SQLAlchemy Core: SQLite through aiosqlite. Never decides what a change is.

SQLite runs in WAL mode with ``synchronous=FULL``: the commit returns after the log is on the disk
(https://www.sqlite.org/pragma.html#pragma_synchronous). One process owns one file: it holds
``<file>.lock`` for as long as the store is open, because a second one would not hear of the first
one's changes. Inside the process ``BEGIN IMMEDIATE`` makes writers wait for each other.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
from sqlalchemy import Connection, event, func, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controlplane.model import Draft, Revision, RevisionNote, StaleRevisionError
from controlplane.store.base import Decide, StoreError, StoreFullError
from controlplane.store.migrate import migrate
from controlplane.store.tables import revisions, split_tables, store
from proxy.model.config import Traffic
from proxy.model.wire import SplitTable

_LOCK_WAIT_S = 10.0
"""A control plane that was told to stop has this long to go before its successor gives up."""
_LOCK_POLL_S = 0.1


class SqlStore:
    """A store in one SQL database. Made by ``open``."""

    def __init__(self, engine: AsyncEngine, lock: int, store_id: str, path: Path) -> None:
        self._engine = engine
        self._path = path.absolute()
        self._file = _identity(self._path)
        self._writer = engine.execution_options(begin="BEGIN IMMEDIATE")
        # SQLite would make writers wait too, but each would hold a thread and poll.
        self._one_writer = asyncio.Lock()
        self._lock = lock
        self.id = store_id

    @classmethod
    async def open(cls, url: str) -> Self:
        """Opens the database, makes it if it is not there, and brings it up to date.

        Args:
            url: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``.

        Raises: StoreError: the URL, the file or the database cannot be used, or another control
            plane has it.
        """
        path = sqlite_path(url)
        lock = await _lock(path)
        engine = _engine(path)
        try:
            with _translated():
                async with engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
                    await connection.run_sync(migrate)
                    store_id = (await connection.execute(select(store.c.id))).scalar_one()
        except BaseException:
            await engine.dispose()
            os.close(lock)
            raise
        return cls(engine, lock, store_id, path)

    async def newest(self) -> Revision:
        """See ``Store``."""
        async with self._reading() as connection:
            return await connection.run_sync(_newest)

    async def append(self, decide: Decide, expected: frozenset[int] | None) -> Revision:
        """See ``Store``."""
        async with self._one_writer:
            self._check_file()
            with _translated():
                async with self._writer.begin() as connection:
                    newest = await connection.run_sync(_newest)
                    if expected is not None and newest.number not in expected:
                        raise StaleRevisionError(newest.number)
                    # Tables of many services take long enough to be felt on open streams.
                    draft = await asyncio.to_thread(decide, newest)
                    if draft is None:
                        return newest
                    revision = Revision(newest.number + 1, draft.traffic, draft.tables)
                    await connection.run_sync(_insert, newest, revision, draft)
        return revision

    async def notes(self, limit: int, before: int | None) -> list[RevisionNote]:
        """See ``Store``."""
        columns = (revisions.c.revision, revisions.c.at, revisions.c.author, revisions.c.reason)
        query = select(*columns).order_by(revisions.c.revision.desc()).limit(limit)
        if before is not None:
            query = query.where(revisions.c.revision < before)
        async with self._reading() as connection:
            return [RevisionNote(*row) for row in await connection.execute(query)]

    async def ping(self) -> None:
        """See ``Store``."""
        self._check_file()
        async with self._reading() as connection:
            await connection.execute(select(store.c.id))

    async def close(self) -> None:
        """See ``Store``."""
        await self._engine.dispose()
        os.close(self._lock)

    def _check_file(self) -> None:
        # SQLite writes on into a file that was deleted, and a restart would not find it.
        if _identity(self._path) != self._file:
            raise StoreError(
                f"store {self._path}: the file was removed or replaced while it was open; "
                "put it back and start the control plane again"
            )

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with _translated():
            async with self._engine.begin() as connection:
                yield connection


def sqlite_path(url: str) -> Path:
    """The file behind a store's URL.

    Raises: StoreError: not the URL of a SQLite file.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite" or parsed.host or parsed.query:
        raise StoreError(f"store {url!r}: expected sqlite:///relative.db or sqlite:////absolute.db")
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"store {url!r}: name a file; what is in memory only is not durable")
    return Path(parsed.database)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path.absolute()}",
        connect_args={"isolation_level": None},  # the driver's own BEGIN comes too late
    )
    event.listen(engine.sync_engine, "connect", _set_up)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


async def _lock(path: Path) -> int:
    """Holds the file's lock; the kernel gives it back even after kill -9."""
    name = f"{path}.lock"
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"store {path}: {error.strerror} ({name})") from error
    for _ in range(round(_LOCK_WAIT_S / _LOCK_POLL_S)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_LOCK_POLL_S)
        else:
            return lock
    os.close(lock)
    raise StoreError(f"store {path}: another control plane has it; one process owns one file")


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the database's exceptions into ours."""
    try:
        yield
    except DBAPIError as error:
        cause = str(error.orig)
        if "full" in cause:  # SQLITE_FULL, "database or disk is full"
            raise StoreFullError(f"the store has no room: {cause}") from error
        raise StoreError(f"the store failed: {cause}") from error
    except msgspec.MsgspecError as error:
        raise StoreError(f"the store holds what this release cannot read: {error}") from error


def _newest(connection: Connection) -> Revision:
    last = select(revisions).order_by(revisions.c.revision.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    if row is None:
        return Revision(0)
    traffic = msgspec.json.decode(row.traffic, type=Traffic)
    tables = _tables(connection, traffic)
    return Revision(row.revision, traffic, tables)


def _tables(connection: Connection, traffic: Traffic) -> dict[str, SplitTable]:
    newest = (
        select(split_tables.c.service, func.max(split_tables.c.revision).label("revision"))
        .group_by(split_tables.c.service)
        .subquery()
    )
    of_newest = (split_tables.c.service == newest.c.service) & (
        split_tables.c.revision == newest.c.revision
    )
    query = select(split_tables.c.service, split_tables.c.split_table).join(newest, of_newest)
    return {
        row.service: msgspec.json.decode(row.split_table, type=SplitTable)
        for row in connection.execute(query)
        if row.service in traffic.services
    }


def _insert(connection: Connection, newest: Revision, revision: Revision, draft: Draft) -> None:
    connection.execute(
        insert(revisions).values(
            revision=revision.number,
            at=draft.at,
            author=draft.author,
            reason=draft.reason,
            traffic=msgspec.json.encode(draft.traffic).decode(),
        )
    )
    moved = [
        {
            "service": service,
            "revision": revision.number,
            "split_table": msgspec.json.encode(table).decode(),
        }
        for service, table in draft.tables.items()
        if newest.tables.get(service) != table
    ]
    if moved:
        connection.execute(insert(split_tables), moved)
