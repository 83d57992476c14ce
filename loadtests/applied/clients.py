"""Owns the connections that send requests through the proxy, and which version answered each.

As little as can be: a request is bytes made once, and of an answer only status, length and version
are read, so that the measuring takes little of the machine that it measures.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

PROBE_S = 0.004
"""Between two requests of one probe."""
_HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_VERSION = re.compile(rb"\r\nx-version: *(\S+)", re.IGNORECASE)


class RequestFailed(Exception):
    """A request was not answered as it should be."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer."""

    version: str
    sent_s: float
    """By the machine's monotonic clock."""
    at_s: float


class Client:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Client":
        """A connection to a port of loopback."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, user: str) -> Answered:
        """Sends a user's request.

        Raises: RequestFailed.
        """
        sent_s = time.monotonic()
        self._writer.write(
            f"GET /api/items HTTP/1.1\r\nHost: shop\r\nX-User-Id: {user}\r\n\r\n".encode()
        )
        try:
            head = await self._reader.readuntil(_HEAD_END)
            status, length = _STATUS.match(head), _LENGTH.search(head)
            if length is not None:
                await self._reader.readexactly(int(length[1]))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise RequestFailed(f"the connection broke: {error!r}") from error
        version = _VERSION.search(head)
        if status is None or status[1] != b"200" or length is None or version is None:
            raise RequestFailed(f"answered with {head.decode('latin-1')!r}")
        return Answered(version[1].decode(), sent_s, time.monotonic())

    def close(self) -> None:
        """Ends it."""
        self._writer.transport.abort()


async def probe(port: int, see: Callable[[Answered], None]) -> None:
    """Asks for one user without end, on a connection of its own; each answer is shown."""
    client = await Client.connect(port)
    try:
        while True:
            see(await client.ask("probe"))
            await asyncio.sleep(PROBE_S)
    finally:
        client.close()


async def load(port: int, per_s: float, clients: int, done: Callable[[], None]) -> None:
    """Sends so many requests a second of ever other users, each when its time has come.

    Args:
        clients: connections that take turns.
        done: called after each answer.
    """
    connections = [await Client.connect(port) for _ in range(clients)]

    async def one(number: int) -> None:
        began_s = time.monotonic()
        for turn in range(number, 1 << 40, clients):
            await asyncio.sleep(began_s + (turn + 1) / per_s - time.monotonic())
            await connections[number].ask(f"user-{turn % 10_000}")
            done()

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(one(number))
    finally:
        for connection in connections:
            connection.close()
