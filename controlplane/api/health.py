"""Owns the probes. Never needs a token, and tells nothing but yes or no."""

import msgspec
from aiohttp import web

from controlplane.api.answer import json_answer
from controlplane.api.operation import Operation
from controlplane.api.rules import PUBLIC
from controlplane.store.base import Store


class Health(msgspec.Struct, frozen=True):
    """Yes."""

    status: str = "ok"


class HealthApi:
    """Handlers of ``/healthz`` and ``/readyz``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def operations(self) -> list[Operation]:
        """What is served where."""
        return [
            Operation("GET", "/healthz", self.healthz, Health, rule=PUBLIC),
            Operation("GET", "/readyz", self.readyz, Health, rule=PUBLIC),
        ]

    async def healthz(self, _request: web.Request) -> web.Response:
        """The process is alive."""
        return json_answer(Health())

    async def readyz(self, _request: web.Request) -> web.Response:
        """The store answers too; when not, its error becomes a 503."""
        await self._store.ping()
        return json_answer(Health())
