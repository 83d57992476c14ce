"""Owns one revision made ready to serve: the router, and per version its pools and its observer.

A runtime is never changed. A new revision is a new runtime, which takes over the pools of the
endpoints it keeps; every request holds the one it began with, so it is wholly on one revision.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Protocol

from proxy.core.balance import RoundRobin
from proxy.http1.forward import request_id
from proxy.net.mirror import MirrorCopy, MirrorTarget

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from proxy.core.decision import Decision
    from proxy.core.local_reply import LocalReply
    from proxy.core.router import Router
    from proxy.core.segments import FindSegments
    from proxy.core.token_bucket import TokenBucket
    from proxy.core.user import FindUser
    from proxy.http1.errors import BadRequest
    from proxy.http1.forward import Hop
    from proxy.http1.request import RequestHead
    from proxy.model.config import Breakers
    from proxy.model.wire import Edges
    from proxy.net.deadline import Timers
    from proxy.net.downstream import DownstreamConnection
    from proxy.net.edits import Edits
    from proxy.net.endpoints import EndpointSet
    from proxy.net.exchange import Exchange
    from proxy.net.faults import FaultPolicy
    from proxy.net.observer import VersionObserver
    from proxy.net.pool import EndpointPool
    from proxy.net.retries import RetryPolicy
    from proxy.net.upstream import UpstreamConnection


_LOW: Final = [b"%02x" % number for number in range(256)]


class RequestLog(Protocol):
    """Hears of every request that is over; called only when an access log is asked for."""

    def over(self, exchange: Exchange, head: RequestHead, client: str, revision: int) -> None:
        """A request that was given to a version."""

    def unserved(
        self, head: RequestHead, answer: LocalReply | None, client: str, ident: bytes, revision: int
    ) -> None:
        """A request that its route answered by itself; 404 where no route matched."""

    def refused(self, refusal: BadRequest, client: str, ident: bytes, revision: int) -> None:
        """Bytes that are no request."""


class VersionRuntime:
    """One version of one revision: whom to ask next, whom to tell.

    Args:
        endpoints: where more than turns decides who is asked.

    Attributes:
        fallback: who serves its users while none of its endpoints works.
        find_segments: tells which segments a request belongs to, if anybody wants to know.
        find_user: tells whose a request is; likewise.
        edges: above which latencies a request is slow; None where nobody watches.
        opening: requests that wait for a connection.
        retrying: requests that are tried once more.
    """

    __slots__ = (
        "_balance", "_breakers", "_pools", "edges", "endpoints", "fallback", "find_segments",
        "find_user", "observer", "opening", "retrying", "timers",
    )  # fmt: skip

    def __init__(
        self,
        pools: list[EndpointPool],
        observer: VersionObserver,
        timers: Timers,
        offset: int,
        endpoints: EndpointSet | None = None,
        breakers: Breakers | None = None,
    ) -> None:
        self.endpoints = endpoints
        self.fallback: VersionRuntime | None = None
        self.find_segments: FindSegments | None = None
        self.find_user: FindUser | None = None
        self.edges: Edges | None = None
        self._breakers = breakers
        self.opening = 0
        self.retrying = 0
        self._pools = pools
        self._balance = RoundRobin(max(1, len(pools)), offset)
        self.observer = observer
        self.timers = timers

    def pick(self, decision: Decision) -> EndpointPool | None:
        """The endpoint whose turn it is; None when none works."""
        endpoints = self.endpoints
        if endpoints is None:
            return self._pools[self._balance.pick()]
        return endpoints.pick(decision.spread)

    def other(self, tried: list[EndpointPool]) -> EndpointPool | None:
        """An endpoint that was not ``tried``: a request that cannot reach one tries each of the
        others, whatever turns other requests take meanwhile. None when there is none left."""
        if self.endpoints is not None:
            return self.endpoints.other(tried)
        pools = self._pools
        last = tried[-1]
        if last not in pools:  # those of the version that this one stands in for
            return pools[self._balance.pick()]
        after = pools[(pools.index(last) + 1) % len(pools)]
        return None if after in tried else after

    @property
    def is_full(self) -> bool:
        """Whether a request that was just started is one too many."""
        breakers = self._breakers
        return breakers is not None and 0 < breakers.max_requests < self.observer.in_flight

    @property
    def may_open(self) -> bool:
        """Whether one more connection may be opened, and be waited for."""
        breakers = self._breakers
        if breakers is None:
            return True
        if breakers.max_connections:
            connections = self.opening + sum(len(pool.open) for pool in self._pools)
            if connections >= breakers.max_connections:
                return False
        return not breakers.max_pending or self.opening < breakers.max_pending

    def take_idle(self) -> UpstreamConnection | None:
        """An idle connection to any endpoint that works, where no more may be opened."""
        for pool in self._pools:
            if self.endpoints is not None and not self.endpoints.is_used(pool):
                continue
            connection = pool.take()
            if connection is not None:
                return connection
        return None


class Idents:
    """Makes request ids, unique over processes and restarts: 64 random bits, then a number.

    Args:
        own: the random part, in hexadecimal digits.
    """

    __slots__ = ("_low", "_own", "_prefix", "_rounds")

    def __init__(self, own: bytes) -> None:
        self._own = own
        self._rounds = -1
        self._low = len(_LOW)
        self._prefix = b""

    def next(self) -> bytes:
        """An id; a table of its last digits saves formatting a number for each request."""
        low = self._low
        if low == len(_LOW):
            self._rounds += 1
            self._prefix = b"%b-%x" % (self._own, self._rounds)
            low = 0
        self._low = low + 1
        return self._prefix + _LOW[low]


class Runtime:
    """One revision in force.

    Args:
        versions: in the order of ``router.versions``.
        nobody: observes requests that reached no service.
        idents: request ids, none twice.
        edits: what is changed in heads, by the indices of route and version.
        retries: by route; empty where no route retries.
        buckets: of rate limits, by route; empty where no route has one.
        faults: given on purpose, by route; empty where no route has any.
        mirrors: who gets copies, by route; empty where nobody does.
        spawn: starts a coroutine that is awaited or logged when it ends.
        debug: every response names its decision in ``X-Splitway-Decision``.
    """

    __slots__ = (
        "_idents", "buckets", "debug", "edits", "faults", "log", "mirrors", "nobody", "retries",
        "revision", "router", "spawn", "versions",
    )  # fmt: skip

    def __init__(
        self,
        *,
        revision: int,
        router: Router,
        versions: list[VersionRuntime],
        nobody: VersionObserver,
        idents: Idents,
        edits: dict[tuple[int, int], Edits],
        retries: tuple[RetryPolicy | None, ...],
        buckets: tuple[TokenBucket | None, ...],
        faults: tuple[FaultPolicy | None, ...],
        mirrors: tuple[tuple[MirrorTarget, ...], ...],
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        log: RequestLog | None,
        debug: bool,
    ) -> None:
        self.revision = revision
        self.router = router
        self.versions = versions
        self.nobody = nobody
        self.edits = edits
        self.retries = retries
        self.buckets = buckets
        self.faults = faults
        self.mirrors = mirrors
        self.spawn = spawn
        self.log = log
        self.debug = debug
        self._idents = idents

    def next_id(self) -> bytes:
        """A request id for a request that brought none."""
        return self._idents.next()

    def mirrored(
        self, head: RequestHead, hop: Hop, ident: bytes, decision: Decision
    ) -> MirrorCopy | None:
        """A copy of a request for those that are to get one."""
        targets = [
            target
            for target in self.mirrors[decision.route]
            if target.index != decision.target.index and random.random() < target.config.fraction
        ]
        return MirrorCopy(targets, head, hop, ident, decision) if targets else None

    def response_fields(self, exchange: Exchange) -> bytes:
        """Field lines that we add to a response: the id cookie, and the decision in debug mode."""
        cookies = exchange.decision.set_cookies
        if not cookies and not self.debug:
            return b""
        lines = b"".join(b"Set-Cookie: " + cookie + b"\r\n" for cookie in cookies)
        if self.debug:
            lines += self._decision_line(exchange)
        return lines

    def _decision_line(self, exchange: Exchange) -> bytes:
        decision = exchange.decision
        target = decision.target
        return (
            f"X-Splitway-Decision: revision={self.revision}; route={decision.route}; "
            f"service={target.service}; version={target.version}; source={decision.source}; "
            f"slot={decision.slot}; endpoint={exchange.endpoint}; reason={decision.reason}\r\n"
        ).encode()

    def unserved(
        self,
        downstream: DownstreamConnection,
        head: RequestHead,
        answer: LocalReply | None,
        request_bytes: int,
    ) -> bytes:
        """A request that leads to no service: count it, log it.

        Args:
            answer: the route's; None where no route matched, which is a 404.

        Returns:
            The id to answer with.
        """
        ident = request_id(head, self.next_id())
        status = 404 if answer is None else answer.status
        sent = 0 if answer is None or head.method == "HEAD" else len(answer.body)
        self.nobody.started("")
        self.nobody.finished(head.method, status, 0.0, request_bytes, sent)
        if self.log is not None:
            self.log.unserved(head, answer, downstream.peer, ident, self.revision)
        return ident

    def refused(self, downstream: DownstreamConnection, refusal: BadRequest) -> bytes:
        """What came is no request: count it, log it. Returns the id to answer with."""
        ident = self.next_id()
        self.nobody.started("")
        self.nobody.finished("OTHER", refusal.status, 0.0, 0, 0)
        if self.log is not None:
            self.log.refused(refusal, downstream.peer, ident, self.revision)
        return ident
