import asyncio
from datetime import UTC, datetime, timedelta

from controlplane.retention import KEPT, Retention
from controlplane.rollup import LEVELS, Cells, count, raised
from controlplane.screening import MAX_AGE_S, REMEMBERED_S, Seen
from controlplane.store.opening import open_database
from controlplane.store.sql import SqlStore

NOW = datetime(2026, 6, 2, 3, 4, 5, tzinfo=UTC)


def test_each_level_is_kept_as_long_as_was_asked(url: str) -> None:
    ages = [timedelta(hours=5), timedelta(hours=7), timedelta(days=9), timedelta(days=401)]

    async def scenario() -> None:
        database = await open_database(url)
        try:
            store = await SqlStore.on(database)
            cells: Cells = {}
            for age in ages:
                count(cells, [], (NOW - age).timestamp(), 10.0)
            async with store.writing() as unit:
                await unit.add_figures(raised(cells))
                for number, age in enumerate(ages):
                    await unit.keep_seen_reports({f"{number:016x}": Seen(1, 1)}, {}, NOW - age)
            retention = Retention(store, lambda: True, lambda: NOW, KEPT)
            for _ in range(2):
                await retention.forget()
            async with store.reading() as unit:
                there = {
                    level: len(await unit.intervals(level_s, since=0, below=2**31 - 1, limit=9))
                    for level, level_s in LEVELS.items()
                }
                assert there == {"10s": 1, "1m": 2, "1h": 3}
                boots = [f"{number:016x}" for number in range(len(ages))]
                assert set(await unit.seen_reports(boots)) == set(boots[:2])
        finally:
            await database.close()

    asyncio.run(scenario())


def test_what_may_still_be_sent_again_is_remembered() -> None:
    assert REMEMBERED_S > MAX_AGE_S
