"""Owns the latency buckets: exponential, base 2^(1/16), 0.1 ms to 105 s. Pure; never counts.

Bucket ``i`` holds the values in ``(edge(i - 1), edge(i)]``: an edge belongs to the bucket below it,
as in Prometheus' ``le``. Bucket 0 takes everything up to 0.1 ms, ``OVERFLOW`` everything beyond the
last edge. Every 16th edge is an edge of the coarse histogram that Prometheus scrapes, so the fine
one folds onto it exactly, and histograms of several processes merge by adding.

Source: design/performance.md ("Latency buckets") and design/analysis.md §1.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

STEPS_PER_DOUBLING: Final = 16
"""Base 2^(1/16): the edge is at most 4.4 % above any value in its bucket."""
DOUBLINGS: Final = 20
"""0.1 ms · 2^20 = 104.9 s: the first coarse edge at or beyond 100 s."""
LOWEST_S: Final = 0.0001
LAST: Final = STEPS_PER_DOUBLING * DOUBLINGS
OVERFLOW: Final = LAST + 1
BUCKETS: Final = LAST + 2

# Whole powers of two are multiplied in exactly, so coarse edges are 0.0001, 0.0002, … to the bit.
EDGES: tuple[float, ...] = tuple(
    math.ldexp(
        LOWEST_S * 2.0 ** (i % STEPS_PER_DOUBLING / STEPS_PER_DOUBLING), i // STEPS_PER_DOUBLING
    )
    for i in range(LAST + 1)
)
COARSE_EDGES: tuple[float, ...] = EDGES[::STEPS_PER_DOUBLING]


def bucket(seconds: float) -> int:
    """The bucket of a duration.

    A binary search in C over 321 edges: exact at every edge by construction, and measured faster
    than a logarithm with the correction that its rounding needs.

    Args:
        seconds: a duration in seconds; what is negative or not a number falls into bucket 0.

    Returns:
        0 to ``OVERFLOW``.
    """
    return bisect_left(EDGES, seconds)


def edge(index: int) -> float:
    """The upper edge of a bucket in seconds; infinite for ``OVERFLOW``.

    Raises:
        IndexError: no such bucket.
    """
    if index == OVERFLOW:
        return math.inf
    if not 0 <= index <= LAST:
        raise IndexError(f"bucket {index}: there are 0 to {OVERFLOW}")
    return EDGES[index]


def quantile(counts: Mapping[int, int], q: float) -> float:
    """The upper edge of the bucket that holds the q-quantile: never below the true value.

    Args:
        counts: how many by bucket.
        q: 0 to 1.

    Returns:
        Seconds; not a number where nothing was counted, infinite in the overflow.

    Raises:
        ValueError: ``q`` is not within 0 to 1.
    """
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"quantile {q}: must be within 0 to 1")
    total = sum(counts.values())
    if total == 0:
        return math.nan
    rank = max(1, math.ceil(q * total))
    seen = 0
    for index in sorted(counts):
        seen += counts[index]
        if seen >= rank:
            return edge(index)
    raise ValueError("counts must not be negative")


def fold(counts: Mapping[int, int]) -> list[int]:
    """The coarse, cumulative histogram.

    Args:
        counts: how many by fine bucket.

    Returns:
        For each of ``COARSE_EDGES`` how many were at or below it, and last the total.
    """
    coarse = [0] * (len(COARSE_EDGES) + 1)
    for index, count in counts.items():
        # Fine bucket 16k ends at coarse edge k; 16k+1 is the first one above it.
        coarse[-(-index // STEPS_PER_DOUBLING)] += count
    for position in range(1, len(coarse)):
        coarse[position] += coarse[position - 1]
    return coarse
