"""Client connections: heads in any pieces, pipelining, refusals, deadlines, closing."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.http1.errors import BadRequest
from proxy.model.config import Downstream
from proxy.net.downstream import DownstreamConnection
from proxy.net.plane import Plane
from tests.support.raw_backend import OK, RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, eventually, run
from tests.support.wire import never_wait

NOWHERE = config_for("http://127.0.0.1:1", path="/never")
"""No request of these tests reaches its endpoint."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written; for pieces that a real socket would join."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 1)})
        self.out = b""
        self.paused = self.ended = self.closed = self.aborted = False
        self.unsent = 0

    def write(self, data: Any) -> None:
        self.out += data

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


def statuses(plane: Plane, pieces: list[bytes]) -> list[int]:
    """What one connection answers to ``pieces``."""
    never_wait(plane)
    wire = Wire()
    connection = DownstreamConnection(plane)
    connection.connection_made(wire)
    for piece in pieces:
        if not wire.closed:
            connection.data_received(piece)
    over = wire.ended or wire.closed
    connection.connection_lost(None)
    found = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", wire.out)]
    assert over == (b"Connection: close" in wire.out)
    return found


STREAMS = [
    (get(), [404]),
    (get() * 3, [404, 404, 404]),
    (b"\r\n\r\n\r\n" + get() + b"\r\n" + get(), [404, 404]),
    (get("/", "Connection: close") + get(), [404]),
    (get(minor=0) + get(), [404]),
    (post(b"abc") + get(), [404, 404]),
    (get("/", "Transfer-Encoding: chunked", method="POST") + b"2\r\nab\r\n0\r\n\r\n" + get(),
     [404, 404]),
    (get() + b"GET / HTTP/1.1\r\n\r\n" + get(), [404, 400]),
    (get() + b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", [404, 400]),
    (b"GET / HTTP/1.1\nHost: a\n\n", [400]),
    (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", [400]),
    (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
    (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", [501]),
    (get("/", "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n", [400]),
    (get("/", "Upgrade: h2c", "Connection: upgrade, http2-settings", "HTTP2-Settings: x"), [404]),
    (get("/", "Upgrade: echo", "Connection: upgrade") + get(), [404]),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n", [501]),
]  # fmt: skip


@pytest.mark.parametrize(("stream", "expected"), STREAMS)
def test_the_same_answers_whatever_the_pieces(stream: bytes, expected: list[int]) -> None:
    """A body's bytes must come with its head here: a 404 does not wait for the rest."""
    bodies = b"Content-Length: 3" in stream or b"chunked\r\n\r\n2" in stream

    async def test() -> None:
        async with Running(NOWHERE) as running:
            plane = running.plane
            assert statuses(plane, [stream]) == expected
            if bodies:
                return
            assert statuses(plane, [bytes((byte,)) for byte in stream]) == expected
            for at in range(1, len(stream)):
                assert statuses(plane, [stream[:at], stream[at:]]) == expected, at

    run(test)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /" + b"x" * 100_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ],
)
def test_limits_are_answered_before_anyone_else_hears_of_it(raw: bytes, status: int) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            for piece in (len(raw), 1_000):
                async with RawClient(running.where) as client:
                    for at in range(0, len(raw), piece):
                        client.write(raw[at : at + piece])
                    answer = await client.answer()
                    assert answer.status == status
                    assert not answer.head.reusable
                    with pytest.raises(EOFError):
                        await client.more()
            await running.counted({f"OTHER {status}": 2}, unrouted=True)
            assert backend.visits == []

    run(test)


@pytest.mark.parametrize(
    "pieces", [(b"GET / HTTP/1.1\r", b"X"), (b"GET / HT", b"\n"), (b"G", b"\x00")]
)
def test_what_cannot_become_a_head_is_not_waited_for(pieces: tuple[bytes, ...]) -> None:
    async def test() -> None:
        async with Running(NOWHERE) as running:
            assert statuses(running.plane, list(pieces)) == [400]

    run(test)


def test_a_flood_of_empty_lines_costs_one_pass() -> None:
    async def test() -> None:
        async with Running(NOWHERE) as running:
            assert statuses(running.plane, [b"\r\n" * 2_000_000 + get()]) == [404]
            assert statuses(running.plane, [b"\r\n" * 2_000_000]) == []

    run(test)


def test_keep_alive_and_pipelining_in_order_with_a_404_in_the_middle() -> None:
    async def script(visit: Visit) -> None:
        while True:
            path = (await visit.head()).split(b" ")[1]
            await visit.send(said(path))

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, path="/yes")) as running,
            RawClient(running.where) as client,
        ):
            paths = ["/yes/1", "/no", "/yes/2", "/no", "/no", "/yes/3"]
            client.write(b"".join(get(path) for path in paths))
            for path in paths:
                answer = await client.answer()
                if path == "/no":
                    assert answer.status == 404
                    assert answer.head.header(b"content-type") == b"application/problem+json"
                else:
                    assert (answer.status, answer.body) == (200, path.encode())
            assert (await client.ask(get("/yes/again"))).body == b"/yes/again"
            assert len(backend.visits) == 1
            counts = await running.counted({"GET 200": 4})
            assert counts.attempts == {"success": 4}
            await running.counted({"GET 404": 3}, unrouted=True)

    run(test)


@pytest.mark.parametrize("path", ["/yes", "/no"])
def test_five_thousand_pipelined_requests_in_one_write(path: str) -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint, path="/yes")) as running,
            RawClient(running.where) as client,
        ):
            client.write(get(path) * 5_000)
            client.finish()
            codes = {(await client.answer()).status for _ in range(5_000)}
            assert codes == {200 if path == "/yes" else 404}
            with pytest.raises(EOFError):
                await client.more()

    run(test)


