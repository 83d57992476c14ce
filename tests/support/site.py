"""Owns a proxy before back ends that keep journals, all real processes, for tests under load."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from loadtests.demo.children import Child, Children
from tests.support.load import Load
from tests.support.road import ROOT, Road, free_port, said


class Site:
    """A proxy, and back ends that keep journals.

    Attributes:
        road: the proxy, and a control plane where one is started.
        backends: their processes, by name.
        ports: theirs, by name.
    """

    def __init__(self, road: Road, folder: Path) -> None:
        self.road = road
        self._folder = folder
        self.backends: dict[str, Child] = {}
        self.ports: dict[str, int] = {}

    @property
    def journals(self) -> list[Path]:
        return [self._folder / f"{name}.journal" for name in self.ports]

    async def backend(self, name: str, mode: str = "well") -> str:
        """Start one, again if it was there. Returns its URL."""
        port = self.ports.setdefault(name, free_port())
        self.road.starts += 1
        child = await self.road.children.start(
            f"{name}-{self.road.starts}",
            [sys.executable, "-m", "tests.support.faulty_backend", f"--name={name}",
             f"--port={port}", f"--mode={mode}", f"--journal={self._folder / f'{name}.journal'}"],
            {**os.environ, "PYTHONPATH": str(ROOT)},
            lasting=False,
        )  # fmt: skip
        await said(child, "serving on")
        self.backends[name] = child
        return f"http://127.0.0.1:{port}"

    async def proxy(self, traffic: str, more: str = "", workers: int = 1) -> None:
        await self.road.start_proxy(self.road.config(traffic, more), workers=workers)

    def load(self, path: str = "/", prefix: str = "load") -> Load:
        return Load(("127.0.0.1", self.road.port), path, prefix)

    async def states(self) -> dict[str, dict[str, int]]:
        """Of each endpoint, how many workers have it in which state."""
        async with self.road.client.get(self.road.admin + "/endpoints") as response:
            told = await response.json()
        return {each["endpoint"]: each for each in told["endpoints"]}

    async def sources(self) -> list[dict[str, object]]:
        async with self.road.client.get(self.road.admin + "/endpoints") as response:
            told: dict[str, list[dict[str, object]]] = await response.json()
        return told["sources"]

    async def metric(self, name: str) -> float:
        return await self.road.metric(name)

    async def in_flight(self) -> float:
        return await self.road.metric("splitway_requests_in_flight")


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client,
        Children(folder, cwd=folder) as children,
    ):
        yield Site(Road(folder, children, client), folder)
