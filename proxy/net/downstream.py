"""Owns one client connection: strict request heads one after another, framing, answers, closing.

Pipelined requests are served in order, one at a time: what comes early waits unread. A broken
request is answered and the connection closed; the answer is not lost to a reset, because what the
client still sends is read and thrown away for a moment (lingering close, RFC 9112 §9.6).
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final, cast

from proxy.core.local_reply import LocalReply
from proxy.core.path import AmbiguousPath
from proxy.http1.body import ChunkedFramer, Framer, LengthFramer
from proxy.http1.errors import BadChunk, BadRequest
from proxy.http1.forward import Hop
from proxy.http1.grammar import EMPTY_LINES, HEAD_END, is_broken
from proxy.http1.problem import own_head, problem_response
from proxy.http1.request import RequestHead, parse_request
from proxy.model.regex import BeyondRegex
from proxy.net.backlog import Backlog
from proxy.net.deadline import Deadline
from proxy.net.edits import ANSWERED_HERE
from proxy.net.exchange import Exchange
from proxy.net.load import RETRY_AFTER_S
from proxy.net.outbox import LARGE_BYTES, MOST_BYTES
from proxy.net.pace import Pace
from proxy.net.tunnel import Tunnel
from proxy.net.unsent import hold_little, send_corked, unsent_bytes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.core.decision import Decision
    from proxy.net.plane import Plane

TURN_REQUESTS: Final = 32
"""Pipelined requests that are served before other connections have their turn."""
MANY: Final = 256
"""Connections beyond which little is held for each further one."""
WAIT_BYTES: Final = 4_096
"""A larger piece never waits for its turn: it would cost memory, and there can be few at once."""
SHED_AT_ONCE: Final = 256
"""Connections beyond the limit that are told why; the rest of a flood is closed without a word."""
# isinstance() asks a struct's metaclass, which costs more than the whole of a routed decision.
_LOCAL_REPLY: Final = LocalReply


class DownstreamConnection:
    """One client connection (an ``asyncio.Protocol``).

    Attributes:
        hop: what each of its requests is told of the client.
        keep_alive: it stays open after the exchange in hand.
        trailers: behind the body of the request in hand.
        idle_since: loop time; 0 while a request is being served.
    """

    __slots__ = (
        "_asked", "_at", "_behind", "_deadline", "_dropped", "_ending", "_exchange", "_framer",
        "_full", "_lingering", "_pace", "_part", "_peer", "_plane", "_queued", "_reading",
        "_rest", "_turning", "_unsent", "_waits", "hop", "idle_since", "keep_alive", "trailers",
        "transport",
    )  # fmt: skip

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._deadline = Deadline(plane.timers, self._timed_out)
        self._exchange: Exchange | None = None
        self._framer: Framer | None = None
        self._pace: Pace | None = None
        self._part = b""
        self._at = 0
        self._peer = ""
        self._rest = b""
        self._behind: Backlog | None = None
        self._asked = False
        self._full = False
        self._reading = True
        self._lingering = False
        self._turning = False
        self._dropped = False
        self._queued = False
        self._waits = False
        self._unsent = b""
        self._ending = False
        self.hop: Hop
        self.keep_alive = True
        self.trailers = b""
        self.idle_since = 0.0
        self.transport: asyncio.Transport

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        self.transport = cast("asyncio.Transport", transport)
        plane = self._plane
        plane.connections.add(self)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self.hop = plane.hop(self._peer)
        self.idle_since = plane.loop.time()
        self._deadline.set(plane.downstream.head_s)
        count = len(plane.connections)
        if count > MANY:
            hold_little(self.transport)
        if count > plane.load.most_connections:
            self._shed_if_full()

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, of a body, or of the next request."""
        if not self._asked and self._must_wait(data):
            return
        if len(data) >= LARGE_BYTES:
            self._plane.outbox.flush()
        if self._framer is not None:
            self._body(data)
        elif self._exchange is not None:
            self._pause()
            self._hold(self._part + data, self._at)
        elif self._lingering:
            return
        elif self._part:
            self._turn(self._part + data, self._at, len(self._part) - self._at)
        else:
            self._turn(data)

    def eof_received(self) -> bool:
        """The client sends no more; a request that is whole is still answered."""
        self.flush()
        if self._waits:
            self._go_on()
        if self._exchange is not None and self._framer is None:
            self.keep_alive = False
            return True
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """Closed by either side."""
        self._deadline.close()
        self._plane.connections.discard(self)
        self._hold(b"")
        exchange, self._exchange = self._exchange, None
        self._framer = None
        if exchange is not None:
            exchange.on_client_gone()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent to."""
        self._full = True
        self._expect_read()
        if self._exchange is not None:
            self._exchange.on_client_full()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._full = False
        self._backlog().caught_up(self._plane.loop.time(), self._plane.downstream)
        if self._exchange is not None:
            self._deadline.clear()
            self._exchange.on_client_drained()
            self._expect_body(0)
        elif not self._lingering and not self.transport.is_closing():
            self._expect_request()
            self._next()

    # From the plane's turns.

    def on_turn(self) -> None:
        """Look at what came when others had to go first, if it still waits."""
        self._queued = False
        if self._waits:
            self._go_on()

    # From the exchange.

    @property
    def peer(self) -> str:
        """The client's address, without a port; empty on a unix socket."""
        return self._peer

    def pause_request(self) -> None:
        """Read no more of the request for now."""
        if self._framer is not None and self._pace is not None:
            if not self._full:  # else the client has to read within the deadline set for that
                self._deadline.clear()
            self._pace.pause(self._plane.loop.time())
            self._pause()

    def resume_request(self) -> None:
        """Read on."""
        if self._framer is not None and self._pace is not None:
            left_s = self._pace.resume(self._plane.loop.time())
            if not self._full:
                self._deadline.set(left_s)
            self._resume()

    def send(self, data: bytes) -> None:
        """Pass bytes of a response on."""
        if self._unsent:
            self.flush()
        self.transport.write(data)

    def send_whole(self, response: bytes) -> None:
        """Pass on a response behind whose end nothing follows, at the end of this turn if it pays.

        A last one leaves in one segment with the connection's end.
        """
        if self._unsent or self._full or len(response) > MOST_BYTES:
            self.send(response)
        else:
            self._unsent = response
            self._plane.outbox.add(self)

    def flush(self) -> None:
        """Send what waits for the end of the turn."""
        data, self._unsent = self._unsent, b""
        transport = self.transport
        if not data or transport.is_closing():
            return
        if self._ending:
            if transport.get_write_buffer_size() == 0:
                data = send_corked(transport, data)
            if data:
                transport.write(data)
            self._end()
        else:
            transport.write(data)

    def answer(
        self,
        status: int,
        detail: str,
        ident: bytes,
        edit: Callable[[bytes], bytes] | None,
        *,
        request_done: bool,
    ) -> None:
        """Answer in the endpoint's place; the exchange is over.

        Args:
            edit: changes the head.
        """
        exchange = self._exchange
        self._exchange = None
        keep_alive = self.keep_alive and request_done
        if exchange is not None and exchange.is_upgrade:
            keep_alive = False
        self.keep_alive = keep_alive
        body = exchange is None or exchange.method != "HEAD"
        data = problem_response(status, detail, ident=ident, keep_alive=keep_alive, body=body)
        if edit is not None:
            head, end, content = data.partition(HEAD_END)
            data = edit(head + end) + content
        self.send(data)
        self._over()

    def on_exchange_over(self) -> None:
        """The response is complete."""
        self._exchange = None
        self._over()

    def switch(
        self,
        endpoint: asyncio.Transport,
        late: bytes,
        idle_s: float,
        moved: Callable[[int, int], None],
        over: Callable[[], None],
    ) -> None:
        """The 101 is out: the connection is one end of a tunnel from now on."""
        plane = self._plane
        self._exchange = None
        self._deadline.clear()
        early = self._part[self._at :]
        self._hold(b"")
        self._reading = True

        def ended() -> None:
            plane.tunnels.discard(tunnel)
            self.connection_lost(None)
            over()

        tunnel = Tunnel(self.transport, endpoint, plane.timers, idle_s, moved, ended)
        plane.tunnels.add(tunnel)
        tunnel.open(early, late, client_full=self._full)

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

    def is_idle(self, since: float) -> bool:
        """Whether no request has been in hand since loop time ``since``."""
        if self.transport.is_closing() or self._lingering:
            return False
        return self._exchange is None and not self._part and 0 < self.idle_since <= since

    def close_idle(self) -> None:
        """Close a connection that is idle."""
        self._close()

    # Within.

    def _must_wait(self, data: bytes) -> bool:
        """Leave ``data`` for a later turn if whoever was answered before is to go first.

        That is the first bytes of a connection, or a piece of a body: nothing else waits for the
        same bytes, and no time limit starts anew with them.
        """
        if self._waits:  # read all the same: it is no earlier than what waits
            self._go_on()
            return False
        if self._framer is None and (self._exchange is not None or self._part or self._lingering):
            return False
        plane = self._plane
        load = plane.load
        # Half of what may be held is left to those that were answered.
        if len(data) > WAIT_BYTES or load.held_bytes + len(data) > load.most_held_bytes // 2:
            return False
        body = self._framer is not None
        if plane.turns.take(body=body):
            return False
        plane.outbox.hurry()  # reading all this takes longer than waiting is worth
        self._hold(data)
        self._waits = True
        self._pause()
        if not self._queued:
            self._queued = True
            plane.turns.wait(self, body=body)
        return True

    def _go_on(self) -> None:
        """Take up what waits."""
        data = self._part
        self._hold(b"")
        if self.transport.is_closing():
            return
        if self._framer is None:
            self._resume()
            self._turn(data)
        else:
            if self._pace is None or not self._pace.is_paused:  # else the endpoint is not ready
                self._resume()
            self._body(data)

    def _next(self) -> None:
        """Turn to what waited behind the exchange that is over."""
        if self.transport.is_closing():
            return
        self._resume()  # before the turn, which may have reasons to pause
        if self._part:
            self._turn(self._part, self._at)

    def _turn(self, data: bytes, at: int = 0, seen: int = 0) -> None:
        """Serve the requests in ``data`` until one must wait for its endpoint.

        Args:
            at: where the first begins.
            seen: so many bytes of an unfinished head came before and were looked through.
        """
        if self._part:
            self._hold(b"")
        head_bytes = self._plane.limits.head_bytes
        served = 0
        size = len(data)
        self._turning = True  # an answer given at once must not call back into here
        try:
            while at < size and self._exchange is None and not self._full and not self._lingering:
                if data[at] == 13:
                    at, seen = self._skip_empty_lines(data, at), 0
                    if data[at:] in (b"", b"\r"):
                        break
                end = data.find(HEAD_END, at + seen - 3 if seen > 3 else at)
                if end < 0 or end - at > head_bytes:
                    self._unfinished(data, at, end, seen)
                    break
                if served == TURN_REQUESTS:
                    self._plane.loop.call_soon(self._next)
                    self._pause()
                    break
                served += 1
                seen = 0
                at = self._request(data, at, end + 4)
                if at < 0:  # what is behind its body is a copy
                    data, at, self._rest = self._rest, 0, b""
                    size = len(data)
        except BadRequest as refusal:
            self._refuse(refusal)
            return
        finally:
            self._turning = False
        if self._lingering:
            return
        if at < size:
            if self._exchange is not None or self._full:
                self._pause()
            self._hold(data, at)

    def _skip_empty_lines(self, data: bytes, at: int) -> int:
        """Where a request line may begin."""
        empty = EMPTY_LINES.match(data, at)
        at = at if empty is None else empty.end()
        if at < len(data) and self.idle_since:
            self.idle_since = 0.0
            self._deadline.set(self._plane.downstream.head_s)
        return at

    def _hold(self, data: bytes, at: int = 0) -> None:
        """Keep what of ``data`` is behind ``at`` until its turn comes, and nothing else."""
        if at > len(data) // 2:  # seldom enough for the copies to cost no more than the bytes did
            data, at = data[at:], 0
        load = self._plane.load
        load.held_bytes += len(data) - len(self._part)
        self._part = data
        self._at = at
        self._waits = False
        if load.held_bytes > load.most_held_bytes and data:
            self._shed_held()

    def _shed_held(self) -> None:
        """Too much waits, over all connections: this one must give way."""
        self._plane.load.shed["held_bytes"] += 1
        exchange = self._exchange
        if exchange is None:
            self._refuse(_overloaded())
        elif exchange.is_upgrade:
            self._break_off(exchange, _overloaded())
        else:  # the request in hand is served; whoever sent more finds the connection closed
            self._hold(b"")
            self._dropped = True
            self.keep_alive = False

    def _shed_if_full(self) -> None:
        """One connection too many: an idle one is closed for it, or it is refused."""
        plane = self._plane
        if plane.make_room():
            return
        plane.load.shed["connections"] += 1
        if len(plane.connections) > plane.load.most_connections + SHED_AT_ONCE:
            self.transport.abort()
        else:
            self._refuse(_overloaded())

    def _unfinished(self, data: bytes, at: int, end: int, seen: int) -> None:
        """Wait for the rest of the head at ``at``, unless no rest can make it valid."""
        limits = self._plane.limits
        if end >= 0 or len(data) - at > limits.head_bytes:
            if data.find(b"\r\n", at, at + limits.target_bytes + 64) < 0:
                raise BadRequest(414, "The request target is too long.")
            raise BadRequest(431, "The request's head is too long.")
        # Only what is new, or a head in pieces of one byte would cost its length squared.
        if is_broken(data, at + seen):
            raise BadRequest(400, "The request's head is not valid HTTP/1.1.")
        if not seen:
            self.idle_since = 0.0
            self._deadline.set(self._plane.downstream.head_s)

    def _request(self, data: bytes, at: int, end: int) -> int:
        """Take the request at ``at`` off ``data``; its head ends at ``end``.

        Returns:
            Where the next one begins; -1 when that is in ``_rest``.
        """
        plane = self._plane
        head = parse_request(data[at:end], plane.limits)
        if plane.load.is_over_memory:
            plane.load.shed["memory"] += 1
            raise _overloaded(head.method)
        self.idle_since = 0.0
        self.keep_alive = head.keep_alive and not plane.draining
        self.trailers = b""
        if head.length or head.chunked:
            self._framer = ChunkedFramer() if head.chunked else LengthFramer(head.length)
            came = len(data) - end
            payload, rest = self._feed(data[end:])
            done = rest is not None
            self._rest = rest or b""
            end = -1
        else:
            came = 0
            payload = b""
            done = True
        runtime = plane.runtime
        try:
            decision = runtime.router.decide(head, self._peer)
        except AmbiguousPath:
            said = "This path can be read in more than one way."
            raise BadRequest(400, said, method=head.method) from None
        except BeyondRegex as beyond:
            raise BadRequest(400, str(beyond), method=head.method) from None
        if decision is None:
            self._no_route(head, payload, done=done)
            return end
        if runtime.buckets:
            limited = self._rate_limited(decision.route)
            if limited is not None:
                decision = limited
        if type(decision) is _LOCAL_REPLY:
            self._answer_here(head, decision, payload, done=done)
            return end
        exchange = self._exchange = Exchange(self, runtime, head, cast("Decision", decision))
        if done:
            self._deadline.clear()
        else:
            downstream = plane.downstream
            self._pace = Pace(downstream.body_s, downstream.min_bytes_per_s, plane.loop.time())
            self._expect_body(came)
        exchange.start(payload, done=done)
        return end

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
        if not done:
            self._expect_body(len(data))
        elif not self._full:
            self._deadline.clear()
        exchange.on_request_body(payload, done=done)
        if rest:
            self._pause()
            self._hold(self._part + rest, self._at)

    def _expect_body(self, size: int) -> None:
        """``size`` bytes of a body came; the next must come in time."""
        if self._pace is not None and self._framer is not None:
            left_s = self._pace.due_s(size, self._plane.loop.time())
            if self._reading and not self._full:
                self._deadline.set(left_s)

    def _backlog(self) -> Backlog:
        """Made when it is first needed, which most connections never do."""
        backlog = self._behind
        if backlog is None:
            backlog = self._behind = Backlog(self.transport)
        return backlog

    def _expect_read(self) -> None:
        """The client must read on in time."""
        plane = self._plane
        self._deadline.set(self._backlog().look(plane.loop.time(), plane.downstream))

    def _reads_on(self) -> bool:
        """Whether it has read enough of what it was behind with, since it was last looked at."""
        return self._backlog().reads_on(self._plane.loop.time(), self._plane.downstream)

    def _no_route(self, head: RequestHead, payload: bytes, *, done: bool) -> None:
        ident = self._plane.runtime.unserved(self, head, None, len(payload))
        # What comes behind an Upgrade may be meant for the other protocol.
        self.keep_alive = self.keep_alive and done and not head.upgrade
        self._framer = None
        self.send(
            problem_response(
                404, "No route matches this request.", ident=ident,
                keep_alive=self.keep_alive, body=head.method != "HEAD",
            )
        )  # fmt: skip
        self._answered_here()

    def _answer_here(
        self, head: RequestHead, answer: LocalReply, payload: bytes, *, done: bool
    ) -> None:
        """A route that leads to no service."""
        runtime = self._plane.runtime
        ident = runtime.unserved(self, head, answer, len(payload))
        self.keep_alive = self.keep_alive and done and not head.upgrade  # as in _no_route
        self._framer = None
        body = answer.body
        data = own_head(
            answer.status, answer.lines, len(body), ident=ident, keep_alive=self.keep_alive
        )
        edits = runtime.edits.get((answer.route, ANSWERED_HERE)) if runtime.edits else None
        if edits is not None and answer.reason != "preflight":
            data = edits.of_response(data, head.header(b"origin"), b"")
        self.send(data if head.method == "HEAD" else data + body)
        self._answered_here()

    def _rate_limited(self, route: int) -> LocalReply | None:
        """The answer to a request that is one too many for its route."""
        plane = self._plane
        bucket = plane.runtime.buckets[route]
        if bucket is None or bucket.take(plane.loop.time()):
            return None
        plane.load.shed["rate_limit"] += 1
        lines = b"Content-Type: text/plain\r\nRetry-After: %d\r\n" % bucket.wait_s()
        return LocalReply(route, "rate_limit", 429, lines, b"Too many requests for this route.\n")

    def _answered_here(self) -> None:
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
        self._expect_request()
        if not self._turning and not self._full:
            self._next()

    def _expect_request(self) -> None:
        """Nothing is asked now. It is looked at soon, for whether it reads what it was sent."""
        self._asked = True
        self._behind = None
        self._deadline.set(self._plane.look_s)

    def _break_off(self, exchange: Exchange, refusal: BadRequest) -> None:
        """The request in hand turned out broken or late: its exchange is over."""
        answered = exchange.status > 0
        self._exchange = None
        exchange.on_client_gone(refusal.status)
        if answered:
            self.truncate()
        else:
            refusal.method = exchange.method
            self._say(refusal, exchange.ident)

    def _refuse(self, refusal: BadRequest) -> None:
        """Answer what never became a request."""
        self._say(refusal, self._plane.runtime.refused(self, refusal))

    def _say(self, refusal: BadRequest, ident: bytes) -> None:
        self._framer = None
        self.send(
            problem_response(
                refusal.status,
                refusal.detail,
                ident=ident,
                keep_alive=False,
                body=refusal.method != "HEAD",
                retry_after_s=refusal.retry_after_s,
            )
        )
        self._linger()

    def _close(self) -> None:
        """End a connection whose last answer is out."""
        if self._framer is not None or self._part or self._dropped:
            self._framer = None
            self._linger()
        elif self._unsent:
            self._ending = True
            self._pause()
        else:
            self._end()

    def _end(self) -> None:
        if self.transport.get_write_buffer_size():
            self._expect_read()
        self.transport.close()

    def _linger(self) -> None:
        self.flush()
        self._lingering = True
        self._hold(b"")
        self._resume()
        self.transport.write_eof()
        self._behind = None
        self._deadline.set(self._plane.downstream.linger_s)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading and not self._waits:
            self._reading = True
            self.transport.resume_reading()

    def _timed_out(self) -> None:
        """No byte came, or none could be sent, for too long."""
        if self._unsent:  # it could not have read that yet
            self.flush()
            self._deadline.set(self._plane.look_s)
            return
        late = BadRequest(408, "The request did not come in time.")
        if self._waits:  # it did come; it was the proxy that had no time
            self._go_on()
        elif self._lingering:
            if unsent_bytes(self.transport) and self._reads_on():
                self._expect_read()
            else:
                self.transport.abort()
        elif (self._full or self.transport.is_closing()) and self._reads_on():
            self._expect_read()
        elif self.transport.is_closing():
            self.transport.abort()
        elif self._exchange is not None:
            self._break_off(self._exchange, late)
        elif self._full:
            self.transport.abort()
        elif self._part:
            self._refuse(late)
        else:
            self._look_at_idle()

    def _look_at_idle(self) -> None:
        """It asks nothing. But it may be reading still, as the kernel takes megabytes at once."""
        if not self._asked:
            self._close()
            return
        plane = self._plane
        left_s = self.idle_since + plane.idle_s - plane.loop.time()
        if unsent_bytes(self.transport):
            if self._reads_on():
                self._expect_read()
            else:
                self.transport.abort()
        elif left_s > 0:
            self._behind = None
            self._deadline.set(left_s)
        else:
            self._close()


def _overloaded(method: str = "") -> BadRequest:
    said = "The proxy is overloaded."
    return BadRequest(503, said, retry_after_s=RETRY_AFTER_S, method=method)
