"""Owns the PostgreSQL database: its connections, its one writer, and how control planes that share
it hear of each other. Never knows what is in it, and never shows the URL's password.

Writers of all control planes wait for each other on one advisory lock of the transaction, and each
statement after it sees all that was committed before (docs/adr/0016). Every writing transaction
notifies, and PostgreSQL delivers that at the commit
(https://www.postgresql.org/docs/current/sql-notify.html).
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Self

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controlplane.store.base import StoreError, StoreFullError, StoreUnsureError
from controlplane.store.database import is_full, translated
from controlplane.store.migrate import migrate

_CONNECT_S = 10.0
_COMMAND_S = 30.0
"""A server that does not answer one statement for this long is as good as gone."""
_ALIVE_S = 5.0
"""How often a connection that only listens is asked whether it lives."""
_SESSION = {
    "application_name": "splitway-control",
    "timezone": "UTC",
    # Whoever waits for a writer that hangs is answered 503, not left without an answer.
    "lock_timeout": "10s",
    # A control plane whose machine vanished in a transaction must not stop the others for ever.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_CHANNEL = "splitway"
_OURS, _SESSIONS = 0x53706C77, 0x53706C78
"""The first half of our advisory locks' keys ("Splw"); others may use such locks too."""
_WRITER = 1
_TAKE_TURN = text(
    f"SELECT pg_advisory_xact_lock({_OURS}, {_WRITER}), "
    # A server may be set up to answer before the log is on its disk; an acknowledged change may
    # not be lost.
    "CASE WHEN current_setting('synchronous_commit') = 'off' "
    "THEN set_config('synchronous_commit', 'on', true) END"
)
_NO_WAIT = text("SET LOCAL synchronous_commit = off")
_TELL = text(f"SELECT pg_notify('{_CHANNEL}', '')")
_DURABLE = (
    "SELECT CASE WHEN current_setting('synchronous_commit') = 'off' "
    "THEN set_config('synchronous_commit', 'on', false) END"
)
_NEXT_LEADER = (
    "INSERT INTO leaders (name, number) VALUES ($1, 1) "
    "ON CONFLICT (name) DO UPDATE SET number = leaders.number + 1 RETURNING number"
)
_REFUSED_AT_COMMIT = ("23", "40", "53")
"""Classes of errors that PostgreSQL answers a commit with when it has rolled back for sure."""

_Connect = Callable[[], Any]  # asyncpg ships no types


class PostgresDatabase:
    """See ``Database``. Made by ``open``."""

    is_shared = True

    def __init__(self, engine: AsyncEngine, connect: _Connect) -> None:
        self._engine = engine
        self._connect = connect
        self._reader = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        # PostgreSQL makes writers wait too, but each would hold a connection.
        self._one_writer = asyncio.Lock()

    @classmethod
    async def open(cls, url: str) -> Self:
        """Opens the database and brings it up to date. The database itself must exist.

        Args:
            url: ``postgresql://user:password@host:5432/database``; what is left out is taken from
                the environment (``PGPASSWORD``, ``PGPASSFILE`` …), as psql does.

        Raises: StoreError: it cannot be reached or used.
        """
        connect = partial(_connect, url)
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,  # connections from before a restart of the server are replaced
            pool_timeout=_CONNECT_S,
            hide_parameters=True,
        )
        try:
            with _told():
                async with engine.begin() as connection:
                    await connection.execute(_TAKE_TURN)
                    await connection.run_sync(migrate)
        except BaseException as error:
            await engine.dispose()
            if isinstance(error, StoreError):
                raise StoreError(f"store {shown(url)}: {error}") from None
            raise
        return cls(engine, connect)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """See ``Database``."""
        with _told():
            async with self._reader.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """See ``Database``."""
        async with self._one_writer:
            with _told():
                async with self._engine.connect() as connection:
                    await connection.execute(_TAKE_TURN)
                    yield connection
                    await connection.execute(_TELL)
                    await _commit(connection)

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[AsyncConnection]:
        """See ``Database``."""
        with _told():
            async with self._engine.begin() as connection:
                await connection.execute(_NO_WAIT)
                yield connection

    async def listen(self, heard: Callable[[], None]) -> None:
        """See ``Database``."""
        lost = asyncio.Event()
        with _told():
            connection = await self._connect()
            try:
                connection.add_termination_listener(lambda _: lost.set())
                await connection.add_listener(_CHANNEL, lambda *_: heard())
                heard()  # what was told before is not repeated
                while not await _happens(lost, _ALIVE_S):
                    await connection.execute("SELECT 1")
            finally:
                connection.terminate()
        raise StoreError("the connection that listens was lost")

    def session_lock(self, name: str) -> "PostgresSessionLock":
        """See ``Database``."""
        return PostgresSessionLock(self._connect, name)

    def check(self) -> None:
        """See ``Database``."""  # the server looks after its own files

    async def close(self) -> None:
        """See ``Database``."""
        await self._engine.dispose()


