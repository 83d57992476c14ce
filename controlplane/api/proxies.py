"""Owns ``/v1/proxies``: who is connected, on which revision, and who refused what."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from controlplane.api.answer import json_answer
from controlplane.api.operation import Operation
from controlplane.api.rules import VIEW_ALL
from controlplane.census import Census
from controlplane.model import ProxyInfo


class ProxyList(msgspec.Struct, frozen=True):
    """Every proxy, and the revision that all should be on."""

    revision: int
    proxies: list[ProxyInfo]


class ProxiesApi:
    """Handlers of ``/v1/proxies``."""

    def __init__(self, census: Census, target: Callable[[], int]) -> None:
        self._census = census
        self._target = target

    def operations(self) -> list[Operation]:
        """What is served where."""
        return [Operation("GET", "/v1/proxies", self.list, ProxyList, rule=VIEW_ALL)]

    async def list(self, _request: web.Request) -> web.Response:
        """Every proxy that is connected, to any control plane, or was a short while ago."""
        target = self._target()
        return json_answer(ProxyList(target, await self._census.proxies(target)))
