"""Owns ``splitway reports``: what the proxies counted in the last while, as one table. Never calls
a stretch without reports a zero."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import typer

from controlplane.operator import show
from controlplane.operator.calling import call, client_of, failed
from controlplane.operator.client import Client
from controlplane.rollup import LEVELS, Figures, add_counts, quantile_s

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST_S = 400 * 86_400
_FINE = {"10s": 3_600, "1m": 86_400}
"""Up to so many seconds back a level gives few enough intervals."""
_PAGE = "500"
_USERS = ("users", "new_users", "erring_users")


def reports(
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    since: Annotated[
        str, typer.Option(metavar="DURATION", help="How far back: 90s, 30m, 6h, 7d.")
    ] = "1h",
    level: Annotated[
        str | None,
        typer.Option(metavar="10s|1m|1h", help="Of which intervals; without it what fits."),
    ] = None,
    version: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="DIMENSION=VALUE", help="Only this one.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="segment|endpoint", help="Endpoints: only where users are split, up to 7 days."
        ),
    ] = "segment",
    json: Annotated[
        bool, typer.Option("--json", help="Every interval as the API tells it.")
    ] = False,
) -> None:
    """Shows what proxies counted: requests, errors and latency by version and segment.

    Stretches in which no proxy reported are named below; nothing is known of them.
    """
    now = datetime.now(UTC)
    back_s = _seconds(since)
    by_endpoint = by == "endpoint"
    coarse = "1m" if by_endpoint else "1h"
    level = level or next((name for name, s in _FINE.items() if back_s <= s), coarse)
    begin = now - timedelta(seconds=back_s)
    stretch = {"level": level, "from": begin.isoformat()}
    wanted = {**stretch, "by": by, "limit": _PAGE}
    wanted |= {"version": version} if version is not None else {}
    wanted |= {"segment": segment} if segment is not None else {}
    client, path = client_of(context), f"/v1/services/{quote(service, safe='')}"
    answer = _all_of(client, f"{path}/reports", wanted)
    if json:
        show.show_json(answer)
        return
    intervals = answer["intervals"]
    found = list(gaps((_unix(each["start"]) for each in intervals), LEVELS[level], begin, now))
    if by_endpoint:
        rows = list(_endpoints(intervals))
    else:
        met = call(client.read(f"{path}/audience", stretch))
        rows = list(_segments(met["audience"], version, segment))
    counted = sum(each["reports"] for each in intervals)
    show.show_reports(rows, counted, found, by_endpoint=by_endpoint)


def _all_of(client: Client, path: str, wanted: Mapping[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = call(client.read(path, wanted))
    cursor = answer["next_cursor"]
    while cursor is not None:
        page = call(client.read(path, {**wanted, "cursor": cursor}))
        answer["intervals"] += page["intervals"]
        cursor = page["next_cursor"]
    answer["next_cursor"] = None
    return answer


def _segments(
    audience: Iterable[Mapping[str, Any]], version: str | None, segment: str | None
) -> Iterator[tuple[object, ...]]:
    for row in audience:
        if version not in (None, row["version"]) or segment not in (None, row["segment"]):
            continue
        times = [row[name] for name in ("p50_s", "p95_s", "p99_s")]
        users = ("-" if row[name] is None else row[name] for name in _USERS)
        what = (row["version"], row["segment"] or "(all)")
        yield (*what, *_counted(row["requests"], row["errors"], times), *users)


def _endpoints(intervals: Iterable[Mapping[str, Any]]) -> Iterator[tuple[object, ...]]:
    sums: dict[tuple[str, str], Figures] = {}
    for interval in intervals:
        for row in interval["rows"]:
            total = sums.setdefault((row["version"], row["endpoint"]), Figures())
            total.requests += row["requests"]
            total.errors += row["errors"]
            add_counts(total.latency, {int(at): n for at, n in row["latency"].items()})
    for what, total in sorted(sums.items()):
        times = [quantile_s(total.latency, q) for q in (0.5, 0.95, 0.99)]
        yield (*what, *_counted(total.requests, total.errors, times))


def _counted(requests: int, errors: int, times_s: Iterable[float | None]) -> Iterator[object]:
    yield requests
    yield show.percent(errors / requests) if requests else "-"
    yield from map(_time, times_s)


def gaps(
    starts: Iterable[int], level_s: int, begin: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Stretches of whole intervals between ``begin`` and ``end`` that are not among ``starts``.

    The last interval may still be on its way, and is never missed.
    """
    there = set(starts)
    first = -int(-begin.timestamp() // level_s) * level_s
    last = (int(end.timestamp() // level_s) - 1) * level_s
    since: int | None = None
    for start in range(first, last, level_s):
        if start not in there:
            since = start if since is None else since
        elif since is not None:
            yield _at(since), _at(start)
            since = None
    if since is not None:
        yield _at(since), _at(last)


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_S:
        raise failed(f"--since {text!r}: write a duration such as 90s, 30m, 6h or 7d, up to 400d")
    return seconds


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _at(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
