"""When the counters are looked at, and how reports go over the stream."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from proxy.model.wire import Ack, Counts, Hello, Report, ReportAck, VersionCounts
from proxy.model.wire import Reporting as Asking
from proxy.sync.reporting import Measured, Reporting
from tests.support.control_peer import Peer, Proxy, play
from tests.support.running import eventually

WALL = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHARES = {("shop", "stable"): 1.0}


class Counters:
    """What a proxy has counted so far."""

    def __init__(self) -> None:
        self.requests = 0
        self.store = "s"
        self.failure: Exception | None = None
        self.looks = 0

    async def measure(self) -> Measured:
        self.looks += 1
        if self.failure:
            raise self.failure
        n = self.requests
        counts = VersionCounts("shop", "stable", requests={"GET 200": n}, latency={7: n})
        return Measured(Counts((counts,)), self.store, 3, SHARES)


def reporting(counters: Counters) -> Reporting:
    return Reporting(counters.measure, wall=lambda: WALL, draw=lambda: 0.0)


def requests(report: Report | None) -> int:
    assert report is not None
    return sum(row.requests for row in report.rows)


def test_what_was_counted_between_two_looks_is_one_report() -> None:
    async def scenario() -> None:
        counters = Counters()
        reports = reporting(counters)
        counters.requests = 5
        await reports.look()
        counters.requests = 7
        await reports.look()
        await reports.look()
        sent = [reports.backlog.next() for _ in range(4)]
        assert [requests(report) for report in sent[:3]] == [5, 2, 0]
        assert sent[3] is None
        first = sent[0]
        assert first is not None
        assert (first.store, first.revision, first.start) == ("s", 3, WALL)
        assert 0 < first.length_s < 20

    asyncio.run(scenario())


def test_what_is_counted_under_the_file_is_told_to_nobody() -> None:
    async def scenario() -> None:
        counters = Counters()
        reports = reporting(counters)
        counters.store, counters.requests = "", 5
        await reports.look()
        assert reports.backlog.next() is None
        counters.store, counters.requests = "s", 7
        await reports.look()
        assert requests(reports.backlog.next()) == 2

    asyncio.run(scenario())


def test_a_look_that_fails_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        counters = Counters()
        counters.failure, counters.requests = RuntimeError("boom"), 5
        reports = reporting(counters)
        reports.asked(0.01)
        running = asyncio.create_task(reports.run())
        async with asyncio.timeout(20):
            await eventually(lambda: counters.looks >= 2)
            counters.failure = None
            await reports.backlog.news.wait()
        running.cancel()
        assert requests(reports.backlog.next()) == 5

    asyncio.run(scenario())
    assert "the counters could not be looked at" in caplog.text


def test_nobody_waits_for_an_answer_that_nobody_asked_for() -> None:
    async def scenario() -> None:
        counters = Counters()
        reports = reporting(counters)
        await reports.last()
        assert counters.looks == 0
        await reports.look()
        assert (len(reports.backlog), reports.waiting) == (1, 0)
        reports.asked(10.0)
        assert reports.waiting == 1
        assert reports.backlog.next() is not None
        reports.backlog.answered(ReportAck(1))
        assert reports.waiting == 0
        counters.requests = 3
        await reports.last(within_s=0.01)
        assert requests(reports.backlog.next()) == 3
        last = asyncio.create_task(reports.last(within_s=20.0))
        await eventually(lambda: reports.backlog.next() is not None)
        for number in (2, 3):
            reports.backlog.answered(ReportAck(number))
        await last

    asyncio.run(scenario())


def played(
    script: Callable[[Peer], Awaitable[None]], *more: Callable[[Peer], Awaitable[None]]
) -> Counters:
    """The scripts, with a proxy that counts one request more each time it is looked at."""
    counters = Counters()

    async def measure() -> Measured:
        counters.requests += 1
        return await counters.measure()

    reports = Reporting(measure, wall=lambda: WALL, draw=lambda: 0.0)
    reports.asked(0.1)

    async def with_reporting(peer: Peer) -> None:
        running = asyncio.create_task(reports.run())
        try:
            await script(peer)
        finally:
            running.cancel()

    play(with_reporting, *more, proxy=Proxy(), reports=reports)
    return counters


def test_reports_are_sent_once_they_are_asked_for() -> None:
    async def script(peer: Peer) -> None:
        assert isinstance(await peer.hear(), Hello)
        await peer.say(1)
        assert await peer.hear() == Ack(1)  # and nothing else: it was not asked yet
        await peer.tell(Asking(0.1))
        first = await peer.hear_report()
        assert (first.number, requests(first)) == (1, 1)
        await peer.tell(ReportAck(1))
        assert (await peer.hear_report()).number == 2

    played(script)


def test_no_more_than_four_wait_for_an_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.tell(Asking(0.1))
        numbers = [(await peer.hear_report()).number for _ in range(4)]
        assert numbers == [1, 2, 3, 4]
        await peer.say(1)
        assert await peer.hear() == Ack(1)  # a snapshot is answered meanwhile; no fifth report
        await peer.tell(ReportAck(3))
        assert (await peer.hear_report()).number == 5

    played(script)


def test_what_was_not_answered_is_sent_again_on_the_next_connection() -> None:
    sent: list[Report] = []

    async def first(peer: Peer) -> None:
        await peer.hear()
        await peer.tell(Asking(0.1))
        sent.extend([await peer.hear_report() for _ in range(2)])
        await peer.tell(ReportAck(1))
        await peer.hear_report()
        peer.abort()

    async def second(peer: Peer) -> None:
        await peer.hear()
        await peer.tell(Asking(0.1))
        again = await peer.hear_report()
        assert (again.number, again.rows, again.start) == (2, sent[1].rows, sent[1].start)
        assert again.age_s > sent[1].age_s

    played(first, second)


def test_a_control_plane_may_ask_for_what_a_proxy_does_not_do() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.tell(Asking(0.1))
        await peer.tell(ReportAck(1))
        await peer.say(1)
        assert await peer.hear() == Ack(1)

    play(script, proxy=Proxy())
