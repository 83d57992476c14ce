"""Owns ``/v1/config``: the whole of what proxies are told. Never changes a part of it."""

from http import HTTPStatus

import msgspec
from aiohttp import web

from controlplane.api.answer import reading
from controlplane.api.body import JSON_TYPES, YAML_TYPES, read_traffic
from controlplane.api.operation import READING, Operation
from controlplane.api.order import CHANGING, REASON, read_order, reply_answer
from controlplane.api.rules import OPERATE_ALL, VIEW_ALL
from controlplane.model import Revision
from controlplane.operations import Operations
from controlplane.store.base import Store
from proxy.model.config import Name, Route, Service, Traffic


class ConfigView(msgspec.Struct, frozen=True):
    """The services and routes of one revision."""

    revision: int
    services: dict[Name, Service]
    routes: tuple[Route, ...]


class ConfigApi:
    """Handlers of ``/v1/config``."""

    def __init__(self, store: Store, operations: Operations) -> None:
        self._store = store
        self._operations = operations

    def operations(self) -> list[Operation]:
        """What is served where."""
        return [
            Operation("GET", "/v1/config", self.get, ConfigView, READING, rule=VIEW_ALL),
            Operation(
                "PUT",
                "/v1/config",
                self.put,
                ConfigView,
                (*CHANGING, REASON),
                problems=(HTTPStatus.CONFLICT,),
                body=Traffic,
                body_media=(*sorted(JSON_TYPES), *sorted(YAML_TYPES)),
                rule=OPERATE_ALL,
            ),
        ]

    async def get(self, request: web.Request) -> web.Response:
        """The newest services and routes."""
        newest = await self._store.newest()
        return reading(request, config_view(newest), newest.number)

    async def put(self, request: web.Request) -> web.Response:
        """Replaces services and routes as a whole."""
        order = await read_order(request)
        traffic = await read_traffic(request)
        return reply_answer(await self._operations.replace_traffic(traffic, order, config_view))


def config_view(revision: Revision) -> ConfigView:
    """The revision as it is shown."""
    traffic = revision.traffic
    return ConfigView(revision.number, traffic.services, traffic.routes)
