"""Owns which kind of database a store's URL means. Never opens what it does not know."""

from pathlib import Path

from controlplane.store.base import StoreError
from controlplane.store.database import FORMS, Database
from controlplane.store.postgres import PostgresDatabase, shown
from controlplane.store.sqlite import SqliteDatabase, sqlite_path


async def open_database(url: str) -> Database:
    """Opens the database at a URL, and brings it up to date. A file that is not there is made.

    Args:
        url: one of ``FORMS``.

    Raises: StoreError: it cannot be used.
    """
    path = store_file(url)
    return await (SqliteDatabase.open(url) if path else PostgresDatabase.open(url))


def store_file(url: str) -> Path | None:
    """The file behind a store's URL; ``None`` when it is a server's.

    Raises: StoreError: it is the URL of neither.
    """
    scheme = url.partition("://")[0]
    if scheme in ("postgresql", "postgres"):
        return None
    if scheme != "sqlite":
        raise StoreError(f"store {shown(url)!r}: expected {FORMS}")
    return sqlite_path(url)
