"""Owns the probes. Never needs a token, and tells nothing but yes or no."""

from aiohttp import web

from controlplane.api.answer import json_answer
from controlplane.store.base import Store


class HealthApi:
    """Handlers of ``/healthz`` and ``/readyz``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        """What is served where."""
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    async def healthz(self, _request: web.Request) -> web.Response:
        """The process is alive."""
        return json_answer({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """The store answers too; when not, its error becomes a 503."""
        await self._store.ping()
        return json_answer({"status": "ok"})
