"""A time limit at every stage of a request: what is cut, what is spared, who is told and charged.

Every limit comes from a file's text, those of services from a route's as well. The limits are
small; nothing is asserted of how long something took, but that it came within a bound.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from proxy.core.local_reply import LocalReply
from proxy.http1.errors import BadRequest
from proxy.http1.request import RequestHead
from proxy.model.config import Config
from proxy.model.parse import parse_config
from proxy.net.exchange import Exchange
from tests.support.raw_backend import OK, RawBackend, Script, Visit, replying, said
from tests.support.raw_client import RawClient, get
from tests.support.running import Running, eventually, run

SOON_S = 5.0
"""Far more than any limit set here, far less than any that holds by default."""
UPLOAD = get("/", "Content-Length: 1000000", method="POST")
CHUNKED = get("/", "Transfer-Encoding: chunked", method="POST")
PLACES = ["service", "route"]


def config(*endpoints: str, timeouts: str = "", at: str = "service", more: str = "") -> Config:
    """From a file's text, with these timeouts on the service or on its route."""
    of_service, of_route = (timeouts, "") if at == "service" else ("", timeouts)
    listed = ", ".join(f'"{endpoint}"' for endpoint in endpoints)
    return parse_config(f"""
services:
  shop:
    versions: {{stable: {{endpoints: [{listed}]}}}}
    timeouts: {{{of_service}}}
routes: [{{service: shop, timeouts: {{{of_route}}}}}]
{more}
""")


class Log:
    """What the access log is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str | None]] = []

    def over(self, exchange: Exchange, _head: RequestHead, _client: str, _revision: int) -> None:
        self.lines.append((exchange.status, exchange.outcome))

    def unserved(
        self,
        _head: RequestHead,
        answer: LocalReply | None,
        _client: str,
        _ident: bytes,
        _revision: int,
    ) -> None:
        self.lines.append((404 if answer is None else answer.status, None))

    def refused(self, refusal: BadRequest, _client: str, _ident: bytes, _revision: int) -> None:
        self.lines.append((refusal.status, None))


async def drip(client: RawClient, piece: bytes, gap_s: float = 0.01) -> None:
    """Sends a piece now and then until the other side has closed."""
    while True:
        client.write(piece)
        await asyncio.sleep(gap_s)


@contextlib.asynccontextmanager
async def dripping(client: RawClient, piece: bytes, gap_s: float = 0.01) -> AsyncIterator[None]:
    """Drips while the body runs, within the bound."""
    task = asyncio.ensure_future(drip(client, piece, gap_s))
    try:
        async with asyncio.timeout(SOON_S):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def hang(visit: Visit) -> None:
    """Reads the head and whatever comes, and answers nothing."""
    await visit.head()
    await visit.end()


async def gone(client: RawClient) -> bytes:
    """What still comes until the connection is closed in any way."""
    data = b""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            data += await client.more()
    return data


async def is_cut(client: RawClient) -> None:
    """The answer that began does not come whole."""
    with pytest.raises((EOFError, ConnectionError)):
        await client.answer()


@contextlib.contextmanager
def full_queue() -> Iterator[str]:
    """The endpoint of a listening socket whose queue is full: it answers no SYN."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield "http://{}:{}".format(*full.getsockname())


# Of a client: its head.


