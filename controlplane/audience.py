"""Owns whom a service's versions have met in a stretch of time, each user once. Pure.

Samples of users add up (docs/adr/0024), so those of any intervals give those of the stretch; counts
of users would not.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from controlplane.rollup import LEVELS, CellKey, Figures, Stretch, add_counts
from proxy.model.users import Sketch, estimate, newcomers
from proxy.model.wire import Sample

LOOK_BACK_S: Final = 7 * 86_400
"""Who was met so long ago, and not since, is new again."""


class Audience(msgspec.Struct, frozen=True):
    """Whom one version met, in all or in one segment, and what they met."""

    version: str
    segment: str
    requests: int
    errors: int
    latency: dict[int, int]
    users: int | None
    new_users: int | None
    erring_users: int | None


class _Sum:
    def __init__(self) -> None:
        self.figures = Figures()
        self.users: Sketch | None = None
        self.erring: Sketch | None = None


class Gathering:
    """Adds intervals up."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._before = Sketch()

    def met_before(self, rows: Iterable[tuple[CellKey, Figures]]) -> None:
        """These were met before the stretch, by any version."""
        for key, figures in rows:
            if not key.segment and figures.users is not None:
                self._before.update(figures.users)

    def add(self, rows: Iterable[tuple[CellKey, Figures]]) -> None:
        """These are of the stretch."""
        for key, figures in rows:
            total = self._sums.setdefault((key.version, key.segment), _Sum())
            total.figures.requests += figures.requests
            total.figures.errors += figures.errors
            add_counts(total.figures.latency, figures.latency)
            total.users = _with(total.users, figures.users)
            total.erring = _with(total.erring, figures.erring)

    def found(self) -> Iterator[Audience]:
        """By version and segment."""
        before = self._before.sample()
        for (version, segment), total in sorted(self._sums.items()):
            users = None if total.users is None else total.users.sample()
            yield Audience(
                version,
                segment,
                total.figures.requests,
                total.figures.errors,
                total.figures.latency,
                users=None if users is None else estimate(users),
                new_users=None if users is None else estimate(newcomers(users, before)),
                erring_users=None if total.erring is None else estimate(total.erring.sample()),
            )


def before(start: int) -> Iterator[Stretch]:
    """The intervals before a time in which users were met, as long ones as can be.

    Args:
        start: Unix seconds.
    """
    since = start // LEVELS["1h"] * LEVELS["1h"] - LOOK_BACK_S
    for level_s in sorted(LEVELS.values(), reverse=True):
        until = start // level_s * level_s
        if since < until:
            yield Stretch(level_s, range(since, until, level_s))
        since = until


def within(level_s: int, since: int, to: int) -> Stretch:
    """The intervals of a level that begin at ``since`` or later, and before ``to``."""
    return Stretch(level_s, range(-(-since // level_s) * level_s, to, level_s))


def _with(sketch: Sketch | None, more: Sample | None) -> Sketch | None:
    if more is None:
        return sketch
    sketch = sketch or Sketch()
    sketch.update(more)
    return sketch
