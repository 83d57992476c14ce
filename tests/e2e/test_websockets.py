"""WebSockets through a proxy process: the ``websockets`` library's client and server around it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from loadtests.demo.children import Child
from tests.support.road import BOUND_S, Road, road, until

pytestmark = pytest.mark.e2e

MIB = 1 << 20
DRAIN = "drain: {grace_s: 0.2, deadline_s: 10}\n"
Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(connection: ServerConnection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosedError:
        return  # some tests cut the connection


@asynccontextmanager
async def around(
    folder: Path, handler: Handler, drain: str = DRAIN, **options: Any
) -> AsyncIterator[tuple[Road, Child, Server]]:
    """A server and a proxy in front of it."""
    async with (
        road(folder) as built,
        serve(handler, "127.0.0.1", 0, max_size=None, ping_interval=None, **options) as server,
    ):
        host, port = next(iter(server.sockets)).getsockname()
        built.samples["stable"] = f"http://{host}:{port}"
        text = built.config(built.traffic(stable=1))
        assert DRAIN in text
        yield built, await built.start_proxy(text.replace(DRAIN, drain)), server


def through(built: Road, compression: str | None = None) -> connect:
    """A client's connection through the proxy."""
    return connect(
        f"ws://127.0.0.1:{built.port}/chat",
        compression=compression,
        max_size=None,
        ping_interval=None,
        open_timeout=BOUND_S,
    )


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


