"""The open loop: what is due is sent on time, and a stall shows in all that it delayed."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

import pytest

from loadtests.compare import pace
from loadtests.compare.backend import BODY, Backend, answer
from loadtests.compare.pace import CONNECTIONS, Pacer, quantile, request_of
from loadtests.compare.wire import complete

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HELD = 40


async def paced(port: int, rate: float, seconds: float) -> Pacer:
    pacer = Pacer(port, rate, seconds)
    await asyncio.to_thread(pacer.run)
    return pacer


async def against(handler: Handler, rate: float, seconds: float) -> Pacer:
    """A pacer that has run against connections handled so."""
    async with asyncio.timeout(30):
        server = await asyncio.start_server(handler, "127.0.0.1", 0, backlog=CONNECTIONS)
        async with server:
            return await paced(server.sockets[0].getsockname()[1], rate, seconds)


def test_every_request_that_was_due_is_answered_and_timed() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Backend("v1"), "127.0.0.1", 0)
        async with server:
            pacer = await paced(server.sockets[0].getsockname()[1], 400, 0.25)
        assert pacer.failed == 0
        assert len(pacer.times_s) == len(pacer.late_s) == 100, "those of the warm-up are not"
        assert all(time_s > 0 for time_s in pacer.times_s)

    asyncio.run(test())


def test_a_stall_shows_in_every_request_that_it_delayed() -> None:
    rate, warm = 1000.0, 500
    seen = 0
    held: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                seen += 1
                held.append(writer)
                # A hundred requests into the measure all answers wait for HELD more requests.
                if not warm + 100 <= seen < warm + 100 + HELD:
                    for waiting in held:
                        waiting.write(answer("v1", BODY))
                    held.clear()
        writer.close()

    pacer = asyncio.run(against(handle, rate, 0.3))
    assert pacer.failed == 0
    slowest = sorted(pacer.times_s, reverse=True)
    # The first was due HELD steps before the answers came, the next one step less, and so on.
    for place in range(HELD):
        assert slowest[place] >= (HELD - place - 1) / rate


def test_what_waits_for_a_connection_is_timed_from_when_it_was_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "CONNECTIONS", 1)
    rate, warm, stall_s = 200.0, 100, 0.1
    seen = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                seen += 1
                if seen == warm + 5:
                    await asyncio.sleep(stall_s)  # the stall itself
                writer.write(answer("v1", BODY))
        writer.close()

    pacer = asyncio.run(against(handle, rate, 0.2))
    assert len(pacer.times_s) == 40
    slowest = sorted(pacer.times_s, reverse=True)
    for place in range(int(stall_s * rate)):
        assert slowest[place] >= stall_s - place / rate


def test_answers_that_are_no_200_are_failures() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    pacer = asyncio.run(against(handle, 400, 0.1))
    assert pacer.times_s == []
    assert pacer.failed == (0.5 + 0.1) * 400


@pytest.mark.parametrize(
    ("part", "wanted"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.91, 10), (0.99, 10), (1.0, 10)]
)
def test_quantiles_are_values_that_were_seen(part: float, wanted: float) -> None:
    assert quantile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], part) == wanted


def test_nothing_seen_has_no_quantile() -> None:
    assert math.isnan(quantile([], 0.5))


def test_an_answer_is_complete_with_its_body() -> None:
    whole = answer("v1", b"body")
    assert complete(whole)
    assert not any(complete(whole[:end]) for end in range(len(whole)))
    assert complete(request_of(3))
    assert complete(b"HTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\nbody")
