"""Stale kept-alive connections: who is asked twice, and who never is.

The endpoint's journal is every byte it read; that is what "sent twice" is judged by. Sources:
RFC 9110 §9.2.2 (idempotent methods), RFC 9112 §9.3.1 (retrying requests).
"""

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from proxy.model.config import Timeouts
from proxy.net.exchange import MAX_ATTEMPTS
from tests.support.raw_backend import OK, RawBackend, Script, Visit, replying
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, eventually, run

Leave = Callable[[Visit], Awaitable[None]]


async def fin_unread(visit: Visit) -> None:
    """Closes with a FIN while the request is on its way: nobody reads it."""
    visit.finish()


async def rst_unread(visit: Visit) -> None:
    """Resets before it has read a byte."""
    visit.reset()


async def fin_read(visit: Visit) -> None:
    """Reads the request and closes."""
    await visit.head()


async def rst_read(visit: Visit) -> None:
    """Reads the request and resets."""
    await visit.head()
    visit.reset()


WAYS = [fin_unread, rst_unread, fin_read, rst_read]
UNREAD = WAYS[:2]


def stale(leave: Leave, proceed: asyncio.Event, left: asyncio.Event) -> Script:
    """The first connection answers once, waits, and leaves; all others answer.

    Where the request is left unread the socket is not read from before the leaving, so that the
    proxy writes to a connection that it must take for good.
    """

    async def script(visit: Visit) -> None:
        if visit.number:
            await replying(OK)(visit)
        await visit.head()
        transport = visit._reader._transport  # type: ignore[attr-defined]
        if leave in UNREAD:
            transport.pause_reading()
        await visit.send(OK)
        if leave in UNREAD:
            await proceed.wait()
        await leave(visit)
        left.set()

    return script


def sent(backend: RawBackend, path: str) -> int:
    """How often the journal holds a request for ``path``."""
    mark = f" {path} HTTP/1.1\r\n".encode()
    return sum(visit.received.count(mark) for visit in backend.visits)


def idents(backend: RawBackend, path: str) -> set[bytes]:
    """The ids under which the journal holds it."""
    form = rf" {path} HTTP/1\.1\r\n(?:[^\r]+\r\n)*?X-Request-Id: ([^\r]+)\r\n".encode()
    return {found for visit in backend.visits for found in re.findall(form, visit.received)}


def request(method: str, path: str = "/again") -> bytes:
    """PUT and the like with a body that comes with its head."""
    if method in ("PUT", "POST", "PATCH"):
        return (
            get(path, "Content-Length: 10", "X-Request-Id: same-1", method=method) + b"0123456789"
        )
    return get(path, "X-Request-Id: same-1", method=method)


async def ask_stale(
    backend: RawBackend, running: Running, proceed: asyncio.Event, raw: bytes, method: str
) -> int:
    """Makes a connection stale, asks for ``/again`` on it; the status that the client gets."""
    async with RawClient(running.where) as client:
        assert (await client.ask(get("/first"))).status == 200
        client.write(raw)
        # The proxy has written the request to the old connection before that one leaves; where it
        # leaves by itself, all may be over already.
        (pool,) = running.plane._pools.values()
        await eventually(lambda: not pool._idle or len(backend.visits) > 1)
        proceed.set()
        answer = await client.answer(method)
        assert len(backend.visits) <= 2
        return answer.status


