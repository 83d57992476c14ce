"""Owns two connections that have become one pipe, after a 101. Never looks at a byte.

Whoever is slower pauses the other. The end of one direction is passed on, and the other direction
goes on until it ends too, or nothing moves for too long. Source: RFC 9110 §7.8, RFC 6455 §1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.net.deadline import Deadline
from proxy.net.unsent import unsent_bytes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.net.deadline import Timers

CLOSING_S: Final = 5.0
"""For a side to take what is still unsent once the tunnel is closed; then it is cut."""


class Tunnel:
    """One pipe between a client and an endpoint.

    Args:
        idle_s: nothing moved in either direction for so long: it is closed.
        moved: hears how many bytes went to the endpoint, and to the client.
        over: called once both connections are gone.
    """

    __slots__ = (
        "_client",
        "_closing",
        "_deadline",
        "_endpoint",
        "_idle_s",
        "_moved",
        "_over",
        "_unsent",
    )

    def __init__(
        self,
        client: asyncio.Transport,
        endpoint: asyncio.Transport,
        timers: Timers,
        idle_s: float,
        moved: Callable[[int, int], None],
        over: Callable[[], None],
    ) -> None:
        self._idle_s = idle_s
        self._moved = moved
        self._over = over
        self._closing = False
        self._unsent = 0
        self._deadline = Deadline(timers, self._nothing_moved)
        self._client = TunnelEnd(self, client)
        self._endpoint = TunnelEnd(self, endpoint)
        self._client.other = self._endpoint
        self._endpoint.other = self._client

    def open(self, early: bytes, late: bytes, *, client_full: bool) -> None:
        """Begin.

        Args:
            early: what the client sent before it had the 101.
            late: what the endpoint sent right behind it.
            client_full: the client reads more slowly than it is sent to.
        """
        self._deadline.set(self._idle_s)
        self._client.full = client_full
        for end in (self._client, self._endpoint):
            end.transport.set_protocol(end)  # type: ignore[arg-type]  # has all that is called
        if early:
            self._client.data_received(early)
        if late:
            self._endpoint.data_received(late)
        for end in (self._client, self._endpoint):
            if not end.other.full:
                end.resume()
            elif not end.transport.is_closing():
                end.transport.pause_reading()

    def close(self) -> None:
        """End both connections in good order: what was taken is still sent, for a while."""
        if self._closing:
            return
        self._closing = True
        self._deadline.set(CLOSING_S)
        for end in (self._client, self._endpoint):
            end.transport.close()

    def abort(self) -> None:
        """Cut both."""
        self._closing = True
        for end in (self._client, self._endpoint):
            end.transport.abort()

    def _nothing_moved(self) -> None:
        """Nothing came for so long; but a side that is behind may still be taking what there is."""
        ends = (self._client, self._endpoint)
        if self._closing:
            for end in ends:
                end.transport.abort()
            return
        before = self._unsent
        self._unsent = sum(unsent_bytes(end.transport) for end in ends if end.full)
        if self._unsent and (not before or self._unsent < before):
            self._deadline.set(self._idle_s)
        else:
            self.close()

    # From the ends.

    def moved(self, end: TunnelEnd, size: int) -> None:
        """``size`` bytes came from ``end`` and were passed on."""
        if not self._closing:
            self._deadline.set(self._idle_s)
            self._unsent = 0
        if end is self._client:
            self._moved(size, 0)
        else:
            self._moved(0, size)

    def lost(self) -> None:
        """An end is gone, so the other has nobody to talk to."""
        if self._client.lost and self._endpoint.lost:
            self._deadline.close()
            self._over()
        elif not self._closing:
            self.close()


class TunnelEnd:
    """One of the two connections (an ``asyncio.Protocol``).

    Attributes:
        ended: it sends no more.
        full: it reads more slowly than it is sent to.
        lost: it is closed.
    """

    __slots__ = ("_tunnel", "ended", "full", "lost", "other", "transport")

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self.ended = False
        self.transport = transport
        self.full = False
        self.lost = False
        self.other: TunnelEnd

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        other = self.other
        if not other.transport.is_closing():
            other.transport.write(data)
            self._tunnel.moved(self, len(data))

    def eof_received(self) -> bool:
        """It sends no more, but may still be sent to."""
        self.ended = True
        other = self.other
        if other.ended:
            self._tunnel.close()
        elif not other.transport.is_closing():
            other.transport.write_eof()
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        """It is closed."""
        self.lost = True
        self._tunnel.lost()

    def pause_writing(self) -> None:
        """It is slower than the other end."""
        self.full = True
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.full = False
        self.other.resume()

    def resume(self) -> None:
        """Read on."""
        if not self.transport.is_closing():
            self.transport.resume_reading()
