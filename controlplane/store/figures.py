"""Owns, in a SQL database, the figures of reports and which reports were counted. Never opens or
ends a transaction, and never decides what counts.

Figures of one interval are rows side by side in the key's order, so that a batch, which touches
few intervals and most rows of each, reads and writes few pages.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from controlplane.rollup import EVERYBODY, CellKey, Cells, Figures
from controlplane.screening import Seen
from controlplane.store.tables import figures, seen_reports
from proxy.model.wire import Sample

_T = TypeVar("_T")
_AT_ONCE = 500
"""Values in one statement; SQLite has a limit."""
_KEY = (
    figures.c.level_s,
    figures.c.start,
    figures.c.service,
    figures.c.version,
    figures.c.segment,
)
_encode = msgspec.msgpack.Encoder().encode
_latency = msgspec.msgpack.Decoder(dict[int, int])
_sample = msgspec.msgpack.Decoder(Sample)


def add_figures(connection: Connection, cells: Cells) -> None:
    """Adds to what is there; must be a writing transaction."""
    known: set[CellKey] = set()
    for key, there in _there(connection, cells):
        cells[key].add(there)
        known.add(key)
    changed = [_values(key, sums, "its_") for key, sums in cells.items() if key in known]
    if changed:
        where = [column == bindparam(f"its_{column.name}") for column in _KEY]
        connection.execute(update(figures).where(*where), changed)
    new = [_values(key, sums) for key, sums in cells.items() if key not in known]
    if new:
        connection.execute(insert(figures), new)


def _there(connection: Connection, wanted: Mapping[CellKey, Figures]) -> Iterator[Any]:
    starts: dict[int, set[int]] = {}
    for key in wanted:
        starts.setdefault(key.level_s, set()).add(key.start)
    for level_s, of_level in starts.items():
        for some in _parts(sorted(of_level)):
            query = select(figures).where(
                (figures.c.level_s == level_s) & figures.c.start.in_(some)
            )
            for row in connection.execute(query):
                key = CellKey(*row[: len(_KEY)])
                if key in wanted:
                    yield key, _figures(row)


def read_intervals(
    connection: Connection, level_s: int, since: int, below: int, limit: int
) -> list[tuple[int, Figures]]:
    """The last intervals that begin at ``since`` or later and below ``below``, newest first; with
    what all reports have in common. What has no report is not among them."""
    query = (
        select(figures)
        .where(*(column == name for column, name in zip(_KEY[2:], EVERYBODY, strict=True)))
        .where(
            (figures.c.level_s == level_s) & (figures.c.start >= since) & (figures.c.start < below)
        )
        .order_by(figures.c.start.desc())
        .limit(limit)
    )
    return [(row.start, _figures(row)) for row in connection.execute(query)]


def read_figures(
    connection: Connection, level_s: int, starts: Sequence[int], service: str
) -> list[tuple[CellKey, Figures]]:
    """All that is known of a service in these intervals, by version and segment."""
    found = []
    for some in _parts(starts):
        query = (
            select(figures)
            .where(
                (figures.c.level_s == level_s)
                & figures.c.start.in_(some)
                & (figures.c.service == service)
            )
            .order_by(figures.c.start, figures.c.version, figures.c.segment)
        )
        found += [(CellKey(*row[: len(_KEY)]), _figures(row)) for row in connection.execute(query)]
    return found


def forget_figures(connection: Connection, before: Mapping[int, int]) -> None:
    """Deletes, of each level, what began before a time."""
    for level_s, start in before.items():
        old = (figures.c.level_s == level_s) & (figures.c.start < start)
        connection.execute(delete(figures).where(old))


def read_seen(connection: Connection, boots: Sequence[str]) -> dict[str, Seen]:
    """Which reports of these lives of proxies were counted."""
    found = {}
    for some in _parts(boots):
        query = select(seen_reports).where(seen_reports.c.boot.in_(some))
        for row in connection.execute(query):
            found[row.boot] = Seen(row.newest, row.mask)
    return found


def put_seen(
    connection: Connection, seen: Mapping[str, Seen], before: Mapping[str, Seen], now: datetime
) -> None:
    """Replaces what was read ``before``, in the same transaction."""
    known = [
        {"its_boot": boot, "newest": each.newest, "mask": each.mask, "at": now}
        for boot, each in seen.items()
        if boot in before
    ]
    if known:
        is_its = seen_reports.c.boot == bindparam("its_boot")
        connection.execute(update(seen_reports).where(is_its), known)
    new = [
        {"boot": boot, "newest": each.newest, "mask": each.mask, "at": now}
        for boot, each in seen.items()
        if boot not in before
    ]
    if new:
        connection.execute(insert(seen_reports), new)


def forget_seen(connection: Connection, before: datetime) -> None:
    """Deletes what was last changed before a time."""
    connection.execute(delete(seen_reports).where(seen_reports.c.at < before))


def _values(key: CellKey, sums: Figures, prefix: str = "") -> dict[str, Any]:
    names = {f"{prefix}{name}": value for name, value in key._asdict().items()}
    packed = {
        "latency": _encode(sums.latency),
        "users": None if sums.users is None else _encode(sums.users),
        "erring": None if sums.erring is None else _encode(sums.erring),
    }
    return names | msgspec.structs.asdict(sums) | packed


def _figures(row: Row[Any]) -> Figures:
    return Figures(
        row.requests,
        row.errors,
        _latency.decode(row.latency),
        row.share,
        row.reports,
        row.seconds,
        None if row.users is None else _sample.decode(row.users),
        None if row.erring is None else _sample.decode(row.erring),
    )


def _parts(values: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(values)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
