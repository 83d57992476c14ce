"""Owns the choice of a version's endpoint. Never chooses the version, and shares no hash with that.

If endpoint and version hung on the same hash, a version's users would meet only some endpoints.

Sources: stride scheduling (Waldspurger and Weihl 1995), the power of two random choices
(Mitzenmacher 2001), consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016).
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import ceil, gcd
from typing import Final

from proxy.core.slot import hash32

MOST_TURNS: Final = 1_024
"""Of a round: weights that would need more are scaled down."""
RING_POINTS: Final = 1_024
"""At least so many for a ring of any size, and ``POINTS_EACH`` for an endpoint of weight 1."""
POINTS_EACH: Final = 160
MOST_POINTS: Final = 16_384
"""Of a ring: more take longer to make than a change of the configuration may."""

Draw = Callable[[int], int]
"""n → a number from 0 to n - 1, each as likely."""


class RoundRobin:
    """Takes a version's endpoints in turn. One for each version and worker."""

    __slots__ = ("_next", "_size")

    def __init__(self, size: int, offset: int = 0) -> None:
        """Args: how many endpoints (≥ 1); where to start, any whole number.

        Give each worker its own offset, so that they do not all begin with the first endpoint.
        """
        if size < 1:
            raise ValueError("a version needs at least one endpoint")
        self._size = size
        self._next = offset % size

    def pick(self) -> int:
        """The index of the endpoint whose turn it is."""
        index = self._next
        following = index + 1
        self._next = following if following < self._size else 0
        return index


def weighted_round(weights: Sequence[int]) -> list[int]:
    """One round of indices in which each stands as often as it weighs, as evenly as can be.

    Args:
        weights: each ≥ 0, some > 0. Weights of a thousandth of the sum and less may be rounded.
    """
    divisor = gcd(*weights)
    scaled = [weight // divisor for weight in weights]
    total = sum(scaled)
    if total > MOST_TURNS:
        scaled = [max(1, round(weight * MOST_TURNS / total)) if weight else 0 for weight in scaled]
    # Each index stands in the middle of equal parts of the round, as many as it weighs.
    places = [
        ((2 * turn + 1) / (2 * weight), index)
        for index, weight in enumerate(scaled)
        for turn in range(weight)
    ]
    return [index for _, index in sorted(places)]


def least_of_two(
    turns: Sequence[int], active: Callable[[int], int], weights: Sequence[int], draw: Draw
) -> int:
    """Of two endpoints that are drawn, the one with fewer requests for its weight.

    Args:
        turns: indices to draw from, each as often as it weighs.
        active: index → requests in hand; asked for the two alone.
        weights: by index.
    """
    if len(turns) == 1:
        return turns[0]
    at = draw(len(turns))
    first, second = turns[at], turns[(at + 1 + draw(len(turns) - 1)) % len(turns)]
    if (active(second) + 1) * weights[first] < (active(first) + 1) * weights[second]:
        return second
    return first


class HashRing:
    """A ring on which each endpoint has points in proportion to its weight.

    Args:
        names: of the endpoints; a name's points do not depend on the others.
        weights: each ≥ 0, some > 0.
    """

    __slots__ = ("_owners", "_points", "_size")

    def __init__(self, names: Sequence[str], weights: Sequence[int]) -> None:
        self._size = len(names)
        each = max(POINTS_EACH, -(-RING_POINTS // max(1, len(names))))
        lightest = min(weight for weight in weights if weight)
        scale = min(1.0, MOST_POINTS / (each * sum(weights) / lightest))
        points = sorted(
            (hash32(f"{name}#{number}".encode(), 0), index)
            for index, (name, weight) in enumerate(zip(names, weights, strict=True))
            for number in range(max(1, int(scale * each * weight / lightest)) if weight else 0)
        )
        self._points = [point for point, _ in points]
        self._owners = [index for _, index in points]

    def pick(self, key: int, has_room: Callable[[int], bool]) -> int:
        """The first endpoint from a key's place on that has room; -1 when none has.

        Args:
            key: 0 to 2^32 - 1; of the sticky key, in another hash than its slot's.
        """
        points = self._points
        owners = self._owners
        at = bisect_left(points, key)
        refused: set[int] = set()
        for step in range(len(points)):
            owner = owners[(at + step) % len(points)]
            if owner in refused:
                continue
            if has_room(owner):
                return owner
            refused.add(owner)
            if len(refused) == self._size:
                break
        return -1


def bounded(factor: float, active: Sequence[int], weights: Sequence[int]) -> Callable[[int], bool]:
    """Whether an endpoint has room for one more without more than ``factor`` times its part.

    Args:
        factor: ≥ 1.
        active: requests in hand, by index.
        weights: by index; 0 for those that may not be used.
    """
    total = sum(weights)
    load = 1 + sum(count for count, weight in zip(active, weights, strict=True) if weight)

    def has_room(index: int) -> bool:
        if not weights[index]:
            return False
        return active[index] < ceil(factor * load * weights[index] / total)

    return has_room


def started_slowly(seconds: float, over_s: float) -> float:
    """The part of its share that an endpoint gets so long after it came: 0.1 to 1.

    Source: Envoy's slow start with its default aggression and least weight.
    """
    if seconds >= over_s:
        return 1.0
    return max(0.1, seconds / over_s)
