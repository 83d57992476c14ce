"""Corners of the connections' states: each was a hole once."""

import asyncio
import socket

import pytest

from proxy.model.config import Downstream
from tests.support.raw_backend import OK, RawBackend, Visit, replying, said
from tests.support.raw_client import RawClient, get, post
from tests.support.running import Running, config_for, eventually, run
from tests.support.tunnels import SWITCHED, switching, upgrade


async def until_its_end(visit: Visit) -> None:
    """Read, and say nothing."""
    await visit.end()


def test_an_empty_line_in_pieces_for_ever_is_closed_at_head_s() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as b,
            Running(config_for(b.endpoint, downstream=Downstream(head_s=0.3))) as r,
            RawClient(r.where) as c,
        ):
            loop = asyncio.get_running_loop()
            await c.send(b"\r")
            end = loop.time() + 1.5  # five times head_s
            while loop.time() < end:
                await asyncio.sleep(0.1)
                try:
                    await c.send(b"\n\r")
                except ConnectionError:
                    return
            assert all(k._lingering for k in r.plane.connections), (
                "open at 5 x head_s, and never counted as idle"
            )

    run(test)


def test_what_was_behind_a_body_is_let_go() -> None:
    async def test() -> None:
        async with (
            RawBackend(replying(OK)) as b,
            Running(config_for(b.endpoint, path="/x")) as r,
            RawClient(r.where) as c,
        ):
            raw = post(b"a", path="/n") + get("/n") * 3000
            await c.send(raw)
            for _ in range(3001):
                assert (await c.answer()).status == 404
            (conn,) = r.plane.connections
            assert r.plane.load.held_bytes == 0
            assert len(conn._rest) == 0, f"{len(conn._rest)} bytes kept by an idle connection"

    run(test)


def test_a_client_that_is_full_at_the_101_pauses_the_endpoint() -> None:
    async def test() -> None:
        sent = 0

        async def script(visit: Visit) -> None:
            nonlocal sent
            while True:
                head = await visit.head()
                if b"pgrade" not in head:
                    await visit.send(said(b"x" * 60_000))
                    continue
                break
            # fills what is left of the buffer's 64 KiB by itself
            await visit.send(SWITCHED[:-2] + b"X-Fill: " + b"f" * 60_000 + b"\r\n\r\n")
            block = b"y" * 1_000_000
            for _ in range(60):
                await visit.send(block)
                sent += len(block)
            await visit.end()

        async with RawBackend(script) as b, Running(config_for(b.endpoint)) as r:
            loop = asyncio.get_running_loop()
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.setblocking(False)
                await loop.sock_connect(s, r.where)
                # answers that fill the kernel's buffer and stay below the transport's mark
                await loop.sock_sendall(s, get("/1"))
                await eventually(lambda: len(r.plane.connections) == 1)
                (conn,) = r.plane.connections
                n = 1
                while True:
                    await eventually(lambda: conn._exchange is None and conn.idle_since > 0)
                    size = conn.transport.get_write_buffer_size()
                    if size:
                        break
                    n += 1
                    conn.idle_since = 0
                    await loop.sock_sendall(s, get("/n"))
                assert not conn._full, size
                await loop.sock_sendall(s, upgrade())
                await eventually(lambda: r.counts().tunnels == 1)
                await asyncio.sleep(1.0)
                size = conn.transport.get_write_buffer_size()
                assert size < 2_000_000, (
                    f"{size} bytes wait in the proxy for a client that reads nothing"
                )

    run(test)


@pytest.mark.parametrize("early", [b"", b"early"])
def test_half_close_before_101(early: bytes) -> None:
    async def test() -> None:
        go = asyncio.Event()
        ended = asyncio.Event()

        async def script(visit: Visit) -> None:
            await visit.head()
            await go.wait()
            await visit.send(SWITCHED)
            await visit.end()
            ended.set()

        async with (
            RawBackend(script) as b,
            Running(config_for(b.endpoint)) as r,
            RawClient(r.where) as c,
        ):
            await c.send(upgrade() + early)
            c.finish()
            await asyncio.sleep(0.1)
            go.set()
            await asyncio.wait_for(ended.wait(), 3)

    run(test)


def test_plane_close_with_a_tunnel_whose_endpoint_is_stuck() -> None:
    async def test() -> None:
        async def script(visit: Visit) -> None:
            await visit.head()
            await visit.send(SWITCHED)
            await asyncio.sleep(30)

        async with RawBackend(script, receive_bytes=4096) as b:
            r = Running(config_for(b.endpoint))
            await r.__aenter__()
            async with RawClient(r.where) as c:
                await c.send(upgrade())
                await c.head()
                for _ in range(100):
                    c.write(b"z" * 100_000)
                await eventually(lambda: any(t._endpoint.full for t in r.plane.tunnels))
                await r.plane.close()
                pool = next(iter(r.plane._pools.values()))
                await eventually(lambda: not pool.open)
                assert r.counts().tunnels == 0

    run(test)


def test_http10_101() -> None:
    async def test() -> None:
        async with (
            RawBackend(switching(until_its_end, SWITCHED.replace(b"1.1", b"1.0"))) as b,
            Running(config_for(b.endpoint)) as r,
            RawClient(r.where) as c,
        ):
            await c.send(upgrade())
            head = await c.head()
            assert head.startswith(b"HTTP/1.1 502"), head

    run(test)


def test_a_body_that_cannot_be_repeated_is_let_go() -> None:
    async def test() -> None:
        asked = asyncio.Event()

        async def script(visit: Visit) -> None:
            await visit.head()
            asked.set()
            await visit.end()

        async with (
            RawBackend(script) as b,
            Running(config_for(b.endpoint)) as r,
            RawClient(r.where) as c,
        ):
            await c.send(post(b"x" * 60_000))
            await asked.wait()
            await asyncio.sleep(0.1)
            (conn,) = r.plane.connections
            assert conn._exchange is not None
            assert conn._exchange._pending == b""

    run(test)