def test_what_is_pipelined_behind_is_not_read_without_bound() -> None:
    """A request in hand stops reading: the kernel's buffers fill, not ours."""
    release = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(OK)
        await visit.head()
        await release.wait()
        await visit.send(OK)
        await replying(OK)(visit)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            flood = get("/", "X-Fill: " + "x" * 8_000)
            client.write(get() + get() + flood * 4_000)
            assert (await client.answer()).status == 200
            await eventually(lambda: len(backend.visits[0].received) > 200)
            (connection,) = running.plane.connections
            assert not connection._reading
            assert len(connection._part) <= 2 * 256 * 1_024
            release.set()
            for _ in range(20):
                assert (await client.answer()).status == 200
                assert len(connection._part) <= 2 * 256 * 1_024

    run(test)


def test_nothing_is_served_behind_the_last_answer() -> None:
    """A client that said close gets one answer, whoever gave it, and the rest reaches no one."""

    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint, path="/yes")) as running,
        ):
            for path in ("/yes", "/no"):
                async with RawClient(running.where) as client:
                    client.write(get(path, "Connection: close") + get("/yes/second"))
                    answer = await client.answer()
                    assert answer.status == (200 if path == "/yes" else 404)
                    assert not answer.head.reusable
                    with pytest.raises(EOFError):
                        await client.more()
            assert [b"second" in visit.received for visit in backend.visits] == [False]

    run(test)


def test_a_refusal_is_not_lost_while_the_client_still_sends() -> None:
    async def test() -> None:
        async with Running(NOWHERE) as running:
            for request in (
                get("/", "Content-Length: 10000000", method="POST"),
                get("/never", "Transfer-Encoding: nonsense", method="POST"),
            ):
                async with RawClient(running.where) as client:
                    client.write(request + b"x" * 3_000_000)
                    assert (await client.answer()).status in (404, 400)
                    with pytest.raises(EOFError):
                        await client.more()

    run(test)


