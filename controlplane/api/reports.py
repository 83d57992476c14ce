"""Owns ``/v1/services/{name}/reports``: what the proxies counted. Never counts, and never fills a
gap: an interval in which no proxy reported is not in the answer.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from controlplane.api.answer import json_answer
from controlplane.api.operation import HIGHEST_NUMBER, NAME, Operation, Parameter
from controlplane.api.pages import CURSOR, LIMIT, cursor_below, read_cursor, read_limit
from controlplane.api.problem import invalid
from controlplane.api.rules import VIEW_SERVICE
from controlplane.changes import service_of
from controlplane.rollup import LEVELS, CellKey, Figures, quantile_s
from controlplane.store.base import Store
from proxy.model.config import Name
from proxy.model.errors import Problem
from proxy.model.users import estimate
from proxy.model.wire import MAX_SEGMENT_CHARS

Level = Literal["10s", "1m", "1h"]
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
_DEFAULT: Level = "1m"


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
                (NAME, LEVEL, FROM, TO, VERSION, SEGMENT, LIMIT, CURSOR),
                problems=(HTTPStatus.NOT_FOUND,),
                rule=VIEW_SERVICE,
            )
        ]

    async def page(self, request: web.Request) -> web.Response:
        """What proxies counted for a service, interval by interval, newest first."""
        name, limit = request.match_info["name"], read_limit(request)
        level = _read_level(request)
        since = _read_time(request, FROM.name, 0)
        to = _read_time(request, TO.name, HIGHEST_NUMBER)
        below = min(to, read_cursor(request) or HIGHEST_NUMBER)
        level_s = LEVELS[level]
        async with self._store.reading() as unit:
            service_of((await unit.newest()).traffic, name)
            found = await unit.intervals(level_s, since=since, below=below, limit=limit)
            figures = await unit.figures(level_s, [start for start, _ in found], name)
        rows: dict[int, list[VersionFigures]] = {}
        for key, sums in figures:
            if _is_asked(key, request):
                rows.setdefault(key.start, []).append(_view(key, sums))
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


def _view(key: CellKey, sums: Figures) -> VersionFigures:
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
    )


def _read_level(request: web.Request) -> Level:
    text = request.query.get(LEVEL.name, _DEFAULT)
    try:
        level: Level = msgspec.convert(text, Level)
    except msgspec.ValidationError:
        known = ", ".join(LEVELS)
        raise invalid([Problem(LEVEL.name, f"expected {known}, got {text[:40]!r}")]) from None
    return level


def _read_time(request: web.Request, name: str, default: int) -> int:
    """Unix seconds, rounded up: of whole seconds, those at or after a time."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        at = msgspec.convert(text, Annotated[datetime, Meta(tz=True)])
    except msgspec.ValidationError:
        message = f"expected a time such as 2026-01-02T03:04:05Z, got {text[:40]!r}"
        raise invalid([Problem(name, message)]) from None
    return min(max(-int(-at.timestamp() // 1), 0), HIGHEST_NUMBER)
