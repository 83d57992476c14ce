"""Owns above which latencies a request counts as slow, while a service's users are split. Pure.

The edges of a service are chosen once, when its users begin to be split, from what was measured
until then, and stay until they are no longer split. So no edge is ever chosen after seeing what it
is applied to, which would void every test on it (design/analysis.md §2, §7).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controlplane.model import Revision
from controlplane.rollup import CellKey, Figures, add_counts, quantile_bucket
from proxy.model.config import Service, Traffic, weights_of
from proxy.model.wire import LAST_BUCKET, Edges

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)
MIN_REQUESTS: Final = 200
"""Two of them are above the last edge; of fewer, it would be the slowest one alone."""
LOOK_BACK_S: Final = {60: 3_600, 3_600: 7 * 86_400}
"""How far into the past, by the level that is looked at; the first that has enough."""


def edges_after(newest: Revision, traffic: Traffic) -> dict[str, Edges]:
    """The edges that stay: of services whose users were split, and are."""
    return {
        name: edges
        for name, edges in newest.edges.items()
        if name in traffic.services and _is_split(traffic.services[name])
    }


def wanting(newest: Revision, traffic: Traffic, kept: Mapping[str, Edges]) -> Iterator[str]:
    """The services that may get edges by this change: those whose weights it changes."""
    for name, service in traffic.services.items():
        before = newest.traffic.services.get(name)
        if before is None or name in kept or not _is_split(service):
            continue
        if weights_of(before) != weights_of(service):
            yield name


def past_starts(level_s: int, now_s: float) -> list[int]:
    """The intervals of a level that are looked at."""
    last = int(now_s // level_s) * level_s
    return list(range(last - LOOK_BACK_S[level_s], last + level_s, level_s))


def stable_of(service: Service) -> str:
    """The version that most users have: what slow is, is said by it."""
    weights = weights_of(service)
    return max(weights, key=lambda name: (weights[name], name))


def chosen(past: Iterable[tuple[CellKey, Figures]], version: str) -> Edges:
    """Edges from what one version did; none if that was too little.

    Args:
        past: sums of one service, each request in one of them.
    """
    latency: dict[int, int] = {}
    for key, sums in past:
        if key.version == version and not key.segment:
            add_counts(latency, sums.latency)
    if sum(latency.values()) < MIN_REQUESTS:
        return ()
    found = {quantile_bucket(latency, q) for q in QUANTILES}
    return tuple(sorted(found - {LAST_BUCKET}))  # nothing is above the last


def _is_split(service: Service) -> bool:
    return sum(weight > 0 for weight in weights_of(service).values()) > 1
