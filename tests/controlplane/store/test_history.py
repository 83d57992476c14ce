import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.audit import Entry, verify
from controlplane.gate import Freeze, Freezes, Window
from controlplane.model import Kept, Revision
from controlplane.store.base import StoreError
from controlplane.store.sql import SqlStore
from tests.controlplane.store.test_sql import append, opened, shop

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
DAY = timedelta(hours=24)
KEPT = Kept("digest", b'{"revision":1}', "1")


def entry(reason: str) -> Entry:
    return Entry(NOW, "ada", "10.0.0.1", "id", "weights.set", "", reason, None, {"revision": 1})


async def fail_in(store: SqlStore) -> None:
    async with store.writing() as unit:
        await unit.record(entry("never"))
        raise StoreError("no")


def test_entries_are_chained_over_restarts(url: str) -> None:
    async def scenario() -> None:
        for start in (0, 3):
            async with opened(url) as store:
                for number in range(start, start + 3):
                    async with store.writing() as unit:
                        await unit.record(entry(f"{number}"))
        async with opened(url) as store, store.reading() as unit:
            rows = await unit.entries(10, after=0, before=None)
            assert [number for number, _ in rows] == [1, 2, 3, 4, 5, 6]
            assert verify(text.encode() for _, text in rows) is None
            assert [n for n, _ in await unit.entries(2, after=3, before=None)] == [4, 5]
            assert [n for n, _ in await unit.entries(2, after=None, before=None)] == [6, 5]
            assert [n for n, _ in await unit.entries(2, after=None, before=3)] == [2, 1]

    asyncio.run(scenario())


def test_a_transaction_that_fails_leaves_no_entry(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            with pytest.raises(StoreError):
                await fail_in(store)
            async with store.reading() as unit:
                assert await unit.entries(10, after=0, before=None) == []

    asyncio.run(scenario())


def test_freezes_are_kept_replaced_lifted_and_over(url: str) -> None:
    freeze = Freeze("ada", "night", NOW)
    short = Freeze("ada", "lunch", NOW, NOW + timedelta(hours=1))

    async def scenario() -> None:
        async with opened(url) as store:
            async with store.writing() as unit:
                assert await unit.freezes(NOW) == Freezes()
                await unit.put_freeze(None, short)
                await unit.put_freeze("shop", short)
                await unit.put_freeze("shop", freeze)
            async with store.writing() as unit:
                assert await unit.freezes(NOW) == Freezes(short, {"shop": freeze})
                assert await unit.freezes(NOW + DAY) == Freezes(None, {"shop": freeze})
                await unit.put_freeze("shop", None)
                assert await unit.freezes(NOW) == Freezes(short)

    asyncio.run(scenario())


def test_windows_are_kept_whole(url: str) -> None:
    wanted = (Window(("mon", "tue"), "09:00", "17:00", "Europe/Berlin"),)

    async def scenario() -> None:
        async with opened(url) as store, store.writing() as unit:
            assert await unit.windows() == ()
            await unit.put_windows(wanted)
            assert await unit.windows() == wanted
            await unit.put_windows(())
            assert await unit.windows() == ()

    asyncio.run(scenario())


def test_a_reply_is_kept_for_a_day_for_its_author(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store, store.writing() as unit:
            await unit.keep("ada", "k", KEPT, NOW)
            assert await unit.reply("ada", "k", NOW + DAY - timedelta(seconds=1)) == KEPT
            assert await unit.reply("bob", "k", NOW) is None
            assert await unit.reply("ada", "other", NOW) is None
            assert await unit.reply("ada", "k", NOW + DAY) is None
            await unit.keep("ada", "k", Kept("again", b"{}", None), NOW + DAY)
            found = await unit.reply("ada", "k", NOW + DAY)
            assert found == Kept("again", b"{}", None)

    asyncio.run(scenario())


def test_an_old_revision_has_the_tables_it_had(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            made = [Revision(0)]
            for weights in ((1, 9), (5, 5), (5, 5), (2, 8)):
                traffic = shop(a=weights[0], b=weights[1])
                made.append(await append(store, traffic))
            async with store.reading() as unit:
                assert [await unit.revision(number) for number in range(5)] == made
                assert await unit.revision(5) is None

    asyncio.run(scenario())
