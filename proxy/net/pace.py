"""Owns how long a client may take over the body it sends. Never sets a timer.

A limit on the gaps alone is met by a byte now and then, for ever; so the body must also come at a
least rate on average, once the time of a first gap is over. Time in which the client was not read
from is not held against it.
"""


class Pace:
    """The pace of one body.

    Args:
        gap_s: the longest between two pieces, and how long no rate is asked for.
        least: bytes a second; 0 asks for no rate.
        now: any monotonic clock, in seconds.
    """

    __slots__ = ("_body_bytes", "_gap_s", "_least", "_paused_at", "_since")

    def __init__(self, gap_s: float, least: int, now: float) -> None:
        self._gap_s = gap_s
        self._least = least
        self._since = now
        self._paused_at = -1.0
        self._body_bytes = 0

    def due_s(self, size: int, now: float) -> float:
        """How long the next piece may take, after one of ``size`` bytes; 0 if it is late."""
        self._body_bytes += size
        if not self._least:
            return self._gap_s
        left = self._gap_s + self._body_bytes / self._least - (now - self._since)
        return min(self._gap_s, max(left, 0.0))

    @property
    def is_paused(self) -> bool:
        """Whether the client is not read from."""
        return self._paused_at >= 0

    def pause(self, now: float) -> None:
        """The client is not read from."""
        if self._paused_at < 0:
            self._paused_at = now

    def resume(self, now: float) -> float:
        """It is read from again; returns how long the next piece may take."""
        if self._paused_at >= 0:
            self._since += now - self._paused_at
            self._paused_at = -1.0
        return self.due_s(0, now)