def test_a_broken_body_is_400_and_its_endpoint_never_sees_an_end() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.end()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
            await eventually(lambda: bool(backend.visits) and b"abc" in backend.visits[0].received)
            client.write(b"xyz\r\n")
            answer = await client.answer()
            assert answer.status == 400
            assert not answer.head.reusable
            counts = await running.counted({"POST 400": 1})
            assert counts.attempts == {"client_gone": 1}
            assert b"\r\n0\r\n" not in backend.visits[0].received
            async with RawClient(running.where) as other:
                client.write(b"")
                bad = get("/", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n"
                assert (await other.ask(bad)).status == 400
            assert len(backend.visits) == 1

    run(test)


def test_a_broken_body_after_the_answer_began_truncates_it() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await visit.end()

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
            assert b"200 OK" in await client.head()
            client.write(b"nonsense\r\n")
            with pytest.raises(ConnectionError):
                await client.rest()
            await running.counted({"POST 200": 1})

    run(test)


def test_a_client_that_sends_no_more_is_still_answered() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await asyncio.sleep(0)
        await visit.send(OK)

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            for count in (1, 3):
                async with RawClient(running.where) as client:
                    client.write(get() * count)
                    client.finish()
                    for _ in range(count):
                        assert (await client.answer()).body == b"ok"
                    with pytest.raises(EOFError):
                        await client.more()

    run(test)


def test_slow_heads_and_bodies_are_408() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.end()

    async def test() -> None:
        times = Downstream(head_s=0.1, body_s=0.1)
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, downstream=times)) as running,
        ):
            async with RawClient(running.where) as client:
                answer = await client.ask(b"GET / HT")
                assert answer.status == 408
            async with RawClient(running.where) as client:  # a silent one is told nothing
                assert await client.rest() == b""
            await running.counted({"OTHER 408": 1}, unrouted=True)
            for head in (
                get("/", "Content-Length: 9", method="POST"),
                get("/", "Transfer-Encoding: chunked", method="POST"),
            ):
                async with RawClient(running.where) as client:
                    answer = await client.ask(head + b"1\r\n")
                    assert answer.status == 408
                    assert not answer.head.reusable
                    with pytest.raises(EOFError):
                        await client.more()
            counts = await running.counted({"POST 408": 2})
            assert counts.attempts == {
                "client_gone": 2
            }  # a slow client is not the endpoint's fault

    run(test)


def test_idle_connections_are_closed_even_after_a_slow_reader_caught_up() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(said(b"x" * 6_000_000))) as backend,
            Running(config_for(backend.endpoint, downstream=Downstream(write_s=0.2))) as running,
        ):
            running.plane.idle_s = 0.1
            async with RawClient(running.where, receive_bytes=4_096) as client:
                client.write(get())
                await eventually(lambda: any(c._full for c in running.plane.connections))
                assert len((await client.answer()).body) == 6_000_000
                with pytest.raises(EOFError):
                    await client.more()

    run(test)


def test_a_client_that_takes_nothing_is_cut() -> None:
    async def test() -> None:
        times = Downstream(write_s=0.2)
        async with (
            RawBackend(replying(said(b"x" * 9_000_000))) as backend,
            Running(config_for(backend.endpoint, downstream=times)) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            client.write(get())
            await eventually(lambda: bool(running.plane.connections))
            await eventually(lambda: not running.plane.connections)
            with pytest.raises(ConnectionError):
                await client.rest()
            counts = await running.counted({"GET 200": 1})
            assert counts.attempts == {"client_gone": 1}

    run(test)


def test_a_closing_connection_waits_for_its_reader_within_a_bound() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
        ):
            running.plane.idle_s = 0.2
            wire = Wire()
            connection = DownstreamConnection(running.plane)
            connection.connection_made(wire)
            wire.unsent = 5
            connection._close()
            assert wire.closed
            assert not wire.aborted
            connection._timed_out()
            assert bool(wire.aborted)
            connection.connection_lost(None)

    run(test)


def test_a_client_that_stays_after_a_refusal_is_dropped() -> None:
    async def test() -> None:
        brief = msgspec.structs.replace(NOWHERE, downstream=Downstream(linger_s=0.1))
        async with Running(brief) as running, RawClient(running.where) as client:
            assert (await client.ask(b"nonsense\r\n\r\n")).status == 400
            client.write(b"more and more")
            await eventually(lambda: not running.plane.connections)

    run(test)


def test_a_client_that_sends_and_never_reads_is_cut() -> None:
    """Both directions are full: someone must still be watching the time."""

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            piece = await visit.exactly(10_000)
            await visit.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def test() -> None:
        times = Downstream(body_s=0.4, write_s=0.4)
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, downstream=times)) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            client.write(get("/", "Content-Length: 40000000", method="POST") + b"x" * 40_000_000)
            await eventually(lambda: bool(running.plane.connections))
            await eventually(lambda: not running.plane.connections)
            counts = await running.counted({"POST 200": 1})
            assert counts.attempts == {"client_gone": 1}

    run(test)


