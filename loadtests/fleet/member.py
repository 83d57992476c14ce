"""Owns one simulated proxy: connect, hello, acks, heartbeat, reports, coming back.

It waits between tries and beats as a proxy does (``proxy.core.backoff``, ``proxy.sync.stream``).
Never carries a request, and never refuses.
"""

import asyncio
import base64
import itertools
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec

from loadtests.fleet.frames import CLOSE, GOING_AWAY, PING, PONG, TEXT, Reader, frame, snapshot_of
from proxy.core.backoff import Backoff
from proxy.model.wire import Ack, FromControl, Hello, ReportAck, Reporting
from proxy.sync.stream import CONNECT_S, GOOD_SESSION_S, HEARTBEAT_S

_HEAD_END = b"\r\n\r\n"
_OPENED = b"HTTP/1.1 101 "
_SNAPSHOT = b'{"type":"snapshot"'


@dataclass(frozen=True, slots=True)
class Target:
    """Where the control plane is."""

    host: str
    port: int
    token: str
    rows: tuple[bytes, ...] = (b"[]",)
    """Of a report, as JSON: one of these, as not all meet the same users."""


@dataclass(slots=True)
class Tally:
    """What all proxies of one process have seen."""

    connected: int = 0
    tries: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Tries that did not open a stream, and streams that broke, by what happened."""
    opened_s: list[float] = field(default_factory=list)
    """When each stream was opened, by the machine's monotonic clock."""
    told_s: dict[int, list[float]] = field(default_factory=dict)
    """By revision, when each proxy answered it."""
    reports: int = 0
    """Sent, those sent again among them."""
    counted: int = 0
    """Answered as counted."""


class Member:
    """One proxy."""

    def __init__(self, name: str, target: Target, tally: Tally) -> None:
        self._target = target
        self._tally = tally
        self._name = name
        self._backoff = Backoff(random.random)
        self._store = ""
        self._revision = 0
        self._boot = os.urandom(8).hex()
        self._numbers = itertools.count(1)
        self._looked_s = time.monotonic()
        self._unanswered: dict[int, dict[str, object]] = {}

    async def run(self) -> None:
        """Follows the control plane until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            stream = _Stream(self, self._target)
            self._tally.tries += 1
            try:
                async with asyncio.timeout(CONNECT_S):
                    await stream.open()
                opened_s = loop.time()
                why = await stream.ended
                if loop.time() - opened_s > GOOD_SESSION_S:
                    self._backoff.reset()
            except OSError as error:  # a timeout too
                why = type(error).__name__
            finally:
                stream.end()
            self._tally.failures[why] += 1
            await asyncio.sleep(self._backoff.next_s())

    def hello(self) -> bytes:
        """How it presents itself now."""
        return msgspec.json.encode(
            Hello(self._name, "simulated", self._store, self._revision, reports=True)
        )

    def on_opened(self) -> None:
        """A stream is up."""
        self._tally.connected += 1
        self._tally.opened_s.append(time.monotonic())

    def on_closed(self) -> None:
        """A stream that was up is no more."""
        self._tally.connected -= 1

    def report(self) -> list[bytes]:
        """What is to be sent when an interval is over: it, and what was not answered before."""
        now_s = time.monotonic()
        length_s, self._looked_s = now_s - self._looked_s, now_s
        if self._store:
            number = next(self._numbers)
            self._unanswered[number] = {
                "type": "report",
                "boot": self._boot,
                "number": number,
                "store": self._store,
                "revision": self._revision,
                "start": datetime.now(UTC) - timedelta(seconds=length_s),
                "length_s": length_s,
                "age_s": now_s,
                "rows": msgspec.Raw(random.choice(self._target.rows)),
            }
        self._tally.reports += len(self._unanswered)
        return [
            msgspec.json.encode(each | {"age_s": now_s - cast(float, each["age_s"])})
            for each in self._unanswered.values()
        ]

    def on_report_ack(self, ack: ReportAck) -> None:
        """A report is counted, or never will be."""
        if self._unanswered.pop(ack.number, None) is not None and not ack.refused:
            self._tally.counted += 1

    def on_snapshot(self, text: bytes) -> bytes:
        """Takes a snapshot; returns the answer to it."""
        self._revision, self._store = snapshot_of(text)
        self._backoff.reset()
        self._tally.told_s.setdefault(self._revision, []).append(time.monotonic())
        return msgspec.json.encode(Ack(self._revision))


def _is_snapshot(text: bytes) -> bool:
    return text.startswith(_SNAPSHOT)


class _Stream(asyncio.Protocol):
    """One connection of one proxy."""

    def __init__(self, member: Member, target: Target) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._member = member
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._reader = Reader()
        self._beat: asyncio.TimerHandle | None = None
        self._next_report: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Connects and asks for the upgrade.

        Raises: OSError.
        """
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, self._target.host, self._target.port)
        await self.opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the upgrade."""
        transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /v1/stream HTTP/1.1\r\nHost: {self._target.host}:{self._target.port}\r\n"
            f"Authorization: Bearer {self._target.token}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """The answer to the upgrade, then frames."""
        if not self.opened.done():
            self._head += data
            head, end, data = self._head.partition(_HEAD_END)
            if not end:
                return
            if not head.startswith(_OPENED):
                self._fail(head[:12].decode("latin-1"))
                return
            self._open()
        for opcode, payload in self._reader.feed(data):
            self._take(opcode, payload)

    def connection_lost(self, _exc: Exception | None) -> None:
        """It is over."""
        self._fail("cut")

    def end(self) -> None:
        """Closes it, if it is open."""
        self._fail("ended")

    def _open(self) -> None:
        self.opened.set_result(None)
        self._member.on_opened()
        self._write(frame(TEXT, self._member.hello()))
        self._beat = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._ping)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            if _is_snapshot(payload):
                self._write(frame(TEXT, self._member.on_snapshot(payload)))
            else:
                self._take_other(msgspec.json.decode(payload, type=FromControl))
        elif opcode == PING:
            self._write(frame(PONG, payload))
        elif opcode == CLOSE:
            self._write(frame(CLOSE, payload[:2]))
            self._fail("goodbye" if payload[:2] == GOING_AWAY else "closed")

    def _take_other(self, message: FromControl) -> None:
        if isinstance(message, Reporting):
            loop = asyncio.get_running_loop()
            first_s = random.random() * message.every_s
            self._next_report = loop.call_later(first_s, self._report, message.every_s)
        elif isinstance(message, ReportAck):
            self._member.on_report_ack(message)

    def _report(self, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._next_report = loop.call_later(every_s, self._report, every_s)
        for text in self._member.report():
            self._write(frame(TEXT, text))

    def _ping(self) -> None:
        self._beat = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._ping)
        self._write(frame(PING))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _fail(self, why: str) -> None:
        if self.ended.done():
            return
        self.ended.set_result(why)
        for timer in (self._beat, self._next_report):
            if timer is not None:
                timer.cancel()
        if not self.opened.done():
            # Who waits for it is told; if nobody does any more, nobody is to be warned.
            self.opened.set_exception(ConnectionError(why))
            self.opened.exception()
        elif not self.opened.cancelled():
            self._member.on_closed()
        if self._transport is not None:
            self._transport.close()
