"""Whatever comes late, twice, out of order or to several control planes: each request once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.intake import MAX_BATCH_ROWS, MAX_PENDING_ROWS, Intake
from controlplane.rollup import LEVELS
from controlplane.store.base import StoreError, StoreUnsureError
from controlplane.store.sql import SqlStore
from proxy.model.wire import MAX_COUNT, Counts, Report, ReportAck, ReportRow, VersionCounts
from proxy.sync.report import Backlog, Interval, difference
from tests.controlplane.store.test_sql import append, opened, shop

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVER = 2**31 - 1


class Tally:
    def __init__(self) -> None:
        self.results: dict[str, int] = {}
        self.lost = 0

    def reported(self, result: str, reports: int = 1, lost: int = 0) -> None:
        self.results[result] = self.results.get(result, 0) + reports
        self.lost += lost


class Desk:
    """An intake on a store, and what it answered."""

    def __init__(self, store: SqlStore) -> None:
        self.tally = Tally()
        self.store = store
        self.intake = Intake(store, lambda: NOW, self.tally)
        self.answers: list[ReportAck] = []

    def offer(self, *reports: Report) -> None:
        for report in reports:
            self.intake.offer(report, self.answers.append)

    async def flush(self) -> list[ReportAck]:
        await self.intake.flush()
        answers, self.answers = self.answers, []
        return answers


@asynccontextmanager
async def desk(url: str) -> AsyncIterator[Desk]:
    """On a store that has a revision with a shop."""
    async with opened(url) as store:
        await append(store, shop(stable=95, canary=5))
        yield Desk(store)


async def requests(store: SqlStore, level: str = "10s") -> dict[str, int]:
    """By version, over all intervals."""
    found: dict[str, int] = {}
    level_s = LEVELS[level]
    async with store.reading() as unit:
        starts = [s for s, _ in await unit.intervals(level_s, since=0, below=EVER, limit=EVER)]
        for key, figures in await unit.figures(level_s, starts, "shop"):
            assert sum(figures.latency.values()) == figures.requests
            found[key.version] = found.get(key.version, 0) + figures.requests
    return found


def row(count: int, version: str = "stable") -> ReportRow:
    return ReportRow("shop", version, requests=count, latency={7: count} if count else {})


def report(home: SqlStore, number: int, *rows: ReportRow, **changes: Any) -> Report:
    start = NOW - timedelta(seconds=10)
    made = Report("0123456789abcdef", number, home.id, 1, start, 10.0, 0.0, rows or (row(1),))
    return msgspec.structs.replace(made, **changes)


def test_a_report_is_answered_when_it_is_in_the_store(url: str) -> None:
    async def scenario() -> None:
        async with desk(url) as here:
            here.offer(report(here.store, 1, row(95), row(5, "canary")))
            assert (here.answers, here.intake.pending) == ([], 1)
            assert await here.flush() == [ReportAck(1)]
            assert here.intake.pending == 0
            for level in LEVELS:
                assert await requests(here.store, level) == {"stable": 95, "canary": 5}
            assert here.tally.results == {"counted": 1, "duplicate": 0}

    asyncio.run(scenario())


def test_what_comes_twice_counts_once_here_and_at_another_control_plane(url: str) -> None:
    async def scenario() -> None:
        async with desk(url) as here:
            one, two = report(here.store, 1), report(here.store, 2)
            here.offer(two, one, two)
            assert await here.flush() == [ReportAck(2), ReportAck(1), ReportAck(2)]
            other = Desk(here.store)
            other.offer(two, msgspec.structs.replace(one, age_s=5.0))
            assert await other.flush() == [ReportAck(2), ReportAck(1)]
            assert await requests(here.store) == {"stable": 2}
            assert here.tally.results == {"counted": 2, "duplicate": 1}
            assert other.tally.results == {"counted": 0, "duplicate": 2}

    asyncio.run(scenario())


def test_another_life_of_a_proxy_counts_anew(url: str) -> None:
    async def scenario() -> None:
        async with desk(url) as here:
            here.offer(report(here.store, 1), report(here.store, 1, boot="f" * 16))
            await here.flush()
            assert await requests(here.store) == {"stable": 2}

    asyncio.run(scenario())


def test_what_is_refused_is_told_why_and_spoils_nothing(url: str) -> None:
    async def scenario() -> None:
        async with desk(url) as here:
            here.offer(
                report(here.store, 1, store="elsewhere"),
                report(here.store, 2, row(3), row(5, "canry"), revision=9),
                report(here.store, 3, age_s=700_000.0),
                report(here.store, 4),
            )
            first, second, third, fourth = sorted(await here.flush(), key=lambda ack: ack.number)
            assert "elsewhere" in first.refused
            assert "version 'canry'" in second.refused
            assert third.refused.startswith("age_s: ")
            assert [ack.lost for ack in (first, second, third)] == [1, 5, 1]
            assert fourth == ReportAck(4)
            assert await requests(here.store) == {"stable": 4}
            assert here.tally.results == {"refused": 2, "counted": 2, "duplicate": 0}
            assert here.tally.lost == 7

    asyncio.run(scenario())


def test_a_revision_that_no_store_can_have_keeps_nobody_elses_from_being_counted(url: str) -> None:
    async def scenario() -> None:
        async with desk(url) as here:
            for number, revision in enumerate((2**31, MAX_COUNT), 1):
                here.offer(report(here.store, number, row(1, "canry"), revision=revision))
            here.offer(report(here.store, 3))
            first, second, third = await here.flush()
            assert first.lost == second.lost == 1
            assert third == ReportAck(3)

    asyncio.run(scenario())


def test_names_of_the_revision_before_and_of_another_control_plane_are_known(url: str) -> None:
    async def scenario() -> None:
        async with desk(url) as here:
            await append(here.store, shop(stable=1))
            await append(here.store, shop(stable=1, later=1))
            here.offer(
                report(here.store, 1, row(1, "canary"), revision=2),
                report(here.store, 2, row(1, "later"), revision=3),
                report(here.store, 3, row(1, "never"), revision=3),
            )
            refused = [ack.number for ack in await here.flush() if ack.refused]
            assert refused == [3]
            assert await requests(here.store) == {"canary": 1, "later": 1}

    asyncio.run(scenario())


def test_what_finds_no_room_is_not_answered_and_counts_when_it_comes_again(url: str) -> None:
    async def scenario() -> None:
        async with desk(url) as here:
            big = tuple(row(0) for _ in range(4_999))
            most = MAX_PENDING_ROWS // 5_000
            here.offer(*(report(here.store, number, *big) for number in range(1, most + 2)))
            assert here.intake.pending == most
            assert here.tally.results == {"deferred": 1}
            assert [ack.number for ack in await here.flush()] == list(range(1, most + 1))
            here.offer(report(here.store, most + 1, row(1)))
            assert [ack.number for ack in await here.flush()] == [most + 1]
            assert most * 5_000 > MAX_BATCH_ROWS  # it took several transactions

    asyncio.run(scenario())


@contextmanager
def broken(store: SqlStore, error: Exception, *, committed: bool = False) -> Iterator[None]:
    """Its writing transactions fail, before or after they are committed."""
    writing = store.writing

    @asynccontextmanager
    async def failing() -> AsyncIterator[Any]:
        if not committed:
            raise error
        async with writing() as unit:
            yield unit
        raise error

    store.writing = failing  # type: ignore[method-assign] # a fault of the test's
    try:
        yield
    finally:
        store.writing = writing  # type: ignore[method-assign]


def test_a_store_that_fails_loses_and_doubles_nothing(url: str) -> None:
    async def scenario() -> None:
        async with desk(url) as here:
            here.offer(report(here.store, 1))
            with broken(here.store, StoreError("away")), pytest.raises(StoreError):
                await here.flush()
            assert (here.intake.pending, here.answers) == (1, [])
            here.offer(report(here.store, 2))
            unsure = StoreUnsureError("lost at the commit")
            with broken(here.store, unsure, committed=True), pytest.raises(StoreError):
                await here.flush()
            assert await requests(here.store) == {"stable": 2}
            assert await here.flush() == [ReportAck(1), ReportAck(2)]
            assert await requests(here.store) == {"stable": 2}

    asyncio.run(scenario())


def test_stopped_in_the_middle_of_a_write_it_counts_and_answers_first(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.intake.BATCH_S", 0.001)

    async def scenario() -> None:
        async with desk(url) as here:
            answers = list[ReportAck]()
            asked = 0

            def wall() -> datetime:
                nonlocal asked
                asked += 1
                if asked == 2:  # the first is the arrival, the second in the transaction
                    running.cancel()
                return NOW

            intake = Intake(here.store, wall, here.tally)
            intake.offer(report(here.store, 1, row(3)), answers.append)
            running = asyncio.create_task(intake.run())
            await asyncio.wait([running])
            assert running.cancelled()
            assert asked == 2
            assert answers == [ReportAck(1)]
            assert await requests(here.store) == {"stable": 3}
            assert here.tally.results == {"counted": 1, "duplicate": 0}

    asyncio.run(scenario())


def test_one_that_cannot_be_counted_keeps_no_other_from_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the wire would not let through stands for a mistake of ours."""

    async def scenario() -> None:
        async with desk(url) as here:
            bad = report(here.store, 2, length_s="long")
            here.offer(report(here.store, 1), report(here.store, 3))
            here.intake._pending.insert(1, here.intake._pending[0]._replace(report=bad))
            first, second, third = await here.flush()
            assert (first, third) == (ReportAck(1), ReportAck(3))
            assert "internal error" in second.refused
            assert await requests(here.store) == {"stable": 2}

    asyncio.run(scenario())
    assert "report 2 of 0123456789abcdef cannot be counted" in caplog.text