@pytest.mark.parametrize(
    ("start", "piece"),
    [(b"G", b"E"), (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"), (b"GET /", b"a"),
     (b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ", b"a"),
     (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n", b"X")],
)  # fmt: skip
@pytest.mark.parametrize("kept", [False, True])
def test_a_head_that_never_ends_is_408(start: bytes, piece: bytes, kept: bool) -> None:
    """Bytes keep coming: it is the head's end that counts."""

    async def test() -> None:
        log = Log()
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config(backend.endpoint, more="downstream: {head_s: 0.2}"), log=log) as running,
            RawClient(running.where) as client,
        ):
            if kept:
                assert (await client.ask(get())).status == 200
            client.write(start)
            async with dripping(client, piece):
                answer = await client.answer()
            assert (answer.status, answer.head.reusable) == (408, False)
            await running.counted({"OTHER 408": 1}, unrouted=True)
            assert log.lines[-1] == (408, None)
            assert len(backend.visits) == int(kept)

    run(test)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n\r\n"])
def test_a_client_that_says_nothing_is_closed(sent: bytes) -> None:
    async def test() -> None:
        async with (
            Running(config("http://127.0.0.1:1", more="downstream: {head_s: 0.2}")) as running,
            RawClient(running.where) as client,
        ):
            client.write(sent)
            async with asyncio.timeout(SOON_S):
                assert await client.rest() == b""

    run(test)


@pytest.mark.parametrize("kept", [False, True])
def test_empty_lines_are_no_head(kept: bool) -> None:
    async def test() -> None:
        more = "downstream: {head_s: 0.2}\nkeepalive: {downstream_s: 0.2}"
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config(backend.endpoint, more=more)) as running,
            RawClient(running.where) as client,
        ):
            if kept:
                assert (await client.ask(get())).status == 200
            async with dripping(client, b"\r\n"):
                assert b"200" not in await gone(client)
            await eventually(lambda: not running.plane.connections)

    run(test)


def test_an_idle_connection_is_closed_and_a_used_one_is_not() -> None:
    async def test() -> None:
        more = "keepalive: {downstream_s: 0.3}\ndownstream: {head_s: 0.1}"
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config(backend.endpoint, more=more)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get())).status == 200
            for _ in range(3):
                await asyncio.sleep(0.15)  # idle: the time of a head has not begun
                assert (await client.ask(get())).status == 200
            async with asyncio.timeout(SOON_S):
                assert await client.rest() == b""

    run(test)


# Of a client: its body.


async def refused_body(running: Running, log: Log, client: RawClient) -> None:
    """408, closed, counted as the client's fault."""
    answer = await client.answer()
    assert (answer.status, answer.head.reusable) == (408, False)
    counts = await running.counted({"POST 408": 1})
    assert counts.attempts == {"client_gone": 1}
    assert log.lines == [(408, "client_gone")]


@pytest.mark.parametrize("raw", [UPLOAD, UPLOAD + b"abc", CHUNKED, CHUNKED + b"3\r\nab"])
@pytest.mark.parametrize("rate", [0, 240])
def test_a_body_that_stops_is_408(raw: bytes, rate: int) -> None:
    async def test() -> None:
        log, ended = Log(), asyncio.Event()

        async def script(visit: Visit) -> None:
            await visit.head()
            assert b"0\r\n\r\n" not in await visit.end()
            ended.set()

        more = f"downstream: {{body_s: 0.2, min_bytes_per_s: {rate}}}"
        async with (
            RawBackend(script) as backend,
            Running(config(backend.endpoint, more=more), log=log) as running,
            RawClient(running.where) as client,
            asyncio.timeout(SOON_S),
        ):
            client.write(raw)
            await refused_body(running, log, client)
            await ended.wait()

    run(test)


@pytest.mark.parametrize(
    ("head", "piece"),
    [(UPLOAD, b"x"), (CHUNKED, b"1\r\nx\r\n"), (CHUNKED + b"1;", b"e"),
     (CHUNKED + b"0\r\nX-T: ", b"t"), (CHUNKED + b"fffff\r\n", b"x")],
)  # fmt: skip
def test_a_body_that_drips_for_ever_is_408(head: bytes, piece: bytes) -> None:
    """No gap is long, but the average since it began is far too low."""

    async def test() -> None:
        log = Log()
        more = "downstream: {body_s: 0.3, min_bytes_per_s: 10000}"
        async with (
            RawBackend(hang) as backend,
            Running(config(backend.endpoint, more=more), log=log) as running,
            RawClient(running.where) as client,
        ):
            client.write(head)
            async with dripping(client, piece, gap_s=0.005):
                await refused_body(running, log, client)

    run(test)


async def taking(visit: Visit) -> None:
    """Answers each request of 6,000 bytes once it has all of it."""
    while True:
        await visit.head()
        await visit.exactly(6_000)
        await visit.send(OK)


