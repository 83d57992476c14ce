"""Connections to endpoints that break the rules: 502, dropped, and no byte for the next client."""

import asyncio

import pytest

from proxy.model.config import Timeouts
from proxy.net.upstream import MAX_INFORMATIONAL
from tests.support.raw_backend import OK, RawBackend, Script, Visit, replying, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, config_for, eventually, run


def after_head(*pieces: bytes, then: str = "end") -> Script:
    """Answers one request with ``pieces``, then waits for the end, closes or resets."""

    async def script(visit: Visit) -> None:
        await visit.head()
        for piece in pieces:
            await visit.send(piece)
        if then == "end":
            await visit.end()
        elif then == "reset":
            await asyncio.sleep(0.05)  # a reset would overtake what is still in the buffers
            visit.reset()

    return script


HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        (b"garbage\r\n\r\n",),
        (b"\x16\x03\x01\x02\x00" + b"\r\n\r\n",),
        (b"HTTP/2.0 200 OK\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nX: a\nb\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nX: ", *([b"x" * 10_000] * 8)),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",),
        (HINT * (MAX_INFORMATIONAL + 1) + OK,),
        tuple([HINT] * 100),
        (CHUNKED + b"zz\r\n",),
        (CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n",),
    ],
)
def test_bad_answers_are_502(pieces: tuple[bytes, ...]) -> None:
    async def test() -> None:
        async with (
            RawBackend(after_head(*pieces)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            answer = await client.ask(get())
            assert (answer.status, answer.head.reusable) == (502, True)
            assert len(answer.informational) <= MAX_INFORMATIONAL
            counts = await running.counted({"GET 502": 1})
            assert counts.attempts == {"bad_response": 1}
            (pool,) = running.plane._pools.values()
            await eventually(lambda: not pool.open)

    run(test)


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_answers_in_pieces(size: int) -> None:
    raw = HINT + said(b"x" * 300, b"A: b")
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]

    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            for piece in pieces:
                await visit.send(piece)
                await asyncio.sleep(0)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            for _ in range(3):
                answer = await client.ask(get())
                assert (answer.body, len(answer.informational)) == (b"x" * 300, 1)
                assert answer.head.header(b"a") == b"b"
            assert len(backend.visits) == 1

    run(test)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200),
        (OK + b"x", 200),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n0\r\n\r\n", 204),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", 304),
    ],
)
def test_bytes_behind_an_answer_reach_no_one(answer: bytes, status: int) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer if visit.number == 0 else said(b"mine"))
        await visit.end()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            async with RawClient(running.where) as client:
                got = await client.ask(get())
                assert (got.status, got.body in (b"", b"ok")) == (status, True)
                async with RawClient(running.where) as other:
                    assert (await other.ask(get())).body == b"mine"
                assert client._kept == b""
            assert len(backend.visits) == 2

    run(test)


def test_a_body_sent_in_answer_to_head_reaches_no_one() -> None:
    async def test() -> None:
        async with (
            RawBackend(after_head(said(b"evil"))) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            for number in (1, 2):
                answer = await client.ask(get(method="HEAD"), "HEAD")
                assert (answer.status, answer.body) == (200, b"")
                assert len(backend.visits) == number

    run(test)


def test_unsolicited_bytes_close_an_idle_connection() -> None:
    speak = asyncio.Event()
    closed = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(said(b"%d" % visit.number))
        if visit.number == 0:
            await speak.wait()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            await visit.end()
            closed.set()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            running.plane._upstream_s = 600.0  # the pool must not close it for its age
            assert (await client.ask(get())).body == b"0"
            speak.set()
            await closed.wait()
            assert (await client.ask(get())).body == b"1"

    run(test)


def test_an_idle_connection_that_ends_is_forgotten() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(said(b"%d" % visit.number))

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get())).body == b"0"
            (pool,) = running.plane._pools.values()
            await eventually(lambda: not pool._idle and not pool.open)
            assert (await client.ask(get())).body == b"1"
            assert (await running.counted({"GET 200": 2})).attempts == {"success": 2}

    run(test)


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        CHUNKED + b"4\r\nhalf\r\n",
        CHUNKED + b"4\r\nhalf\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("minor", [0, 1])
def test_a_cut_body_is_seen_as_cut(start: bytes, then: str, minor: int) -> None:
    async def test() -> None:
        async with (
            RawBackend(after_head(start, then=then)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get(minor=minor))
            assert b"200 OK" in await client.head()
            with pytest.raises(ConnectionError):
                await client.rest()
            counts = await running.counted({"GET 200": 1})
            assert counts.attempts == {"reset": 1}
            assert counts.response_bytes == 4

    run(test)


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200\r\n\r\n"]
)
def test_bodies_until_the_end(head: bytes, minor: int) -> None:
    """A clean end is the body's end; in HTTP/1.1 the client's connection stays, being chunked."""

    async def test() -> None:
        big = b"y" * 3_000_000
        async with (
            RawBackend(after_head(head, b"begin", big, then="close")) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            answer = await client.ask(get(minor=minor))
            assert answer.body == b"begin" + big
            assert answer.head.reusable == (minor == 1)
            counts = await running.counted({"GET 200": 1})
            assert counts.attempts == {"success": 1}
            assert counts.response_bytes == 5 + len(big)
            if minor:
                assert (await client.ask(get())).body == b"begin" + big

    run(test)


@pytest.mark.parametrize("minor", [0, 1])
def test_a_reset_is_never_a_bodys_end(minor: int) -> None:
    async def test() -> None:
        script = after_head(b"HTTP/1.1 200 OK\r\n\r\nhalf", then="reset")
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get(minor=minor))
            await client.head()
            with pytest.raises(ConnectionError):
                await client.rest()
            assert (await running.counted({"GET 200": 1})).attempts == {"reset": 1}

    run(test)


def test_an_endpoint_that_stops_in_the_middle_is_cut() -> None:
    async def test() -> None:
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
        times = Timeouts(idle_s=0.1)
        async with (
            RawBackend(after_head(start, b"more")) as backend,
            Running(config_for(backend.endpoint, timeouts=times)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get())
            await client.head()
            with pytest.raises(ConnectionError):
                await client.rest()
            counts = await running.counted({"GET 200": 1})
            assert counts.attempts == {"response_timeout": 1}

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_connections_that_the_endpoint_will_close_are_not_reused(answer: bytes) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(answer)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            for number in (1, 2, 3):
                got = await client.ask(get())
                assert (got.body, got.head.reusable) == (b"ok", True)
                assert len(backend.visits) == number

    run(test)
