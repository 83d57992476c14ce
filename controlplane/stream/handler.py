"""Owns the WebSocket at ``/v1/stream``: one connection of one proxy. Never decides what is sent.

The proxy says hello within ten seconds, then acks, nacks and, if it was asked to, reports. Whatever
else it sends ends its connection with a policy code and a reason, and touches no other. Close
codes: RFC 6455 §7.4.1.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from msgspec import Meta

from controlplane.access.book import Admitted
from controlplane.fleet import Fleet, Member
from controlplane.intake import Intake, Reply
from controlplane.store.base import StoreError
from controlplane.stream.frames import text_frame
from controlplane.stream.hub import Hub
from controlplane.stream.outbox import Outbox
from controlplane.stream.standing import ENDED, WHY, Standing
from proxy.model.wire import MAX_COUNT, Ack, Hello, Report, ReportAck, Reporting, ToControl

_log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
HELLO_S = 10.0
MAX_MESSAGE_BYTES = 1024 * 1024
"""The longest nack a proxy words (``proxy.sync.frames``) stays below this."""
_GOODBYE_S = 3.0
"""How long the other side may take to answer a close."""

_decoder: msgspec.json.Decoder[ToControl] = msgspec.json.Decoder(ToControl)
_MAX_WHY = 300


class _Unreadable(msgspec.Struct, frozen=True, tag_field="type", tag="report"):
    """As much of a report as is needed to refuse it by its number."""

    number: Annotated[int, Meta(ge=1, le=MAX_COUNT)]
    why: str = ""


class _RefusedError(Exception):
    """The proxy broke the rules of the stream."""

    def __init__(self, reason: str, code: int = WSCloseCode.POLICY_VIOLATION) -> None:
        super().__init__(reason)
        self.code = code


CatchUp = Callable[[int], Awaitable[None]]
"""Has the hub learn of a revision, if it is in the store: another control plane may have made it.
Raises ``StoreError``."""


class StreamHandler:
    """Serves every proxy's stream."""

    def __init__(
        self,
        hub: Hub,
        fleet: Fleet,
        standing: Standing,
        admitted: Callable[[web.Request], Admitted],
        catch_up: CatchUp,
        hello_s: float = HELLO_S,
        intake: Intake | None = None,
        report_every_s: float = 0.0,
    ) -> None:
        self._hub = hub
        self._fleet = fleet
        self._standing = standing
        self._admitted = admitted
        self._catch_up = catch_up
        self._hello_s = hello_s
        self._intake = intake
        self._report_every_s = report_every_s

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, from the upgrade to the close."""
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            timeout=_GOODBYE_S,
            compress=False,  # a frame is made once for all; docs/adr/0018
        )
        try:
            writer = await socket.prepare(request)
        except ConnectionError:
            return socket  # it did not wait for the answer
        transport = request.transport
        if transport is None:
            return socket
        address = request.remote or ""
        outbox = Outbox(transport, writer.drain, address)
        self._hub.open(outbox)  # from here on it hears when the control plane stops
        try:
            hello = await self._hello(socket)
            if hello is not None:
                outbox.name = hello.instance
                admitted = self._admitted(request)
                self._admit(admitted, outbox)
                try:
                    await self._converse(socket, hello, address, outbox)
                finally:
                    self._standing.leave(admitted, outbox)
        except _RefusedError as error:
            _log.warning("stream of %s closed: %s", address, error)
            await socket.close(code=error.code, message=str(error).encode()[:123])
        finally:
            self._hub.leave(outbox)
            await outbox.leave()
        return socket

    def _admit(self, admitted: Admitted, outbox: Outbox) -> None:
        if not self._standing.stands(admitted):  # the hello came seconds after the token
            raise _RefusedError(WHY, ENDED)
        self._standing.join(admitted, outbox)

    async def _converse(
        self, socket: web.WebSocketResponse, hello: Hello, address: str, outbox: Outbox
    ) -> None:
        has = hello.revision if hello.store == self._hub.store_id else 0
        if not await self._may_have(has):
            _log.warning(
                "proxy %r (%s) runs on revision %d, the store's newest is %d: was an older copy "
                "put back? Revisions up to that number are ignored there",
                hello.instance,
                address,
                has,
                self._hub.revision,
            )
        if hello.reports and self._intake is not None and self._report_every_s:
            # Before any snapshot, behind which it might find no room.
            outbox.say(_frame(Reporting(self._report_every_s, splits=True)))
        member = self._fleet.join(hello, address, has)
        self._hub.join(outbox, has)
        # Thousands come at once after a restart; `/v1/proxies` tells who is there, and since when.
        _log.debug("proxy %r (%s) connected on revision %d", hello.instance, address, has)
        try:
            await self._listen(socket, member, lambda ack: outbox.say(_frame(ack)))
        finally:
            self._hub.leave(outbox)
            self._fleet.leave(member)
            _log.debug("proxy %r (%s) disconnected", hello.instance, address)

    async def _may_have(self, revision: int) -> bool:
        """Whether a proxy can have been sent the revision, by any control plane."""
        if revision > self._hub.revision:
            try:
                await self._catch_up(revision)
            except StoreError as error:
                _log.warning("revision %d cannot be looked up: %s", revision, error)
                return True  # that the store is away is no proxy's fault
        return revision <= self._hub.revision

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

    async def _listen(self, socket: web.WebSocketResponse, member: Member, reply: Reply) -> None:
        async for frame in socket:
            message = _decoded(frame)
            if isinstance(message, Hello):
                raise _RefusedError("a second hello")
            if isinstance(message, Report | _Unreadable):
                self._take(message, reply)
                continue
            if message.revision <= 0 or not await self._may_have(message.revision):
                raise _RefusedError(f"revision {message.revision} was never sent")
            if isinstance(message, Ack):
                self._fleet.ack(member, message.revision)
            else:
                self._fleet.nack(member, message.revision, message.problems)
                _log.warning(
                    "proxy %r refused revision %d: %r",
                    member.hello.instance,
                    message.revision,
                    "; ".join(map(str, member.problems)),
                )

    def _take(self, report: Report | _Unreadable, reply: Reply) -> None:
        if self._intake is None or not self._report_every_s:
            raise _RefusedError("a report, which nobody asked for")
        if isinstance(report, Report):
            self._intake.offer(report, reply)
        else:
            self._intake.refuse(report.number, report.why, 0, reply)


def _frame(message: Reporting | ReportAck) -> bytes:
    return text_frame(msgspec.json.encode(message))


def _decoded(frame: WSMessage) -> ToControl | _Unreadable:
    if frame.type is not WSMsgType.TEXT:
        raise _RefusedError("messages are text", WSCloseCode.UNSUPPORTED_DATA)
    try:
        return _decoder.decode(frame.data)
    except (msgspec.MsgspecError, RecursionError) as error:
        # A report of a newer release, say: it is refused, and the stream goes on.
        if (report := _unreadable(frame.data, str(error))) is not None:
            return report
        raise _RefusedError(f"not a message of this stream: {error}") from error


def _unreadable(text: str, why: str) -> _Unreadable | None:
    try:
        report = msgspec.json.decode(text, type=_Unreadable)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return msgspec.structs.replace(report, why=why[:_MAX_WHY])
