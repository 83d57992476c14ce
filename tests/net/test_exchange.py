"""One request between two connections: relaying, attempts, what is counted."""

import asyncio
import hashlib
import socket
from pathlib import Path

import pytest

from proxy.model.config import Timeouts
from proxy.net.pool import EndpointPool
from proxy.net.upstream import UpstreamConnection
from tests.support.raw_backend import OK, RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import COMPILED, Running, config_for, eventually, run

SHORT = Timeouts(connect_s=0.2, response_s=0.2, idle_s=5)


async def echo(visit: Visit) -> None:
    """Answers each request with its own head, and what it is told by length."""
    while True:
        head = await visit.head()
        length = int(next((line.split(b":")[1] for line in head.split(b"\r\n")
                           if line.lower().startswith(b"content-length:")), b"0"))  # fmt: skip
        await visit.send(said(head + await visit.exactly(length)))


def test_the_endpoint_sees_the_request_and_the_client_the_answer() -> None:
    async def test() -> None:
        async with (
            RawBackend(echo) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            answer = await client.ask(
                post(b"body", "X-Forwarded-For: 6.6.6.6", "Connection: keep-alive", "X-A: b")
            )
            head, _, body = answer.body.partition(b"\r\n\r\n")
            assert body == b"body"
            assert head.startswith(b"POST / HTTP/1.1\r\nHost: shop.test\r\n")
            assert b"X-Forwarded-For: 127.0.0.1\r\n" in head
            assert b"6.6.6.6" not in head
            assert b"X-A: b" in head
            assert b"X-Request-Id: " in head
            counts = await running.counted({"POST 200": 1})
            assert (counts.request_bytes, counts.response_bytes) == (4, len(answer.body))
            assert counts.attempts == {"success": 1}

    run(test)


def test_connections_are_reused_on_both_sides() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            for _ in range(3):
                async with RawClient(running.where) as client:
                    for _ in range(5):
                        assert (await client.ask(get())).head.reusable
                await eventually(lambda: not running.plane.connections)
            assert len(backend.visits) == 1

    run(test)


@pytest.mark.parametrize("pieces", [1, 7, 4_096])
def test_chunked_both_ways_with_trailers(pieces: int) -> None:
    wire = b"5;ext\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n"

    async def script(visit: Visit) -> None:
        head = await visit.head()
        assert b"Transfer-Encoding: chunked\r\n" in head
        assert b"Content-Length" not in head
        got = await visit.until(b"\r\n\r\n")
        assert got.endswith(b"0\r\nX-Sum: 11\r\n\r\n")
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + wire
        for at in range(0, len(raw), pieces):
            await visit.send(raw[at : at + pieces])
        assert (await visit.head()).startswith(b"GET")
        await visit.send(OK)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            raw = get("/", "Transfer-Encoding: chunked", method="POST") + wire
            for at in range(0, len(raw), pieces):
                await client.send(raw[at : at + pieces])
            answer = await client.answer()
            assert (answer.body, answer.trailers) == (b"hello world", b"X-Sum: 11\r\n")
            assert (await client.ask(get())).body == b"ok"
            counts = await running.counted({"POST 200": 1, "GET 200": 1})
            assert (counts.request_bytes, counts.response_bytes) == (11, 13)

    run(test)


def test_big_bodies_arrive_whole_both_ways() -> None:
    body = b"".join(number.to_bytes(4, "big") for number in range(1_500_000))

    async def test() -> None:
        async with (
            RawBackend(echo) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            asked = asyncio.ensure_future(client.ask(post(body)))
            answer = await asked
            got = answer.body.partition(b"\r\n\r\n")[2]
            assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()

    run(test)


def test_a_slow_client_slows_its_endpoint() -> None:
    sent = 0
    stuck = asyncio.Event()

    async def script(visit: Visit) -> None:
        nonlocal sent
        await visit.head()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1_000):
            drained = asyncio.ensure_future(visit.send(b"x" * 100_000))
            # The client's end may cut it when nobody waits for it any more.
            drained.add_done_callback(lambda task: task.cancelled() or task.exception())
            done, _ = await asyncio.wait((drained,), timeout=0.5)
            if not done:
                stuck.set()
            await drained
            sent += 100_000

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            client.write(get())
            await stuck.wait()
            assert sent < 20_000_000  # the kernel's buffers and a few of ours, of 100 MB
            (connection,) = running.plane.connections
            assert connection.transport.get_write_buffer_size() < 1_000_000
            await client.head()
            await client.skip(30_000_000)
            client.reset()
            await running.counted({"GET 200": 1})

    run(test)


def test_a_first_piece_that_fills_the_endpoint_stops_the_client() -> None:
    """It is sent when the connection opens, which is when reading on begins, too."""

    async def script(visit: Visit) -> None:
        visit._reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def test() -> None:
        async with (
            RawBackend(script, receive_bytes=4_096) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            head = get("/", "Content-Length: 9000000", method="POST")
            client.write(head + b"x" * 9_000_000)
            await eventually(lambda: any(visit for visit in backend.visits))
            (pool,) = running.plane._pools.values()
            (connection,) = running.plane.connections
            await eventually(lambda: bool(pool.open) and not connection._reading)
            (upstream,) = pool.open
            assert upstream.transport.get_write_buffer_size() < 1_000_000

    run(test)


def test_a_slow_endpoint_slows_its_client() -> None:
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        visit._reader._transport.pause_reading()  # type: ignore[attr-defined]
        await gate.wait()
        visit._reader._transport.resume_reading()  # type: ignore[attr-defined]
        await visit.head()
        await visit.skip(100_000_000)
        await visit.send(OK)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            head = get("/", "Content-Length: 100000000", method="POST")
            client.write(head)
            sent = 0
            while True:
                flushed = asyncio.ensure_future(client.send(b"x" * 500_000))
                done, _ = await asyncio.wait((flushed,), timeout=0.5)
                sent += 500_000
                if not done:
                    break
            assert sent < 30_000_000
            (pool,) = running.plane._pools.values()
            (upstream,) = pool.open
            assert upstream.transport.get_write_buffer_size() < 1_000_000
            gate.set()
            await flushed
            await client.send(b"x" * (100_000_000 - sent))
            assert (await client.answer()).body == b"ok"
            await running.counted({"POST 200": 1})

    run(test)


def test_http_1_0_clients() -> None:
    async def test() -> None:
        chunked = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n"
        )
        answers = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + chunked
        async with (
            RawBackend(replying(OK, answers)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            async with RawClient(running.where) as client:
                answer = await client.ask(get("/", "Connection: keep-alive", minor=0))
                assert answer.head.reusable
                assert answer.head.raw == b"Content-Length: 2\r\nConnection: keep-alive\r\n"
                client.write(get("/", "Connection: keep-alive", minor=0))
                assert await client.head() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
                assert await client.rest() == b"ab"
            async with RawClient(running.where) as client:
                client.write(b"GET / HTTP/1.0\r\n\r\n")
                assert b"Connection: close" in await client.head()
                assert await client.rest() == b"ab"
            assert b"\r\nHost: 127.0.0.1:" in b"\r\n" + backend.visits[0].received

    run(test)


@pytest.mark.parametrize(
    ("method", "answer", "fields"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b"Content-Length: 500\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b""),
        (
            "GET",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            b"Content-Length: 9\r\n",
        ),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"Content-Length: 0\r\n"),
    ],
)
def test_answers_without_a_body(method: str, answer: bytes, fields: bytes) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(answer)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            for _ in range(3):
                got = await client.ask(get(method=method), method)
                assert (got.head.raw, got.body, got.head.reusable) == (fields, b"", True)
            assert len(backend.visits) == 1

    run(test)


def test_problems_for_head_have_no_body() -> None:
    async def test() -> None:
        async with (
            Running(config_for("http://127.0.0.1:1", path="/yes")) as running,
            RawClient(running.where) as client,
        ):
            for path, status in (("/no", 404), ("/yes", 503), ("/no", 404)):
                answer = await client.ask(get(path, method="HEAD"), "HEAD")
                assert (answer.status, answer.head.reusable) == (status, True)

    run(test)


def test_expect_100_continue() -> None:
    async def script(visit: Visit) -> None:
        assert b"Expect: 100-continue\r\n" in await visit.head()
        assert visit.received.endswith(b"\r\n\r\n")
        await visit.send(b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n")
        await visit.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Splitway-A: b\r\n\r\n")
        await visit.send(said(await visit.exactly(4)))

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/", "Expect: 100-continue", "Content-Length: 4", method="POST"))
            assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert await client.head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            assert (await client.ask(b"body")).body == b"body"

    run(test)


def test_a_client_that_waits_for_100_in_vain_is_the_endpoints_fault() -> None:
    async def script(visit: Visit) -> None:
        await visit.end()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, timeouts=SHORT)) as running,
            RawClient(running.where) as client,
        ):
            raw = get("/", "Expect: 100-continue", "Content-Length: 4", method="POST")
            assert (await client.ask(raw)).status == 504
            counts = await running.counted({"POST 504": 1})
            assert counts.attempts == {"response_timeout": 1}

    run(test)