async def echoes(client: ClientConnection, message: str | bytes) -> bool:
    await client.send(message)
    return await client.recv() == message


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_every_kind(tmp_path: Path, compression: str | None) -> None:
    async def test() -> None:
        async with around(tmp_path, echo) as (built, _, _), through(built, compression) as client:
            assert client.response is not None
            extensions = client.response.headers.get("Sec-WebSocket-Extensions", "")
            assert ("permessage-deflate" in extensions) == (compression is not None)
            for size in (0, 1, 125, 126, 65_535, 65_536, MIB):
                assert await echoes(client, "é" * (size // 2))
                assert await echoes(client, os.urandom(size))

            async def parts() -> AsyncIterator[str]:
                for number in range(1_000):
                    yield f"{number} "

            await client.send(parts())
            assert await client.recv() == "".join([part async for part in parts()])
            pong = await client.ping(b"there?")
            assert await pong >= 0

    run(test)


def test_a_huge_message_in_fragments_and_in_one(tmp_path: Path) -> None:
    piece = os.urandom(MIB)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield piece

    async def test() -> None:
        async with around(tmp_path, echo) as (built, _, _), through(built) as client:
            sending = asyncio.ensure_future(client.send(parts()))
            assert await client.recv() == piece * 16
            await sending
            assert await echoes(client, piece * 16)

    run(test)


def test_pings_of_the_server_and_fragments_as_they_were_sent(tmp_path: Path) -> None:
    async def server(connection: ServerConnection) -> None:
        await (await connection.ping(b"you?"))
        await connection.send(["one", "two", "three"])

    async def test() -> None:
        async with around(tmp_path, server) as (built, _, _), through(built) as client:
            parts = [part async for part in client.recv_streaming()]
            assert parts[:3] == ["one", "two", "three"]

    run(test)


@pytest.mark.parametrize("code", [CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, 4_321])
@pytest.mark.parametrize("who", ["client", "server"])
def test_close_codes_both_ways(tmp_path: Path, code: int, who: str) -> None:
    seen: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def server(connection: ServerConnection) -> None:
        if who == "server":
            await connection.close(code, "bye")
        await connection.wait_closed()
        seen.put_nowait((connection.close_code or 0, connection.close_reason or ""))

    async def test() -> None:
        async with around(tmp_path, server) as (built, _, _), through(built) as client:
            if who == "client":
                await client.close(code, "bye")
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (code, "bye")
            assert await seen.get() == (code, "bye")

    run(test)


@pytest.mark.parametrize("who", ["client", "server"])
def test_an_abrupt_end_reaches_the_other_side(tmp_path: Path, who: str) -> None:
    ended: asyncio.Queue[int | None] = asyncio.Queue()

    async def server(connection: ServerConnection) -> None:
        assert await connection.recv() == "go"
        if who == "server":
            connection.transport.abort()
        await connection.wait_closed()
        ended.put_nowait(connection.close_code)

    async def test() -> None:
        async with around(tmp_path, server) as (built, _, _), through(built) as client:
            await client.send("go")
            if who == "client":
                client.transport.abort()
            await client.wait_closed()
            assert client.close_code == CloseCode.ABNORMAL_CLOSURE
            assert await ended.get() == CloseCode.ABNORMAL_CLOSURE
            await counted(built, 1)

    run(test)


async def counted(built: Road, tunnels: int) -> None:
    """So many tunnels are over, and none is open."""

    async def are() -> bool:
        lines = [line for line in (await built.metrics()).splitlines() if 'code="101"' in line]
        over = sum(float(line.split()[-1]) for line in lines if "requests_total" in line)
        return over == tunnels and await built.metric("splitway_requests_in_flight") == 0

    await until(f"{tunnels} tunnels are counted", are)


def test_a_refused_handshake_is_the_clients_to_see(tmp_path: Path) -> None:
    async def test() -> None:
        def refuse(connection: ServerConnection, request: Request) -> Response:
            return connection.respond(401, f"no entry to {request.path}")

        async with around(tmp_path, echo, process_request=refuse) as (built, _, _):
            with pytest.raises(InvalidStatus) as refused:
                async with through(built):
                    pass
            assert refused.value.response.status_code == 401
            assert refused.value.response.body == b"no entry to /chat"

    run(test)


def test_200_clients_at_once(tmp_path: Path) -> None:
    everyone = asyncio.Barrier(200)

    async def one(built: Road, number: int) -> None:
        async with through(built) as client:
            await everyone.wait()
            for turn in range(20):
                assert await echoes(client, f"{number}:{turn}:" + "x" * turn * 50)

    async def test() -> None:
        async with around(tmp_path, echo) as (built, proxy, _):
            await asyncio.gather(*(one(built, number) for number in range(200)))
            await counted(built, 200)
            assert "Traceback" not in proxy.log.read_text()

    run(test)


def test_a_slow_reader_slows_the_server(tmp_path: Path) -> None:
    sent: list[int] = []
    stuck = asyncio.Event()

    async def flood(connection: ServerConnection) -> None:
        for number in range(100):
            sending = asyncio.ensure_future(connection.send(bytes(MIB)))
            done, _ = await asyncio.wait((sending,), timeout=0.5)
            if not done:
                stuck.set()
            await sending
            sent.append(number)

    async def test() -> None:
        async with around(tmp_path, flood) as (built, _, _), through(built) as client:
            await stuck.wait()
            assert len(sent) < 50
            for _ in range(100):
                assert len(await client.recv()) == MIB
            with pytest.raises(ConnectionClosed):
                await client.recv()

    run(test)


def test_sigterm_leaves_tunnels_until_their_limit(tmp_path: Path) -> None:
    drain = "drain: {grace_s: 0.1, deadline_s: 15, tunnel_s: 1.5}\n"

    async def test() -> None:
        async with around(tmp_path, echo, drain) as (built, proxy, server):
            async with through(built) as client, through(built) as leaving:
                assert await echoes(client, "before")
                proxy.process.send_signal(signal.SIGTERM)

                async def refuses() -> bool:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", built.port)
                    except ConnectionRefusedError:
                        return True
                    writer.close()
                    return False

                await until("it accepts no more", refuses)
                for number in range(10):
                    assert await echoes(client, f"still {number}")
                await leaving.close()
                assert leaving.close_code == CloseCode.NORMAL_CLOSURE
                assert proxy.process.returncode is None
                await client.wait_closed()
                assert client.close_code == CloseCode.ABNORMAL_CLOSURE
            assert await asyncio.wait_for(proxy.process.wait(), 15) == 0
            await until("the server is rid of them", lambda: none_of(server))
            assert "Traceback" not in proxy.log.read_text()

    async def none_of(server: Server) -> bool:
        return not server.connections

    run(test)
