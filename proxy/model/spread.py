"""Owns how requests are spread over users: counts by bucket of the user's hash. Never learns which
users those are, nor how slow is slow.

Errors and slow requests of one user come together, so a version with a few unlucky users looks
worse by its requests than it is. How much more they vary from bucket to bucket than independent
ones would, says how far (over-dispersion: design/analysis.md §3).

A spread is a flat tuple: first the requests, then the errors, then for each edge those that were
slow or errors. Each of them has one count for every bucket, and behind those one for requests whose
user nobody knows (``WIDTH``); by endpoint, where users are not told apart, one count alone.

Source: docs/adr/0025.
"""

from operator import add
from typing import Final

from proxy.model.wire import Edges, Spread

BUCKETS: Final = 64
"""Of users, by the low bits of their hash: samples of users go by its high ones."""
WIDTH: Final = BUCKETS + 1
_MASK: Final = BUCKETS - 1
_PLAIN: Final = 2
"""Requests and errors, which have no edge."""


class Tally:
    """A spread that grows.

    Args:
        width: ``WIDTH``, or 1 where users are not told apart.
    """

    __slots__ = ("_counts", "_width", "edges")

    def __init__(self, edges: Edges, width: int) -> None:
        self.edges = edges
        self._width = width
        self._counts = [0] * (width * (_PLAIN + len(edges)))

    def add(self, user: int, latency: int, *, charged: bool) -> None:
        """A request is over.

        Args:
            user: their hash; 0 for nobody.
            latency: by bucket of ``proxy.telemetry.histogram``.
            charged: it was an error, which is as bad as the slowest.
        """
        counts, width = self._counts, self._width
        at = 0
        if width > 1:
            at = user & _MASK if user else BUCKETS
        counts[at] += 1
        at += width
        if charged:
            counts[at] += 1
        for edge in self.edges:
            at += width
            if not charged and latency <= edge:
                break
            counts[at] += 1

    def spread(self) -> Spread:
        """What was counted so far, detached."""
        return Spread(self.edges, tuple(self._counts))


def joined(first: Spread | None, second: Spread | None) -> Spread | None:
    """The sum. Of two whose edges differ it is the second: the first was split otherwise."""
    if first is None or second is None:
        return first or second
    if first.edges != second.edges or len(first.counts) != len(second.counts):
        return second
    return Spread(second.edges, tuple(map(add, first.counts, second.counts)))


def columns(spread: Spread) -> list[tuple[int, ...]]:
    """Requests, errors, and for each edge those above it."""
    width = len(spread.counts) // (_PLAIN + len(spread.edges))
    return [
        spread.counts[start : start + width] for start in range(0, len(spread.counts), width or 1)
    ]


def check(spread: Spread, width: int) -> None:
    """Looks whether it can be.

    Raises: ValueError: it cannot.
    """
    edges = spread.edges
    if list(edges) != sorted(set(edges)):
        raise ValueError("spread: its edges do not ascend")
    if len(spread.counts) != width * (_PLAIN + len(edges)):
        raise ValueError(f"spread: {len(spread.counts)} counts for {len(edges)} edges")
    requests, errors, *slow = columns(spread)
    before = requests
    for above in slow:
        if any(map(int.__gt__, above, before)) or any(map(int.__gt__, errors, above)):
            raise ValueError("spread: more are slow than are above the edge before, or fail")
        before = above
    if any(map(int.__gt__, errors, requests)):
        raise ValueError("spread: more errors than requests")
