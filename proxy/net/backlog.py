"""Owns how long a client may be behind with reading what it is sent. Never sets a timer.

A limit on the time of each piece alone is met by whoever takes many pieces slowly; so a client that
is late stays late while it catches up with one piece after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.net.unsent import unsent_bytes

if TYPE_CHECKING:
    import asyncio

    from proxy.model.config import Downstream


class Backlog:
    """What one client has not taken yet, and how late it is with that.

    Each method is given the time of any monotonic clock, in seconds, and the limits in force: of
    these, ``write_s`` is how late the client may be, and what it reads at ``min_bytes_per_s`` is in
    time; with 0, any byte within ``write_s`` is.

    Args:
        transport: the client's.
    """

    __slots__ = ("_late_s", "_looked_at", "_transport", "_unsent")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._unsent = 0
        self._looked_at = 0.0
        self._late_s = 0.0

    def look(self, now: float, limits: Downstream) -> float:
        """It must read on; returns in how many seconds that is to be asked (``reads_on``)."""
        self._unsent = unsent_bytes(self._transport)
        self._looked_at = now
        return max(0.0, limits.write_s - self._late_s)

    def reads_on(self, now: float, limits: Downstream) -> bool:
        """Whether it has read enough since it was last looked at, if it was."""
        return not self._unsent or (self._settle(now, limits) > 0 and self._late_s < limits.write_s)

    def caught_up(self, now: float, limits: Downstream) -> None:
        """It has room for more. What the kernel holds, it still has to read."""
        if self._unsent:
            self._settle(now, limits)

    def _settle(self, now: float, limits: Downstream) -> int:
        """Set what was read since the last look against the time that it took; returns it."""
        read = self._unsent - unsent_bytes(self._transport)
        least = limits.min_bytes_per_s
        if least:
            self._late_s = max(0.0, self._late_s + now - self._looked_at - read / least)
        self._looked_at = now
        return read