@pytest.mark.parametrize(("size", "rate"), [(60, 300), (60, 0), (20, 0)])
def test_a_slow_body_that_is_fast_enough_is_served(size: int, rate: int) -> None:
    """It takes several times the limit of a gap. Without a rate any pace will do."""

    async def test() -> None:
        more = f"downstream: {{body_s: 0.4, min_bytes_per_s: {rate}}}"
        async with (
            RawBackend(taking) as backend,
            Running(config(backend.endpoint, more=more)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/", "Content-Length: 6000", method="POST"))
            for _ in range(0, 6_000, size):
                client.write(b"x" * size)
                await asyncio.sleep(0.01)
            assert (await client.answer()).status == 200
            assert (await client.ask(get("/", "Content-Length: 6000", method="POST")
                                     + b"x" * 6_000)).status == 200  # fmt: skip

    run(test)


def test_a_slow_endpoint_is_not_held_against_the_client() -> None:
    """It takes nothing for so long that the average falls below the least rate; what the client
    then sends is fast enough once more, but could not make up for the time it had to wait."""
    ahead, piece, pieces = 6_000_000, 50_000, 20
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        transport = visit._reader._transport  # type: ignore[attr-defined]
        transport.pause_reading()
        await gate.wait()
        transport.resume_reading()
        await visit.head()
        await visit.exactly(ahead + piece * pieces)
        await visit.send(OK)

    async def test() -> None:
        more = "downstream: {body_s: 0.4, min_bytes_per_s: 4000000}"
        async with (
            RawBackend(script, receive_bytes=65_536) as backend,
            Running(config(backend.endpoint, more=more)) as running,
            RawClient(running.where) as client,
        ):
            size = ahead + piece * pieces
            client.write(get("/", f"Content-Length: {size}", method="POST") + b"x" * ahead)
            await eventually(lambda: any(not c._reading for c in running.plane.connections))
            await asyncio.sleep(3)
            gate.set()
            for _ in range(pieces):
                await client.send(b"x" * piece)
                await asyncio.sleep(0.01)
            assert (await client.answer()).status == 200
            await running.counted({"POST 200": 1})

    run(test)


def test_a_refused_client_that_stays_is_dropped() -> None:
    async def test() -> None:
        more = "downstream: {linger_s: 0.2}"
        async with (
            Running(config("http://127.0.0.1:1", more=more)) as running,
            RawClient(running.where) as client,
        ):
            client.write(b"nonsense\r\n\r\n")
            assert (await client.answer()).status == 400
            async with dripping(client, b"more and more"):
                await eventually(lambda: not running.plane.connections)

    run(test)


# Of an endpoint.


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("limit", ["connect_s: 0.2", "connect_s: 10, request_s: 0.2"])
def test_an_endpoint_that_does_not_accept_is_504(limit: str, at: str) -> None:
    async def test() -> None:
        log = Log()
        with full_queue() as endpoint:
            async with (
                Running(config(endpoint, timeouts=limit, at=at), log=log) as running,
                RawClient(running.where) as client,
                asyncio.timeout(SOON_S),
            ):
                answer = await client.ask(get())
                assert (answer.status, answer.head.reusable) == (504, True)
                counts = await running.counted({"GET 504": 1})
                assert sum(counts.attempts.values()) == 1
                assert "success" not in counts.attempts
                assert [status for status, _ in log.lines] == [504]

    run(test)


def test_the_whole_request_ends_while_it_is_still_tried_elsewhere() -> None:
    async def test() -> None:
        with full_queue() as one, full_queue() as two, full_queue() as three:
            limits = "connect_s: 0.4, request_s: 0.6"
            async with (
                Running(config(one, two, three, timeouts=limits)) as running,
                RawClient(running.where) as client,
                asyncio.timeout(SOON_S),
            ):
                assert (await client.ask(get())).status == 504
                counts = await running.counted({"GET 504": 1})
                assert sum(counts.attempts.values()) == 2

    run(test)


def dripped(start: bytes, piece: bytes) -> Script:
    """Answers with ``start``, then ``piece`` now and then."""

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(start)
        while True:
            await visit.send(piece)
            await asyncio.sleep(0.01)

    return script


HEADS_WITHOUT_END = [hang, dripped(b"", b"H"[:0]), dripped(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
                     dripped(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX-A: ", b"a"),
                     dripped(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")]  # fmt: skip


@pytest.mark.parametrize("script", HEADS_WITHOUT_END)
@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("limit", ["response_s: 0.2", "request_s: 0.2"])
def test_an_endpoint_that_does_not_answer_is_504(script: Script, limit: str, at: str) -> None:
    """Bytes of a head keep coming: it is the head's end that counts."""

    async def test() -> None:
        log = Log()
        async with (
            RawBackend(script) as backend,
            Running(config(backend.endpoint, timeouts=limit, at=at), log=log) as running,
            RawClient(running.where) as client,
            asyncio.timeout(SOON_S),
        ):
            answer = await client.ask(get())
            assert (answer.status, answer.head.reusable) == (504, True)
            counts = await running.counted({"GET 504": 1})
            # The whole request's end bounds the wait for its answer: whichever rings first.
            (outcome,) = counts.attempts
            assert outcome in ("response_timeout", limit.replace("_s: 0.2", "_timeout"))
            assert log.lines == [(504, outcome)]

    run(test)


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize(
    ("limit", "outcome"),
    [("idle_s: 0.2", "response_timeout"), ("request_s: 0.4", "request_timeout")],
)
def test_an_endpoint_that_takes_no_more_of_a_body_is_504(limit: str, outcome: str, at: str) -> None:
    async def script(visit: Visit) -> None:
        visit._reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def test() -> None:
        log = Log()
        async with (
            RawBackend(script, receive_bytes=4_096) as backend,
            Running(config(backend.endpoint, timeouts=limit, at=at), log=log) as running,
            RawClient(running.where) as client,
            asyncio.timeout(SOON_S),
        ):
            size = 30_000_000
            client.write(get("/", f"Content-Length: {size}", method="POST") + b"x" * size)
            answer = await client.answer()
            assert (answer.status, answer.head.reusable) == (504, False)
            counts = await running.counted({"POST 504": 1})
            assert counts.attempts == {outcome: 1}
            assert log.lines == [(504, outcome)]

    run(test)


STARTS = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc",
          b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
          b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
          b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na",
          b"HTTP/1.1 200 OK\r\n\r\nabc"]  # fmt: skip


async def truncated(running: Running, log: Log, client: RawClient, outcome: str) -> None:
    """The client sees that it did not get everything; the endpoint is charged."""
    await is_cut(client)
    counts = await running.counted({"GET 200": 1})
    assert counts.attempts == {outcome: 1}
    assert log.lines == [(200, outcome)]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("at", PLACES)
def test_an_answer_that_stops_is_truncated(start: bytes, minor: int, at: str) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(start)
        await visit.end()

    async def test() -> None:
        log = Log()
        async with (
            RawBackend(script) as backend,
            Running(config(backend.endpoint, timeouts="idle_s: 0.2", at=at), log=log) as running,
            RawClient(running.where) as client,
            asyncio.timeout(SOON_S),
        ):
            client.write(get(minor=minor))
            await truncated(running, log, client, "response_timeout")

    run(test)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("at", PLACES)
def test_an_answer_that_drips_ends_with_the_whole_requests_time(start: bytes, at: str) -> None:
    piece = b"1\r\nx\r\n" if start.endswith(b"\r\nabc\r\n") else b"x"

    async def test() -> None:
        log = Log()
        limits = "idle_s: 5, request_s: 0.4"
        script = dripped(
            start.removesuffix(b"3\r\na") + b"ffff\r\n" * start.endswith(b"\r\na"), piece
        )
        async with (
            RawBackend(script) as backend,
            Running(config(backend.endpoint, timeouts=limits, at=at), log=log) as running,
            RawClient(running.where) as client,
            asyncio.timeout(SOON_S),
        ):
            client.write(get())
            await is_cut(client)
            counts = await running.counted({"GET 200": 1})
            assert "success" not in counts.attempts
            assert sum(counts.attempts.values()) == 1
            assert [status for status, _ in log.lines] == [200]

    run(test)


def slow_answer(pieces: int, gap_s: float, *lines: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.head()
        fields = b"".join(line + b"\r\n" for line in (*lines, b"Content-Length: %d" % pieces))
        await visit.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
        for _ in range(pieces):
            await asyncio.sleep(gap_s)
            await visit.send(b"x")
        await visit.end()

    return script


EVENTS = b"Content-Type: text/event-stream"


@pytest.mark.parametrize(
    ("script", "limits", "size"),
    [
        (slow_answer(60, 0.01), "idle_s: 0.3, response_s: 0.3", 60),
        (slow_answer(60, 0.01), "idle_s: 0.3, request_s: 0", 60),
        (slow_answer(3, 0.4, EVENTS), "idle_s: 0.1, request_s: 0.3", 3),
        (slow_answer(3, 0.4, EVENTS + b"; charset=utf-8"), "idle_s: 0.1, request_s: 0.3", 3),
        (slow_answer(3, 0.4, b"content-type:Text/Event-Stream"), "idle_s: 0.1", 3),
    ],
)
@pytest.mark.parametrize("at", PLACES)
def test_slow_answers_within_their_limits_are_served(
    script: Script, limits: str, size: int, at: str
) -> None:
    """Event streams have limits of their own."""

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config(backend.endpoint, timeouts=limits, at=at)) as running,
            RawClient(running.where) as client,
        ):
            assert len((await client.ask(get())).body) == size
            await running.counted({"GET 200": 1})

    run(test)


@pytest.mark.parametrize("at", PLACES)
def test_an_event_stream_that_falls_silent_is_cut_at_its_own_limit(at: str) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%b\r\n\r\n" % EVENTS
        await visit.send(head + b"9\r\ndata: a\n\n\r\n")
        await visit.end()

    async def test() -> None:
        log = Log()
        limits = "idle_s: 30, stream_idle_s: 0.3"
        async with (
            RawBackend(script) as backend,
            Running(config(backend.endpoint, timeouts=limits, at=at), log=log) as running,
            RawClient(running.where) as client,
            asyncio.timeout(SOON_S),
        ):
            client.write(get())
            await client.head()
            await client.until(b"data: a\n\n")
            assert b"0\r\n\r\n" not in await gone(client)
            counts = await running.counted({"GET 200": 1})
            assert "success" not in counts.attempts
            assert [status for status, _ in log.lines] == [200]

    run(test)


def test_a_slow_upload_ends_with_the_whole_requests_time() -> None:
    async def test() -> None:
        log = Log()
        timeouts = "request_s: 0.4"
        async with (
            RawBackend(hang) as backend,
            Running(config(backend.endpoint, timeouts=timeouts), log=log) as running,
            RawClient(running.where) as client,
        ):
            client.write(UPLOAD)
            async with dripping(client, b"x" * 500):
                answer = await client.answer()
            assert answer.status in (408, 504)
            assert not answer.head.reusable
            await running.counted({f"POST {answer.status}": 1})
            assert len(log.lines) == 1

    run(test)


def test_a_route_has_its_own_time_and_others_the_services() -> None:
    async def script(visit: Visit) -> None:
        while True:
            await visit.head()
            await asyncio.sleep(0.5)
            await visit.send(OK)

    async def test() -> None:
        async with RawBackend(script) as backend:
            text = f"""
services:
  shop:
    versions: {{stable: {{endpoints: ["{backend.endpoint}"]}}}}
    timeouts: {{response_s: 0.2}}
routes:
  - {{match: {{path: {{prefix: /report}}}}, service: shop, timeouts: {{response_s: 10}}}}
  - {{service: shop}}
"""
            async with (
                Running(parse_config(text)) as running,
                RawClient(running.where) as client,
            ):
                assert (await client.ask(get("/other"))).status == 504
                assert (await client.ask(get("/report"))).status == 200
                await running.counted({"GET 200": 1, "GET 504": 1})

    run(test)


# Of a client: how it reads.

BIG = 12_000_000
READER = "downstream: {{write_s: 0.4, min_bytes_per_s: {rate}}}"


@contextlib.asynccontextmanager
async def reader(running: Running, raw: bytes) -> AsyncIterator[socket.socket]:
    """A client that reads as the test says, with nothing between it and its socket."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, running.where)
        await loop.sock_sendall(sock, raw)
        yield sock


async def read(sock: socket.socket, size: int) -> bytes:
    """Up to ``size`` bytes; nothing at the end, however it came."""
    try:
        return await asyncio.get_running_loop().sock_recv(sock, size)
    except ConnectionError:
        return b""


def long_answer(dropped: asyncio.Event, *, chunked: bool) -> Script:
    async def script(visit: Visit) -> None:
        await visit.head()
        try:
            if chunked:
                await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(BIG // 100_000):
                    await visit.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
                await visit.send(b"0\r\n\r\n")
            else:
                await visit.send(said(b"x" * BIG))
            await visit.end()
        finally:
            dropped.set()

    return script


async def slow_reader_is_cut(more: str, read_bytes: int, *, chunked: bool) -> None:
    log, dropped = Log(), asyncio.Event()
    async with (
        RawBackend(long_answer(dropped, chunked=chunked)) as backend,
        Running(config(backend.endpoint, more=more), log=log) as running,
        reader(running, get()) as sock,
        asyncio.timeout(SOON_S),
    ):
        await eventually(lambda: bool(running.plane.connections))
        while running.plane.connections:
            if read_bytes:
                await read(sock, read_bytes)
            await asyncio.sleep(0.01)
        await dropped.wait()  # the endpoint does not write to nobody
        counts = await running.counted({"GET 200": 1})
        assert counts.attempts == {"client_gone": 1}
        assert log.lines == [(200, "client_gone")]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("rate", [0, 240])
def test_a_client_that_reads_nothing_is_cut(rate: int, chunked: bool) -> None:
    run(lambda: slow_reader_is_cut(READER.format(rate=rate), 0, chunked=chunked))


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("read_bytes", [1_000, 40_000])
def test_a_client_that_reads_a_trickle_is_cut(read_bytes: int, chunked: bool) -> None:
    """100 KB or 4 MB a second at most, of the 20 MB that are asked for."""
    run(lambda: slow_reader_is_cut(READER.format(rate=20_000_000), read_bytes, chunked=chunked))


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("rate", [240, 10_000])
def test_a_client_that_reads_slowly_but_enough_is_served(rate: int, chunked: bool) -> None:
    """For several times the limit it takes less than would make room in the kernel's buffer (a
    third of some megabytes), but far more than is asked for; then it takes the rest."""

    async def test() -> None:
        log, dropped = Log(), asyncio.Event()
        more = f"downstream: {{write_s: 0.8, min_bytes_per_s: {rate}}}"
        async with (
            RawBackend(long_answer(dropped, chunked=chunked)) as backend,
            Running(config(backend.endpoint, more=more), log=log) as running,
            reader(running, get("/", "Connection: close")) as sock,
        ):
            got = 0
            for _ in range(250):
                data = await read(sock, 3_000)
                assert data, "cut"
                got += len(data)
                await asyncio.sleep(0.01)
            while data := await read(sock, 1_000_000):
                got += len(data)
            assert got >= BIG
            counts: Any = await running.counted({"GET 200": 1})
            assert counts.attempts == {"success": 1}
            assert log.lines == [(200, "success")]

    run(test)


def test_a_client_that_does_not_read_its_last_answer_is_cut() -> None:
    """Nothing is in hand any more; what is still unsent must not keep the connection for ever."""
    answers = get("/never", "Connection: keep-alive") * 40_000

    async def test() -> None:
        more = READER.format(rate=240) + "\nkeepalive: {downstream_s: 0.4}"
        text_config = config("http://127.0.0.1:1", timeouts="connect_s: 1", more=more)
        async with Running(text_config) as running, asyncio.timeout(SOON_S * 2):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                sock.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(sock, running.where)
                with contextlib.suppress(ConnectionError):
                    await loop.sock_sendall(sock, answers)
                await eventually(lambda: not running.plane.connections)

    run(test)
