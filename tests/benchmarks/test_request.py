"""What one whole request costs inside: from the client's bytes through router and exchange to the
endpoint, and back. No sockets and no event loop's work: their cost is not ours to shrink.

``make microbench`` times it; elsewhere each runs once and what comes out must be right.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from proxy.model.config import Config, KeyFrom, Route, Service, Sticky, Version, traffic_of
from proxy.model.wire import Snapshot
from proxy.net.downstream import DownstreamConnection
from proxy.net.plane import Plane
from proxy.net.upstream import UpstreamConnection
from proxy.telemetry.metrics import Registry
from tests.support.running import run
from tests.support.wire import never_wait

PEER = ("203.0.113.9", 40_000)
FIELDS = (
    "Host: shop.example", "X-User-Id: user-17", "Accept: application/json", "User-Agent: bench",
    "Cookie: session=0123456789abcdef",
)  # fmt: skip
BODY = b'{"items": [%s]}' % b", ".join(b"%d" % number for number in range(40))
UPLOAD = b"u" * 16_384
ANSWER_FIELDS = ("Server: bench", "Content-Type: application/json", "X-Version: stable")


def head_of(first: str, *fields: str) -> bytes:
    return "\r\n".join((first, *fields, "", "")).encode()


ANSWER = head_of("HTTP/1.1 200 OK", *ANSWER_FIELDS, f"Content-Length: {len(BODY)}") + BODY
CHUNKS = b"".join(b"%x\r\n%b\r\n" % (len(BODY), BODY) for _ in range(4)) + b"0\r\n\r\n"
CHUNKED_ANSWER = head_of("HTTP/1.1 200 OK", *ANSWER_FIELDS, "Transfer-Encoding: chunked") + CHUNKS
GET = head_of("GET /api/items?id=17 HTTP/1.1", *FIELDS)
POST = head_of("POST /api/items HTTP/1.1", *FIELDS, f"Content-Length: {len(UPLOAD)}") + UPLOAD
LAST_GET = head_of("GET /api/items HTTP/1.1", *FIELDS, "Connection: close")


class Memory(asyncio.Transport):
    """A transport that sends nowhere: it keeps what was written since it was last asked."""

    def __init__(self) -> None:
        super().__init__({"peername": PEER})
        self.written: list[bytes] = []
        self.closing = False
        self.paused = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def writelines(self, list_of_data: Any) -> None:
        self.written += list_of_data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        raise AssertionError("nothing was paused")

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def taken(self) -> bytes:
        """What was written since the last call."""
        data = b"".join(self.written)
        self.written.clear()
        return data


class Road:
    """A plane with one endpoint that is connected already, and a client's connection.

    Attributes:
        asked: what the endpoint has been sent.
    """

    def __init__(self) -> None:
        shop = Service(
            versions={
                "stable": Version(endpoints=("http://127.0.0.1:1",)),
                "canary": Version(endpoints=("http://127.0.0.1:2",)),
            },
            weights={"stable": 1, "canary": 0},
            sticky=Sticky(key=(KeyFrom(header="X-User-Id"),)),
        )
        config = Config(services={"shop": shop}, routes=(Route(service="shop"),))
        registry = Registry()
        self.plane = Plane(registry.version, registry.unrouted, None)
        self.plane.install(config, Snapshot(revision=1, traffic=traffic_of(config)))
        never_wait(self.plane)
        pool = self.plane._pools["http://127.0.0.1:1"]
        self.asked = Memory()
        self.upstream = UpstreamConnection(pool)
        self.upstream.connection_made(self.asked)
        pool.give_back(self.upstream)
        self.client, self.connection = self.connect()

    def connect(self) -> tuple[Memory, DownstreamConnection]:
        """Another client."""
        client, connection = Memory(), DownstreamConnection(self.plane)
        connection.connection_made(client)
        return client, connection

    async def close(self) -> None:
        """Let go of everything."""
        self.connection.connection_lost(None)
        await self.plane.close()
        self.upstream.connection_lost(None)


def timed(benchmark: BenchmarkFixture, prepare: Callable[[Road], Callable[[], bytes]]) -> bytes:
    """Time what ``prepare`` makes; returns what the client was sent last."""

    async def bench() -> bytes:
        road = Road()
        try:
            return bytes(benchmark(prepare(road)))
        finally:
            await road.close()

    return run(bench)


def kept_alive(benchmark: BenchmarkFixture, request: bytes, answer: bytes) -> tuple[bytes, bytes]:
    """Time requests one after another on one connection.

    Returns:
        What the endpoint and the client were sent last.
    """
    asked = b""
    transports: list[Memory] = []

    def prepare(road: Road) -> Callable[[], bytes]:
        receive, respond = road.connection.data_received, road.upstream.data_received
        turn_over = road.plane.outbox.flush
        transports.extend((road.asked, road.client))

        def serve() -> bytes:
            nonlocal asked
            receive(request)
            turn_over()
            asked = road.asked.taken()
            respond(answer)
            turn_over()
            return road.client.taken()

        return serve

    sent = timed(benchmark, prepare)
    assert [transport.paused for transport in transports] == [False, False]  # nobody is too fast
    return asked, sent


def test_get_kept_alive(benchmark: BenchmarkFixture) -> None:
    asked, sent = kept_alive(benchmark, GET, ANSWER)
    assert asked.startswith(b"GET /api/items?id=17 HTTP/1.1\r\n")
    assert sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert sent.endswith(b"\r\n\r\n" + BODY)


def test_post_of_16_kib(benchmark: BenchmarkFixture) -> None:
    asked, sent = kept_alive(benchmark, POST, ANSWER)
    assert asked.endswith(b"\r\n\r\n" + UPLOAD)
    assert sent.endswith(b"\r\n\r\n" + BODY)


def test_chunked_response(benchmark: BenchmarkFixture) -> None:
    _, sent = kept_alive(benchmark, GET, CHUNKED_ANSWER)
    assert sent.count(BODY) == 4
    assert sent.endswith(b"\r\n0\r\n\r\n")


def test_connection_per_request(benchmark: BenchmarkFixture) -> None:
    def prepare(road: Road) -> Callable[[], bytes]:
        respond = road.upstream.data_received
        turn_over = road.plane.outbox.flush

        def serve() -> bytes:
            client, connection = road.connect()
            connection.data_received(LAST_GET)
            turn_over()
            road.asked.written.clear()
            respond(ANSWER)
            turn_over()
            assert client.closing
            connection.connection_lost(None)
            return client.taken()

        return serve

    sent = timed(benchmark, prepare)
    assert sent.endswith(b"\r\n\r\n" + BODY)
    assert b"\r\nConnection: close\r\n" in sent
