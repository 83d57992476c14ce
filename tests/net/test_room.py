"""A connection that is closing already is not idle: it makes no room, and is cut in time."""

import asyncio
import contextlib
import socket

from proxy.model.config import Downstream, Limits
from proxy.net.downstream import DownstreamConnection
from tests.support.raw_backend import RawBackend, Visit, said
from tests.support.raw_client import get
from tests.support.running import Running, config_for, eventually, run


async def behind(r: Running, s: socket.socket) -> DownstreamConnection:
    """An idle connection whose client has not read its last answer: neither full nor empty."""
    loop = asyncio.get_running_loop()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.setblocking(False)
    await loop.sock_connect(s, r.where)
    await eventually(lambda: len(r.plane.connections) == 1)
    (conn,) = r.plane.connections
    conn.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    while conn.transport.get_write_buffer_size() < 20_000:
        conn.idle_since = 0.0
        await loop.sock_sendall(s, get("/"))
        await eventually(lambda: conn._exchange is None and conn.idle_since > 0)
    assert not conn._full
    return conn


async def small(visit: Visit) -> None:
    while True:
        await visit.head()
        await visit.send(said(b"x" * 10_000))


def test_a_closing_connection_makes_no_room() -> None:
    async def test() -> None:
        async with (
            RawBackend(small) as b,
            Running(
                config_for(
                    b.endpoint, limits=Limits(connections=4), downstream=Downstream(write_s=2.0)
                )
            ) as r,
        ):
            loop = asyncio.get_running_loop()
            with socket.socket() as s, contextlib.ExitStack() as stack:
                conn = await behind(r, s)
                await asyncio.sleep(1.05)
                for _ in range(50):
                    x = stack.enter_context(socket.socket())
                    x.setblocking(False)
                    await loop.sock_connect(x, r.where)
                    await loop.sock_sendall(x, b"GET / HT")
                    await asyncio.sleep(0.1)
                n = len([k for k in r.plane.connections if not k._lingering])
                assert n <= 4
                assert conn not in r.plane.connections

    run(test)


def test_half_close_with_some_unsent() -> None:
    """FIN on an idle connection with bytes unsent: the rest must come for write_s, not look_s."""

    async def test() -> None:
        async with RawBackend(small) as b, Running(config_for(b.endpoint)) as r:
            loop = asyncio.get_running_loop()
            with socket.socket() as s:
                await behind(r, s)
                n = r.counts().requests["GET 200"]
                s.shutdown(socket.SHUT_WR)
                await asyncio.sleep(1.5)
                got = b""
                with contextlib.suppress(ConnectionError):
                    while data := await loop.sock_recv(s, 65536):
                        got += data
                assert got.count(b"x") == n * 10_000, (got.count(b"x"), n * 10_000)

    run(test)
