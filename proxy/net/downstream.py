"""Owns one client connection: strict request heads one after another, framing, answers, closing.

Pipelined requests are served in order, one at a time: what comes early waits unread. A broken
request is answered and the connection closed; the answer is not lost to a reset, because what the
client still sends is read and thrown away for a moment (lingering close, RFC 9112 §9.6).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

from proxy.http1.body import ChunkedFramer, Framer, LengthFramer
from proxy.http1.errors import BadChunk, BadRequest
from proxy.http1.forward import Hop
from proxy.http1.grammar import (
    BROKEN_PART,
    EMPTY_LINES,
    HEAD_END,
    MAX_HEAD_BYTES,
    MAX_TARGET_BYTES,
)
from proxy.http1.problem import problem_response
from proxy.http1.request import RequestHead, parse_request
from proxy.net.deadline import Deadline
from proxy.net.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.net.plane import Plane

HEAD_S = 10.0
"""From the first byte of a head to its last: many times what any network needs, and what a
slowloris is cut at."""
LINGER_S = 2.0
"""How long a refused client is listened to, so that it can read the answer (nginx waits 5 s)."""


class DownstreamConnection(asyncio.Protocol):
    """One client connection.

    Attributes:
        hop: what each of its requests is told of the client.
        keep_alive: it stays open after the exchange in hand.
        send: passes bytes of the response on (the transport's own method, to save a call).
        trailers: behind the body of the request in hand.
        idle_since: loop time; 0 while a request is being served.
    """

    __slots__ = (
        "_deadline", "_exchange", "_framer", "_full", "_lingering", "_part", "_peer", "_plane",
        "_reading", "_turning", "hop", "idle_since", "keep_alive", "send", "trailers", "transport",
    )  # fmt: skip

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._deadline = Deadline(plane.timers, self._timed_out)
        self._exchange: Exchange | None = None
        self._framer: Framer | None = None
        self._part = bytearray()
        self._peer = ""
        self._full = False
        self._reading = True
        self._lingering = False
        self._turning = False
        self.send: Callable[[bytes], None]
        self.hop: Hop = cast("Hop", None)
        self.keep_alive = True
        self.trailers = b""
        self.idle_since = 0.0
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        self.transport = cast("asyncio.Transport", transport)
        self.send = self.transport.write
        plane = self._plane
        plane.connections.add(self)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self.hop = plane.hop(self._peer)
        self.idle_since = plane.loop.time()
        self._deadline.set(HEAD_S)

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, of a body, or of the next request."""
        if self._framer is not None:
            self._body(data)
        elif self._exchange is not None:
            self._part += data
            self._pause()
        elif self._lingering:
            return
        elif self._part:
            seen = len(self._part)
            self._part += data
            self._turn(bytes(self._part), seen)
        else:
            self._turn(data)

    def eof_received(self) -> bool:
        """The client sends no more; a request that is whole is still answered."""
        if self._exchange is not None and self._framer is None:
            self.keep_alive = False
            return True
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """Closed by either side."""
        self._deadline.close()
        self._plane.connections.discard(self)
        exchange, self._exchange = self._exchange, None
        self._framer = None
        if exchange is not None:
            exchange.on_client_gone()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent to."""
        self._full = True
        self._deadline.set(self._exchange.idle_s if self._exchange is not None else HEAD_S)
        if self._exchange is not None:
            self._exchange.on_client_full()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._full = False
        if self._exchange is not None:
            self._deadline.clear()
            self._exchange.on_client_drained()
            if self._framer is not None and self._reading:
                self._deadline.set(self._exchange.idle_s)
        elif not self._lingering and not self.transport.is_closing():
            self._deadline.set(self._plane.idle_s)
            self._next()

    # From the exchange.

    @property
    def peer(self) -> str:
        """The client's address, without a port; empty on a unix socket."""
        return self._peer

    def pause_request(self) -> None:
        """Read no more of the request for now."""
        if self._framer is not None:
            if not self._full:  # else the client has to read within the deadline set for that
                self._deadline.clear()
            self._pause()

    def resume_request(self) -> None:
        """Read on."""
        if self._framer is not None and self._exchange is not None:
            self._deadline.set(self._exchange.idle_s)
            self._resume()

    def answer(self, status: int, detail: str, ident: bytes, *, request_done: bool) -> None:
        """Answer in the endpoint's place; the exchange is over."""
        exchange = self._exchange
        self._exchange = None
        keep_alive = self.keep_alive and request_done
        self.keep_alive = keep_alive
        body = exchange is None or exchange.method != "HEAD"
        self.send(problem_response(status, detail, ident=ident, keep_alive=keep_alive, body=body))
        self._over()

    def on_exchange_over(self) -> None:
        """The response is complete."""
        self._exchange = None
        self._over()

    def truncate(self) -> None:
        """The response cannot be completed; a clean end would pass it off as whole.

        A reset rather than an end: where only the connection's end delimits the body, nothing else
        tells the client (RFC 9112 §8).
        """
        self._exchange = None
        self._framer = None
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # From the plane.

    def announce_close(self) -> None:
        """Let the answer in hand be the last, unless its head is out already."""
        if self._exchange is not None and self._exchange.status == 0:
            self.keep_alive = False

    def close_if_idle(self, since: float) -> None:
        """Close when no request has been in hand since loop time ``since``."""
        if self._exchange is None and not self._part and 0 < self.idle_since <= since:
            self._close()

    # Within.

    def _next(self) -> None:
        """Turn to what waited behind the exchange that is over."""
        self._resume()  # before the turn, which may have reasons to pause
        if self._part:
            self._turn(bytes(self._part))

    def _turn(self, data: bytes, seen: int = 0) -> None:
        """Serve the requests in ``data`` until one must wait for its endpoint.

        Args:
            seen: so many bytes of an unfinished head came before and were looked through.
        """
        self._part.clear()
        self._turning = True  # an answer given at once must not call back into here
        try:
            while data and self._exchange is None and not self._full and not self._lingering:
                if data[0] == 13:
                    data, seen = EMPTY_LINES.sub(b"", data), 0
                    if data in (b"", b"\r"):
                        break
                end = data.find(HEAD_END, seen - 3 if seen > 3 else 0)
                if end < 0 or end > MAX_HEAD_BYTES:
                    self._unfinished(data, end, seen)
                    break
                data = self._request(data, end + 4)
                seen = 0
        except BadRequest as refusal:
            self._refuse(refusal)
            return
        finally:
            self._turning = False
        if self._lingering:
            return
        self._part += data
        if self._part and (self._exchange is not None or self._full):
            self._pause()

    def _unfinished(self, data: bytes, end: int, seen: int) -> None:
        """Wait for the rest of a head, unless no rest can make it valid."""
        if end > MAX_HEAD_BYTES or len(data) > MAX_HEAD_BYTES:
            if data.find(b"\r\n", 0, MAX_TARGET_BYTES + 64) < 0:
                raise BadRequest(414, "The request target is too long.")
            raise BadRequest(431, "The request's head is too long.")
        # Only what is new, or a head in pieces of one byte would cost its length squared.
        if BROKEN_PART.search(data, seen - 1 if seen else 0) is not None:
            raise BadRequest(400, "The request's head is not valid HTTP/1.1.")
        if not seen:
            self.idle_since = 0.0
            self._deadline.set(HEAD_S)

    def _request(self, data: bytes, end: int) -> bytes:
        """Take one request off ``data``; its head ends at ``end``. Returns what is behind it."""
        head = parse_request(data[:end])
        plane = self._plane
        data = data[end:]
        self.idle_since = 0.0
        self.keep_alive = head.keep_alive and not plane.draining
        self.trailers = b""
        if head.length or head.chunked:
            self._framer = ChunkedFramer() if head.chunked else LengthFramer(head.length)
            payload, rest = self._feed(data)
        else:
            payload, rest = b"", data
        done = rest is not None
        runtime = plane.runtime
        decision = runtime.router.decide(head, self._peer)
        if decision is None:
            self._no_route(head, payload, done=done)
            return rest or b""
        exchange = self._exchange = Exchange(self, runtime, head, decision)
        if done:
            self._deadline.clear()
        else:
            self._deadline.set(exchange.idle_s)
        exchange.start(payload, done=done)
        return rest or b""

    def _feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        framer = cast("Framer", self._framer)
        try:
            payload, rest = framer.feed(data)
        except BadChunk as broken:
            raise BadRequest(400, str(broken)) from broken
        if rest is not None:
            self.trailers = framer.trailers
            self._framer = None
        return payload, rest

    def _body(self, data: bytes) -> None:
        """Pass a piece of the request's body on."""
        exchange = cast("Exchange", self._exchange)  # a framer is there only with an exchange
        try:
            payload, rest = self._feed(data)
        except BadRequest as refusal:
            self._break_off(exchange, refusal)
            return
        done = rest is not None
        if done:
            self._deadline.clear()
        else:
            self._deadline.set(exchange.idle_s)
        exchange.on_request_body(payload, done=done)
        if rest:
            self._part += rest
            self._pause()

    def _no_route(self, head: RequestHead, payload: bytes, *, done: bool) -> None:
        ident = self._plane.runtime.unrouted(self, head, len(payload))
        self.keep_alive = self.keep_alive and done
        self._framer = None
        self.send(
            problem_response(
                404, "No route matches this request.", ident=ident,
                keep_alive=self.keep_alive, body=head.method != "HEAD",
            )
        )  # fmt: skip
        if self.keep_alive:
            self._over()
        else:
            self._linger()  # what follows, of its body or behind it, has no taker

    def _over(self) -> None:
        """An answer is out: on to the next request, or to the end."""
        if not self.keep_alive:
            self._close()
            return
        plane = self._plane
        self.idle_since = plane.loop.time()
        self._deadline.set(plane.idle_s)
        if not self._turning and not self._full:
            self._next()

    def _break_off(self, exchange: Exchange, refusal: BadRequest) -> None:
        """The request in hand turned out broken or late: its exchange is over."""
        answered = exchange.status > 0
        self._exchange = None
        exchange.on_client_gone(refusal.status)
        if answered:
            self.truncate()
        else:
            self._say(refusal, exchange.ident)

    def _refuse(self, refusal: BadRequest) -> None:
        """Answer what never became a request."""
        self._say(refusal, self._plane.runtime.refused(self, refusal))

    def _say(self, refusal: BadRequest, ident: bytes) -> None:
        self._framer = None
        self.send(problem_response(refusal.status, refusal.detail, ident=ident, keep_alive=False))
        self._linger()

    def _close(self) -> None:
        """End a connection whose last answer is out."""
        if self._framer is not None or self._part:
            self._framer = None
            self._linger()
        else:
            self._deadline.set(self._plane.idle_s)  # for the client to take what is still unsent
            self.transport.close()

    def _linger(self) -> None:
        self._lingering = True
        self._part.clear()
        self._resume()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._deadline.set(LINGER_S)
        else:
            self.transport.close()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def _timed_out(self) -> None:
        """No byte came, or none could be sent, for too long."""
        late = BadRequest(408, "The request did not come in time.")
        if self._lingering or self.transport.is_closing():
            self.transport.abort()
        elif self._exchange is not None:
            self._break_off(self._exchange, late)
        elif self._full:
            self.transport.abort()
        elif self._part:
            self._refuse(late)
        else:
            self._close()