@pytest.mark.parametrize("expect", [False, True])
def test_a_slow_upload_is_not_the_endpoints_fault(expect: bool) -> None:
    """The endpoint owes nothing until the request is whole."""

    async def script(visit: Visit) -> None:
        await visit.head()
        if expect:
            await visit.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await visit.send(said(await visit.exactly(6)))

    async def test() -> None:
        times = Timeouts(response_s=0.1, idle_s=5)
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, timeouts=times)) as running,
            RawClient(running.where) as client,
        ):
            more = ("Expect: 100-continue",) if expect else ()
            client.write(get("/", "Content-Length: 6", *more, method="POST"))
            if expect:
                assert b" 100 " in await client.head()
                client.write(b"a")
            for piece in (b"b", b"cd", b"ef") if expect else (b"ab", b"cd", b"ef"):
                await asyncio.sleep(0.2)  # the pause is what is tested: longer than response_s
                client.write(piece)
            assert (await client.answer()).body == b"abcdef"
            assert (await running.counted({"POST 200": 1})).attempts == {"success": 1}

    run(test)


def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(said(b"too big", status=b"413 Content Too Large"))
        await visit.end()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/", "Content-Length: 50000000", method="POST") + b"x" * 2_000_000)
            answer = await client.answer()
            assert (answer.status, answer.body) == (413, b"too big")
            assert not answer.head.reusable
            with pytest.raises(EOFError):
                await client.more()
            counts = await running.counted({"POST 413": 1})
            assert counts.attempts == {"success": 1}
            (pool,) = running.plane._pools.values()
            assert not pool._idle  # half of a request is on it
            await eventually(lambda: not pool.open)

    run(test)


