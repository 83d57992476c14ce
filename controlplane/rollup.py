"""Owns how reports add up: by interval of three lengths, service, version, and segment or endpoint.
Pure.

A report is counted in the interval in which it began, at every level, whole. So sums are exact at
every level; how long a stretch they stand for is said by the proxies' seconds beside them, which
are counted under no service: an interval without those is a gap, not a zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from proxy.model.spread import joined
from proxy.model.taken import key_of
from proxy.model.users import merged
from proxy.model.wire import ReportRow, Sample, Spread
from proxy.telemetry.histogram import EDGES, OVERFLOW, bucket, quantile

LEVELS: Final[dict[str, int]] = {"10s": 10, "1m": 60, "1h": 3_600}
"""Seconds by name, the shortest first; each is a multiple of the one before."""
SHORTEST_S: Final = 10
ENDPOINTS_S: Final = 60
"""The longest level of endpoints: they come and go without end, and hours are kept for a year."""
EVERYBODY: Final = ("", "", "", "")
"""Service, version, segment and endpoint of what all reports of an interval have in common."""


class CellKey(NamedTuple):
    """What one sum is of."""

    level_s: int
    start: int
    """Unix seconds, a multiple of ``level_s``."""
    service: str
    version: str
    segment: str
    endpoint: str = ""


class Stretch(NamedTuple):
    """Intervals of one level."""

    level_s: int
    starts: Sequence[int]


class Figures(msgspec.Struct):
    """One sum."""

    requests: int = 0
    errors: int = 0
    latency: dict[int, int] = {}
    """By bucket of ``proxy.telemetry.histogram``."""
    share: float | None = None
    """Of the users, if it was the same all through and everywhere."""
    reports: int = 0
    """Of everybody: how many were counted, and the sum of their lengths."""
    seconds: float = 0.0
    users: Sample | None = None
    """Who was seen; null where nobody looked."""
    erring: Sample | None = None
    """Of them, those whom an error was charged for."""
    spread: Spread | None = None
    """Over users; null where nobody looked."""

    def add(self, more: "Figures") -> None:
        """Counts more in."""
        self.requests += more.requests
        self.errors += more.errors
        add_counts(self.latency, more.latency)
        self.share = self.share if self.share == more.share else None
        self.reports += more.reports
        self.seconds += more.seconds
        self.users = merged(self.users, more.users)
        self.erring = merged(self.erring, more.erring)
        self.spread = joined(self.spread, more.spread)


Cells = dict[CellKey, Figures]


def count(cells: Cells, rows: Iterable[ReportRow], start_s: float, length_s: float) -> None:
    """Counts a report's rows in, at the shortest level; ``raised`` gives the others.

    Args:
        start_s: when its interval began, Unix time.
        length_s: of its interval; 0 where another report tells of the same.
    """
    start = int(start_s // SHORTEST_S) * SHORTEST_S
    told = Figures(reports=1, seconds=length_s) if length_s else Figures()
    _add(cells, CellKey(SHORTEST_S, start, *EVERYBODY), told)
    for row in rows:
        figures = Figures(
            row.requests,
            row.errors,
            row.latency,
            row.share,
            users=row.users,
            erring=row.erring,
            spread=row.spread,
        )
        _add(cells, CellKey(SHORTEST_S, start, *key_of(row)), figures)


def raised(cells: Cells) -> Cells:
    """Sums of the shortest level at every level. Intervals begin where shorter ones do, so nothing
    needs to be counted more than once."""
    found = dict(cells)
    for level_s in LEVELS.values():
        if level_s == SHORTEST_S:
            continue
        for key, figures in cells.items():
            if key.endpoint and level_s > ENDPOINTS_S:
                continue
            start = key.start // level_s * level_s
            _add(found, key._replace(level_s=level_s, start=start), figures)
    return found


def _add(cells: Cells, key: CellKey, more: Figures) -> None:
    known = cells.get(key)
    if known is None:
        cells[key] = msgspec.structs.replace(more, latency=dict(more.latency))
    else:
        known.add(more)


def add_counts(total: dict[int, int], more: Mapping[int, int]) -> None:
    """Adds a histogram to another."""
    for index, number in more.items():
        total[index] = total.get(index, 0) + number


def edge_s(index: int) -> float:
    """The upper edge of a bucket in seconds."""
    return EDGES[index]


def quantile_bucket(latency: Mapping[int, int], q: float) -> int:
    """The bucket in which the q-quantile lies.

    Args:
        latency: of at least one request.
        q: 0 to 1.
    """
    return bucket(quantile(latency, q))


def quantile_s(latency: Mapping[int, int], q: float) -> float | None:
    """The q-quantile in seconds, at most 4.4 % above the true value; what took longer than all
    buckets is told as the last edge. None where nothing was counted.

    Args:
        q: 0 to 1.
    """
    if not latency:
        return None
    return min(quantile(latency, q), EDGES[OVERFLOW - 1])