@pytest.mark.parametrize("leave", WAYS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_idempotent_requests_are_repeated_once_and_served(method: str, leave: Leave) -> None:
    async def test() -> None:
        proceed, left = asyncio.Event(), asyncio.Event()
        async with (
            RawBackend(stale(leave, proceed, left)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            assert await ask_stale(backend, running, proceed, request(method), method) == 200
            assert left.is_set()
            assert len(backend.visits) == 2  # a new connection
            assert sent(backend, "/again") == (1 if leave in UNREAD else 2)
            assert idents(backend, "/again") == {b"same-1"}
            if method == "PUT":
                assert backend.visits[1].received.endswith(b"\r\n\r\n0123456789")
            counts = await running.counted({"GET 200": 1, f"{method} 200": 1} if method != "GET"
                                           else {"GET 200": 2})  # fmt: skip
            assert counts.attempts == {"success": 2, "reset": 1}

    run(test)


@pytest.mark.parametrize("leave", WAYS)
@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
def test_others_are_never_sent_twice(method: str, leave: Leave) -> None:
    async def test() -> None:
        proceed, left = asyncio.Event(), asyncio.Event()
        async with (
            RawBackend(stale(leave, proceed, left)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            assert await ask_stale(backend, running, proceed, request(method), method) == 502
            assert len(backend.visits) == 1
            assert sent(backend, "/again") <= 1
            label = "OTHER" if method == "LOCK" else method
            counts = await running.counted({"GET 200": 1, f"{label} 502": 1})
            assert counts.attempts == {"success": 1, "reset": 1}

    run(test)


def test_an_id_of_our_own_stays_the_same_too() -> None:
    async def test() -> None:
        proceed, left = asyncio.Event(), asyncio.Event()
        async with (
            RawBackend(stale(rst_read, proceed, left)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            assert await ask_stale(backend, running, proceed, get("/again"), "GET") == 200
            assert sent(backend, "/again") == 2
            assert len(idents(backend, "/again")) == 1

    run(test)


@pytest.mark.parametrize("heard", [b"H", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Le",
                                   b"HTTP/1.1 100 Continue\r\n\r\n",
                                   b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_nothing_is_repeated_once_the_endpoint_was_heard(method: str, heard: bytes) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(OK)
        await visit.head()
        await visit.send(heard)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get("/first"))).status == 200
            assert (await client.ask(request(method))).status == 502
            assert sent(backend, "/again") == 1
            assert len(backend.visits) == 1

    run(test)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_body_that_was_not_wholly_in_hand_is_not_repeated(method: str, chunked: bool) -> None:
    field = "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"
    part, rest = (
        (b"5\r\n01234\r\n", b"5\r\n56789\r\n0\r\n\r\n") if chunked else (b"01234", b"56789")
    )
    at_second = asyncio.Event()
    cut = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(OK)
        await visit.until(b"01234")
        at_second.set()
        await cut.wait()
        visit.reset()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get("/first"))).status == 200
            client.write(get("/again", field, method=method) + part)
            await at_second.wait()
            client.write(rest)
            cut.set()
            assert (await client.answer()).status == 502
            assert sent(backend, "/again") == 1
            assert len(backend.visits) == 1

    run(test)


def test_a_whole_chunked_body_in_hand_is_repeated_byte_by_byte_the_same() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        if visit.number == 0:
            await visit.send(OK)
            await visit.head()
            await visit.until(b"0\r\nX-Sum: 1\r\n\r\n")
            visit.reset()
            return
        assert await visit.until(b"0\r\nX-Sum: 1\r\n\r\n") == b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
        await visit.send(OK)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get("/first"))).status == 200
            head = get("/again", "Transfer-Encoding: chunked", method="PUT")
            answer = await client.ask(head + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
            assert answer.status == 200
            counts = await running.counted({"GET 200": 1, "PUT 200": 1})
            assert counts.request_bytes == 3  # of the request, however often it was sent

    run(test)


def test_it_is_repeated_once_not_twice() -> None:
    """The new connection breaks as well: it was not stale, so its request may have had effect."""

    async def script(visit: Visit) -> None:
        await visit.head()
        if visit.number == 0:
            await visit.send(OK)
            await visit.head()
        visit.reset()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get("/first"))).status == 200
            assert (await client.ask(get("/again"))).status == 502
            assert sent(backend, "/again") == 2
            counts = await running.counted({"GET 200": 1, "GET 502": 1})
            assert counts.attempts == {"success": 1, "reset": 2}

    run(test)


def test_other_kept_connections_are_not_tried_next() -> None:
    """They may be as stale as the first: it takes a new one."""
    both = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        if visit.number == 1:
            both.set()
        await both.wait()
        await visit.send(OK)
        await visit.head()
        if visit.number < 2:
            visit.reset()
        else:
            await visit.send(OK)

    async def fresh(visit: Visit) -> None:
        if visit.number < 2:
            await script(visit)
        else:
            await replying(OK)(visit)

    async def test() -> None:
        async with (
            RawBackend(fresh) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as one,
            RawClient(running.where) as other,
        ):
            one.write(get("/first"))
            other.write(get("/first"))
            assert (await one.answer()).status == (await other.answer()).status == 200
            assert len(backend.visits) == 2
            assert (await one.ask(get("/again"))).status == 200
            assert len(backend.visits) == 3
            assert backend.visits[2].received.startswith(b"GET /again ")
            assert sent(backend, "/again") == 2

    run(test)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_endpoints_that_refuse_are_tried_up_to_a_bound(method: str) -> None:
    """Nothing was written to them, so any method may go on to the next."""

    async def test() -> None:
        closed = [socket.socket() for _ in range(MAX_ATTEMPTS + 2)]
        for sock in closed:
            sock.bind(("127.0.0.1", 0))  # bound and not listening: refused
        endpoints = ["http://{}:{}".format(*sock.getsockname()) for sock in closed]
        async with (
            Running(config_for(*endpoints, timeouts=Timeouts(connect_s=1))) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(request(method))).status == 503
            counts = await running.counted({f"{method} 503": 1})
            assert counts.attempts == {"connect_failed": MAX_ATTEMPTS}
        for sock in closed:
            sock.close()

    run(test)


def test_a_repeated_requests_endpoint_that_is_gone_is_503_and_bounded() -> None:
    """Stale, and then nobody listens: the client is told, nothing goes round in circles."""

    async def test() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        endpoint = "http://{}:{}".format(*listener.getsockname())
        loop = asyncio.get_running_loop()
        async with Running(config_for(endpoint)) as running, RawClient(running.where) as client:
            client.write(get("/first"))
            accepted, _ = await loop.sock_accept(listener)
            listener.close()
            received = b""
            while not received.endswith(b"\r\n\r\n"):
                received += await loop.sock_recv(accepted, 65_536)
            await loop.sock_sendall(accepted, OK)
            assert (await client.answer()).status == 200
            client.write(get("/again"))
            assert (await loop.sock_recv(accepted, 65_536)).startswith(b"GET /again ")
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            assert (await client.answer()).status == 503
            counts = await running.counted({"GET 200": 1, "GET 503": 1})
            assert sum(counts.attempts.values()) <= 1 + MAX_ATTEMPTS

    run(test)


def test_a_thousand_races_lose_no_idempotent_request_and_double_no_post() -> None:
    """Endpoints that close every connection after a few answers, at whatever moment that is."""

    async def script(visit: Visit) -> None:
        for _ in range(1 + visit.number % 3):
            head = await visit.head()
            if b"Content-Length: 1\r\n" in head:
                await visit.exactly(1)
            await visit.send(OK)
        if visit.number % 2:
            visit.reset()

    async def test() -> None:
        posts: list[int] = []
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            for number in range(500):
                assert (await client.ask(get(f"/get/{number}"))).status == 200
                answer = await client.ask(post(b"x", path=f"/post/{number}"))
                assert answer.status in (200, 502)
                posts.append(answer.status)
            for number, status in enumerate(posts):
                # One that was answered came once; one that was not came at most once.
                assert sent(backend, f"/post/{number}") in ((1,) if status == 200 else (0, 1))

    run(test)
