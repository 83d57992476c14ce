"""Owns ``/metrics``: the control plane's own figures, for Prometheus. Never counts anything."""

from aiohttp import web

from controlplane.api.operation import Operation
from controlplane.api.rules import VIEW_ALL
from controlplane.telemetry import Telemetry


class MetricsApi:
    """The handler of ``/metrics``."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def operations(self) -> list[Operation]:
        """What is served where."""
        return [Operation("GET", "/metrics", self.get, None, media="text/plain", rule=VIEW_ALL)]

    async def get(self, request: web.Request) -> web.Response:
        """Every metric, in the format that the scraper accepts."""
        body, content_type = self._telemetry.exposed(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})