class World:
    """Proxies that count, report, restart and lose their connections; control planes that share a
    store, are killed before and after their commits, and answer or not."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.desks = [Desk(store), Desk(store)]
        self.now_s = 0.0
        self.lives = 0
        self.ended = {"stable": 0, "canary": 0}
        self.proxies = [self.new_proxy() for _ in range(2)]

    def new_proxy(self) -> "SimulatedProxy":
        self.lives += 1
        return SimulatedProxy(f"{self.lives:016x}", lambda: self.now_s, self.store.id)

    async def settle(self) -> None:
        """Everything is sent until it is answered."""
        for _ in range(100):
            for proxy in self.proxies:
                proxy.backlog.reconnected()
                proxy.send(self.desks[0])
            await self.desks[0].flush()
            if not any(len(proxy.backlog) for proxy in self.proxies):
                return
        raise AssertionError("it does not end")

    def counted(self) -> dict[str, int]:
        return {
            version: self.ended[version] + sum(proxy.total[version] for proxy in self.proxies)
            for version in self.ended
        }

    async def restart(self, which: int) -> None:
        """A proxy tells all it has, and begins another life."""
        proxy = self.proxies[which]
        proxy.look()
        await self.settle()
        for version, count in proxy.total.items():
            self.ended[version] += count
        self.proxies[which] = self.new_proxy()

    async def die_unheard(self, index: int) -> None:
        """It commits what it has, and is killed before it answers."""
        intake = self.desks[index].intake
        intake._pending = [each._replace(reply=lambda _: None) for each in intake._pending]
        await self.desks[index].flush()
        self.kill(index)

    def kill(self, index: int) -> None:
        """What it had in memory is gone."""
        self.desks[index] = Desk(self.store)


class SimulatedProxy:
    def __init__(self, boot: str, monotonic_s: Any, store_id: str) -> None:
        self.backlog = Backlog(boot, monotonic_s)
        self.total = {"stable": 0, "canary": 0}
        self._before = Counts(())
        self._now_s = monotonic_s
        self._begin_s = 0.0
        self._store_id = store_id

    def serve(self, version: str, count: int) -> None:
        self.total[version] += count

    def look(self) -> None:
        counts = Counts(
            tuple(
                VersionCounts("shop", name, requests={"GET 200": n}, latency={7: n} if n else {})
                for name, n in self.total.items()
            )
        )
        rows = difference(self._before, counts, {}, {})
        end_s = max(self._now_s(), self._begin_s + 1e-3)
        start = NOW + timedelta(seconds=self._begin_s)
        self.backlog.add(Interval(start, self._begin_s, end_s, self._store_id, 1, rows))
        self._before, self._begin_s = counts, end_s

    def send(self, desk: Desk, *, heard: bool = True) -> None:
        while (report := self.backlog.next()) is not None:
            answered = self.backlog.answered if heard else lambda _: None
            desk.intake.offer(report, answered)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("serve"), st.integers(0, 1), st.integers(1, 50)),
        st.tuples(st.just("look"), st.integers(0, 1), st.integers(1, 3)),
        st.tuples(st.just("send"), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("send unheard"), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("reconnect"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("flush"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("commit, then die"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("die"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("restart proxy"), st.integers(0, 1), st.just(0)),
    ),
    max_size=40,
)


async def step(world: World, what: str, which: int, much: int) -> None:
    """One thing that happens."""
    proxy = world.proxies[which]
    if what == "serve":
        proxy.serve("canary" if much % 5 == 0 else "stable", much)
    elif what == "look":
        world.now_s += 10.0 * much
        proxy.look()
    elif what.startswith("send"):
        proxy.send(world.desks[much], heard=what == "send")
    elif what == "reconnect":
        proxy.backlog.reconnected()
    elif what == "flush":
        await world.desks[which].flush()
    elif what == "commit, then die":
        await world.die_unheard(which)
    elif what == "die":
        world.kill(which)
    else:
        await world.restart(which)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_sums_are_what_was_counted_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """Lives that end are reported to their end first: what a killed proxy had not told is lost,
    and so is not among what was counted."""

    async def scenario() -> None:
        folder = tmp_path_factory.mktemp("world")
        async with desk(f"sqlite:///{folder / 'a.db'}") as here:
            world = World(here.store)
            for what, which, much in steps:
                await step(world, what, which, much)
            for proxy in world.proxies:
                proxy.look()
            await world.settle()
            for other in world.desks:
                await other.flush()  # late ones that were answered by another in the meantime
            for level in LEVELS:
                found = {"stable": 0, "canary": 0} | await requests(here.store, level)
                assert found == world.counted()

    asyncio.run(scenario())
