"""Owns sending a client's bytes over real sockets, to an endpoint that records them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Self, cast

from tests.attacks.judge import Outcome, answer_to
from tests.support.oracle import read_requests, read_responses
from tests.support.running import Running, config_for, eventually

PATIENCE_S = 2.0
"""What is not answered within this is not going to be; only failures take so long."""


class RecordingEndpoint:
    """Answers as far as the oracle understands what comes."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self.url = ""
        self.visits: list[_Visit] = []
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Visit(self), "127.0.0.1", 0)
        self.url = "http://{}:{}".format(*self._server.sockets[0].getsockname()[:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.settle()

    async def settle(self) -> None:
        """End every connection; then every byte that was sent has been counted."""
        for visit in self.visits:
            await visit.end()
        self.visits.clear()


class _Visit(asyncio.Protocol):
    """One connection of the proxy."""

    def __init__(self, endpoint: RecordingEndpoint) -> None:
        self._over = asyncio.Event()
        self._outcome = endpoint.outcome
        endpoint.visits.append(self)
        self._unread = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._outcome.arrived += data
        self._unread += data
        reading = read_requests(self._unread)
        for message in reading.messages:
            self._outcome.requests.append(message)
            self._transport.write(answer_to(message))
        if reading.messages:
            self._unread = self._unread[reading.messages[-1].end :]
        if reading.problem is not None:
            self._outcome.problems.append(reading.problem)
            self._transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._over.set()

    async def end(self) -> None:
        """The proxy has no request in hand: it closes what ends here, and has sent everything."""
        if not self._over.is_set() and not self._transport.is_closing():
            self._transport.write_eof()
        await self._over.wait()


class SocketClient:
    """Sends streams through one proxy, each over a connection of its own."""

    def __init__(self, endpoint: RecordingEndpoint, running: Running) -> None:
        assert isinstance(running.where, tuple)
        self._endpoint = endpoint
        self._running = running
        self._where = running.where

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls) -> AsyncIterator["SocketClient"]:
        """With a proxy and an endpoint of its own."""
        async with RecordingEndpoint() as endpoint, Running(config_for(endpoint.url)) as running:
            yield cls(endpoint, running)
            await endpoint.settle()

    async def fire(self, pieces: list[bytes], *, answers: int, closes: bool) -> Outcome:
        """What comes of a stream.

        Args:
            answers: when so many have come, the client sends no more.
            closes: the proxy must close by itself.
        """
        outcome = self._endpoint.outcome = Outcome()
        reader, writer = await asyncio.open_connection(*self._where)
        try:
            await _talk(outcome, reader, writer, pieces, answers, closes=closes)
        finally:
            writer.transport.abort()
        await eventually(lambda: not self._running.plane.connections)
        await self._endpoint.settle()
        return outcome


async def _talk(
    outcome: Outcome,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    pieces: list[bytes],
    answers: int,
    *,
    closes: bool,
) -> None:
    for piece in pieces:
        writer.write(piece)
        if len(pieces) > 1:
            await asyncio.sleep(0)  # a turn of the loop, in which the proxy reads it
    with contextlib.suppress(ConnectionError):
        ended = False
        while True:
            if not closes and not ended and _finals(outcome.answers) >= answers:
                ended = True
                writer.write_eof()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    data = await reader.read(65_536)
            except TimeoutError:
                if ended:
                    raise
                ended = True
                writer.write_eof()
                continue
            if not data:
                break
            outcome.answers += data
    outcome.closed = not ended
    outcome.left = ended


def _finals(answers: bytes) -> int:
    """How many whole answers there are; every one has a length, and none a HEAD's silence."""
    reading = read_responses(answers, [b"GET"] * 100)
    if not reading.messages and answers.count(b"\r\n\r\n"):
        return answers.count(b"\r\n\r\n")  # answers to HEAD, whose bodies never come
    return sum(message.status >= 200 for message in reading.messages)
