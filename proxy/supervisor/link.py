"""Owns messages between the first process and a worker over a socket pair. Never interprets them.

A message is four bytes of length, big-endian, then MessagePack of a tagged union.
"""

import asyncio
import socket
from typing import Any

import msgspec

MAX_BYTES = 256 * 1024 * 1024


class LinkClosed(Exception):
    """The other side is gone."""


class Link:
    """One side of the pair.

    Args:
        receives: the union of message types that may come.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, receives: Any
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = msgspec.msgpack.Decoder(receives)
        self._encoder = msgspec.msgpack.Encoder()

    @classmethod
    async def over(cls, sock: socket.socket, receives: Any) -> "Link":
        """A link over a connected socket, which it owns from now on."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(reader, writer, receives)

    async def send(self, message: msgspec.Struct) -> None:
        """Send one message.

        Raises:
            LinkClosed: the other side is gone.
        """
        data = self._encoder.encode(message)
        try:
            self._writer.write(len(data).to_bytes(4, "big") + data)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:  # uvloop raises the second once it is closed
            raise LinkClosed from error

    async def receive(self) -> Any:
        """The next message.

        Raises:
            LinkClosed: the other side is gone, or sends what is no message.
        """
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            if size > MAX_BYTES:
                raise LinkClosed
            return self._decoder.decode(await self._reader.readexactly(size))
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
            raise LinkClosed from error

    async def close(self) -> None:
        """Let go of the socket."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return
