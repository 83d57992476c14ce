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
from sqlalchemy import Connection, RowMapping, Table, bindparam, delete, insert, select, update

from controlplane.rollup import CellKey, Cells, Figures
from controlplane.screening import Seen
from controlplane.store.tables import endpoint_figures, figures, seen_reports
from proxy.model.wire import Sample, Spread

_T = TypeVar("_T")
_AT_ONCE = 500
"""Values in one statement; SQLite has a limit."""
_encode = msgspec.msgpack.Encoder().encode
_latency = msgspec.msgpack.Decoder(dict[int, int])
_sample = msgspec.msgpack.Decoder(Sample)
_spread = msgspec.msgpack.Decoder(Spread)


def add_figures(connection: Connection, cells: Cells) -> None:
    """Adds to what is there; must be a writing transaction."""
    for table in (figures, endpoint_figures):
        its = {key: sums for key, sums in cells.items() if _table_of(key) is table}
        if its:
            _add(connection, table, its)


def _table_of(key: CellKey) -> Table:
    return endpoint_figures if key.endpoint else figures


def _add(connection: Connection, table: Table, cells: Cells) -> None:
    known: set[CellKey] = set()
    for key, there in _there(connection, table, cells):
        cells[key].add(there)
        known.add(key)
    changed = [_values(table, key, sums, "its_") for key, sums in cells.items() if key in known]
    if changed:
        where = [column == bindparam(f"its_{column.name}") for column in table.primary_key]
        connection.execute(update(table).where(*where), changed)
    new = [_values(table, key, sums) for key, sums in cells.items() if key not in known]
    if new:
        connection.execute(insert(table), new)


def _there(
    connection: Connection, table: Table, wanted: Mapping[CellKey, Figures]
) -> Iterator[tuple[CellKey, Figures]]:
    starts: dict[int, set[int]] = {}
    for key in wanted:
        starts.setdefault(key.level_s, set()).add(key.start)
    for level_s, of_level in starts.items():
        for some in _parts(sorted(of_level)):
            query = select(table).where((table.c.level_s == level_s) & table.c.start.in_(some))
            for row in connection.execute(query).mappings():
                key = _key(row)
                if key in wanted:
                    yield key, _figures(row)


def read_intervals(
    connection: Connection, level_s: int, since: int, below: int, limit: int
) -> list[tuple[int, Figures]]:
    """The last intervals that begin at ``since`` or later and below ``below``, newest first; with
    what all reports have in common. What has no report is not among them."""
    columns = figures.c
    query = (
        select(figures)
        .where(*(column == "" for column in (columns.service, columns.version, columns.segment)))
        .where((columns.level_s == level_s) & (columns.start >= since) & (columns.start < below))
        .order_by(columns.start.desc())
        .limit(limit)
    )
    return [(row["start"], _figures(row)) for row in connection.execute(query).mappings()]


def read_figures(
    connection: Connection,
    level_s: int,
    starts: Sequence[int],
    service: str,
    *,
    by_endpoint: bool,
    segment: str | None,
) -> list[tuple[CellKey, Figures]]:
    """All that is known of a service in these intervals, by version, and segment or endpoint."""
    table = endpoint_figures if by_endpoint else figures
    of_segment = [] if segment is None or by_endpoint else [table.c.segment == segment]
    found = []
    for some in _parts(starts):
        query = (
            select(table)
            .where(
                (table.c.level_s == level_s)
                & table.c.start.in_(some)
                & (table.c.service == service),
                *of_segment,
            )
            .order_by(*table.primary_key)
        )
        rows = connection.execute(query).mappings()
        found += [(_key(row), _figures(row)) for row in rows]
    return found


def forget_figures(connection: Connection, before: Mapping[int, int]) -> None:
    """Deletes, of each level, what began before a time."""
    for table in (figures, endpoint_figures):
        for level_s, start in before.items():
            old = (table.c.level_s == level_s) & (table.c.start < start)
            connection.execute(delete(table).where(old))


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


def _key(row: RowMapping) -> CellKey:
    return CellKey(*(row.get(name, "") for name in CellKey._fields))


def _values(table: Table, key: CellKey, sums: Figures, prefix: str = "") -> dict[str, Any]:
    columns = table.c.keys()
    names = {f"{prefix}{name}": value for name, value in key._asdict().items() if name in columns}
    packed = {
        "latency": _encode(sums.latency),
        "users": None if sums.users is None else _encode(sums.users),
        "erring": None if sums.erring is None else _encode(sums.erring),
        "spread": None if sums.spread is None else _encode(sums.spread),
    }
    values = msgspec.structs.asdict(sums) | packed
    return names | {name: value for name, value in values.items() if name in columns}


def _figures(row: RowMapping) -> Figures:
    spread = None if row["spread"] is None else _spread.decode(row["spread"])
    sums = Figures(row["requests"], row["errors"], _latency.decode(row["latency"]), spread=spread)
    if "endpoint" not in row:
        sums.share, sums.reports, sums.seconds = row["share"], row["reports"], row["seconds"]
        sums.users = None if row["users"] is None else _sample.decode(row["users"])
        sums.erring = None if row["erring"] is None else _sample.decode(row["erring"])
    return sums


def _parts(values: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(values)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
