"""Owns ``/v1/services/{name}/reports``: what the proxies counted. Never counts, and never fills a
gap: an interval in which no proxy reported is not in the answer.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

import msgspec
from aiohttp import web
from msgspec import Meta

from controlplane.api.answer import json_answer
from controlplane.api.operation import HIGHEST_NUMBER, NAME, Operation, Parameter
from controlplane.api.order import flag
from controlplane.api.pages import CURSOR, LIMIT, cursor_below, read_cursor, read_limit
from controlplane.api.parts import Sums, each_part
from controlplane.api.problem import invalid
from controlplane.api.rules import VIEW_SERVICE
from controlplane.changes import service_of
from controlplane.rollup import ENDPOINTS_S, LEVELS, CellKey, Figures, Stretch, edge_s, quantile_s
from controlplane.store.base import Store
from proxy.model.config import Name
from proxy.model.errors import Problem
from proxy.model.spread import columns
from proxy.model.users import estimate
from proxy.model.wire import MAX_SEGMENT_CHARS, Spread

Level = Literal["10s", "1m", "1h"]
By = Literal["segment", "endpoint"]
_T = TypeVar("_T", bound=str)
LEVEL = Parameter("level", "query", Level, "How long the intervals are; 1m without it.")
FROM = Parameter(
    "from", "query", Annotated[datetime, Meta(tz=True)], "Intervals that begin then or later."
)
TO = Parameter("to", "query", Annotated[datetime, Meta(tz=True)], "Intervals that begin before.")
VERSION = Parameter("version", "query", Name, "Only this version.")
SEGMENT = Parameter(
    "segment",
    "query",
    Annotated[str, Meta(max_length=MAX_SEGMENT_CHARS)],
    "Only this `dimension=value`; empty for everybody.",
)
BY = Parameter(
    "by",
    "query",
    By,
    "What else rows are by; segment without it. Endpoints only where users are split, and not "
    "by hours.",
)
SPREAD = Parameter(
    "spread", "query", bool, "Whether each row tells how its requests are spread over users."
)
_DEFAULT: Level = "1m"


class SlowFigures(msgspec.Struct, frozen=True):
    """How many requests took longer than an edge, or were errors."""

    edge_s: float
    requests: int
    by_bucket: tuple[int, ...]


class SpreadView(msgspec.Struct, frozen=True):
    """How requests, errors and slow requests are spread over users; without testers. Users are in
    one of 64 buckets by their hash, always the same one; the 65th is for requests without a sticky
    key. By endpoint there is one bucket."""

    requests: int
    errors: int
    requests_by_bucket: tuple[int, ...]
    errors_by_bucket: tuple[int, ...]
    slow: tuple[SlowFigures, ...]
    """By edge: the service's quantiles (0.5, 0.9, 0.95, 0.99) of before its users were split."""


class VersionFigures(msgspec.Struct, frozen=True):
    """What one version did in an interval, for everybody or for one segment."""

    version: str
    segment: str
    requests: int
    errors: int
    error_rate: float
    share: float | None
    """Of the users; null where it changed, where proxies differ, and by segment."""
    users: int | None
    """How many were seen, each once however many proxies they came to. Exact up to 256, about
    beyond; testers are not among them. Null where nobody looked: users are not split, or have no
    sticky key."""
    erring_users: int | None
    """Of them, those who met an error."""
    p50_s: float | None
    """As the others, null where nothing was counted."""
    p95_s: float | None
    p99_s: float | None
    latency: dict[int, int]
    """By bucket; its edges are in docs/api.md."""
    endpoint: str = ""
    """Which the first attempt was at; empty for all."""
    spread: SpreadView | None = None
    """Only where it is asked for, and somebody looked."""


class ReportInterval(msgspec.Struct, frozen=True):
    """One interval in which proxies reported."""

    start: datetime
    reports: int
    """Of all proxies, whatever they served."""
    seconds: float
    """The sum of what these reports cover."""
    rows: tuple[VersionFigures, ...]
    """Of versions that finished requests."""


class ReportPage(msgspec.Struct, frozen=True):
    """Some intervals, newest first."""

    service: str
    level: Level
    intervals: list[ReportInterval]
    next_cursor: str | None
    """The ``cursor`` of the page that follows, if there is one."""


