"""Owns ``/v1/convergence``: how many connected proxies have a revision in force, and who refused.

Never lists proxies one by one (``/v1/proxies`` does): it is asked several times a second by whoever
waits for a change, and costs the same for one proxy and for thousands.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from controlplane.api.answer import json_answer
from controlplane.api.body import read_count
from controlplane.api.operation import HIGHEST_NUMBER, NAME, Operation, Parameter
from controlplane.changes import service_of
from controlplane.fleet import Fleet
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
    """

    def __init__(self, store: Store, fleet: Fleet, newest: Callable[[], int]) -> None:
        self._store = store
        self._fleet = fleet
        self._newest = newest

    def operations(self) -> list[Operation]:
        """What is served where."""
        of_service = "/v1/services/{name}/convergence"
        unknown = (HTTPStatus.NOT_FOUND,)
        return [
            Operation("GET", "/v1/convergence", self.get, Convergence, (REVISION,)),
            Operation(
                "GET",
                of_service,
                self.get_of_service,
                Convergence,
                (NAME, REVISION),
                problems=unknown,
            ),
        ]

    async def get(self, request: web.Request) -> web.Response:
        """How far the newest revision has come, or ``?revision=``."""
        return self._answer(request)

    async def get_of_service(self, request: web.Request) -> web.Response:
        """The same, if there is such a service: proxies take revisions whole."""
        service_of((await self._store.newest()).traffic, request.match_info["name"])
        return self._answer(request)

    def _answer(self, request: web.Request) -> web.Response:
        newest = self._newest()
        asked = read_count(request, "revision", newest, max(newest, 1))
        return json_answer(self._fleet.convergence(newest if asked is None else asked))
