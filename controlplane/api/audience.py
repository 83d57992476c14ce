"""Owns ``/v1/services/{name}/audience``: whom a service's versions have met. Never adds up."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec
from aiohttp import web

from controlplane.api.answer import json_answer
from controlplane.api.operation import NAME, Operation
from controlplane.api.parts import each_part
from controlplane.api.problem import invalid
from controlplane.api.reports import FROM, LEVEL, TO, Level, read_level, read_time
from controlplane.api.rules import VIEW_SERVICE
from controlplane.audience import Audience, Gathering, before, within
from controlplane.changes import service_of
from controlplane.rollup import LEVELS, quantile_s
from controlplane.store.base import Store
from proxy.model.errors import Problem

MOST = 10_000
"""Intervals in an answer: 400 days by hours are 9,600."""
_DEFAULT_S = 3_600


class VersionAudience(msgspec.Struct, frozen=True):
    """Whom one version met, in all or in one segment."""

    version: str
    segment: str
    requests: int
    errors: int
    users: int | None
    """Each once. Exact up to 256, about beyond; null where nobody looked: users are not split, or
    have no sticky key."""
    new_users: int | None
    """Of them, those whom no version of the service had met in the seven days before `from`, while
    its users were split."""
    erring_users: int | None
    """Of them, those who met an error."""
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class AudienceAnswer(msgspec.Struct, frozen=True, rename={"since": "from"}):
    """Whom a service's versions met in a stretch of time."""

    service: str
    level: Level
    since: datetime
    to: datetime
    audience: tuple[VersionAudience, ...]


class AudienceApi:
    """The handler of ``/v1/services/{name}/audience``."""

    def __init__(self, store: Store, wall: Callable[[], datetime]) -> None:
        self._store = store
        self._wall = wall

    def operations(self) -> list[Operation]:
        """What is served where."""
        return [
            Operation(
                "GET",
                "/v1/services/{name}/audience",
                self.show,
                AudienceAnswer,
                (NAME, LEVEL, FROM, TO),
                problems=(HTTPStatus.NOT_FOUND,),
                rule=VIEW_SERVICE,
            )
        ]

    async def show(self, request: web.Request) -> web.Response:
        """Whom a service's versions have met, each user once; the last hour without `from`."""
        name, level = request.match_info["name"], read_level(request)
        now = int(self._wall().timestamp())
        to = min(read_time(request, TO.name, now + 1), now + 1)
        since = read_time(request, FROM.name, max(to - _DEFAULT_S, 0))
        stretch = within(LEVELS[level], since, to)
        if len(stretch.starts) > MOST:
            message = f"more than {MOST} intervals of level {level}; ask for a longer level"
            raise invalid([Problem(FROM.name, message)])
        gathering = Gathering()
        async with self._store.reading() as unit:
            service_of((await unit.newest()).traffic, name)
            for earlier in before(since) if stretch.starts else ():
                await each_part(unit, name, earlier, gathering.met_before, segment="")
            await each_part(unit, name, stretch, gathering.add)
        rows = tuple(_view(each) for each in await asyncio.to_thread(list, gathering.found()))
        begin, end = (datetime.fromtimestamp(each, UTC) for each in (since, to))
        return json_answer(AudienceAnswer(name, level, begin, end, rows))


def _view(found: Audience) -> VersionAudience:
    return VersionAudience(
        found.version,
        found.segment,
        found.requests,
        found.errors,
        found.users,
        found.new_users,
        found.erring_users,
        *(quantile_s(found.latency, q) for q in (0.5, 0.95, 0.99)),
    )
