"""Owns one revision made ready to serve: the router, and per version its pools and its observer.

A runtime is never changed. A new revision is a new runtime, which takes over the pools of the
endpoints it keeps; every request holds the one it began with, so it is wholly on one revision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from proxy.core.balance import RoundRobin

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from proxy.core.router import Router
    from proxy.http1.errors import BadRequest
    from proxy.http1.request import RequestHead
    from proxy.net.deadline import Timers
    from proxy.net.downstream import DownstreamConnection
    from proxy.net.exchange import Exchange
    from proxy.net.observer import VersionObserver
    from proxy.net.pool import EndpointPool


_LOW: Final = [b"%02x" % number for number in range(256)]


class RequestLog(Protocol):
    """Hears of every request that is over; called only when an access log is asked for."""

    def over(self, exchange: Exchange, head: RequestHead, client: str, revision: int) -> None:
        """A request that was given to a version."""

    def unrouted(self, head: RequestHead, client: str, ident: bytes, revision: int) -> None:
        """A request that no route matched; it was answered 404."""

    def refused(self, refusal: BadRequest, client: str, ident: bytes, revision: int) -> None:
        """Bytes that are no request."""


class VersionRuntime:
    """One version of one revision: whom to ask next, whom to tell."""

    __slots__ = ("_balance", "_pools", "observer", "size", "timers")

    def __init__(
        self, pools: list[EndpointPool], observer: VersionObserver, timers: Timers, offset: int
    ) -> None:
        self._pools = pools
        self._balance = RoundRobin(len(pools), offset)
        self.size = len(pools)
        self.observer = observer
        self.timers = timers

    def pick(self) -> EndpointPool:
        """The endpoint whose turn it is."""
        return self._pools[self._balance.pick()]

    def following(self, pool: EndpointPool) -> EndpointPool:
        """The endpoint after ``pool``: a request that cannot reach one tries each of the others,
        whatever turns other requests take meanwhile."""
        return self._pools[(self._pools.index(pool) + 1) % self.size]


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
        spawn: starts a coroutine that is awaited or logged when it ends.
        debug: every response names its decision in ``X-Splitway-Decision``.
    """

    __slots__ = ("_idents", "debug", "log", "nobody", "revision", "router", "spawn", "versions")

    def __init__(
        self,
        *,
        revision: int,
        router: Router,
        versions: list[VersionRuntime],
        nobody: VersionObserver,
        idents: Idents,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        log: RequestLog | None,
        debug: bool,
    ) -> None:
        self.revision = revision
        self.router = router
        self.versions = versions
        self.nobody = nobody
        self.spawn = spawn
        self.log = log
        self.debug = debug
        self._idents = idents

    def next_id(self) -> bytes:
        """A request id for a request that brought none."""
        return self._idents.next()

    def response_fields(self, exchange: Exchange) -> bytes:
        """Field lines that we add to a response: the id cookie, and the decision in debug mode."""
        cookie = exchange.decision.set_cookie
        if cookie is None and not self.debug:
            return b""
        lines = b"" if cookie is None else b"Set-Cookie: " + cookie + b"\r\n"
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

    def unrouted(self, downstream: DownstreamConnection, head: RequestHead, size: int) -> bytes:
        """No route matched: count it, log it. Returns the id to answer with."""
        ident = self.next_id()
        self.nobody.started("")
        self.nobody.finished(head.method, 404, 0.0, size, 0)
        if self.log is not None:
            self.log.unrouted(head, downstream.peer, ident, self.revision)
        return ident

    def refused(self, downstream: DownstreamConnection, refusal: BadRequest) -> bytes:
        """What came is no request: count it, log it. Returns the id to answer with."""
        ident = self.next_id()
        self.nobody.started("")
        self.nobody.finished("OTHER", refusal.status, 0.0, 0, 0)
        if self.log is not None:
            self.log.refused(refusal, downstream.peer, ident, self.revision)
        return ident
