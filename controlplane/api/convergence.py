"""Owns ``/v1/convergence``: how many connected proxies have a revision in force, and who refused.

Never lists proxies one by one (``/v1/proxies`` does): it is asked several times a second by whoever
waits for a change, and costs the same for one proxy and for thousands.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from controlplane.access.caller import Caller
from controlplane.api.answer import json_answer
from controlplane.api.body import read_count
from controlplane.api.operation import HIGHEST_NUMBER, NAME, Operation, Parameter
from controlplane.api.rules import VIEW_ALL, VIEW_SERVICE, caller_of
from controlplane.census import Census
from controlplane.changes import service_of
from controlplane.model import Convergence
from controlplane.store.base import Store

REVISION = Parameter(
    "revision",
    "query",
    Annotated[int, Meta(ge=1, le=HIGHEST_NUMBER)],
    "Up to the newest one, which it is without this.",
)


class ConvergenceApi:
    """Handlers of ``/v1/convergence`` and of the same for one service.

    Args:
        newest: the revision that every proxy should be on.
        catch_up: learns of a revision that another control plane has made. Raises StoreError.
    """

    def __init__(
        self,
        store: Store,
        census: Census,
        newest: Callable[[], int],
        catch_up: Callable[[int], Awaitable[None]],
    ) -> None:
        self._store = store
        self._census = census
        self._newest = newest
        self._catch_up = catch_up

    def operations(self) -> list[Operation]:
        """What is served where."""
        of_service = "/v1/services/{name}/convergence"
        unknown = (HTTPStatus.NOT_FOUND,)
        return [
            Operation("GET", "/v1/convergence", self.get, Convergence, (REVISION,), rule=VIEW_ALL),
            Operation(
                "GET",
                of_service,
                self.get_of_service,
                Convergence,
                (NAME, REVISION),
                problems=unknown,
                rule=VIEW_SERVICE,
            ),
        ]

    async def get(self, request: web.Request) -> web.Response:
        """How far the newest revision has come, or ``?revision=``."""
        return json_answer(await self._asked(request))

    async def get_of_service(self, request: web.Request) -> web.Response:
        """The same, if there is such a service: proxies take revisions whole."""
        service_of((await self._store.newest()).traffic, request.match_info["name"])
        return json_answer(_within(await self._asked(request), caller_of(request)))

    async def _asked(self, request: web.Request) -> Convergence:
        asked = read_count(request, "revision", None, HIGHEST_NUMBER)
        if asked is not None and asked > self._newest():
            await self._catch_up(asked)
        newest = self._newest()
        read_count(request, "revision", None, max(newest, 1))
        return self._census.convergence(newest if asked is None else asked)


def _within(found: Convergence, caller: Caller) -> Convergence:
    """Without the problems that name what is outside of the caller's scope."""
    if caller.services is None:
        return found
    fields = tuple(f"services.{service}." for service in caller.services)
    refusals = tuple(
        msgspec.structs.replace(
            refusal,
            problems=tuple(
                problem for problem in refusal.problems if f"{problem.field}.".startswith(fields)
            ),
        )
        for refusal in found.refusals
    )
    return msgspec.structs.replace(found, refusals=refusals)
