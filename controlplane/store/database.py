"""Owns what stores need of a database, whichever it is, and how its errors are told."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Protocol

import msgspec
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.store.base import StoreError, StoreFullError

FORMS = (
    "sqlite:///relative.db, sqlite:////absolute.db or postgresql://user:password@host:5432/database"
)
"""The URLs of a store."""
_DISK_FULL = "53100"
"""https://www.postgresql.org/docs/current/errcodes-appendix.html"""


class SessionLock(Protocol):
    """A lock that one process of all that share the database may have; lost when it dies."""

    async def take(self) -> bool:
        """Tries to have it; true when this process has it now.

        Raises: StoreError.
        """
        ...

    async def confirm(self) -> None:
        """Asks the database whether this process still has it.

        Raises: StoreError: it has not, or it cannot be known.
        """
        ...

    async def number(self) -> int:
        """A number above that of everybody who had the lock and asked before.

        Raises: StoreError: the lock is not held, or it cannot be known.
        """
        ...

    async def release(self) -> None:
        """Gives it back, if it is held. Never fails."""
        ...


class Database(Protocol):
    """One open SQL database. Every transaction sees a state that was whole at one moment."""

    @property
    def is_shared(self) -> bool:
        """Whether other control planes may change what is in it."""
        ...

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that changes nothing.

        Raises: StoreError.
        """
        ...

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that may change something, after every other one of them: what it reads
        stays true until its end. It is durable when the block has ended without an exception.

        Raises: StoreFullError, StoreUnsureError, StoreError.
        """
        ...

    def aside(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that changes what nobody decides by: it waits for no other one, is told to
        nobody, and may be undone by a crash of the server.

        Raises: StoreFullError, StoreError.
        """
        ...

    async def listen(self, heard: Callable[[], None]) -> None:
        """Calls ``heard`` once when it has begun to listen, and after every writing transaction of
        any control plane, until the connection is lost or the caller is cancelled.

        Raises: StoreError: the connection is lost, or there was none.
        """
        ...

    def session_lock(self, name: str) -> SessionLock:
        """The lock of that name, not taken yet."""
        ...

    def check(self) -> None:
        """Whether what is written now would be found after a restart.

        Raises: StoreError.
        """
        ...

    async def close(self) -> None:
        """Gives everything back. Nothing may be called after this."""
        ...


@contextmanager
def translated() -> Iterator[None]:
    """Turns the database's exceptions into ours."""
    try:
        yield
    except DBAPIError as error:
        if is_full(error.orig):
            raise StoreFullError(f"the store has no room: {error.orig}") from error
        raise StoreError(f"the store failed: {error.orig}") from error
    except SQLAlchemyError as error:  # such as no connection within 30 s
        raise StoreError(f"the store failed: {error}") from error
    except msgspec.MsgspecError as error:
        raise StoreError(f"the store holds what this release cannot read: {error}") from error


def is_full(cause: BaseException | None) -> bool:
    """Whether the disk is what a driver complains of."""
    # PostgreSQL's drivers say it by number; SQLite's by "database or disk is full".
    state = getattr(cause, "sqlstate", None)
    return state == _DISK_FULL if state else "disk is full" in str(cause)