def test_an_upload_goes_on_when_its_reader_has_caught_up() -> None:
    """The client is full for a while, then reads; its request's body still has its deadline."""

    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n")
        await visit.send(b"x" * 8_000_000)
        await visit.end()

    async def test() -> None:
        times = Downstream(body_s=0.5, write_s=0.5)
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint, downstream=times)) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            client.write(get("/", "Content-Length: 9", method="POST") + b"half")
            await client.head()
            await eventually(lambda: any(c._full for c in running.plane.connections))
            # Answered early and whole: a clean end, not a cut.
            assert len(await client.rest()) == 8_000_000
            assert (await running.counted({"POST 200": 1})).attempts == {"success": 1}

    run(test)


def test_a_head_behind_a_body_in_another_piece() -> None:
    async def script(visit: Visit) -> None:
        for size in (3, 0):
            await visit.head()
            await visit.send(said(await visit.exactly(size)))

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/", "Content-Length: 3", method="POST") + b"a")
            await eventually(
                lambda: bool(backend.visits) and b"\r\na" in backend.visits[0].received
            )
            client.write(b"bc" + get("/next"))
            assert (await client.answer()).body == b"abc"
            assert (await client.answer()).body == b""

    run(test)


def test_a_broken_request_behind_a_body_harms_only_itself() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get() + b"GET / HTTP/1.1\r\nHost: a\r\nBad : x\r\n\r\n" + get("/evil"))
            assert (await client.answer()).body == b"ok"
            assert (await client.answer()).status == 400
            with pytest.raises(EOFError):
                await client.more()
            assert b"evil" not in backend.visits[0].received

    run(test)


def test_what_comes_while_a_request_is_in_hand_waits() -> None:
    gate = asyncio.Event()

    async def script(visit: Visit) -> None:
        while True:
            path = (await visit.head()).split(b" ")[1]
            await gate.wait()
            await visit.send(said(path))

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint)) as running,
            RawClient(running.where) as client,
        ):
            client.write(get("/1"))
            await eventually(lambda: any(visit.received for visit in backend.visits))
            (connection,) = running.plane.connections
            client.write(get("/2") + b"GET /3 HTTP/1.1\r\nHo")
            await eventually(lambda: not connection._reading)
            assert b"/2" not in backend.visits[0].received
            gate.set()
            client.write(b"st: a\r\n\r\n")
            for path in (b"/1", b"/2", b"/3"):
                assert (await client.answer()).body == path
            assert len(backend.visits) == 1

    run(test)


def test_answers_of_our_own_wait_for_a_slow_reader_too() -> None:
    async def test() -> None:
        async with (
            Running(NOWHERE) as running,
            RawClient(running.where, receive_bytes=4_096) as client,
        ):
            client.write(get() * 25_000)
            await eventually(lambda: any(c._full for c in running.plane.connections))
            (connection,) = running.plane.connections
            assert connection.transport.get_write_buffer_size() < 1_000_000
            for _ in range(25_000):
                assert (await client.answer()).status == 404
            await running.counted({"GET 404": 25_000}, unrouted=True)

    run(test)


def test_a_refused_client_that_reads_slowly_is_still_dropped() -> None:
    """Catching up with what was sent before must not lift the deadline of a closed connection."""

    async def test() -> None:
        brief = msgspec.structs.replace(NOWHERE, downstream=Downstream(linger_s=0.3))
        async with Running(brief) as running:
            wire = Wire()
            connection = DownstreamConnection(running.plane)
            connection.connection_made(wire)
            connection.pause_writing()
            connection._say(BadRequest(400, "x"), b"id")
            connection.resume_writing()
            await eventually(lambda: wire.closed)
            connection.connection_lost(None)

    run(test)


def test_a_unix_client_is_refused_and_truncated_like_any_other(tmp_path: Path) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

    async def test() -> None:
        async with (
            RawBackend(script) as backend,
            Running(config_for(backend.endpoint), socket_path=str(tmp_path / "web")) as running,
        ):
            async with RawClient(running.where) as client:
                with pytest.raises((EOFError, ConnectionError)):
                    await client.ask(get())
            async with RawClient(running.where) as client:
                assert (await client.ask(b"bad\r\n\r\n")).status == 400

    run(test)
