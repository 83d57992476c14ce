"""As many connections are accepted in a turn as wait, and a view too many does not stay."""

import asyncio
import socket
from pathlib import Path

import pytest

from proxy.net.acceptor import LOOK_EVERY, LOOKS, MOST_VIEWS, Acceptor, waiting_connections
from proxy.net.listener import bind
from tests.support.running import eventually, run


class Closing(asyncio.Protocol):
    """Closes its connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def call(where: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*where)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


def crowd(where: tuple[str, int], size: int) -> list[socket.socket]:
    """Connections that are there before the loop looks."""
    clients = []
    for _ in range(size):
        client = socket.socket()
        client.connect(where)
        clients.append(client)
    return clients


async def hang_up(clients: list[socket.socket]) -> None:
    for client in clients:
        client.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        client.close()


def test_as_many_views_as_wait_and_no_more() -> None:
    async def test() -> None:
        (sock,) = bind("web", "127.0.0.1:0")
        where = sock.getsockname()
        acceptor = Acceptor(Closing, sock)
        await acceptor.open()
        assert acceptor.views == 1
        before = descriptors()
        for _ in range(4):
            clients = crowd(where, 4 * LOOK_EVERY)
            await hang_up(clients)
        assert acceptor.views == MOST_VIEWS
        for _ in range(LOOK_EVERY * (LOOKS * 4 + 1)):
            await call(where)
        await eventually(lambda: acceptor.views == 1)
        await eventually(lambda: descriptors() == before)
        acceptor.close()
        with pytest.raises(OSError, match="refused"):
            await call(where)

    run(test, within_s=60)


def test_without_descriptors_it_goes_on_with_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        (sock,) = bind("web", "127.0.0.1:0")
        where = sock.getsockname()
        acceptor = Acceptor(Closing, sock)
        await acceptor.open()

        def none_left(_: socket.socket) -> socket.socket:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(socket.socket, "dup", none_left)
        await hang_up(crowd(where, 4 * LOOK_EVERY))
        assert acceptor.views == 1
        monkeypatch.undo()
        for _ in range(4):
            await hang_up(crowd(where, 4 * LOOK_EVERY))
        assert acceptor.views == MOST_VIEWS
        acceptor.close()

    run(test)


def test_a_unix_socket_has_one_view(tmp_path: Path) -> None:
    async def test() -> None:
        (sock,) = bind("web", f"unix:{tmp_path}/s")
        acceptor = Acceptor(Closing, sock)
        await acceptor.open()
        assert waiting_connections(sock) == 0
        for _ in range(LOOK_EVERY * LOOKS):
            reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/s")
            assert await reader.read() == b""
            writer.close()
        assert acceptor.views == 1
        acceptor.close()

    run(test)


def test_closing_in_the_middle_of_growing_leaves_nothing_open() -> None:
    async def test() -> None:
        (sock,) = bind("web", "127.0.0.1:0")
        acceptor = Acceptor(Closing, sock)
        await acceptor.open()
        before = descriptors()
        acceptor._want(MOST_VIEWS)
        acceptor.close()
        await eventually(lambda: descriptors() == before - 2)
        acceptor._want(MOST_VIEWS)
        await asyncio.sleep(0)
        assert acceptor.views == 0

    run(test)