@pytest.mark.parametrize("leave", ["reset", "finish"])
def test_a_client_that_leaves_frees_the_endpoint(leave: str) -> None:
    gone = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.end()
        gone.set()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/", "Content-Length: 9", method="POST") + b"half")
            await eventually(lambda: bool(backend.visits) and b"half" in backend.visits[0].received)
            getattr(client, leave)()
            await gone.wait()
            counts = await running.counted({"POST 499": 1})
            assert counts.attempts == {"client_gone": 1}
            assert counts.request_bytes == 4

    run(test)


def free_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_refused_connections_are_503_and_the_client_stays() -> None:
    async def test() -> None:
        async with (
            Running(config_for(free_port())) as running,
            RawClient(running.where) as client,
        ):
            for request in (get(), post(b"abc"), get()):
                answer = await client.ask(request)
                assert (answer.status, answer.head.reusable) == (503, True)
            counts = await running.counted({"GET 503": 2, "POST 503": 1})
            assert counts.attempts == {"connect_failed": 3}

    run(test)


def test_a_dead_endpoint_is_passed_over() -> None:
    async def test() -> None:
        async with (
            RawBackend(echo) as backend,
            Running(config_for(free_port(), backend.endpoint)) as running,
        ):
            for request in (get(), post(b"abc"), get(), post(b"abc")):
                async with RawClient(running.where) as client:
                    assert (await client.ask(request)).status == 200
            counts = await running.counted({"GET 200": 2, "POST 200": 2})
            assert counts.attempts["success"] == 4
            assert counts.attempts["connect_failed"] >= 2

    run(test)


def test_a_dead_endpoint_is_passed_over_by_many_at_once() -> None:
    """Whatever turns they take between each other, each tries the one that is alive."""

    async def test() -> None:
        async with (
            RawBackend(echo) as backend,
            Running(config_for(free_port(), backend.endpoint)) as running,
        ):

            async def one() -> int:
                async with RawClient(running.where) as client:
                    return (await client.ask(get())).status

            assert set(await asyncio.gather(*(one() for _ in range(60)))) == {200}
            await running.counted({"GET 200": 60})

    run(test)


