import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controlplane.store import sqlite
from controlplane.store.base import StoreError
from controlplane.store.opening import open_database
from controlplane.store.sqlite import SqliteDatabase, sqlite_path
from tests.controlplane.store.test_sql import append, opened, shop
from tests.controlplane.support import store_url


def test_the_database_is_set_up_to_be_durable(tmp_path: Path) -> None:
    async def scenario() -> None:
        database = await SqliteDatabase.open(store_url(tmp_path))
        async with database.reading() as connection:
            for pragma, expected in (
                ("journal_mode", "wal"),
                ("synchronous", 2),
                ("foreign_keys", 1),
            ):
                found = await connection.exec_driver_sql(f"PRAGMA {pragma}")
                assert found.scalar_one() == expected
        await database.close()

    asyncio.run(scenario())


def test_one_process_owns_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_LOCK_WAIT_S", 0.2)

    async def scenario() -> None:
        async with opened(store_url(tmp_path)):
            with pytest.raises(StoreError, match="another control plane has it"):
                await open_database(store_url(tmp_path))
        async with opened(store_url(tmp_path)) as store:
            await store.ping()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nothing",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://host/file.db",
        "sqlite:///a.db?mode=ro",
        "postgresql://host/db",
    ],
)
def test_a_url_that_is_not_a_file_of_sqlite(url: str) -> None:
    with pytest.raises(StoreError, match="store"):
        sqlite_path(url)


def test_a_url_is_relative_or_absolute() -> None:
    assert sqlite_path("sqlite:///splitway.db") == Path("splitway.db")
    assert sqlite_path("sqlite:////var/lib/splitway.db") == Path("/var/lib/splitway.db")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        asyncio.run(open_database(store_url(tmp_path / "none")))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_taken_away_takes_no_change(tmp_path: Path, replaced: bool) -> None:
    async def scenario() -> None:
        async with opened(store_url(tmp_path)) as store:
            await append(store, shop(a=1))
            (tmp_path / "control.db").rename(tmp_path / "away.db")
            if replaced:
                (tmp_path / "control.db").touch()
            with pytest.raises(StoreError, match="removed or replaced"):
                await append(store, shop(a=2))
            with pytest.raises(StoreError, match="removed or replaced"):
                await store.ping()
            assert (await store.newest()).number == 1

    asyncio.run(scenario())


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"not a database, but long enough to look at" * 50)
    with pytest.raises(StoreError, match="not a database"):
        asyncio.run(open_database(store_url(tmp_path)))


def test_no_connection_in_time_is_an_error_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create_async_engine

    def small(url: str, **options: object) -> AsyncEngine:
        return made(url, **options, pool_size=1, max_overflow=0, pool_timeout=0.05)

    monkeypatch.setattr(sqlite, "create_async_engine", small)

    async def scenario() -> None:
        async with opened(store_url(tmp_path)) as store, store.reading():
            with pytest.raises(StoreError, match="the store failed: QueuePool limit"):
                await store.newest_number()

    asyncio.run(scenario())


def modes_in(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


def test_only_its_owner_may_read_it_and_what_is_beside_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(store_url(tmp_path)) as store:
            await append(store, shop(a=1))
            files = modes_in(tmp_path)
            assert set(files) >= {"control.db", "control.db-wal", "control.db.lock"}
            assert set(files.values()) == {0o600}

    asyncio.run(scenario())


def test_a_mode_that_was_given_stays(tmp_path: Path) -> None:
    (tmp_path / "control.db").touch(mode=0o640)

    async def scenario() -> None:
        async with opened(store_url(tmp_path)):
            assert (tmp_path / "control.db").stat().st_mode & 0o777 == 0o640

    asyncio.run(scenario())
