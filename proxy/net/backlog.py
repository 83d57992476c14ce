"""Owns how long a client may be behind with reading what it is sent. Never sets a timer.

A limit on the time of each piece alone is met by whoever takes many pieces slowly; so a client that
is late stays late while it catches up with one piece after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.net.unsent import unsent_bytes

if TYPE_CHECKING:
    import asyncio


class Backlog:
    """What one client has not taken yet, and how late it is with that.

    Args:
        transport: the client's.
        limit_s: how late it may be.
        least: bytes a second that are in time; 0 asks for some byte within ``limit_s``.
    """

    __slots__ = ("_late_s", "_least", "_limit_s", "_looked_at", "_transport", "_unsent")

    def __init__(self, transport: asyncio.WriteTransport, limit_s: float, least: int) -> None:
        self._transport = transport
        self._limit_s = limit_s
        self._least = least
        self._unsent = 0
        self._looked_at = 0.0
        self._late_s = 0.0

    def look(self, now: float) -> float:
        """It must read on; returns in how many seconds that is to be asked (``reads_on``).

        Args:
            now: any monotonic clock, in seconds.
        """
        self._unsent = unsent_bytes(self._transport)
        self._looked_at = now
        return max(0.0, self._limit_s - self._late_s)

    def reads_on(self, now: float) -> bool:
        """Whether it has read enough since it was last looked at, if it was."""
        if self._unsent == 0:
            return True
        read = self._unsent - unsent_bytes(self._transport)
        self._settle(read, now)
        return read > 0 and self._late_s < self._limit_s

    def caught_up(self, now: float) -> None:
        """It has read what it was behind with."""
        self._settle(self._unsent, now)

    def _settle(self, read: int, now: float) -> None:
        if self._least:
            self._late_s = max(0.0, self._late_s + now - self._looked_at - read / self._least)
        self._looked_at = now