def test_connect_timeout() -> None:
    """A listening socket whose queue is full answers no SYN."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fill = [socket.socket() for _ in range(4)]
            for sock in fill:
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            endpoint = "http://{}:{}".format(*full.getsockname())
            async with (
                Running(config_for(endpoint, timeouts=SHORT)) as running,
                RawClient(running.where) as client,
            ):
                started = loop.time()
                assert (await client.ask(get())).status == 504
                assert loop.time() - started >= SHORT.connect_s - 0.01
                counts = await running.counted({"GET 504": 1})
                assert counts.attempts == {"connect_timeout": 1}
                async with RawClient(running.where) as leaver:
                    leaver.write(post(b"abc"))
                    await eventually(lambda: bool(running.plane._tasks))
                    leaver.reset()
                    counts = await running.counted({"GET 504": 1, "POST 499": 1})
                    assert counts.attempts == {"connect_timeout": 1}
            for sock in fill:
                sock.close()

    run(test)


def test_an_endpoint_that_hangs_is_504() -> None:
    async def script(visit: Visit) -> None:
        await visit.end()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, timeouts=SHORT)) as running,
            RawClient(running.where) as client,
        ):
            for request in (get(), post(b"abc")):
                answer = await client.ask(request)
                assert (answer.status, answer.head.reusable) == (504, True)
            counts = await running.counted({"GET 504": 1, "POST 504": 1})
            assert counts.attempts == {"response_timeout": 2}
            assert len(backend.visits) == 2  # a connection that hung is not used again

    run(test)


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_stale_connection_repeats_a_get_once_and_never_a_post(way: str) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(OK)
        await visit.head()  # taken, and then nothing: as if it had closed just before
        if way == "reset":
            visit.reset()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get("/1"))).status == 200
            assert (await client.ask(get("/2"))).status == 200
            assert [visit.received.count(b"GET /2") for visit in backend.visits] == [1, 1]
            for number, unsafe in enumerate(
                (post(b"x", path="/u"), post(b"", path="/u"), get("/u", method="PATCH")), start=1
            ):
                assert (await client.ask(unsafe)).status == 502
                assert sum(visit.received.count(b" /u ") for visit in backend.visits) == number
                assert (await client.ask(get("/again"))).status == 200
            counts = await running.counted({"GET 200": 5, "POST 502": 2, "PATCH 502": 1})
            assert counts.attempts == {"success": 5, "reset": 4}

    run(test)


def test_a_fresh_connection_that_breaks_is_not_repeated() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            assert (await client.ask(get())).status == 502
            assert len(backend.visits) == 1

    run(test)


def test_an_endpoint_that_accepts_and_closes_at_once() -> None:
    async def script(visit: Visit) -> None:
        visit.reset()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            for _ in range(30):
                async with RawClient(running.where) as client:
                    assert (await client.ask(get())).status == 502
            assert (await running.counted({"GET 502": 30})).attempts == {"reset": 30}

    run(test)


@pytest.mark.skipif(COMPILED, reason="methods of compiled classes cannot be replaced")
def test_a_connection_that_is_lost_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent on it, so even a POST goes to the next endpoint."""
    connect = EndpointPool.connect

    async def connect_and_wait(pool: EndpointPool) -> UpstreamConnection:
        connection = await connect(pool)
        if pool.name == closing.endpoint:
            await eventually(connection.transport.is_closing)
        return connection

    async def script(_visit: Visit) -> None:
        """Close at once."""

    async def test() -> None:
        async with (
            closing,
            RawBackend(echo) as backend,
            Running(config_for(closing.endpoint, backend.endpoint)) as running,
        ):
            monkeypatch.setattr(EndpointPool, "connect", connect_and_wait)
            for _ in range(2):
                async with RawClient(running.where) as client:
                    assert (await client.ask(post(b"abc"))).body.endswith(b"\r\n\r\nabc")
            counts = await running.counted({"POST 200": 2})
            assert counts.attempts["success"] == 2
            assert counts.attempts["reset"] >= 1

    closing = RawBackend(script)
    run(test)


def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            RawBackend(echo, str(tmp_path / "endpoint")) as backend,
            Running(config_for(backend.endpoint), socket_path=str(tmp_path / "web")) as running,
        ):
            async with RawClient(running.where) as client:
                answer = await client.ask(post(b"abc"))
                assert answer.body.endswith(b"\r\n\r\nabc")
                assert b"X-Forwarded-For: unix\r\n" in answer.body
                assert (await client.ask(get())).status == 200
            assert len(backend.visits) == 1
            (tmp_path / "endpoint").unlink()

    run(test)
