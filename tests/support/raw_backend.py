"""A scriptable endpoint: it records every byte it gets and answers as the test says."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Self

from tests.support.raw_reader import RawReader

Script = Callable[["Visit"], Awaitable[None]]
"""Runs once for each connection."""


class Visit(RawReader):
    """One connection that was accepted.

    Attributes:
        received: everything that was read so far.
        number: 0 for the first connection.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        super().__init__()
        self._reader = reader
        self._writer = writer
        self.number = number
        self.received = b""

    async def skip(self, size: int) -> None:
        """Read ``size`` bytes and forget them."""
        size -= len(self._kept)
        self._kept = b""
        while size > 0:
            data = await self._reader.read(min(size, 1_000_000))
            if not data:
                raise EOFError
            size -= len(data)

    async def end(self) -> bytes:
        """Whatever still comes until the other side closes or resets."""
        try:
            while True:
                self._kept += await self.more()
        except (EOFError, ConnectionError):
            data, self._kept = self._kept, b""
            return data

    async def send(self, data: bytes) -> None:
        """Answer."""
        self._writer.write(data)
        await self._writer.drain()

    async def abort(self) -> None:
        """Close at once, unless it is closed."""
        self._writer.transport.abort()
        await self._writer.wait_closed()

    def reset(self) -> None:
        """Close with RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def finish(self) -> None:
        """Send no more; go on reading."""
        self._writer.write_eof()

    async def more(self) -> bytes:
        data = await self._reader.read(65_536)
        if not data:
            raise EOFError
        self.received += data
        return data


class RawBackend:
    """Listens on loopback, or on a Unix socket. Each connection is closed when its script ends.

    Args:
        path: of the Unix socket.
        receive_bytes: the sockets' receive buffer, to make a slow reader of it.

    Attributes:
        visits: connections so far.
        errors: what went wrong in scripts, but for connections that ended.
    """

    def __init__(self, script: Script, path: str = "", *, receive_bytes: int = 0) -> None:
        self._script = script
        self._receive_bytes = receive_bytes
        self._path = path
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()
        self.visits: list[Visit] = []
        self.errors: list[BaseException] = []
        self.endpoint = ""

    async def __aenter__(self) -> Self:
        if self._path:
            self._server = await asyncio.start_unix_server(self._accepted, self._path)
            self.endpoint = f"unix:{self._path}"
        else:
            sock = socket.socket()
            if self._receive_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
            sock.bind(("127.0.0.1", 0))
            self._server = await asyncio.start_server(self._accepted, sock=sock)
            self.endpoint = "http://{}:{}".format(*self._server.sockets[0].getsockname()[:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that had not begun has closed nothing.
        await asyncio.gather(*[visit.abort() for visit in self.visits], return_exceptions=True)
        assert self.errors == []

    def close(self) -> None:
        """Accept no more."""
        self._server.close()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(reader, writer, len(self.visits))
        self.visits.append(visit)
        task = asyncio.get_running_loop().create_task(self._run(visit, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, visit: Visit, writer: asyncio.StreamWriter) -> None:
        try:
            await self._script(visit)
        except (EOFError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001 shown by the test that uses this endpoint
            self.errors.append(error)
        finally:
            writer.close()


def replying(*answers: bytes) -> Script:
    """Answers the requests (without a body) of each connection with ``answers`` in turn; the last
    one again and again."""

    async def script(visit: Visit) -> None:
        number = 0
        while True:
            await visit.head()
            await visit.send(answers[min(number, len(answers) - 1)])
            number += 1

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def said(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole response."""
    fields = b"".join(line + b"\r\n" for line in (*lines, b"Content-Length: %d" % len(body)))
    return b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n" + body
