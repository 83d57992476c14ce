"""Owns a relay of TCP connections that goes wrong when it is told to: a network with faults."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Self

CHUNK = 65_536


class Relay:
    """Between clients and a port of loopback; leave the context to end it.

    Args:
        target: where it connects to.

    Attributes:
        port: where it listens.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._cut_at: int | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._flows.set()
        self._server.close()
        self.drop()
        await self._server.wait_closed()

    def stall(self) -> None:
        """Pass nothing on, in either direction, and close nothing."""
        self._flows.clear()

    def go_on(self) -> None:
        """Pass on what waits."""
        self._flows.set()

    def cut(self, after_bytes: int) -> None:
        """Break off after so many bytes of what clients are sent next."""
        self._cut_at = after_bytes

    def garble(self, data: bytes) -> None:
        """Send this to every client, as if it came from the other side."""
        for client in self._clients:
            client.write(data)

    def drop(self) -> None:
        """Reset every connection."""
        for client in list(self._clients):
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._clients.discard(writer)
            writer.transport.abort()
            return
        pumps = (
            asyncio.create_task(self._pump(reader, back.write)),
            asyncio.create_task(self._pump(there, self._towards(writer))),
        )
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._clients.discard(writer)
            back.transport.abort()
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                await self._flows.wait()
                write(data)

    def _towards(self, client: asyncio.StreamWriter) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            cut_at = self._cut_at
            if cut_at is None or len(data) <= cut_at:
                client.write(data)
                return
            self._cut_at = None
            client.write(data[:cut_at])
            client.close()

        return write
