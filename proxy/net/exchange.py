"""Owns one request and its response between two connections: attempts, relaying, the outcome.

Nothing here waits, but for opening a connection. Bodies pass through piece by piece; whoever is
slower pauses the other. A request goes a second time only when that can do no harm: no connection
was opened, or a kept-alive one closed unheard under an idempotent request that is wholly in hand
(RFC 9110 §9.2.2). The first attempt is what the version is charged for; every attempt is counted.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final

from proxy.core.outcome import Outcome
from proxy.core.user import NOBODY
from proxy.http1.body import encode_chunk, encode_last_chunk
from proxy.http1.forward import downstream_head, request_id, switch_head, upstream_head
from proxy.http1.response import Framing, ResponseHead, is_switch
from proxy.net.asker import Asker
from proxy.net.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.decision import Decision
    from proxy.core.segments import FindSegments
    from proxy.http1.request import RequestHead
    from proxy.model.wire import Edges
    from proxy.net.downstream import DownstreamConnection
    from proxy.net.faults import FaultPolicy
    from proxy.net.mirror import MirrorCopy
    from proxy.net.pool import EndpointPool
    from proxy.net.retries import RetryPolicy
    from proxy.net.runtime import Runtime, VersionRuntime
    from proxy.net.upstream import UpstreamConnection

MAX_ATTEMPTS: Final = 3
"""Endpoints of the same version that are tried while none could even be connected to."""

CLIENT_GONE_STATUS: Final = 499
"""What a request is counted as when its client left first; never sent (nginx's number)."""

# Bound here, as an enumeration's members cost a call each time (Python 3.11).
_NONE: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH
_SUCCESS: Final = Outcome.SUCCESS.value
_SERVER_ERROR: Final = Outcome.SERVER_ERROR.value

_REQUEST_TIMEOUT: Final = Outcome.REQUEST_TIMEOUT.value
_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
_EVENT_STREAM: Final = b"text/event-stream"

_NO_ENDPOINT: Final = Outcome.NO_ENDPOINT.value
_OVERFLOW: Final = Outcome.OVERFLOW.value

_ANSWERS: Final[dict[str, tuple[int, str]]] = {
    Outcome.NO_ENDPOINT: (503, "No endpoint of this version works."),
    Outcome.OVERFLOW: (503, "This version has as much in hand as it may."),
    Outcome.CONNECT_FAILED: (503, "No endpoint of this version accepts connections."),
    Outcome.CONNECT_TIMEOUT: (504, "The endpoint did not accept the connection in time."),
    Outcome.RESET: (502, "The endpoint closed the connection before it answered."),
    Outcome.RESPONSE_TIMEOUT: (504, "The endpoint did not answer in time."),
    Outcome.REQUEST_TIMEOUT: (504, "The request took too long."),
    Outcome.BAD_RESPONSE: (502, "The endpoint's answer is not valid HTTP."),
}


class Exchange(Asker):
    """One request that was given to a version.

    Attributes:
        method: of the request.
        idle_s: how long the endpoint may be silent in the middle of its response.
        is_upgrade: the endpoint may switch protocols.
        paused: the client is slower than the endpoint.
        status: what the client was sent; 0 until then.
        attempts: tries against endpoints so far.
        endpoint: the one of the last attempt.
        outcome: of the last attempt, once there is one.
    """

    __slots__ = (
        "_again", "_blamed", "_charged", "_chunked_out", "_copy", "_delayed", "_downstream",
        "_edits", "_head", "_keeps", "_limit", "_pending", "_request_done", "_response_s",
        "_retries", "_retry", "_runtime", "_serving", "_started", "_task", "_timeouts", "_tried",
        "_upstream", "_version", "_whole", "attempts", "decision", "endpoint", "ident",
        "is_upgrade", "outcome", "request_bytes", "response_bytes", "seconds", "status",
    )  # fmt: skip

    def __init__(
        self,
        downstream: DownstreamConnection,
        runtime: Runtime,
        head: RequestHead,
        decision: Decision,
    ) -> None:
        version = runtime.versions[decision.target.index]
        self._downstream = downstream
        self._runtime = runtime
        self._version: VersionRuntime = version
        self._serving: VersionRuntime = version  # whose endpoints are asked
        self._head = head
        self._pending = b""
        self._whole = True
        self._request_done = False
        self._charged = False  # the first attempt was an error,
        self._blamed = ""  # of this endpoint
        self._chunked_out = False
        self._upstream: UpstreamConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._limit: Deadline | None = None
        self._timeouts = timeouts = runtime.router.timeouts[decision.route]
        super().__init__(head.method, timeouts.idle_s)
        edits = runtime.edits
        self._edits = edits.get((decision.route, decision.target.index)) if edits else None
        self._started = perf_counter()
        self.decision = decision
        self.ident = request_id(head, runtime.next_id())
        self.is_upgrade = bool(head.upgrade)
        self.status = 0
        self.attempts = 0
        self.endpoint = ""
        self.outcome: str | None = None
        self.request_bytes = 0
        self.response_bytes = 0
        self.seconds = 0.0
        self._response_s = timeouts.response_s
        self._retry: RetryPolicy | None = None
        self._keeps = False
        self._again: asyncio.TimerHandle | None = None
        self._delayed: FaultPolicy | None = None
        self._copy: MirrorCopy | None = None
        if runtime.retries:
            self._prepare_retries(runtime.retries[decision.route])
        if runtime.mirrors and not self.is_upgrade:
            self._copy = runtime.mirrored(head, downstream.hop, self.ident, decision)
        version.observer.started(decision.source)

    # From the client's side.

    def start(self, payload: bytes, *, done: bool) -> None:
        """Send the head and what of the body came with it."""
        head = self._head
        if self._copy is not None:
            self._copy.add(payload, done=done)  # sent when it is clear that an endpoint is asked
        if payload:
            self.request_bytes += len(payload)
            payload = self._encode(payload)
        if done and head.chunked:
            payload += encode_last_chunk(self._downstream.trailers)
        self._request_done = done
        self._pending = payload
        if self._keeps:
            self._keep(b"")
        if not done:
            self._limit_whole()
        if not self._runtime.faults or not self._strikes():
            self._begin()

    def _begin(self) -> None:
        if self._version.is_full:
            self._refuse(_OVERFLOW)
            return
        pool = self._pick()
        if pool is None:
            self._refuse(_NO_ENDPOINT)
            return
        if self._copy is not None:
            self._copy.open()
        connection = pool.take()
        if connection is not None:
            self._send_head(connection)
        else:
            self._connect(pool)

    def _pick(self) -> EndpointPool | None:
        """Whom to ask; where nobody works, one of those who stand in for this version."""
        pool = self._serving.pick(self.decision)
        if pool is None:
            fallback = self._serving.fallback
            if fallback is not None:
                self._failed_at(_NO_ENDPOINT)  # it is the user's own version that is charged
                self._serving = fallback
                pool = fallback.pick(self.decision)
        return pool

    def on_request_body(self, payload: bytes, *, done: bool) -> None:
        """Pass a further piece of the request's body on."""
        if self._copy is not None:
            self._copy.add(payload, done=done)
        self.request_bytes += len(payload)
        data = self._encode(payload) if payload else b""
        if done:
            self._request_done = True
            if self._head.chunked:
                data += encode_last_chunk(self._downstream.trailers)
        upstream = self._upstream
        if upstream is None:
            self._pending += data
            return
        if self._keeps:
            self._keep(data)
        if self.status == 0 and not done:
            upstream.expect_nothing()  # it is the client's turn
        upstream.send(data)
        if self.status == 0 and done:
            upstream.expect_within(self._response_s)

    def on_client_gone(self, status: int = CLIENT_GONE_STATUS) -> None:
        """The client left, or broke its request: whatever the endpoint still does is in vain.

        Args:
            status: what the client is told instead of the endpoint's answer, if it is still there.
        """
        if self._task is not None:
            self._task.cancel()
        self._stop_waiting()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.discard()
            self._attempted(Outcome.CLIENT_GONE)
        self._finish(self.status or status)

    def on_client_full(self) -> None:
        """The client is slower than the endpoint."""
        self.paused = True
        if self._upstream is not None:
            self._upstream.pause()

    def on_client_drained(self) -> None:
        """The client has caught up."""
        self.paused = False
        if self._upstream is not None:
            self._upstream.resume(self.idle_s if self.status else self._response_s)

    # From the endpoint's side.

    def on_request_sent(self) -> None:
        """What waited for the end of the turn is about to be sent."""
        if self.method not in _IDEMPOTENT:
            self._whole = False
            if not self._keeps:
                self._pending = b""

    def on_upstream_full(self) -> None:
        """The endpoint is slower than the client."""
        self._downstream.pause_request()
        if self._upstream is not None and self.status == 0:
            self._upstream.expect_within(self.idle_s)

    def on_upstream_drained(self) -> None:
        """The endpoint has caught up."""
        if self._upstream is not None and self.status == 0:
            if self._request_done:
                self._upstream.expect_within(self._response_s)
            else:
                self._upstream.expect_nothing()
        self._downstream.resume_request()

    def on_informational(self, head: ResponseHead) -> None:
        """A 1xx head: passed on to clients that know of them (RFC 9110 §15.2)."""
        if not self._request_done and self._upstream is not None:
            self._upstream.expect_nothing()  # it is the client's turn
        if self._head.minor:
            self._downstream.send(
                downstream_head(head, minor=1, keep_alive=True, chunked=False, added=b"")
            )

    def on_switch(self, upstream: UpstreamConnection, head: ResponseHead, late: bytes) -> bool:
        """A 101. Returns whether the endpoint may switch; its connection is a tunnel's then."""
        if not self.is_upgrade or not is_switch(head, self._head.upgrade):
            return False
        self.status = head.status
        self._upstream = None
        self._attempted(_SUCCESS)
        self._count(self.status)
        observer = self._version.observer
        observer.tunnels(1)
        downstream = self._downstream
        added = self._runtime.response_fields(self)
        edits = self._edits
        if edits is None:
            downstream.send(switch_head(head, added))
        else:
            downstream.send(edits.of_response(switch_head(head, b""), self._origin, added))

        def moved(request_bytes: int, response_bytes: int) -> None:
            self.request_bytes += request_bytes
            self.response_bytes += response_bytes
            observer.moved(request_bytes, response_bytes)

        def over() -> None:
            upstream.connection_lost(None)
            observer.tunnels(-1)
            self.seconds = perf_counter() - self._started
            self._log()

        downstream.switch(upstream.transport, late, self._timeouts.stream_idle_s, moved, over)
        return True

    def on_response(
        self, head: ResponseHead, payload: bytes, *, done: bool, trailers: bytes
    ) -> None:
        """The final head, and what of the body came with it."""
        retry = self._retry
        if retry is not None and head.status in retry.statuses and self._may_retry(retry):
            self._drop_answer(head.status, done=done)
            self._retry_later(retry)
            return
        self.status = head.status
        downstream = self._downstream
        if self.is_upgrade:  # what the client sends ahead of a 101 is not meant as requests
            downstream.keep_alive = False
        framing = head.framing
        minor = self._head.minor
        keep_alive = self._request_done and downstream.keep_alive
        if framing is _LENGTH or framing is _NONE:
            chunked = False
        else:
            chunked = self._chunked_out = minor == 1
            keep_alive = keep_alive and chunked  # else only the connection's end tells the body's
        downstream.keep_alive = keep_alive
        added = self._runtime.response_fields(self)
        edits = self._edits
        data = downstream_head(
            head,
            minor=minor,
            keep_alive=keep_alive,
            chunked=chunked,
            added=added if edits is None else b"",
        )
        if edits is not None:
            data = edits.of_response(data, self._origin, added)
        if payload:
            self.response_bytes = len(payload)
            data = b"".join((data, *encode_chunk(payload))) if chunked else data + payload
        if not done:
            self._pending = b""
            media_type = (head.header(b"content-type") or b"").partition(b";")[0]
            if media_type.rstrip(b" \t").lower() == _EVENT_STREAM:
                self._stream()
            else:
                self._limit_whole()
            downstream.send(data)
            return
        if chunked:
            data += encode_last_chunk(trailers)
        downstream.send_whole(data)
        self._complete()

    def on_body(self, payload: bytes, *, done: bool, trailers: bytes) -> None:
        """A further piece of the response's body."""
        downstream = self._downstream
        if payload:
            self.response_bytes += len(payload)
            if self._chunked_out:
                downstream.transport.writelines(encode_chunk(payload))
            else:
                downstream.send(payload)
        if done:
            if self._chunked_out:
                downstream.send(encode_last_chunk(trailers))
            self._complete()

    def on_failure(self, outcome: Outcome) -> None:
        """The connection is lost or was dropped before the response was complete."""
        upstream, self._upstream = self._upstream, None
        self._failed_at(outcome)
        if upstream is not None and self._may_repeat(upstream, outcome):
            # Only a new connection: other kept ones may be just as stale.
            self._connect(upstream.pool)
        else:
            self._failed(outcome)

    # Within.

    def _edit_answer(self, head: bytes) -> bytes:
        edits = self._edits
        return head if edits is None else edits.of_response(head, self._origin, b"")

    @property
    def _origin(self) -> bytes | None:
        return self._head.header(b"origin")

    def _limit_whole(self) -> None:
        """Bound the whole request. One that is answered at once needs no timer of its own."""
        request_s = self._timeouts.request_s
        if request_s and self._limit is None:
            self._limit = Deadline(self._version.timers, self._took_too_long)
            self._limit.set(max(0.0, request_s - (perf_counter() - self._started)))

    def _stream(self) -> None:
        """It lasts as long as both sides like, and may be silent for long."""
        self.idle_s = self._timeouts.stream_idle_s
        if self._limit is not None:
            self._limit.close()

    def _took_too_long(self) -> None:
        asking = self._task is not None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._stop_waiting()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.discard()
        if asking or upstream is not None:
            self._failed_at(_REQUEST_TIMEOUT)
        else:  # it waited for another try, or held up on purpose: no endpoint is to blame
            self.outcome = _REQUEST_TIMEOUT
        self._give_up(_REQUEST_TIMEOUT)

    def _encode(self, payload: bytes) -> bytes:
        return b"".join(encode_chunk(payload)) if self._head.chunked else payload

    def _send_head(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        self.attempts += 1
        pool = connection.pool
        self.endpoint = pool.name
        if self._retry is not None:
            self._tried.append(pool)
        connection.begin(self)
        head = upstream_head(self._head, self._downstream.hop, pool.authority, self.ident)
        edits = self._edits
        if edits is not None:
            head = edits.of_request(head, self._head, self.decision.sent_target)
        data = head + self._pending
        self._whole = self._request_done and connection.served > 1 and self.method in _IDEMPOTENT
        if not self._request_done:
            connection.send(data)
        elif connection.send_whole(data):
            self._whole = True  # until a byte of it is sent
        if not self._whole and not self._keeps:
            self._pending = b""
        if self._request_done or self._head.header(b"expect") is not None:
            connection.expect_within(self._response_s)
        if self.paused:
            connection.pause()

    def _refuse(self, outcome: str) -> None:
        """There is nobody who could be asked."""
        if self.outcome != outcome:  # else it was charged when a stand-in was looked for
            self._failed_at(outcome)
        self._give_up(outcome)

    def _connect(self, pool: EndpointPool) -> None:
        if not self._serving.may_open:
            kept = self._serving.take_idle()
            if kept is None:
                self._refuse(_OVERFLOW)
            else:
                self._send_head(kept)
            return
        if not self._request_done:
            self._downstream.pause_request()
        self._limit_whole()
        pool.outbox.hurry()  # connecting takes longer than waiting is worth
        self._task = self._runtime.spawn(self._open(pool))

    async def _open(self, pool: EndpointPool) -> None:
        """Connect to one endpoint after another of the version until one accepts."""
        version = self._serving
        version.opening += 1
        try:
            connection, last = await self._opened(pool)
        finally:
            version.opening -= 1
        self._task = None
        if connection is None:
            self._failed(last)
            return
        if not self._request_done:  # first, as sending may well pause it again
            self._downstream.resume_request()
        self._send_head(connection)

    async def _opened(self, pool: EndpointPool) -> tuple[UpstreamConnection | None, str]:
        last = Outcome.CONNECT_FAILED
        tried: list[EndpointPool] = []
        for _ in range(MAX_ATTEMPTS):
            tried.append(pool)
            self.endpoint = pool.name
            try:
                async with asyncio.timeout(self._timeouts.connect_s):
                    connection = await pool.connect()
            except TimeoutError:
                last = Outcome.CONNECT_TIMEOUT
            except OSError:
                last = Outcome.CONNECT_FAILED
            else:
                if not connection.transport.is_closing():
                    return connection, last
                last = Outcome.RESET  # it accepted and closed at once: nothing was sent
            self.attempts += 1
            self._failed_at(last)
            another = self._serving.other(tried)
            if another is None:
                break
            pool = another
        if self._retry is not None:
            self._tried += tried
        return None, last

    def _strikes(self) -> bool:
        """Whether something goes wrong with this request on purpose."""
        policy = self._runtime.faults[self.decision.route]
        if policy is None:
            return False
        delay_s, status = policy.strike(self._head, self._downstream.peer)
        if delay_s:
            self._delayed = policy
            policy.active += 1
            self._wait(delay_s, lambda: self._after_delay(status))
            return True
        if status:
            self._abort(status)
        return status > 0

    def _after_delay(self, status: int) -> None:
        self._stop_waiting()
        if status:
            self._abort(status)
            return
        if not self._request_done:
            self._downstream.resume_request()
        self._begin()

    def _abort(self, status: int) -> None:
        self._finish(status)
        edit = None if self._edits is None else self._edit_answer
        said = "This route is given faults on purpose."
        self._downstream.answer(status, said, self.ident, edit, request_done=self._request_done)

    def _wait(self, delay_s: float, then: Callable[[], None]) -> None:
        """Read no more of the request until then."""
        if not self._request_done:
            self._downstream.pause_request()
        self._limit_whole()
        self._again = asyncio.get_running_loop().call_later(delay_s, then)

    def _stop_waiting(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._delayed is not None:
            self._delayed.active -= 1
            self._delayed = None

    def _prepare_retries(self, retry: RetryPolicy | None) -> None:
        if retry is None:
            return
        self._retry = retry
        self._retries = 0
        self._tried: list[EndpointPool] = []
        self._keeps = not self.is_upgrade and (retry.any_method or self.method in _IDEMPOTENT)
        if retry.per_try_s:
            self._response_s = min(self._response_s, retry.per_try_s)

    def _keep(self, data: bytes) -> None:
        """Keep what was sent of the body for another try, as long as it is not too much."""
        retry = self._retry
        if retry is None or len(self._pending) + len(data) <= retry.replay_bytes:
            self._pending += data
        else:
            self._keeps = False
            if self._upstream is not None:  # else it is still to be sent
                self._pending = b""

    def _may_retry(self, retry: RetryPolicy) -> bool:
        version = self._version
        if not self._keeps or self.status or self._retries >= retry.retries:
            return False
        return self._retries > 0 or retry.allows(version.retrying, version.observer.in_flight)

    def _drop_answer(self, status: int, *, done: bool) -> None:
        """An answer that the client will not see."""
        upstream, self._upstream = self._upstream, None
        if status >= 500:
            self._charge()
        self.outcome = _SUCCESS if status < 500 else _SERVER_ERROR
        self._learn(self.outcome, status)
        if upstream is not None:
            if done and self._request_done:
                upstream.release()
            else:
                upstream.discard()

    def _failed(self, outcome: str) -> None:
        """An attempt brought no answer: on to the next one, or to the end."""
        retry = self._retry
        if retry is not None and outcome in retry.outcomes and self._may_retry(retry):
            self._retry_later(retry)
        else:
            self._give_up(outcome)

    def _retry_later(self, retry: RetryPolicy) -> None:
        if not self._retries:
            self._version.retrying += 1
        self._retries += 1
        self._wait(retry.delay_s(self._retries), self._try_again)

    def _try_again(self) -> None:
        self._again = None
        pool = self._serving.other(self._tried) or self._pick()
        if pool is None:
            self._refuse(_NO_ENDPOINT)
            return
        connection = pool.take()
        if connection is None:
            self._connect(pool)
            return
        if not self._request_done:
            self._downstream.resume_request()
        self._send_head(connection)

    def _may_repeat(self, upstream: UpstreamConnection, outcome: Outcome) -> bool:
        return (
            outcome is Outcome.RESET
            and self._whole
            and not upstream.heard
            and self.attempts < MAX_ATTEMPTS
        )

    def _give_up(self, outcome: str) -> None:
        downstream = self._downstream
        if self.status:  # the head is out: the client must see that the rest is missing
            self._finish(self.status)
            downstream.truncate()
            return
        status, detail = _ANSWERS[outcome]
        self._finish(status)
        edit = None if self._edits is None else self._edit_answer
        downstream.answer(status, detail, self.ident, edit, request_done=self._request_done)

    def _complete(self) -> None:
        upstream, self._upstream = self._upstream, None
        if self.status < 500:
            self._attempted(_SUCCESS)
        else:
            self._failed_at(_SERVER_ERROR)
        if upstream is not None:
            if self._request_done:
                upstream.release()
            else:  # answered before it was asked to the end: the rest of the request has no taker
                upstream.discard()
        self._finish(self.status)
        self._downstream.on_exchange_over()

    def _failed_at(self, outcome: str) -> None:
        """An attempt brought an error, or no answer."""
        self._charge()
        self._attempted(outcome)

    def _charge(self) -> None:
        """What comes after the first attempt neither hides its error nor adds another."""
        if self.outcome is None:
            self._charged = True
            self._blamed = self.endpoint

    def _attempted(self, outcome: str) -> None:
        self.outcome = outcome
        self._learn(outcome, self.status)

    def _learn(self, outcome: str, status: int) -> None:
        """What came of an attempt counts for the user's version, and for the endpoint."""
        self._version.observer.attempted(outcome)
        endpoints = self._serving.endpoints
        if endpoints is not None:
            endpoints.attempted(self.endpoint, outcome, status)

    def _finish(self, status: int) -> None:
        self._count(status)
        if self._runtime.log is not None:
            self._log()

    def _count(self, status: int) -> None:
        if self._limit is not None:
            self._limit.close()
        if self._retry is not None and self._retries:
            self._version.retrying -= 1
        self.status = status
        self.seconds = seconds = perf_counter() - self._started
        self._version.observer.finished(
            self.method, status, seconds, self.request_bytes, self.response_bytes
        )
        if self._charged:
            self._version.observer.charged()
        find, edges = self._version.find_segments, self._version.edges
        if (find is not None or edges is not None) and self.decision.source != "override":
            self._count_audience(find, edges)

    def _count_audience(self, find: FindSegments | None, edges: Edges | None) -> None:
        """Whose it was, and where; testers are nobody's audience."""
        peer, observer = self._downstream.peer, self._version.observer
        segments: tuple[str, ...] = ()
        if find is not None:
            segments = find(self._head, peer)
            observer.belonged(segments, self.status, self.seconds, charged=self._charged)
        if edges is None:
            return
        find_user = self._version.find_user
        user = NOBODY
        if find_user is not None:
            user = find_user(self._head, peer, self.decision.set_cookies)
        observer.saw(user, segments, self.seconds, edges, charged=self._charged)
        endpoint = self._blamed if self._charged else self.endpoint
        if endpoint:
            observer.served(endpoint, self.seconds, edges, charged=self._charged)

    def _log(self) -> None:
        log = self._runtime.log
        if log is not None:
            log.over(self, self._head, self._downstream.peer, self._runtime.revision)
