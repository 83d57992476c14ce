"""Owns the WebSocket at ``/v1/stream``: one connection of one proxy. Never decides what is sent.

The proxy says hello within ten seconds, then only acks and nacks. Whatever else it sends ends its
connection with a policy code and a reason, and touches no other. Close codes: RFC 6455 §7.4.1.
"""

import asyncio
import logging

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from controlplane.fleet import Fleet, Member
from controlplane.stream.hub import Hub, HubClosedError, Mailbox
from proxy.model.wire import Ack, Hello, Nack

_log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
HELLO_S = 10.0
MAX_MESSAGE_BYTES = 1024 * 1024
"""The longest nack a proxy words (``proxy.sync.frames``) stays below this."""
_GOODBYE_S = 3.0
"""How long the other side may take to answer a close."""

_decoder: msgspec.json.Decoder[Hello | Ack | Nack] = msgspec.json.Decoder(Hello | Ack | Nack)


class _RefusedError(Exception):
    """The proxy broke the rules of the stream."""

    def __init__(self, reason: str, code: int = WSCloseCode.POLICY_VIOLATION) -> None:
        super().__init__(reason)
        self.code = code


class StreamHandler:
    """Serves every proxy's stream."""

    def __init__(self, hub: Hub, fleet: Fleet, hello_s: float = HELLO_S) -> None:
        self._hub = hub
        self._fleet = fleet
        self._hello_s = hello_s

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, from the upgrade to the close."""
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            timeout=_GOODBYE_S,
            compress=False,  # costs CPU for every proxy again; snapshots are small
        )
        await socket.prepare(request)
        address = request.remote or ""
        try:
            await self._converse(socket, address)
        except _RefusedError as error:
            _log.warning("stream of %s closed: %s", address, error)
            await socket.close(code=error.code, message=str(error).encode()[:123])
        return socket

    async def _converse(self, socket: web.WebSocketResponse, address: str) -> None:
        hello = await self._hello(socket)
        if hello is None:
            return
        has = hello.revision if hello.store == self._hub.store_id else 0
        member = self._fleet.join(hello, address, has)
        mailbox = self._hub.join(has)
        sender = asyncio.create_task(_send(socket, mailbox), name=f"stream to {hello.instance}")
        _log.info("proxy %r (%s) connected on revision %d", hello.instance, address, has)
        try:
            await self._listen(socket, member)
        finally:
            self._hub.leave(mailbox)
            self._fleet.leave(member)
            await _finish(sender, mailbox)
            _log.info("proxy %r (%s) disconnected", hello.instance, address)

    async def _hello(self, socket: web.WebSocketResponse) -> Hello | None:
        try:
            async with asyncio.timeout(self._hello_s):
                message = await socket.receive()
        except TimeoutError:
            raise _RefusedError(f"no hello within {self._hello_s:g} s") from None
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return None  # closed before it said anything
        hello = _decoded(message)
        if not isinstance(hello, Hello):
            raise _RefusedError("the first message must be a hello")
        return hello

    async def _listen(self, socket: web.WebSocketResponse, member: Member) -> None:
        async for frame in socket:
            message = _decoded(frame)
            if isinstance(message, Hello):
                raise _RefusedError("a second hello")
            if not 0 < message.revision <= self._hub.revision:
                raise _RefusedError(f"revision {message.revision} was never sent")
            if isinstance(message, Ack):
                member.ack(message.revision)
            else:
                member.nack(message.revision, message.problems)
                _log.warning(
                    "proxy %r refused revision %d: %r",
                    member.hello.instance,
                    message.revision,
                    "; ".join(map(str, member.problems)),
                )


def _decoded(frame: WSMessage) -> Hello | Ack | Nack:
    if frame.type is not WSMsgType.TEXT:
        raise _RefusedError("messages are text", WSCloseCode.UNSUPPORTED_DATA)
    try:
        return _decoder.decode(frame.data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _RefusedError(f"not a message of this stream: {error}") from error


async def _send(socket: web.WebSocketResponse, mailbox: Mailbox) -> None:
    """Sends what is newest whenever the socket has taken what was before."""
    try:
        while True:
            await socket.send_str(await mailbox.take())
    except HubClosedError:
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the control plane is stopping")
    except ConnectionError:
        pass  # the reader sees the end of the connection too, and cleans up


async def _finish(sender: asyncio.Task[None], mailbox: Mailbox) -> None:
    """Ends the sender; one that is saying goodbye may finish its sentence."""
    if not mailbox.closed:
        sender.cancel()
    await asyncio.wait([sender], timeout=2 * _GOODBYE_S)
    sender.cancel()
    await asyncio.wait([sender])
    if not sender.cancelled() and (error := sender.exception()):
        _log.error("%s failed", sender.get_name(), exc_info=error)
