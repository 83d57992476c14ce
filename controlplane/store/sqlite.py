"""Owns the SQLite database: its file, its lock, its one writer. Never knows what is in it.

SQLite runs in WAL mode with ``synchronous=FULL``: the commit returns after the log is on the disk
(https://www.sqlite.org/pragma.html#pragma_synchronous). One process owns one file: it holds
``<file>.lock`` for as long as the database is open, because a second one would not hear of the
first one's changes. Inside the process ``BEGIN IMMEDIATE`` makes writers wait for each other.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controlplane.store.base import StoreError
from controlplane.store.database import FORMS, translated
from controlplane.store.leaders import next_leader
from controlplane.store.migrate import migrate

_LOCK_WAIT_S = 10.0
"""A control plane that was told to stop has this long to go before its successor gives up."""
_LOCK_POLL_S = 0.1


class SqliteDatabase:
    """See ``Database``. Made by ``open``."""

    is_shared = False

    def __init__(self, engine: AsyncEngine, lock: int, path: Path) -> None:
        self._engine = engine
        self._path = path.absolute()
        self._file = _identity(self._path)
        self._writer = engine.execution_options(begin="BEGIN IMMEDIATE")
        # SQLite would make writers wait too, but each would hold a thread and poll.
        self._one_writer = asyncio.Lock()
        self._lock = lock

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
        _make_own(path)
        engine = _engine(path)
        try:
            with translated():
                async with engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
                    await connection.run_sync(migrate)
        except BaseException:
            await engine.dispose()
            os.close(lock)
            raise
        return cls(engine, lock, path)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """See ``Database``."""
        with translated():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """See ``Database``."""
        async with self._one_writer:
            self.check()
            with translated():
                async with self._writer.begin() as connection:
                    yield connection

    def aside(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """See ``Database``. Here it waits: SQLite has one writer."""
        return self.writing()

    async def listen(self, heard: Callable[[], None]) -> None:
        """See ``Database``. No other process writes: there is nothing to hear."""
        heard()
        await asyncio.Event().wait()

    def session_lock(self, name: str) -> "SqliteSessionLock":
        """See ``Database``."""
        return SqliteSessionLock(self, name)

    def check(self) -> None:
        """See ``Database``."""
        # SQLite writes on into a file that was deleted, and a restart would not find it.
        if _identity(self._path) != self._file:
            raise StoreError(
                f"store {self._path}: the file was removed or replaced while it was open; "
                "put it back and start the control plane again"
            )

    async def close(self) -> None:
        """See ``Database``."""
        await self._engine.dispose()
        os.close(self._lock)


class SqliteSessionLock:
    """See ``SessionLock``: whoever has the file has every lock."""

    def __init__(self, database: SqliteDatabase, name: str) -> None:
        self._database = database
        self._name = name

    async def take(self) -> bool:
        """See ``SessionLock``."""
        return True

    async def confirm(self) -> None:
        """See ``SessionLock``."""

    async def number(self) -> int:
        """See ``SessionLock``."""
        async with self._database.writing() as connection:
            return await connection.run_sync(next_leader, self._name)

    async def release(self) -> None:
        """See ``SessionLock``."""


def sqlite_path(url: str) -> Path:
    """The file behind a store's URL.

    Raises: StoreError: not the URL of a SQLite file.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite" or parsed.host or parsed.query:
        raise StoreError(f"store {url!r}: expected {FORMS}")
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"store {url!r}: name a file; what is in memory only is not durable")
    return Path(parsed.database)


def _make_own(path: Path) -> None:
    """A new file only its owner may read, and what SQLite puts beside it likewise: it may hold
    secrets of the configuration. One that is there keeps the mode that somebody gave it."""
    with suppress(OSError):  # SQLite says it better
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


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
