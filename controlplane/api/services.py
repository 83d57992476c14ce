"""Owns ``/v1/services``: each service with its versions, weights and shares, and its weights alone.

Never changes anything of a service but its weights (``/v1/config`` does).
"""

from http import HTTPStatus

import msgspec
from aiohttp import web

from controlplane.api.answer import json_answer, reading
from controlplane.api.body import WeightsChange, read_json
from controlplane.api.operation import NAME, READING, Operation
from controlplane.api.order import CHANGING, read_order, reply_answer
from controlplane.api.rules import OPERATE_SERVICE, VIEW, VIEW_SERVICE, caller_of
from controlplane.census import Census
from controlplane.changes import service_of, shares
from controlplane.model import Revision
from controlplane.operations import Operations
from controlplane.store.base import Store
from proxy.model.config import Version, weights_of


class ProxyCount(msgspec.Struct, frozen=True):
    """How far a revision has come."""

    connected: int
    on_newest: int


class ServiceView(msgspec.Struct, frozen=True):
    """One service as an operator looks at it."""

    name: str
    versions: dict[str, Version]
    weights: dict[str, int]
    shares: dict[str, float]
    """0–1, exact to a slot."""
    proxies: ProxyCount


class ServiceList(msgspec.Struct, frozen=True):
    """Every service of one revision."""

    revision: int
    services: list[ServiceView]


class WeightsView(msgspec.Struct, frozen=True):
    """One service's weights."""

    service: str
    revision: int
    weights: dict[str, int]
    shares: dict[str, float]


class ServicesApi:
    """Handlers of ``/v1/services``."""

    def __init__(self, store: Store, operations: Operations, census: Census) -> None:
        self._store = store
        self._operations = operations
        self._census = census

    def operations(self) -> list[Operation]:
        """What is served where."""
        one, its_weights = "/v1/services/{name}", "/v1/services/{name}/weights"
        none = (HTTPStatus.NOT_FOUND,)
        reading = (NAME, *READING)
        return [
            Operation("GET", "/v1/services", self.list, ServiceList, rule=VIEW),
            Operation("GET", one, self.get, ServiceView, (NAME,), problems=none, rule=VIEW_SERVICE),
            Operation(
                "GET",
                its_weights,
                self.get_weights,
                WeightsView,
                reading,
                problems=none,
                rule=VIEW_SERVICE,
            ),
            Operation(
                "PUT",
                its_weights,
                self.put_weights,
                WeightsView,
                (NAME, *CHANGING),
                body=WeightsChange,
                problems=(*none, HTTPStatus.CONFLICT),
                rule=OPERATE_SERVICE,
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """Every service in the caller's scope. No 304: counts change without a new revision."""
        newest = await self._store.newest()
        may_see = caller_of(request).may_touch
        views = [self._view(newest, name) for name in newest.traffic.services if may_see(name)]
        return json_answer(ServiceList(newest.number, views), tag=newest.number)

    async def get(self, request: web.Request) -> web.Response:
        """One service."""
        newest = await self._store.newest()
        view = self._view(newest, request.match_info["name"])
        return json_answer(view, tag=newest.number)

    async def get_weights(self, request: web.Request) -> web.Response:
        """One service's weights."""
        newest = await self._store.newest()
        view = _weights(newest, request.match_info["name"])
        return reading(request, view, newest.number)

    async def put_weights(self, request: web.Request) -> web.Response:
        """Replaces one service's weights whole: a version that is not named gets 0."""
        name, change = request.match_info["name"], await read_json(request, WeightsChange)
        order = await read_order(request, change.reason)
        return reply_answer(
            await self._operations.set_weights(
                name, change.weights, order, lambda revision: _weights(revision, name)
            )
        )

    def _view(self, newest: Revision, name: str) -> ServiceView:
        service = service_of(newest.traffic, name)
        return ServiceView(
            name=name,
            versions=service.versions,
            weights=weights_of(service),
            shares=shares(service),
            proxies=ProxyCount(self._census.connected(), self._census.on(newest.number)),
        )


def _weights(revision: Revision, name: str) -> WeightsView:
    service = service_of(revision.traffic, name)
    return WeightsView(name, revision.number, weights_of(service), shares(service))
