import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from controlplane.changes import tables_after
from controlplane.model import Draft, Revision
from controlplane.store.base import StoreError, Unit
from controlplane.store.opening import open_database
from controlplane.store.sql import SqlStore
from proxy.model.config import Service, Traffic, Version

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def shop(**weights: int) -> Traffic:
    versions = {name: Version((f"http://{name}:80",)) for name in weights}
    return Traffic(services={"shop": Service(versions=versions, weights=weights)})


async def added(unit: Unit, traffic: Traffic, reason: str = "") -> Revision:
    newest = await unit.newest()
    draft = Draft(traffic, tables_after(newest, traffic), "admin", reason, NOW)
    return await unit.append(newest, draft)


async def append(store: SqlStore, traffic: Traffic, reason: str = "") -> Revision:
    async with store.writing() as unit:
        return await added(unit, traffic, reason)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SqlStore]:
    database = await open_database(url)
    try:
        yield await SqlStore.on(database)
    finally:
        await database.close()


async def executed(store: SqlStore, *statements: str) -> None:
    async with store._database.writing() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


def broken(url: str) -> tuple[str, ...]:
    """What makes every insert of a split table fail."""
    trigger = "CREATE TRIGGER broken BEFORE INSERT ON split_tables"
    if url.startswith("sqlite"):
        return (f"{trigger} BEGIN SELECT RAISE(ABORT, 'broken here'); END",)
    body = "BEGIN RAISE EXCEPTION 'broken here'; END"
    return (
        f"CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"{trigger} FOR EACH ROW EXECUTE FUNCTION broken()",
    )


def test_a_new_store_is_empty(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            assert await store.newest() == Revision(0)
            assert await store.newest_number() == 0
            assert await store.notes(10, None) == []
            assert len(store.id) == 36
            await store.ping()

    asyncio.run(scenario())


def test_what_was_appended_is_there_after_a_restart(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            first = await append(store, shop(a=1, b=1, c=2), "one")
            second = await append(store, shop(a=1, b=2, c=1), "two")
            store_id = store.id
        async with opened(url) as store:
            assert await store.newest() == second
            assert await store.newest_number() == 2
            assert (first.number, second.number, store.id) == (1, 2, store_id)
            notes = await store.notes(10, None)
            assert [(n.revision, n.reason, n.author) for n in notes] == [
                (2, "two", "admin"),
                (1, "one", "admin"),
            ]
            assert notes[0].at == NOW

    asyncio.run(scenario())


def test_a_unit_that_fails_leaves_nothing_behind(url: str) -> None:
    async def fail(store: SqlStore) -> None:
        async with store.writing() as unit:
            await added(unit, shop(a=2))
            raise LookupError("no")

    async def scenario() -> None:
        async with opened(url) as store:
            with pytest.raises(LookupError):
                await fail(store)
            assert (await append(store, shop(a=1))).number == 1

    asyncio.run(scenario())


def test_a_failure_between_two_writes_leaves_nothing_behind(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            await append(store, shop(a=1, b=1))
            await executed(store, *broken(url))
            with pytest.raises(StoreError, match="broken here"):
                await append(store, shop(a=1, b=2))
            assert (await store.newest()).number == 1
            assert len(await store.notes(10, None)) == 1

    asyncio.run(scenario())


def test_writers_wait_for_each_other(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            changes = [append(store, shop(a=1, b=n)) for n in range(1, 11)]
            numbers = [revision.number for revision in await asyncio.gather(*changes)]
            assert sorted(numbers) == list(range(1, 11))

    asyncio.run(scenario())


def test_a_table_is_written_only_when_it_moved(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            both = Traffic(services=shop(a=1, b=1).services | {"other": shop(c=1).services["shop"]})
            await append(store, both)
            moved = Traffic(services=both.services | shop(a=1, b=2).services)
            newest = await append(store, moved)
            assert await store.newest() == newest
            async with store._database.reading() as connection:
                query = "SELECT service, revision FROM split_tables ORDER BY 1, 2"
                written = [tuple(row) for row in await connection.exec_driver_sql(query)]
            assert written == [("other", 1), ("shop", 1), ("shop", 2)]

    asyncio.run(scenario())


def test_a_service_that_was_away_does_not_get_its_old_table_back(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            await append(store, shop(a=10, b=45, c=45))
            await append(store, shop(a=45, b=10, c=45))
            assert (await append(store, Traffic())).tables == {}
            assert (await store.newest()).tables == {}
            back = await append(store, shop(a=45, b=10, c=45))
            assert await store.newest() == back

    asyncio.run(scenario())


def test_pages_of_notes(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            for number in range(1, 6):
                await append(store, shop(a=number))
            assert [n.revision for n in await store.notes(2, None)] == [5, 4]
            assert [n.revision for n in await store.notes(2, 4)] == [3, 2]
            assert [n.revision for n in await store.notes(9, 2)] == [1]
            assert [n.revision for n in await store.notes(1, 2**53)] == [5]

    asyncio.run(scenario())


def test_content_of_another_release_is_a_clear_error(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            await append(store, shop(a=1))
            await executed(store, "UPDATE revisions SET traffic = '{\"future\": 1}'")
            with pytest.raises(StoreError, match="cannot read"):
                await store.newest()

    asyncio.run(scenario())


def test_writers_of_several_stores_wait_for_each_other(postgres_url: str) -> None:
    async def scenario() -> None:
        async with opened(postgres_url) as one, opened(postgres_url) as other:
            changes = [
                append(store, shop(a=1, b=n)) for n in range(1, 11) for store in (one, other)
            ]
            numbers = [revision.number for revision in await asyncio.gather(*changes)]
            assert sorted(numbers) == list(range(1, 21))
            assert await one.newest() == await other.newest()

    asyncio.run(scenario())


def test_a_reader_sees_one_moment(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            await append(store, shop(a=1))
            async with store._database.reading() as connection:
                query = "SELECT max(revision) FROM revisions"
                before = (await connection.exec_driver_sql(query)).scalar_one()
                await append(store, shop(a=2))
                assert (await connection.exec_driver_sql(query)).scalar_one() == before == 1

    asyncio.run(scenario())