class PostgresSessionLock:
    """See ``SessionLock``: an advisory lock on a connection of its own."""

    def __init__(self, connect: _Connect, name: str) -> None:
        self._connect = connect
        self._connection: Any = None
        self._name = name
        self._key = zlib.crc32(name.encode()) - 2**31  # PostgreSQL's integers have a sign
        self._held = False

    async def take(self) -> bool:
        """See ``SessionLock``."""
        with _told():
            if self._connection is None or self._connection.is_closed():
                self._connection, self._held = await self._connect(), False
            if not self._held:
                self._held = bool(await self._ask("SELECT pg_try_advisory_lock($1, $2)"))
        return self._held

    async def confirm(self) -> None:
        """See ``SessionLock``."""
        if not self._held:
            raise StoreError("the lock is not held")
        with _told():
            # The lock lives as long as its session, so a session that answers has it.
            await self._connection.execute("SELECT 1")

    async def number(self) -> int:
        """See ``SessionLock``. On the lock's own session: whoever has lost it gets no number."""
        if not self._held:
            raise StoreError("the lock is not held")
        with _told():
            await self._connection.execute(_DURABLE)
            return int(await self._connection.fetchval(_NEXT_LEADER, self._name))

    async def release(self) -> None:
        """See ``SessionLock``."""
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            connection.terminate()  # the server gives the lock back as it sees the end

    async def _ask(self, query: str) -> object:
        return await self._connection.fetchval(query, _SESSIONS, self._key)


def shown(url: str) -> str:
    """A URL as it may be logged: without user and password, and without what may hide them."""
    scheme, _, rest = url.partition("://")
    if "password" in rest:
        return f"{scheme}://…"
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


async def _connect(url: str) -> Any:
    try:
        return await asyncpg.connect(
            url, timeout=_CONNECT_S, command_timeout=_COMMAND_S, server_settings=_SESSION
        )
    except (
        ValueError,
        OverflowError,
    ):  # its message may quote a part of the password; so may a traceback
        raise StoreError(
            "the URL cannot be read; percent-encode what is special in user and password"
        ) from None


async def _commit(connection: AsyncConnection) -> None:
    """Raises: StoreUnsureError: nobody can say whether it was."""
    try:
        await connection.commit()
    except (SQLAlchemyError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None) or ""
        if state.startswith(_REFUSED_AT_COMMIT):
            raise
        raise StoreUnsureError(f"the store was lost at the commit: {cause}") from error


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False


@contextmanager
def _told() -> Iterator[None]:
    """Turns what SQLAlchemy raises, and what it lets through of the driver's, into ours."""
    try:
        with translated():
            yield
    except TimeoutError as error:
        raise StoreError("the store does not answer in time") from error
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if is_full(error):
            raise StoreFullError(f"the store has no room: {error}") from error
        raise StoreError(f"the store cannot be reached: {error}") from error
