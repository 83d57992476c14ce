"""Event streams and long polls: every event at once, and no timeout made for ordinary answers.

Source: the HTML standard's server-sent events; docs/settings.md for the timeouts.
"""

import asyncio

import pytest

from proxy.model.config import (
    Config,
    Downstream,
    Keepalive,
    Match,
    PathMatch,
    Route,
    RouteTimeouts,
    Service,
    Timeouts,
    Version,
)
from tests.support.raw_backend import RawBackend, Script, Visit, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run
from tests.support.tunnels import ended, values

EVENTS = 20
STREAM = "text/event-stream"
SHORT = Timeouts(response_s=0.3, idle_s=0.3, request_s=0.3)


def framed(data: bytes, framing: str) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if framing == "chunked" else data


def stream_head(framing: str, kind: str = STREAM) -> bytes:
    line = "Transfer-Encoding: chunked" if framing == "chunked" else "Connection: close"
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{line}\r\n\r\n".encode()


def event(number: int) -> bytes:
    return b"id: %d\ndata: {}\n\n" % number


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_events_come_one_by_one(framing: str, minor: int) -> None:
    confirmed: asyncio.Queue[int] = asyncio.Queue()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(stream_head(framing))
        for number in range(EVENTS):
            assert await confirmed.get() == number
            data = event(number)
            await visit.send(framed(data[:5], framing))
            await visit.send(framed(data[5:], framing))
        await visit.send(b"0\r\n\r\n" if framing == "chunked" else b"")

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await client.send(get("/events", f"Accept: {STREAM}", minor=minor))
            head = await client.head()
            assert values(head, "content-type") == [STREAM]
            assert values(head, "transfer-encoding") == ["chunked"] * minor
            for number in range(EVENTS):
                confirmed.put_nowait(number)
                got = await client.until(b"\n\n")
                if minor == 0:
                    assert got == event(number)
                else:
                    assert b"id: " in got
                    assert b"%d\ndata" % number in got
            rest = await client.rest() if minor == 0 else await client.until(b"0\r\n\r\n")
            assert rest == (b"" if minor == 0 else b"\r\n0\r\n\r\n")
            await running.counted({"GET 200": 1})

    run(test)


def silent_between(first: asyncio.Event, kind: str) -> Script:
    """Streams an event at once and the next one when it may."""

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(stream_head("chunked", kind) + framed(event(1), "chunked"))
        await first.wait()
        await visit.send(framed(event(2), "chunked") + b"0\r\n\r\n")

    return script


@pytest.mark.parametrize(
    "kind", [STREAM, f"{STREAM};charset=utf-8", f"{STREAM} ; charset=utf-8", "Text/Event-Stream"]
)
def test_timeouts_of_answers_do_not_cut_an_event_stream(kind: str) -> None:
    gate = asyncio.Event()

    async def test() -> None:
        async with RawBackend(silent_between(gate, kind)) as backend:
            config = config_for(
                backend.endpoint,
                timeouts=SHORT,
                downstream=Downstream(head_s=0.1, body_s=0.1, write_s=0.1, linger_s=0.1),
                keepalive=Keepalive(downstream_s=0.1, upstream_s=0.1),
            )
            async with Running(config) as running, RawClient(running.where) as client:
                await client.send(get("/events"))
                assert b"id: 1\n" in await client.until(b"\n\n")
                await asyncio.sleep(0.8)  # longer than each: nothing signals that none fired
                gate.set()
                assert b"id: 2\n" in await client.until(b"\n\n")
                assert await client.until(b"0\r\n\r\n") == b"\r\n0\r\n\r\n"
                await running.counted({"GET 200": 1})

    run(test)


