import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from controlplane.rollup import CellKey, Cells, Figures, count, raised
from controlplane.screening import WINDOW, Seen
from controlplane.store.base import StoreError
from controlplane.store.sql import SqlStore
from proxy.model.wire import LAST_BUCKET, MAX_COUNT, ReportRow, Sample, Spread
from tests.controlplane.store.test_sql import executed, opened

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROW = ReportRow("shop", "canary", "", 3, 1, {7: 2, LAST_BUCKET: 1}, 0.05)


def cells(start_s: float, *rows: ReportRow) -> Cells:
    found: Cells = {}
    count(found, rows, start_s, 10.0)
    return raised(found)


def test_sums_add_up_and_are_there_after_a_restart(url: str) -> None:
    big = ReportRow("shop", "canary", "", MAX_COUNT, 0, {7: MAX_COUNT}, 0.05)

    async def scenario() -> None:
        async with opened(url) as store:
            for rows in ((ROW,), (ROW, ReportRow("shop", "canary", "country=de", 3)), (big,)):
                async with store.writing() as unit:
                    await unit.add_figures(cells(1_000.0, *rows))
        async with opened(url) as store, store.reading() as unit:
            assert await unit.intervals(10, since=0, below=2_000, limit=9) == [
                (1_000, Figures(reports=3, seconds=30.0))
            ]
            latency = {7: MAX_COUNT + 4, LAST_BUCKET: 2}
            assert await unit.figures(10, [1_000], "shop") == [
                (
                    CellKey(10, 1_000, "shop", "canary", ""),
                    Figures(MAX_COUNT + 6, 2, latency, 0.05),
                ),
                (CellKey(10, 1_000, "shop", "canary", "country=de"), Figures(3)),
            ]
            (german,) = await unit.figures(10, [1_000], "shop", segment="country=de")
            assert german[0].segment == "country=de"
            assert [
                key.segment for key, _ in await unit.figures(10, [1_000], "shop", segment="")
            ] == [""]
            assert await unit.figures(10, [1_000], "other") == []
            assert await unit.figures(60, [1_000], "shop") == []
            assert len(await unit.figures(60, [960], "shop")) == 2

    asyncio.run(scenario())


def test_endpoints_have_sums_of_their_own(url: str) -> None:
    spread, users = Spread((90,), (3, 1, 2)), Spread((), (3,) * 65 + (1,) * 65)
    whole = msgspec.structs.replace(ROW, spread=users)
    one = msgspec.structs.replace(ROW, share=None, endpoint="http://a:80", spread=spread)
    other = msgspec.structs.replace(one, endpoint="http://b:80")

    async def scenario() -> None:
        async with opened(url) as store:
            for rows in ((whole, one), (whole, one, other)):
                async with store.writing() as unit:
                    await unit.add_figures(cells(1_000.0, *rows))
            async with store.reading() as unit:
                ((_, sums),) = await unit.figures(10, [1_000], "shop")
                assert sums.spread == Spread((), (6,) * 65 + (2,) * 65)
                latency = {7: 4, LAST_BUCKET: 2}
                assert await unit.figures(10, [1_000], "shop", by_endpoint=True) == [
                    (
                        CellKey(10, 1_000, "shop", "canary", "", "http://a:80"),
                        Figures(6, 2, latency, spread=Spread((90,), (6, 2, 4))),
                    ),
                    (
                        CellKey(10, 1_000, "shop", "canary", "", "http://b:80"),
                        Figures(3, 1, {7: 2, LAST_BUCKET: 1}, spread=spread),
                    ),
                ]
                assert len(await unit.figures(60, [960], "shop", by_endpoint=True)) == 2
            async with store.writing() as unit:
                await unit.forget_figures({10: 2_000})
                assert await unit.figures(10, [1_000], "shop", by_endpoint=True) == []
                assert len(await unit.figures(60, [960], "shop", by_endpoint=True)) == 2

    asyncio.run(scenario())