class ReportsApi:
    """The handler of ``/v1/services/{name}/reports``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def operations(self) -> list[Operation]:
        """What is served where."""
        return [
            Operation(
                "GET",
                "/v1/services/{name}/reports",
                self.page,
                ReportPage,
                (NAME, LEVEL, FROM, TO, VERSION, SEGMENT, BY, SPREAD, LIMIT, CURSOR),
                problems=(HTTPStatus.NOT_FOUND,),
                rule=VIEW_SERVICE,
            )
        ]

    async def page(self, request: web.Request) -> web.Response:
        """What proxies counted for a service, interval by interval, newest first."""
        name, limit = request.match_info["name"], read_limit(request)
        level = read_level(request)
        by_endpoint = _read_choice(request, BY, By, "segment") == "endpoint"
        spread = flag(request, SPREAD)
        level_s = LEVELS[level]
        if by_endpoint and level_s > ENDPOINTS_S:
            raise invalid([Problem(BY.name, f"endpoints are not kept by level {level}")])
        since = read_time(request, FROM.name, 0)
        to = read_time(request, TO.name, HIGHEST_NUMBER)
        below = min(to, read_cursor(request) or HIGHEST_NUMBER)
        rows: dict[int, list[VersionFigures]] = {}

        def show(figures: Sums) -> None:
            for key, sums in figures:
                if _is_asked(key, request):
                    rows.setdefault(key.start, []).append(_view(key, sums, spread=spread))

        async with self._store.reading() as unit:
            service_of((await unit.newest()).traffic, name)
            found = await unit.intervals(level_s, since=since, below=below, limit=limit)
            stretch = Stretch(level_s, [start for start, _ in found])
            segment = request.query.get(SEGMENT.name)
            await each_part(unit, name, stretch, show, by_endpoint=by_endpoint, segment=segment)
        intervals = [
            ReportInterval(
                datetime.fromtimestamp(start, UTC),
                everybody.reports,
                everybody.seconds,
                tuple(rows.get(start, ())),
            )
            for start, everybody in found
        ]
        more = cursor_below(found[-1][0]) if len(found) == limit else None
        return json_answer(ReportPage(name, level, intervals, more))


def _is_asked(key: CellKey, request: web.Request) -> bool:
    version = request.query.get(VERSION.name, key.version)
    return version == key.version and request.query.get(SEGMENT.name, key.segment) == key.segment


def _view(key: CellKey, sums: Figures, *, spread: bool) -> VersionFigures:
    return VersionFigures(
        version=key.version,
        segment=key.segment,
        requests=sums.requests,
        errors=sums.errors,
        error_rate=sums.errors / sums.requests if sums.requests else 0.0,
        share=sums.share,
        users=None if sums.users is None else estimate(sums.users),
        erring_users=None if sums.erring is None else estimate(sums.erring),
        p50_s=quantile_s(sums.latency, 0.5),
        p95_s=quantile_s(sums.latency, 0.95),
        p99_s=quantile_s(sums.latency, 0.99),
        latency=sums.latency,
        endpoint=key.endpoint,
        spread=_spread_view(sums.spread) if spread and sums.spread else None,
    )


def _spread_view(spread: Spread) -> SpreadView:
    requests, errors, *slow = columns(spread)
    return SpreadView(
        sum(requests),
        sum(errors),
        requests,
        errors,
        tuple(
            SlowFigures(edge_s(edge), sum(above), above)
            for edge, above in zip(spread.edges, slow, strict=True)
        ),
    )


def read_level(request: web.Request) -> Level:
    """The level that is asked for.

    Raises: ApiError 422.
    """
    return _read_choice(request, LEVEL, Level, _DEFAULT)


def _read_choice(request: web.Request, parameter: Parameter, kind: Any, default: _T) -> _T:
    text = request.query.get(parameter.name, default)
    if text not in get_args(kind):
        known = ", ".join(get_args(kind))
        raise invalid([Problem(parameter.name, f"expected {known}, got {text[:40]!r}")])
    return cast("_T", text)


def read_time(request: web.Request, name: str, default: int) -> int:
    """Unix seconds, rounded up: of whole seconds, those at or after a time.

    Raises: ApiError 422.
    """
    text = request.query.get(name)
    if text is None:
        return default
    try:
        at = msgspec.convert(text, Annotated[datetime, Meta(tz=True)])
    except msgspec.ValidationError:
        message = f"expected a time such as 2026-01-02T03:04:05Z, got {text[:40]!r}"
        raise invalid([Problem(name, message)]) from None
    return min(max(-int(-at.timestamp() // 1), 0), HIGHEST_NUMBER)
