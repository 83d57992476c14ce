"""Owns a server that speaks the Kubernetes API's list and watch protocol for EndpointSlices.

It keeps a history, as the API server does: a watch goes on from a version that is still in it, and
is refused with 410 when that was compacted.
"""

import asyncio
import json
from typing import Any, Self

from aiohttp import web

PATH = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"


def endpoint_slice(
    name: str,
    *addresses: str | dict[str, Any],
    service: str = "shop",
    family: str = "IPv4",
    ports: tuple[dict[str, Any], ...] = ({"name": "http", "port": 8080, "protocol": "TCP"},),
) -> dict[str, Any]:
    """An EndpointSlice as the API has it; an address alone is a ready endpoint."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": family,
        "endpoints": [
            pod(address) if isinstance(address, str) else address for address in addresses
        ],
        "ports": list(ports),
    }


def pod(
    address: str, *, ready: bool = True, serving: bool | None = None,
    terminating: bool = False, zone: str = "",
) -> dict[str, Any]:  # fmt: skip
    """One endpoint of a slice."""
    conditions = {
        "ready": ready,
        "serving": ready if serving is None else serving,
        "terminating": terminating,
    }
    return {"addresses": [address], "conditions": conditions} | ({"zone": zone} if zone else {})


class KubeApi:
    """The server: an async context manager.

    Attributes:
        environment: of a pod of this cluster.
        lists, watches: how often each was asked for; the versions that watches began at.
        page: the most slices in one answer to a list.
        status, text: what it answers to everything, if set.
    """

    def __init__(self, token: str = "") -> None:
        self.lists = 0
        self.watches: list[int] = []
        self.page = 500
        self.status = 200
        self.text = ""
        self.environment: dict[str, str] = {}
        self._token = token
        self._version = 100
        self._oldest = 100
        self._slices: dict[str, dict[str, Any]] = {}
        self._history: list[tuple[int, dict[str, Any]]] = []
        self._news = asyncio.Condition()
        self._open: set[asyncio.Task[Any]] = set()
        app = web.Application()
        app.router.add_get(PATH, self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await self._runner.cleanup()

    async def put(self, value: dict[str, Any]) -> None:
        """Add a slice, or change it."""
        name = value["metadata"]["name"]
        kind = "MODIFIED" if name in self._slices else "ADDED"
        await self._change(kind, value)
        self._slices[name] = value

    async def delete(self, name: str) -> None:
        """Take a slice away."""
        await self._change("DELETED", self._slices.pop(name))

    async def bookmark(self) -> None:
        """Others have changed in the meantime: tell who watches how far we are."""
        await self._change("BOOKMARK", {"kind": "EndpointSlice", "metadata": {}})

    def compact(self) -> None:
        """Forget everything before now."""
        self._oldest = self._version
        self._history.clear()

    def cut(self) -> None:
        """Break every watch off."""
        for task in self._open:
            task.cancel()

    async def _change(self, kind: str, value: dict[str, Any]) -> None:
        async with self._news:
            self._version += 1
            value = json.loads(json.dumps(value))
            value["metadata"]["resourceVersion"] = str(self._version)
            self._history.append((self._version, {"type": kind, "object": value}))
            self._news.notify_all()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"},
                                     status=401)  # fmt: skip
        if self.text:
            return web.Response(text=self.text, content_type="application/json")
        if self.status != 200:
            return web.json_response({"kind": "Status", "code": self.status, "message": "no"},
                                     status=self.status)  # fmt: skip
        label, _, service = request.query["labelSelector"].partition("=")
        assert label == "kubernetes.io/service-name"
        if request.query.get("watch") == "true":
            return await self._watch(request, service)
        self.lists += 1
        chosen = [each for _, each in sorted(self._slices.items())
                  if each["metadata"]["labels"][label] == service]  # fmt: skip
        start = int(request.query.get("continue") or 0)
        end = start + min(self.page, int(request.query["limit"]))
        metadata = {"resourceVersion": str(self._version)}
        if end < len(chosen):
            metadata["continue"] = str(end)
        return web.json_response({"kind": "EndpointSliceList", "metadata": metadata,
                                  "items": chosen[start:end]})  # fmt: skip

    async def _watch(self, request: web.Request, service: str) -> web.StreamResponse:
        assert request.query["allowWatchBookmarks"] == "true"
        version = int(request.query["resourceVersion"])
        self.watches.append(version)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if version < self._oldest:
                gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
                await self._send(response, {"type": "ERROR", "object": gone})
                return response
            while True:
                async with self._news:
                    new = [each for each in self._history if each[0] > version]
                    if not new:
                        await self._news.wait()
                        continue
                version = new[-1][0]
                for _, event in new:
                    labels = event["object"]["metadata"].get("labels", {})
                    if event["type"] == "BOOKMARK" or service in labels.values():
                        await self._send(response, event)
        finally:
            self._open.discard(task)

    @staticmethod
    async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
        """In two pieces: nobody promises that a line comes whole."""
        line = json.dumps(event).encode() + b"\n"
        await response.write(line[: len(line) // 2])
        await response.write(line[len(line) // 2 :])