@pytest.mark.parametrize("kind", ["text/plain", "text/event-streams", "text/event"])
def test_other_silent_answers_are_cut(kind: str) -> None:
    async def test() -> None:
        async with (
            RawBackend(silent_between(asyncio.Event(), kind)) as backend,
            Running(config_for(backend.endpoint, timeouts=Timeouts(idle_s=0.3))) as running,
            RawClient(running.where) as client,
        ):
            await client.send(get("/events"))
            assert b"id: 1\n" in await client.until(b"\n\n")
            assert await ended(client) == "reset"
            await running.counted({"GET 200": 1})

    run(test)


@pytest.mark.parametrize("kind", [STREAM, "text/plain"])
def test_the_limit_of_a_whole_request_is_not_for_event_streams(kind: str) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(stream_head("close", kind))
        for number in range(12):
            await visit.send(event(number))
            await asyncio.sleep(0.1)  # time itself is what is tested

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, timeouts=Timeouts(request_s=0.5))) as running,
            RawClient(running.where) as client,
        ):
            await client.send(get("/events", minor=0))
            await client.head()
            if kind == STREAM:
                assert await client.rest() == b"".join(map(event, range(12)))
            else:
                assert await ended(client) == "reset"
            await running.counted({"GET 200": 1})

    run(test)


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_stream_idle_s_cuts_a_silent_event_stream(framing: str) -> None:
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(stream_head(framing))
        for number in range(4):
            await visit.send(framed(event(number), framing))
            await asyncio.sleep(0.2)
        await visit.end()
        over.set()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, timeouts=Timeouts(stream_idle_s=0.6))) as running,
            RawClient(running.where) as client,
        ):
            await client.send(get("/events"))
            await client.head()
            for number in range(4):
                assert b"id: %d\n" % number in await client.until(b"\n\n")
            assert await ended(client) == "reset"
            await over.wait()
            await running.counted({"GET 200": 1})

    run(test)


def test_a_client_that_leaves_ends_the_stream() -> None:
    over = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(stream_head("chunked") + framed(event(1), "chunked"))
        await visit.end()
        over.set()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            await client.send(get("/events"))
            await client.until(b"\n\n")
            client.reset()
            await over.wait()
            await running.counted({"GET 200": 1})

    run(test)


def polled(endpoint: str, timeouts: Timeouts, longer: RouteTimeouts) -> Config:
    """One route for long polls, one for all else."""
    service = Service(versions={"stable": Version(endpoints=(endpoint,))}, timeouts=timeouts)
    return Config(
        services={"shop": service},
        routes=(
            Route(service="shop", match=Match(path=PathMatch(prefix="/poll")), timeouts=longer),
            Route(service="shop"),
        ),
    )


@pytest.mark.parametrize("minor", [0, 1])
def test_a_long_poll_under_a_route_that_waits_longer(minor: int) -> None:
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await gate.wait()
        await visit.send(said(b"at last"))

    async def test() -> None:
        async with RawBackend(script) as backend:
            config = polled(backend.endpoint, Timeouts(response_s=0.3), RouteTimeouts(response_s=9))
            async with (
                Running(config) as running,
                RawClient(running.where) as poll,
                RawClient(running.where) as other,
            ):
                await poll.send(get("/poll", minor=minor))
                await eventually(lambda: len(backend.visits) == 1)
                assert (await other.ask(get("/other", minor=minor))).status == 504
                gate.set()
                assert (await poll.answer()).body == b"at last"
                await running.counted({"GET 504": 1, "GET 200": 1})

    run(test)


def test_a_route_may_be_stricter_than_its_service() -> None:
    gate = asyncio.Event()

    async def test() -> None:
        async with RawBackend(silent_between(gate, STREAM)) as backend:
            config = polled(backend.endpoint, Timeouts(), RouteTimeouts(stream_idle_s=0.3))
            async with (
                Running(config) as running,
                RawClient(running.where) as strict,
                RawClient(running.where) as other,
            ):
                await other.send(get("/other"))
                await other.until(b"\n\n")
                await strict.send(get("/poll"))
                assert await ended(strict) == "reset"
                gate.set()
                assert b"id: 2\n" in await other.until(b"\n\n")

    run(test)
