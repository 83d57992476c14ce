"""The good client and the flood: what they send, what they count. Against a real endpoint."""

import asyncio
import math

import pytest

from loadtests.slow.flood import flood
from loadtests.slow.good import FRESH_EACH, Good, content_length, figures
from tests.support.raw_backend import OK, RawBackend, Visit, replying, said
from tests.support.running import run


def test_figures_count_failures_and_take_quantiles_of_answers() -> None:
    found = figures([0.001 * number for number in range(1, 101)], 3)
    assert (found.requests, found.failures) == (103, 3)
    assert found.p50_ms == pytest.approx(50)
    assert found.p99_ms == pytest.approx(99)
    assert found.worst_ms == pytest.approx(100)
    nothing = figures([], 2)
    assert (nothing.requests, nothing.failures) == (2, 2)
    assert math.isnan(nothing.p99_ms)


def test_content_length() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 12\r\n\r\n") == 12
    assert content_length(b"HTTP/1.1 204 No Content\r\n\r\n") == 0


def port_of(backend: RawBackend) -> int:
    return int(backend.endpoint.rpartition(":")[2])


def test_good_requests_use_kept_connections_and_some_fresh_ones() -> None:
    async def test() -> None:
        async with RawBackend(replying(said(b"x" * 70_000))) as backend:
            found = await Good(port_of(backend), rate=200, seconds=0.5).run()
            assert (found.requests, found.failures) == (100, 0)
            assert 100 // FRESH_EACH < len(backend.visits) < 100
            received = b"".join(visit.received for visit in backend.visits)
            assert received.count(b"GET /api/items") == 100

    run(test)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
                                    b"\0" * 70_000 + b"\r\n\r\n"])  # fmt: skip
def test_whatever_is_no_whole_answer_is_a_failure(answer: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer)

    async def test() -> None:
        async with RawBackend(script) as backend:
            found = await Good(port_of(backend), rate=100, seconds=0.1).run()
            assert (found.requests, found.failures) == (10, 10)

    run(test)


def test_a_stall_shows_in_every_request_that_was_due_meanwhile() -> None:
    """Though the first only was sent: their clocks run."""

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            if visit.number == 0 and visit.received.count(b"GET ") == 1:
                await asyncio.sleep(0.3)
            await visit.send(OK)

    async def test() -> None:
        async with RawBackend(script) as backend:
            found = await Good(port_of(backend), rate=50, seconds=0.5).run()
            assert found.failures == 0
            assert found.worst_ms >= 290

    run(test)


def test_nobody_there_is_a_failure_each() -> None:
    async def test() -> None:
        async with RawBackend(replying(OK)) as backend:
            port = port_of(backend)
        found = await Good(port, rate=100, seconds=0.1).run()
        assert (found.requests, found.failures) == (10, 10)
        assert await flood(port, "long-head", 50, 0.1) is not None

    run(test)


def test_a_flood_sends_each_request_on_its_own_connection_and_counts_answers() -> None:
    async def script(visit: Visit) -> None:
        await visit.until(b"\r\n\r\n")
        await visit.send(b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n")

    async def test() -> None:
        async with RawBackend(script) as backend:
            found = await flood(port_of(backend), "many-fields", rate=100, seconds=0.1)
            assert found["statuses"] == {"431": 10}
            assert len(backend.visits) == 10

    run(test)
