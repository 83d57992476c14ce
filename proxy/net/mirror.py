"""Owns copies of requests for other versions: sent when there is room, their answers only counted.

A client never waits for a copy. What would wait too long, or be too much, is dropped and counted.
Source: Envoy's request_mirror_policies ("fire and forget").
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final

from proxy.core.outcome import Outcome
from proxy.http1.body import encode_chunk, encode_last_chunk
from proxy.http1.forward import asked_for, suffixed, upstream_head
from proxy.net.asker import Asker
from proxy.net.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from proxy.core.decision import Decision
    from proxy.http1.forward import Hop
    from proxy.http1.request import RequestHead
    from proxy.http1.response import ResponseHead
    from proxy.model.config import Mirror, Timeouts
    from proxy.net.edits import Edits
    from proxy.net.observer import VersionObserver
    from proxy.net.pool import EndpointPool
    from proxy.net.runtime import VersionRuntime
    from proxy.net.upstream import UpstreamConnection

MOST_S: Final = 60.0
"""No copy lasts longer, lest those of endless answers leave no room for others."""
FAILED: Final = 502
"""What a copy without an answer is counted as; 504 for one that came too late."""


class Mirrors:
    """The copies that are on their way, of one process.

    Attributes:
        active: those that are.
        dropped: how many were not sent for want of room.
    """

    __slots__ = ("active", "dropped", "spawn")

    def __init__(self, spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]]) -> None:
        self.active: set[MirrorExchange] = set()
        self.dropped = 0
        self.spawn = spawn


class MirrorTarget:
    """Where the copies of one route's requests go.

    Args:
        index: the version's, in ``Router.versions``.
        observer: of copies for this version.
        edits: what the route and the version change in a head.
    """

    __slots__ = ("config", "edits", "index", "mirrors", "observer", "timeouts", "version")

    def __init__(
        self,
        config: Mirror,
        mirrors: Mirrors,
        index: int,
        version: VersionRuntime,
        observer: VersionObserver,
        timeouts: Timeouts,
        edits: Edits | None,
    ) -> None:
        self.index = index
        self.edits = edits
        self.config = config
        self.mirrors = mirrors
        self.version = version
        self.observer = observer
        self.timeouts = timeouts


class MirrorCopy:
    """The copy of one request, until it is whole.

    Args:
        targets: who gets it.
    """

    __slots__ = ("_body", "_decision", "_done", "_head", "_hop", "_ident", "_open", "_size",
                 "_targets")  # fmt: skip

    def __init__(
        self,
        targets: list[MirrorTarget],
        head: RequestHead,
        hop: Hop,
        ident: bytes,
        decision: Decision,
    ) -> None:
        self._targets = targets
        self._head = head
        self._hop = hop
        self._ident = ident
        self._decision = decision
        self._body: list[bytes] = []
        self._size = 0
        self._done = False
        self._open = False

    def open(self) -> None:
        """The request itself goes to an endpoint: so does its copy, once it is whole."""
        if not self._open:
            self._open = True
            if self._done:
                self._send()

    def add(self, payload: bytes, *, done: bool) -> None:
        """A further piece of the body; ``done``: it was the last."""
        if payload:
            self._size += len(payload)
            most = max(target.config.body_bytes for target in self._targets)
            if self._size <= most:
                self._body.append(payload)
            else:
                self._body.clear()
        self._done = done
        if done and self._open:
            self._send()

    def _send(self) -> None:
        body = b"".join(self._body)
        for target in self._targets:
            mirrors = target.mirrors
            full = len(mirrors.active) >= target.config.max_active
            if full or self._size > target.config.body_bytes:
                mirrors.dropped += 1
                continue
            exchange = MirrorExchange(target, self._head.method, self._decision)
            exchange.start(self._message(target, body))

    def _message(self, target: MirrorTarget, body: bytes) -> Callable[[EndpointPool], bytes]:
        if self._head.chunked:
            body = (b"".join(encode_chunk(body)) if body else b"") + encode_last_chunk(b"")
        suffix = target.config.host_suffix.encode()

        def message(pool: EndpointPool) -> bytes:
            head = upstream_head(self._head, self._hop, pool.authority, self._ident)
            sent_target = self._decision.sent_target
            if target.edits is None:
                head = asked_for(head, self._head, sent_target, None)
            else:
                head = target.edits.of_request(head, self._head, sent_target)
            return (suffixed(head, suffix) if suffix else head) + body

        return message


class MirrorExchange(Asker):
    """One copy on its way to one version."""

    __slots__ = ("_decision", "_limit", "_message", "_started", "_status", "_target", "_task",
                 "_upstream")  # fmt: skip

    def __init__(self, target: MirrorTarget, method: str, decision: Decision) -> None:
        super().__init__(method, target.timeouts.idle_s)
        self._target = target
        self._decision = decision
        self._task: asyncio.Task[None] | None = None
        self._limit = Deadline(target.version.timers, self.cut)
        self._status = 0
        self._upstream: UpstreamConnection | None = None
        self._message: Callable[[EndpointPool], bytes]
        self._started = perf_counter()

    def start(self, message: Callable[[EndpointPool], bytes]) -> None:
        """Send it.

        Args:
            message: makes the whole request for an endpoint.
        """
        target = self._target
        self._message = message
        target.mirrors.active.add(self)
        target.observer.started("mirror")
        self._limit.set(min(target.timeouts.request_s or MOST_S, MOST_S))
        pool = target.version.pick(self._decision)
        if pool is None:
            self._over(Outcome.NO_ENDPOINT, FAILED)
            return
        connection = pool.take()
        if connection is not None:
            self._send(connection)
        else:
            pool.outbox.hurry()  # connecting takes longer than waiting is worth
            self._task = target.mirrors.spawn(self._connect(pool))

    def cut(self) -> None:
        """It takes too long, or the proxy leaves."""
        if self._task is not None:
            self._task.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.discard()
        self._over(Outcome.REQUEST_TIMEOUT, self._status or FAILED + 2)

    async def _connect(self, pool: EndpointPool) -> None:
        try:
            async with asyncio.timeout(self._target.timeouts.connect_s):
                connection = await pool.connect()
            self._task = None
        except TimeoutError:
            self._over(Outcome.CONNECT_TIMEOUT, FAILED + 2)
        except OSError:
            self._over(Outcome.CONNECT_FAILED, FAILED)
        else:
            if connection.transport.is_closing():
                self._over(Outcome.RESET, FAILED)
            else:
                self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        connection.begin(self)
        connection.send_whole(self._message(connection.pool))
        connection.expect_within(self._target.timeouts.response_s)

    def on_response(
        self,
        head: ResponseHead,
        payload: bytes,  # noqa: ARG002
        *,
        done: bool,
        trailers: bytes,  # noqa: ARG002
    ) -> None:
        """Its status is what counts."""
        self._status = head.status
        if done:
            self._answered()

    def on_body(self, payload: bytes, *, done: bool, trailers: bytes) -> None:  # noqa: ARG002
        """Nobody wants it."""
        if done:
            self._answered()

    def on_failure(self, outcome: Outcome) -> None:
        """No answer."""
        self._upstream = None
        late = outcome is Outcome.RESPONSE_TIMEOUT
        self._over(outcome, FAILED + 2 if late else FAILED)

    def _answered(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.release()
        outcome = Outcome.SUCCESS if self._status < 500 else Outcome.SERVER_ERROR
        self._over(outcome, self._status)

    def _over(self, outcome: str, status: int) -> None:
        self._task = None
        target = self._target
        self._limit.close()
        target.mirrors.active.discard(self)
        target.observer.attempted(outcome)
        seconds = perf_counter() - self._started
        target.observer.finished(self.method, status, seconds, 0, 0)
