"""Owns ``/v1/config``: the whole of what proxies are told. Never changes a part of it."""

from typing import Any

from aiohttp import web

from controlplane.api.answer import json_answer, reading
from controlplane.api.body import read_reason, read_traffic
from controlplane.api.middleware import AUTHOR
from controlplane.api.revision_tags import expected_revisions
from controlplane.model import Revision
from controlplane.operations import Operations
from controlplane.store.base import Store


class ConfigApi:
    """Handlers of ``/v1/config``."""

    def __init__(self, store: Store, operations: Operations) -> None:
        self._store = store
        self._operations = operations

    def routes(self) -> list[web.RouteDef]:
        """What is served where."""
        return [web.get("/v1/config", self.get), web.put("/v1/config", self.put)]

    async def get(self, request: web.Request) -> web.Response:
        """The newest services and routes."""
        newest = await self._store.newest()
        return reading(request, _shown(newest), newest.number)

    async def put(self, request: web.Request) -> web.Response:
        """Replaces services and routes as a whole."""
        expected, reason = expected_revisions(request), read_reason(request)
        traffic = await read_traffic(request)
        revision = await self._operations.replace_traffic(
            traffic, request[AUTHOR], reason, expected
        )
        return json_answer(_shown(revision), revision=revision.number)


def _shown(revision: Revision) -> dict[str, Any]:
    traffic = revision.traffic
    return {"revision": revision.number, "services": traffic.services, "routes": traffic.routes}
