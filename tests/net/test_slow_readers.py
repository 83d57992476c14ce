"""A client that is behind when its answer is wholly taken from the endpoint must still get it all:
`downstream.write_s` (30) and `min_bytes_per_s` are its limits, not LOOK_S (1) nor linger_s (2)."""

import asyncio
import socket
from typing import Any

import pytest

from tests.support.raw_backend import RawBackend, Visit, said
from tests.support.raw_client import get
from tests.support.running import Running, config_for, eventually, run

SIZE = 250_000
STEP = 5_000


async def big(visit: Visit) -> None:
    await visit.head()
    await visit.send(said(b"x" * SIZE))
    await visit.end()


async def fetch(
    raw: bytes, pause_s: float, *, half_close: bool = False, full: bool = True
) -> tuple[int, str]:
    async with RawBackend(big) as b, Running(config_for(b.endpoint)) as r:
        loop = asyncio.get_running_loop()
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            s.setblocking(False)
            await loop.sock_connect(s, r.where)
            await eventually(lambda: len(r.plane.connections) == 1)
            (conn,) = r.plane.connections
            sock = conn.transport.get_extra_info(
                "socket"
            )  # as the kernel has it for a client far away
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            await loop.sock_sendall(s, raw)
            got = len(await loop.sock_recv(s, 100))
            while conn._exchange is not None or (conn._full and not full):
                got += len(await loop.sock_recv(s, STEP))
                await asyncio.sleep(0.001)
            state = f"full={conn._full} buffered={conn.transport.get_write_buffer_size()}"
            if half_close:
                s.shutdown(socket.SHUT_WR)
            await asyncio.sleep(pause_s)  # reads nothing, far shorter than write_s
            try:
                while data := await loop.sock_recv(s, STEP * 10):
                    got += len(data)
                    if got >= SIZE:
                        break
            except ConnectionError as e:
                state += f" {e!r}"
            return got, state


def check(*a: Any, **k: Any) -> None:
    async def test() -> None:
        got, state = await fetch(*a, **k)
        assert got >= SIZE, (got, state)

    run(test)


def test_control_connection_close() -> None:
    check(get("/", "Connection: close"), 3.0)


def test_kept_alive() -> None:
    check(get("/"), 1.5)


def test_half_close_behind_the_answer() -> None:
    check(get("/"), 1.5, half_close=True, full=False)


@pytest.mark.parametrize("behind", [b"\r\n", get("/2")])
def test_close_with_bytes_behind_it(behind: bytes) -> None:
    check(get("/", "Connection: close") + behind, 2.5)
