"""Owns connections without sockets: exact pieces in, exact bytes out, nothing waits.

A socket joins and cuts pieces as it likes; what depends on where the bytes are cut is shown here.
The protocols are the product's own, in a real plane; only the transports are not.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from proxy.net.downstream import DownstreamConnection
from proxy.net.plane import Plane
from proxy.net.pool import EndpointPool
from proxy.net.turns import Turns
from proxy.net.upstream import UpstreamConnection


class Wire(asyncio.Transport):
    """A transport that keeps what is written.

    Attributes:
        out: everything written.
        ended: the writing side was closed.
        closed, aborted: the connection was; ``aborted`` by a reset.
    """

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 1)})
        self.out = bytearray()
        self.protocol: Any = None
        self.paused = self.ended = self.closed = self.aborted = self.lost = False

    def write(self, data: Any) -> None:
        if not self.closed:
            self.out += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_reading(self) -> bool:
        return not self.paused

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def settle(self) -> bool:
        """Tell the protocol that the connection is lost, once it was closed."""
        if self.closed and not self.lost:
            self.lost = True
            self.protocol.connection_lost(None)
            return True
        return False


def never_wait(plane: Plane) -> None:
    """Let no new connection wait for its turn: all of a test without sockets is one turn."""
    plane.turns = Turns(plane.loop, most=sys.maxsize)


class Memory:
    """A plane with one endpoint, whose connections are wires.

    Args:
        reply: called with every connection to the endpoint on which something new was written; may
            call ``hear`` or ``leave`` of this object. True if it did.
    """

    def __init__(self, plane: Plane, reply: Callable[["Memory", Wire], bool]) -> None:
        never_wait(plane)
        (self._pool,) = plane._pools.values()
        self._plane = plane
        self._reply = reply
        self._looked_at: dict[Wire, int] = {}
        self.endpoints: list[Wire] = []

    def connect(self) -> Wire:
        """A new client."""
        wire = Wire()
        wire.protocol = DownstreamConnection(self._plane)
        wire.protocol.connection_made(wire)
        return wire

    def send(self, wire: Wire, pieces: list[bytes]) -> None:
        """Deliver pieces of a client, as long as the proxy reads."""
        waiting = deque(pieces)
        while waiting and not wire.paused and not wire.closed:
            self._stock()
            wire.protocol.data_received(waiting.popleft())
            self.settle(wire)
        if waiting and not wire.closed:
            raise AssertionError("the proxy stopped reading for good")

    def finish(self, wire: Wire) -> None:
        """The client sends no more, and then goes."""
        if not wire.closed and not wire.protocol.eof_received() and not wire.closed:
            wire.close()
        self.settle(wire)
        wire.closed = True
        self.settle(wire)

    def hear(self, wire: Wire, data: bytes) -> None:
        """The endpoint says something."""
        if not wire.closed:
            self._stock()
            wire.protocol.data_received(data)
            self.flush()

    def leave(self, wire: Wire, *, reset: bool) -> None:
        """The endpoint closes its connection."""
        if not reset and not wire.closed:
            wire.protocol.eof_received()
        wire.closed = True

    def settle(self, *wires: Wire) -> None:
        """Let everything happen that follows from what has happened."""
        busy = True
        while busy:
            busy = False
            self.flush()
            for wire in (*self.endpoints, *wires):
                busy |= wire.settle()
            for wire in list(self.endpoints):
                if len(wire.out) != self._looked_at[wire]:
                    self._looked_at[wire] = len(wire.out)
                    busy |= self._reply(self, wire)

    def flush(self) -> None:
        """The end of a turn."""
        self._plane.outbox.flush()

    def clear(self) -> None:
        """Close every connection to the endpoint, and forget them."""
        for wire in self.endpoints:
            wire.closed = True
            wire.settle()
        self.endpoints.clear()
        self._looked_at.clear()

    def _stock(self) -> None:
        """An idle connection in the pool, so that none is opened."""
        connection = self._pool.take()
        if connection is None:
            connection = self._open(self._pool)
        self._pool.give_back(connection)

    def _open(self, pool: EndpointPool) -> UpstreamConnection:
        wire = Wire()
        connection = wire.protocol = UpstreamConnection(pool)
        connection.connection_made(wire)
        self.endpoints.append(wire)
        self._looked_at[wire] = 0
        return connection
