"""Owns what was measured: medians and spreads over rounds, ratios between proxies. Pure; never
rounds and never formats.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number from one round."""

    proxy: str
    work: str
    """A scenario, or one of the other measures."""
    name: str
    """Of what, with its unit: ``cpu_us``."""
    value: float


@dataclass(frozen=True, slots=True)
class Spread:
    """One number over all rounds."""

    median: float
    low: float
    high: float


class Figures:
    """Every number of one comparison, in the order they were measured."""

    def __init__(self, figures: Iterable[Figure] = ()) -> None:
        self.all = list(figures)

    def add(self, proxy: str, work: str, values: Mapping[str, float]) -> None:
        """Keep what one round of one work on one proxy gave."""
        self.all += [Figure(proxy, work, name, value) for name, value in values.items()]

    def drop(self, proxy: str) -> None:
        """Forget a proxy that did not hold out: half of its rounds are no comparison."""
        self.all = [figure for figure in self.all if figure.proxy != proxy]

    def values(self, proxy: str, work: str, name: str) -> list[float]:
        """One number, round by round."""
        key = (proxy, work, name)
        return [each.value for each in self.all if (each.proxy, each.work, each.name) == key]

    def spread(self, proxy: str, work: str, name: str) -> Spread | None:
        """One number over all rounds; None where it was not measured."""
        values = self.values(proxy, work, name)
        if not values:
            return None
        return Spread(statistics.median(values), min(values), max(values))

    def ratio(self, proxy: str, base: str, work: str, name: str) -> float | None:
        """The proxy's median by the base's; None where either is missing or the base's is 0."""
        mine, theirs = self.spread(proxy, work, name), self.spread(base, work, name)
        if mine is None or theirs is None or not theirs.median:
            return None
        return mine.median / theirs.median

    def ranking(self, work: str, name: str) -> list[str]:
        """Who has that number, the lowest median first."""
        here = {each.proxy for each in self.all if (each.work, each.name) == (work, name)}
        return sorted(here, key=lambda proxy: statistics.median(self.values(proxy, work, name)))
