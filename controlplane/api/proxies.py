"""Owns ``/v1/proxies``: who is connected, on which revision, and who refused what."""

from collections.abc import Callable

from aiohttp import web

from controlplane.api.answer import json_answer
from controlplane.fleet import Fleet


class ProxiesApi:
    """Handlers of ``/v1/proxies``."""

    def __init__(self, fleet: Fleet, target: Callable[[], int]) -> None:
        self._fleet = fleet
        self._target = target

    def routes(self) -> list[web.RouteDef]:
        """What is served where."""
        return [web.get("/v1/proxies", self.list)]

    async def list(self, _request: web.Request) -> web.Response:
        """Every proxy that is connected or was a short while ago."""
        target = self._target()
        return json_answer({"revision": target, "proxies": self._fleet.proxies(target)})
