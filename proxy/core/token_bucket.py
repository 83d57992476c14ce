"""Owns a token bucket: how many requests may pass, and when the next one may. Pure.

Source: the bucket as Envoy's local rate limit has it, filled continuously.
"""

from math import ceil


class TokenBucket:
    """Lets ``per_s`` requests a second pass, and ``burst`` at once after a pause.

    Args:
        per_s: > 0.
        burst: ≥ 1.
        now: seconds of any monotonic clock; full then.
    """

    __slots__ = ("_burst", "_filled_at", "_per_s", "_tokens")

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Whether one more may pass."""
        since = now - self._filled_at
        if since > 0.0:
            self._filled_at = now
            self._tokens = min(self._burst, self._tokens + since * self._per_s)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def wait_s(self) -> int:
        """Whole seconds, at least 1, until one may pass if nobody else comes (Retry-After)."""
        return max(1, ceil((1.0 - self._tokens) / self._per_s))
