import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.changes import tables_after
from controlplane.model import Draft, Revision, StaleRevisionError
from controlplane.store import sql
from controlplane.store.base import Decide, StoreError
from controlplane.store.sql import SqlStore, sqlite_path
from proxy.model.config import Service, Traffic, Version
from tests.controlplane.support import store_url

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def shop(**weights: int) -> Traffic:
    versions = {name: Version((f"http://{name}:80",)) for name in weights}
    return Traffic(services={"shop": Service(versions=versions, weights=weights)})


def to(traffic: Traffic, reason: str = "") -> Decide:
    return lambda newest: Draft(traffic, tables_after(newest, traffic), "admin", reason, NOW)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open(store_url(folder))
    try:
        yield store
    finally:
        await store.close()


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(folder / "control.db")
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_a_new_store_is_empty(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            assert await store.newest() == Revision(0)
            assert await store.notes(10, None) == []
            assert len(store.id) == 36
            await store.ping()

    asyncio.run(scenario())


def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            first = await store.append(to(shop(a=1, b=1, c=2), "one"), None)
            second = await store.append(to(shop(a=1, b=2, c=1), "two"), None)
            store_id = store.id
        async with opened(tmp_path) as store:
            assert await store.newest() == second
            assert (first.number, second.number, store.id) == (1, 2, store_id)
            notes = await store.notes(10, None)
            assert [(n.revision, n.reason, n.author) for n in notes] == [
                (2, "two", "admin"),
                (1, "one", "admin"),
            ]
            assert notes[0].at == NOW

    asyncio.run(scenario())


def test_a_change_that_changes_nothing_makes_no_revision(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            first = await store.append(to(shop(a=1)), None)
            assert await store.append(lambda _: None, None) == first
            assert len(await store.notes(10, None)) == 1

    asyncio.run(scenario())


def test_the_expected_revision_is_checked_before_anything_is_decided(tmp_path: Path) -> None:
    def never(_: Revision) -> Draft:
        raise AssertionError("decided on a stale revision")

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(to(shop(a=1)), frozenset({0}))
            with pytest.raises(StaleRevisionError, match="newest revision is 1"):
                await store.append(never, frozenset({0, 2}))
            assert (await store.append(to(shop(a=2)), frozenset({0, 1}))).number == 2

    asyncio.run(scenario())


def test_a_decision_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails(_: Revision) -> Draft:
        raise LookupError("no")

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            with pytest.raises(LookupError):
                await store.append(fails, None)
            assert (await store.append(to(shop(a=1)), None)).number == 1

    asyncio.run(scenario())


def test_a_failure_between_two_writes_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(to(shop(a=1, b=1)), None)
            database = sqlite3.connect(tmp_path / "control.db")
            database.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON split_tables "
                "BEGIN SELECT RAISE(ABORT, 'broken here'); END"
            )
            database.close()
            with pytest.raises(StoreError, match="broken here"):
                await store.append(to(shop(a=1, b=2)), None)
            assert (await store.newest()).number == 1
            assert len(await store.notes(10, None)) == 1

    asyncio.run(scenario())


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            changes = [store.append(to(shop(a=1, b=n)), None) for n in range(1, 11)]
            numbers = [revision.number for revision in await asyncio.gather(*changes)]
            assert sorted(numbers) == list(range(1, 11))

    asyncio.run(scenario())


def test_a_table_is_written_only_when_it_moved(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            both = Traffic(services=shop(a=1, b=1).services | {"other": shop(c=1).services["shop"]})
            await store.append(to(both), None)
            moved = Traffic(services=both.services | shop(a=1, b=2).services)
            newest = await store.append(to(moved), None)
            assert await store.newest() == newest

    asyncio.run(scenario())
    written = rows(tmp_path, "SELECT service, revision FROM split_tables ORDER BY 1, 2")
    assert written == [("other", 1), ("shop", 1), ("shop", 2)]


def test_a_service_that_was_away_does_not_get_its_old_table_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(to(shop(a=10, b=45, c=45)), None)
            await store.append(to(shop(a=45, b=10, c=45)), None)
            assert (await store.append(to(Traffic()), None)).tables == {}
            assert (await store.newest()).tables == {}
            back = await store.append(to(shop(a=45, b=10, c=45)), None)
            assert await store.newest() == back

    asyncio.run(scenario())


def test_pages_of_notes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            for number in range(1, 6):
                await store.append(to(shop(a=number)), None)
            assert [n.revision for n in await store.notes(2, None)] == [5, 4]
            assert [n.revision for n in await store.notes(2, 4)] == [3, 2]
            assert [n.revision for n in await store.notes(9, 2)] == [1]

    asyncio.run(scenario())


def test_the_database_is_set_up_to_be_durable(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store, store._engine.connect() as connection:
            for pragma, expected in (
                ("journal_mode", "wal"),
                ("synchronous", 2),
                ("foreign_keys", 1),
            ):
                found = await connection.exec_driver_sql(f"PRAGMA {pragma}")
                assert found.scalar_one() == expected

    asyncio.run(scenario())


def test_one_process_owns_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_LOCK_WAIT_S", 0.2)

    async def scenario() -> None:
        async with opened(tmp_path):
            with pytest.raises(StoreError, match="another control plane has it"):
                await SqlStore.open(store_url(tmp_path))
        async with opened(tmp_path) as store:
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
        asyncio.run(SqlStore.open(store_url(tmp_path / "none")))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_taken_away_takes_no_change(tmp_path: Path, replaced: bool) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(to(shop(a=1)), None)
            (tmp_path / "control.db").rename(tmp_path / "away.db")
            if replaced:
                (tmp_path / "control.db").touch()
            with pytest.raises(StoreError, match="removed or replaced"):
                await store.append(to(shop(a=2)), None)
            with pytest.raises(StoreError, match="removed or replaced"):
                await store.ping()
            assert (await store.newest()).number == 1

    asyncio.run(scenario())


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"not a database, but long enough to look at" * 50)
    with pytest.raises(StoreError, match="not a database"):
        asyncio.run(SqlStore.open(store_url(tmp_path)))


def test_content_of_another_release_is_a_clear_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.append(to(shop(a=1)), None)
            database = sqlite3.connect(tmp_path / "control.db")
            database.execute("UPDATE revisions SET traffic = '{\"future\": 1}'")
            database.commit()
            database.close()
            with pytest.raises(StoreError, match="cannot read"):
                await store.newest()

    asyncio.run(scenario())
