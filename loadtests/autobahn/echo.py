"""Owns the WebSocket echo server that Autobahn's cases are run against. Never judges.

It answers each event before it looks at the next one, so that how bytes are cut on their way
changes no verdict: a server that parses all it has got before it echoes gets other ones on cases
3.4 and 4.*.5 whenever two bytes travel together.
"""

import asyncio
from typing import cast

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import ProtocolError


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._connection = WSConnection(ConnectionType.SERVER)
        self._transport: asyncio.Transport
        self._texts: list[str] = []
        self._bytes: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Some frames, or parts of them."""
        if self._transport.is_closing():
            return
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._answer(event)
        except ProtocolError:  # no WebSocket request, or frames behind a close
            self._transport.close()

    def _answer(self, event: Event) -> None:
        match event:
            case Request():
                self._send(AcceptConnection(extensions=[PerMessageDeflate()]))
            case TextMessage():
                self._texts.append(event.data)
                if event.message_finished:
                    self._send(TextMessage("".join(self._texts)))
                    self._texts.clear()
            case BytesMessage():
                self._bytes.append(bytes(event.data))
                if event.message_finished:
                    self._send(BytesMessage(b"".join(self._bytes)))
                    self._bytes.clear()
            case Ping():
                self._send(event.response())
            case CloseConnection():
                self._send(event.response())
                self._transport.close()

    def _send(self, event: Event) -> None:
        self._transport.write(self._connection.send(event))


async def serve_echo() -> asyncio.Server:
    """Listens on a free port of loopback."""
    return await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1_024)
