"""A client that writes the bytes it is told to, and reads responses strictly or not at all."""

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from typing import Self

from proxy.http1.body import ChunkedFramer, Framer, LengthFramer
from proxy.http1.response import Framing, ResponseHead, parse_response
from tests.support.raw_reader import RawReader


@dataclass
class Answer:
    """A whole response."""

    head: ResponseHead
    body: bytes
    trailers: bytes = b""
    informational: list[ResponseHead] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Its status code."""
        return self.head.status


class RawClient(RawReader):
    """One connection to a listener.

    Args:
        where: host and port, or the path of a Unix socket.
        receive_bytes: the socket's receive buffer, to make a slow reader of it.
    """

    def __init__(self, where: tuple[str, int] | str, *, receive_bytes: int = 0) -> None:
        self._where = where
        self._receive_bytes = receive_bytes
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        super().__init__()

    async def __aenter__(self) -> Self:
        if isinstance(self._where, str):
            opened = await asyncio.open_unix_connection(self._where)
        else:
            sock = socket.socket()
            if self._receive_bytes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
            sock.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(sock, self._where)
            except OSError:
                sock.close()
                raise
            opened = await asyncio.open_connection(sock=sock, limit=1_024)
        self._reader, self._writer = opened
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def send(self, data: bytes) -> None:
        """Write, and wait until most of it is out."""
        self._writer.write(data)
        await self._writer.drain()

    def write(self, data: bytes) -> None:
        """Write without waiting."""
        self._writer.write(data)

    def finish(self) -> None:
        """Send no more; go on reading."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Close with RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def ask(self, request: bytes, method: str = "GET") -> Answer:
        """Send a request and read its answer."""
        await self.send(request)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        """The next response, 1xx heads with it.

        Raises:
            EOFError, ConnectionError: it was cut.
        """
        informational = []
        while True:
            head = parse_response(await self.head(), method)
            if head.status >= 200:
                break
            informational.append(head)
        if head.framing is Framing.CLOSE:
            return Answer(head, await self.rest(), b"", informational)
        framer: Framer = (
            ChunkedFramer() if head.framing is Framing.CHUNKED else LengthFramer(head.length)
        )
        if head.framing is Framing.NONE:
            framer = LengthFramer(0)
        body, rest = framer.feed(self._kept)
        while rest is None:
            piece, rest = framer.feed(await self.more())
            body += piece
        self._kept = rest
        return Answer(head, body, framer.trailers, informational)

    async def skip(self, size: int) -> None:
        """Read at least ``size`` bytes and forget them."""
        size -= len(self._kept)
        self._kept = b""
        while size > 0:
            size -= len(await self.more())

    async def rest(self) -> bytes:
        """Everything until a clean end; ConnectionError when it is a reset."""
        data = b""
        while True:
            try:
                data += self._kept + await self.more()
                self._kept = b""
            except EOFError:
                return data + self._kept

    async def more(self) -> bytes:
        """The next bytes; EOFError at the end."""
        data = await self._reader.read(65_536)
        if not data:
            raise EOFError
        return data


def get(path: str = "/", *lines: str, method: str = "GET", minor: int = 1) -> bytes:
    """A request without a body."""
    fields = "".join(f"{line}\r\n" for line in ("Host: shop.test", *lines))
    return f"{method} {path} HTTP/1.{minor}\r\n{fields}\r\n".encode()


def post(body: bytes, *lines: str, path: str = "/") -> bytes:
    """A request with a body of known length."""
    return get(path, *lines, f"Content-Length: {len(body)}", method="POST") + body
