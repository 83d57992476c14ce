"""Owns copying a SQLite store that may be in use. Never writes over anything, nor into the store.

Source: SQLite's online backup (https://www.sqlite.org/backup.html). All pages are copied in one
step: in WAL mode readers stop no writer, and the copy is whole as of one moment.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from controlplane.store.base import StoreError


def backup(source: Path, file: Path) -> None:
    """Copies the database to a new file that only its owner may read; it is on the disk then.

    Raises: StoreError: there is no store, the file is there already, or the copy failed.
    """
    if not source.is_file():
        raise StoreError(f"store {source}: there is no such file")
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            _copy(source, part)
            os.link(part, file)  # unlike a rename it refuses to replace
        finally:
            part.unlink()
        _sync(file.parent)
    except FileExistsError:
        raise StoreError(f"backup {file}: the file is there already; name a new one") from None
    except OSError as error:
        raise StoreError(f"backup {file}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreError(f"backup {file}: {error}") from error


def _copy(source: Path, part: Path) -> None:
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as store, closing(sqlite3.connect(part)) as copy:
        store.backup(copy)
        # One file, with nothing beside it that could be left behind.
        copy.execute("PRAGMA journal_mode=DELETE")
        (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise StoreError(f"store {source}: it is damaged ({found}); nothing was copied")
    _sync(part)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
