"""Owns accepting connections from one bound socket, as many in a turn as come.

libuv accepts one connection in a turn of the event loop, so under a flood of new connections a turn
serves one request, and nothing can be done for several at once. Each further view of the same
socket (a duplicate of its descriptor) accepts one more. But a view that finds nothing costs a
failed system call, so there are only as many views as connections are waiting (ADR 12).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG: Final = 4096
MOST_VIEWS: Final = 8
LOOK_EVERY: Final = 16
"""Connections between looks at how many wait."""
LOOKS: Final = 8
"""Looks in which few were waiting before there are fewer views."""
_WAITING = struct.Struct("24xI")
"""Where ``struct tcp_info`` of a listening socket has how many wait to be accepted."""


def waiting_connections(sock: socket.socket) -> int:
    """How many connections of a listening socket wait to be accepted; 0 where nobody can tell.

    Source: tcp(7) TCP_INFO; the kernel gives ``tcpi_unacked`` this meaning on a listening socket.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size)
    except OSError:  # a Unix socket, or closed
        return 0
    return int(_WAITING.unpack(info)[0]) if len(info) == _WAITING.size else 0


class Acceptor:
    """Accepts on one socket.

    Args:
        make: makes the protocol of a connection.
        sock: bound; owned from now on.
    """

    def __init__(self, make: Callable[[], asyncio.BaseProtocol], sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._make = make
        self._sock = sock
        self._views: list[asyncio.Server] = []
        self._wanted = 1
        self._task: asyncio.Task[None] | None = None
        self._accepted = 0
        self._looks = 0
        self._most_waiting = 0

    @property
    def views(self) -> int:
        """Connections that can be accepted in one turn."""
        return len(self._views)

    async def open(self) -> None:
        """Begin to accept."""
        await self._add()

    def close(self) -> None:
        """Accept no more."""
        if self._task is not None:
            self._task.cancel()
        for view in self._views:
            view.close()
        self._views.clear()
        self._sock.close()

    def _accept(self) -> asyncio.BaseProtocol:
        """One more was accepted."""
        self._accepted += 1
        if self._accepted == LOOK_EVERY:
            self._accepted = 0
            self._look()
        return self._make()

    def _look(self) -> None:
        waiting = waiting_connections(self._sock)
        self._most_waiting = max(self._most_waiting, waiting)
        self._looks += 1
        if waiting >= self._wanted and self._wanted < MOST_VIEWS:
            self._want(self._wanted * 2)
        elif self._looks == LOOKS:
            if self._most_waiting < self._wanted // 2:
                self._want(self._wanted // 2)
            self._looks = self._most_waiting = 0

    def _want(self, views: int) -> None:
        """Have so many from the next turn on: this one is in the middle of accepting."""
        self._wanted = views
        self._looks = self._most_waiting = 0
        if self._task is None and self._sock.fileno() >= 0:
            self._task = self._loop.create_task(self._adapt())

    async def _adapt(self) -> None:
        try:
            with contextlib.suppress(OSError):  # no descriptor to spare: fewer do as well
                while len(self._views) < self._wanted:
                    await self._add()
            while len(self._views) > self._wanted:
                self._views.pop().close()
        finally:
            self._wanted = max(1, len(self._views))  # if there are fewer, the next look tries again
            self._task = None

    async def _add(self) -> None:
        sock = self._sock.dup()
        try:
            if sock.family == socket.AF_UNIX:
                view = await self._loop.create_unix_server(self._accept, sock=sock, backlog=BACKLOG)
            else:
                view = await self._loop.create_server(self._accept, sock=sock, backlog=BACKLOG)
        except BaseException:
            sock.close()
            raise
        self._views.append(view)
