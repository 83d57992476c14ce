"""Owns one connection to an endpoint: strict response heads, framing, back-pressure, deadline.

It serves one exchange at a time and tells it what comes; it never decides what a client is sent.
Bytes that come when nothing was asked, or behind a response, poison the connection: it is closed
and they reach no one (response-queue poisoning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from proxy.core.outcome import Outcome
from proxy.http1.body import ChunkedFramer, CloseFramer, Framer, LengthFramer
from proxy.http1.errors import BadResponse, ProtocolError
from proxy.http1.grammar import HEAD_END, MAX_HEAD_BYTES
from proxy.http1.response import Framing, ResponseHead, parse_response
from proxy.net.deadline import Deadline
from proxy.net.outbox import LARGE_BYTES, MOST_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.net.asker import Asker
    from proxy.net.pool import EndpointPool

_LENGTH: Final = Framing.LENGTH
_CHUNKED: Final = Framing.CHUNKED
_CLOSE: Final = Framing.CLOSE

MAX_INFORMATIONAL: Final = 8
"""1xx heads in front of one response; more is a flood."""


class UpstreamConnection:
    """One connection to an endpoint (an ``asyncio.Protocol``).

    Attributes:
        exchange: whom it serves now; None while it is idle.
        served: exchanges that were begun on it.
        heard: a byte of the response in hand has come.
        send: passes bytes of the request on (the transport's own method, to save a call).
    """

    __slots__ = (
        "_deadline", "_framer", "_informational", "_part", "_paused", "_reusable", "_unsent",
        "exchange", "heard", "idle_since", "pool", "send", "served", "transport",
    )  # fmt: skip

    def __init__(self, pool: EndpointPool) -> None:
        self.pool = pool
        self.exchange: Asker | None = None
        self.transport: asyncio.Transport
        self.send: Callable[[bytes], None]
        self.idle_since = 0.0
        self.served = 0
        self.heard = False
        self._deadline = Deadline(pool.timers, self._timed_out)
        self._framer: Framer | None = None
        self._part = bytearray()
        self._unsent = b""
        self._informational = 0
        self._reusable = True
        self._paused = False

    # From the exchange.

    def begin(self, exchange: Asker) -> None:
        """Serve ``exchange`` from now on."""
        self.exchange = exchange
        self.served += 1
        self.heard = False
        self._informational = 0

    def send_whole(self, request: bytes) -> bool:
        """Pass on a request behind whose end nothing follows, at the end of this turn if it pays.

        On a new connection it goes at once: servers that turn a connection away may answer before
        they are asked, and are heard.

        Returns:
            Whether it waits; then the exchange is told when it is sent.
        """
        if self.served > 1 and len(request) <= MOST_BYTES:
            self._unsent = request
            self.pool.outbox.add(self)
            return True
        self.send(request)
        return False

    def flush(self) -> None:
        """Send what waits for the end of the turn."""
        request, self._unsent = self._unsent, b""
        exchange = self.exchange
        if request and exchange is not None and not self.transport.is_closing():
            exchange.on_request_sent()
            self.send(request)

    def expect_within(self, delay_s: float) -> None:
        """The endpoint must be heard of before ``delay_s`` are over."""
        self._deadline.set(delay_s)

    def expect_nothing(self) -> None:
        """The endpoint waits for more of the request."""
        self._deadline.clear()

    def pause(self) -> None:
        """The client is slower than the endpoint."""
        self._paused = True
        self._deadline.clear()
        self.transport.pause_reading()

    def resume(self, delay_s: float) -> None:
        """The client has caught up; the endpoint has ``delay_s`` for what comes next."""
        self._paused = False
        self._deadline.set(delay_s)
        self.transport.resume_reading()

    def release(self) -> None:
        """The exchange is over on both sides: keep the connection if it is fit for another."""
        self.exchange = None
        self._framer = None
        self._deadline.clear()
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        if self._reusable and not self.transport.is_closing():
            self.pool.give_back(self)
        else:
            self.transport.abort()

    def discard(self) -> None:
        """Close without a word to the exchange."""
        self.exchange = None
        self.transport.abort()

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Opened."""
        self.transport = cast("asyncio.Transport", transport)
        self.send = self.transport.write
        self.pool.open.add(self)

    def data_received(self, data: bytes) -> None:
        """A piece of a response."""
        exchange = self.exchange
        if exchange is None:
            self.pool.forget(self)
            self.transport.abort()
            return
        if self._unsent:  # no answer to this request: the connection is no good
            self._fail(Outcome.RESET)
            return
        if len(data) >= LARGE_BYTES:
            self.pool.outbox.flush()
        self.heard = True
        try:
            if self._framer is not None:
                self._body(exchange, self._framer, data)
            else:
                self._head(exchange, data)
        except ProtocolError:
            self._fail(Outcome.BAD_RESPONSE)

    def eof_received(self) -> bool:
        """The endpoint sends no more: the end of the body, or too early."""
        exchange = self.exchange
        if exchange is None:
            self.pool.forget(self)  # no request may be given to it from now on
        elif isinstance(self._framer, CloseFramer):
            self.exchange = None
            exchange.on_body(b"", done=True, trailers=b"")
        else:
            self._fail(Outcome.RESET)
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """Closed by either side; with an exchange in hand that is a reset."""
        self._deadline.close()
        self.pool.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_failure(Outcome.RESET)

    def pause_writing(self) -> None:
        """The endpoint is slower than the client."""
        if self.exchange is not None:
            self.exchange.on_upstream_full()

    def resume_writing(self) -> None:
        """The endpoint has caught up."""
        if self.exchange is not None:
            self.exchange.on_upstream_drained()

    # Within.

    def _head(self, exchange: Asker, data: bytes) -> None:
        if self._part:
            self._part += data
            data = bytes(self._part)
            self._part.clear()
        while True:
            end = data.find(HEAD_END)
            if end < 0:
                if len(data) > MAX_HEAD_BYTES:
                    raise BadResponse("The head is too long.")
                self._part += data
                return
            if end > MAX_HEAD_BYTES:
                raise BadResponse("The head is too long.")
            head = parse_response(data[: end + 4], exchange.method)
            data = data[end + 4 :]
            if head.status >= 200:
                break
            if head.status == 101:
                self._switch(exchange, head, data)
                return
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                raise BadResponse("There are 1xx heads without an end.")
            exchange.on_informational(head)
            if not data:
                return
        self._final(exchange, head, data)

    def _switch(self, exchange: Asker, head: ResponseHead, late: bytes) -> None:
        self.exchange = None  # whatever comes now is the tunnel's
        self._deadline.clear()
        if not exchange.on_switch(self, head, late):
            self.exchange = exchange
            raise BadResponse("Switching was not asked for.")

    def _final(self, exchange: Asker, head: ResponseHead, data: bytes) -> None:
        self._reusable = head.reusable
        framing = head.framing
        framer: Framer
        if framing is _LENGTH:
            if len(data) == head.length:  # the whole of it in one read: no framer needed
                self._deadline.clear()
                exchange.on_response(head, data, done=True, trailers=b"")
                return
            framer = LengthFramer(head.length)
        elif framing is _CHUNKED:
            framer = ChunkedFramer()
        elif framing is _CLOSE:
            framer = CloseFramer()
        else:
            framer = LengthFramer(0)
        self._framer = framer
        payload, rest = framer.feed(data)
        if rest is None:
            exchange.on_response(head, payload, done=False, trailers=b"")
            if self.exchange is exchange and not exchange.paused:
                self._deadline.set(exchange.idle_s)
        else:
            self._done(rest)
            exchange.on_response(head, payload, done=True, trailers=framer.trailers)

    def _body(self, exchange: Asker, framer: Framer, data: bytes) -> None:
        payload, rest = framer.feed(data)
        if rest is None:
            exchange.on_body(payload, done=False, trailers=b"")
            if self.exchange is exchange and not exchange.paused:
                self._deadline.set(exchange.idle_s)
        else:
            self._done(rest)
            exchange.on_body(payload, done=True, trailers=framer.trailers)

    def _done(self, rest: bytes) -> None:
        self._deadline.clear()
        if rest:
            self._reusable = False

    def _timed_out(self) -> None:
        self._fail(Outcome.RESPONSE_TIMEOUT)

    def _fail(self, outcome: Outcome) -> None:
        exchange, self.exchange = self.exchange, None
        self.transport.abort()
        if exchange is not None:
            exchange.on_failure(outcome)
