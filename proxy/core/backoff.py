"""Owns how long to wait before the next try: exponential with full jitter. Never waits itself.

Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (full jitter): a fleet that lost its
server at one moment does not return at one moment.
"""

from collections.abc import Callable

BASE_S = 0.2
CAP_S = 5.0
"""Also the longest that a proxy is behind once its control plane is back."""


class Backoff:
    """The waits between tries.

    Args:
        draw: a random number from 0 to below 1.
        base_s: the upper bound of the first wait; doubled for each one after it.
        cap_s: the upper bound of all.
    """

    def __init__(
        self, draw: Callable[[], float], *, base_s: float = BASE_S, cap_s: float = CAP_S
    ) -> None:
        self._draw = draw
        self._base_s = base_s
        self._cap_s = cap_s
        self._bound_s = base_s

    def next_s(self) -> float:
        """The wait before the next try, 0 to the bound in seconds."""
        wait_s = self._draw() * min(self._bound_s, self._cap_s)
        self._bound_s = min(self._bound_s * 2, self._cap_s)
        return wait_s

    def reset(self) -> None:
        """Starts anew, after a success."""
        self._bound_s = self._base_s
