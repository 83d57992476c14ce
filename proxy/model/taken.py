"""Owns how what several workers have seen adds up, and rows of reports with it. Pure."""

from collections.abc import Iterable

import msgspec

from proxy.model import spread, users
from proxy.model.wire import ReportRow, Taken, UsersSeen

RowKey = tuple[str, str, str, str]
"""Service, version, segment, endpoint."""


def key_of(row: ReportRow) -> RowKey:
    """What a row is about."""
    return row.service, row.version, row.segment, row.endpoint


def summed(rows: Iterable[ReportRow]) -> tuple[ReportRow, ...]:
    """Rows about the same as one, in the order in which each came first."""
    sums: dict[RowKey, ReportRow] = {}
    for row in rows:
        key = key_of(row)
        sums[key] = _sum(sums[key], row) if key in sums else row
    return tuple(sums.values())


def joined(parts: Iterable[Taken]) -> Taken:
    """What was seen by any of several processes."""
    parts = tuple(parts)
    seen: dict[tuple[str, str, str], UsersSeen] = {}
    for part in parts:
        for each in part.seen:
            key = (each.service, each.version, each.segment)
            known = seen.get(key)
            seen[key] = each if known is None else _both(known, each)
    served = summed(row for part in parts for row in part.served)
    return Taken(tuple(seen[key] for key in sorted(seen)), tuple(sorted(served, key=key_of)))


def _both(first: UsersSeen, second: UsersSeen) -> UsersSeen:
    return msgspec.structs.replace(
        first,
        users=users.merged(first.users, second.users),
        erring=users.merged(first.erring, second.erring),
        spread=spread.joined(first.spread, second.spread),
    )


def _sum(first: ReportRow, second: ReportRow) -> ReportRow:
    latency = dict(first.latency)
    for bucket, count in second.latency.items():
        latency[bucket] = latency.get(bucket, 0) + count
    return msgspec.structs.replace(
        first,
        requests=first.requests + second.requests,
        errors=first.errors + second.errors,
        latency=latency,
        share=first.share if first.share == second.share else None,
        users=users.merged(first.users, second.users),
        erring=users.merged(first.erring, second.erring),
        spread=spread.joined(first.spread, second.spread),
    )