def test_the_last_intervals_come_first_and_gaps_are_not_among_them(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            async with store.writing() as unit:
                for start_s in (1_000.0, 1_010.0, 1_050.0, 2_000.0):
                    await unit.add_figures(cells(start_s, ROW))
            async with store.reading() as unit:

                async def starts(since: int, below: int, limit: int = 9) -> list[int]:
                    found = await unit.intervals(10, since=since, below=below, limit=limit)
                    return [start for start, _ in found]

                assert await starts(0, 2**31 - 1) == [2_000, 1_050, 1_010, 1_000]
                assert await starts(0, 2_000, 2) == [1_050, 1_010]
                assert await starts(1_010, 1_050) == [1_010]
                rows = await unit.figures(10, [1_050, 1_000], "shop")
                assert [key.start for key, _ in rows] == [1_000, 1_050]

    asyncio.run(scenario())


def test_many_intervals_and_names_at_once(url: str) -> None:
    """As behind an outage: more than a statement takes values."""
    made: Cells = {}
    for number in range(1_200):
        count(made, [ReportRow(f"s{number % 3}", "v", requests=1)], 10.0 * number, 10.0)

    async def scenario() -> None:
        async with opened(url) as store:
            for _ in range(2):
                async with store.writing() as unit:
                    await unit.add_figures(copied(made))
            async with store.reading() as unit:
                found = await unit.intervals(10, since=0, below=2**31 - 1, limit=5_000)
                starts = [start for start, _ in found]
                assert len(starts) == 1_200
                rows = await unit.figures(10, starts, "s0")
                assert sum(figures.requests for _, figures in rows) == 800

    asyncio.run(scenario())


def copied(made: Cells) -> Cells:
    return {
        key: Figures(f.requests, f.errors, dict(f.latency), f.share, f.reports, f.seconds)
        for key, f in made.items()
    }


def test_what_is_too_old_goes_level_by_level(url: str) -> None:
    async def scenario() -> None:
        async with opened(url) as store:
            async with store.writing() as unit:
                for start_s in (0.0, 3_600.0, 7_200.0):
                    await unit.add_figures(cells(start_s, ROW))
                await unit.forget_figures({10: 7_200, 60: 3_600, 3_600: 0})
            async with store.reading() as unit:
                for level_s, there in ((10, 1), (60, 2), (3_600, 3)):
                    found = await unit.intervals(level_s, since=0, below=2**31 - 1, limit=9)
                    assert len(found) == there
                    rows = await unit.figures(level_s, [0, 3_600, 7_200], "shop")
                    assert len(rows) == there

    asyncio.run(scenario())


def test_which_reports_were_counted_is_kept_by_life_of_a_proxy(url: str) -> None:
    full = Seen(MAX_COUNT, (1 << WINDOW) - 1)
    boots = [f"{number:016x}" for number in range(1_100)]

    async def scenario() -> None:
        async with opened(url) as store:
            async with store.writing() as unit:
                assert await unit.seen_reports(boots) == {}
                seen = dict.fromkeys(boots, Seen(1, 1))
                await unit.keep_seen_reports(seen, {}, NOW)
            async with store.writing() as unit:
                before = await unit.seen_reports(boots[:2])
                assert before == dict.fromkeys(boots[:2], Seen(1, 1))
                later = NOW + timedelta(days=1)
                await unit.keep_seen_reports({boots[0]: full, "f" * 16: full}, before, later)
            async with store.writing() as unit:
                await unit.forget_seen_reports(NOW + timedelta(seconds=1))
                found = await unit.seen_reports([*boots, "f" * 16])
                assert found == {boots[0]: full, "f" * 16: full}

    asyncio.run(scenario())


def test_what_is_not_committed_is_not_there(url: str) -> None:
    async def fails(store: SqlStore) -> None:
        async with store.writing() as unit:
            await unit.add_figures(cells(1_000.0, ROW))
            await unit.keep_seen_reports({"f" * 16: Seen(1, 1)}, {}, NOW)
            raise RuntimeError

    async def scenario() -> None:
        async with opened(url) as store:
            with pytest.raises(RuntimeError):
                await fails(store)
            async with store.reading() as unit:
                assert await unit.intervals(10, since=0, below=2**31 - 1, limit=9) == []
                assert await unit.seen_reports(["f" * 16]) == {}

    asyncio.run(scenario())


def test_figures_that_cannot_be_read_are_the_store_s_fault(url: str) -> None:
    damage = {
        "sqlite": "UPDATE figures SET latency = x'ff'",
        "postgresql": "UPDATE figures SET latency = '\\xff'",
    }

    async def read(store: SqlStore) -> None:
        async with store.reading() as unit:
            await unit.figures(10, [1_000], "shop")

    async def scenario() -> None:
        async with opened(url) as store:
            async with store.writing() as unit:
                await unit.add_figures(cells(1_000.0, ROW))
            await executed(store, damage[url.partition(":")[0]])
            with pytest.raises(StoreError, match="cannot read"):
                await read(store)

    asyncio.run(scenario())


def test_users_add_up_each_once(url: str) -> None:
    def seen(*users: int) -> Sample:
        return Sample(0, b"".join(user.to_bytes(8, "big") for user in users))

    rows = [
        ReportRow("shop", "canary", "", 3, 1, {7: 3}, users=seen(*users), erring=seen(users[0]))
        for users in ((1, 2), (2, 2**64 - 1))
    ]

    async def scenario() -> None:
        async with opened(url) as store:
            for row in (*rows, ROW):
                async with store.writing() as unit:
                    await unit.add_figures(cells(1_000.0, row))
            async with store.reading() as unit:
                for level_s, start in ((10, 1_000), (60, 960), (3_600, 0)):
                    ((_, found),) = await unit.figures(level_s, [start], "shop")
                    assert found.users == seen(1, 2, 2**64 - 1)
                    assert found.erring == seen(1, 2)

    asyncio.run(scenario())
