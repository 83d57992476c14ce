"""Owns the idle connections to one endpoint, and opening new ones. Never parses, never retries.

Taking and giving back are synchronous; last in, first out, so that the pool shrinks to what the
load needs and the kept ones are the freshest. A pool outlives revisions that keep its endpoint.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from proxy.model.address import Address
from proxy.net.deadline import Timers
from proxy.net.outbox import Outbox
from proxy.net.upstream import UpstreamConnection


class EndpointPool:
    """Connections to one endpoint.

    Args:
        address: where the endpoint listens.
        timers: where the connections' deadlines wait.
        outbox: where their requests wait for the end of a turn.
    """

    __slots__ = ("_idle", "address", "authority", "closed", "name", "open", "outbox", "timers")

    def __init__(self, address: Address, name: str, timers: Timers, outbox: Outbox) -> None:
        self.address = address
        self.authority = address.authority.encode()
        self.name = name
        self.closed = False
        self.open: set[UpstreamConnection] = set()
        # In order of their return: popitem() takes the last, sweep() the first.
        self._idle: dict[UpstreamConnection, None] = {}
        self.timers = timers
        self.outbox = outbox

    @property
    def busy(self) -> int:
        """Connections that serve a request, or are a tunnel's."""
        return len(self.open) - len(self._idle)

    def take(self) -> UpstreamConnection | None:
        """An idle connection, the freshest first; None when there is none."""
        return self._idle.popitem()[0] if self._idle else None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose exchange is wholly over."""
        if self.closed:
            connection.discard()
        else:
            connection.idle_since = self.timers.time()
            self._idle[connection] = None

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is lost."""
        self.open.discard(connection)
        self._idle.pop(connection, None)

    async def connect(self) -> UpstreamConnection:
        """Open a connection.

        Raises:
            OSError: refused, unreachable, or the name does not resolve.
        """
        connection = UpstreamConnection(self)
        # It has what a protocol has, but not its class (ADR 9).
        make = cast("Callable[[], asyncio.Protocol]", lambda: connection)
        address = self.address
        loop = asyncio.get_running_loop()
        try:
            if address.is_unix:
                await loop.create_unix_connection(make, address.path)
            else:
                await loop.create_connection(make, address.host, address.port)
        except (asyncio.CancelledError, OSError):
            if connection in self.open:  # it was opened in the same turn of the loop
                connection.discard()
            connection.connection_lost(None)  # uvloop does not say so
            raise
        return connection

    def sweep(self, keep_s: float) -> None:
        """Close what has been idle for longer than ``keep_s``."""
        before = self.timers.time() - keep_s
        stale = []
        for connection in self._idle:
            if connection.idle_since >= before:
                break
            stale.append(connection)
        for connection in stale:
            del self._idle[connection]
            connection.discard()

    def close(self) -> None:
        """No revision uses the endpoint now: idle ones go at once, busy ones when they are done."""
        self.closed = True
        for connection in self._idle:
            connection.discard()
        self._idle.clear()
