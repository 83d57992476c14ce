"""Owns the order of events of the demo of several control planes. Ends everything it started."""

import asyncio
import itertools
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from loadtests.control import Control, ControlError
from loadtests.demo.children import Child, Children
from loadtests.demo.setting import ROOT
from loadtests.ha.balancer import balancing
from loadtests.postgres import free_port, running_server

READY_S = 30.0
CLIENTS = 8
"""Of each proxy."""
SERVICE = "shop"
TRAFFIC = """\
services:
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"]}}
    weights: {{stable: 99, canary: 1}}
    sticky: {{key: [{{header: X-User-Id}}]}}
routes:
  - {{match: {{path: {{prefix: /}}}}, service: shop}}
"""
PROXY = """\
listeners:
  - {{name: web, bind: "127.0.0.1:{web}"}}
admin: {{bind: "127.0.0.1:{admin}"}}
control: {{url: "http://127.0.0.1:{control}", token_file: {token}}}
drain: {{grace_s: 0, deadline_s: 5}}
"""


@dataclass
class Tally:
    """What was seen."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)
    changes: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    """From a change's answer until both proxies have it in force."""


async def run(load_s: float) -> int:
    """Runs the whole demo; returns the exit code."""
    with ExitStack() as stack:
        folder = stack.enter_context(_new_folder())
        start = stack.enter_context
        server = await asyncio.to_thread(start, running_server(folder / "postgres"))
        store = await asyncio.to_thread(server.new_database)
        async with Children(folder, ROOT) as children:
            demo = _Demo(folder, children, store)
            async with balancing(demo.balancer, demo.replicas):
                await demo.start()
                await demo.load(load_s)
            return demo.sum_up()


@contextmanager
def _new_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="splitway-ha-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may have to run as somebody else
        yield folder


class _Demo:
    def __init__(self, folder: Path, children: Children, store: str) -> None:
        self._folder = folder
        self._children = children
        self._store = store
        self._token = secrets.token_urlsafe(32)
        self._token_file = folder / "token"
        self._token_file.touch(0o600)
        self._token_file.write_text(self._token)
        self.balancer = free_port()
        self.replicas = [free_port(), free_port()]
        self._web = [free_port(), free_port()]
        self._admin = [free_port(), free_port()]
        self._control = Control(f"http://127.0.0.1:{self.balancer}", self._token)
        self._tally = Tally()
        self._newest = 0
        self._at: list[int] = []

    async def start(self) -> None:
        """Everything up to both proxies being ready."""
        ports = {"stable": free_port(), "canary": free_port()}
        for version, port in ports.items():
            await self._python(
                version, "loadtests.sample", f"--version={version}", f"--port={port}"
            )
        self._first = await self._replica(0)
        await self._replica(1)
        for port in (*ports.values(), *self.replicas):
            await _until_ready(f"http://127.0.0.1:{port}/healthz")
        text = TRAFFIC.format(**ports)
        self._newest = await asyncio.to_thread(self._control.put_config, text)
        for number, (web, admin) in enumerate(zip(self._web, self._admin, strict=True), 1):
            config = self._folder / f"proxy{number}.yaml"
            token = json.dumps(str(self._token_file))
            config.write_text(
                PROXY.format(web=web, admin=admin, control=self.balancer, token=token)
            )
            await self._python(f"proxy{number}", "proxy", f"--config={config}", "--workers=1")
        for admin in self._admin:
            await _until_ready(f"http://127.0.0.1:{admin}/readyz")
        print(
            f"PostgreSQL, control planes on {self.replicas} behind {self.balancer}, "
            f"proxies on {self._web}"
        )

    async def load(self, load_s: float) -> None:
        """Requests and changes all the time; one replica is killed and started again meanwhile."""
        over = asyncio.Event()
        began_s = time.monotonic()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for web, client in itertools.product(self._web, range(CLIENTS)):
                tasks.create_task(self._requests(session, web, client, over))
            changing = tasks.create_task(self._changes(session, over))
            await asyncio.sleep(load_s / 3)
            self._say(began_s, "kill -9 of the first control plane")
            self._first.kill()
            await asyncio.sleep(load_s / 3)
            self._say(began_s, "it is started again")
            await self._replica(0)
            await asyncio.sleep(load_s / 3)
            over.set()
            await changing
            self._at = await self._until_everywhere(session)
            self._say(began_s, "the end")

    async def _requests(
        self, session: aiohttp.ClientSession, web: int, client: int, over: asyncio.Event
    ) -> None:
        for number in itertools.count():
            if over.is_set():
                break
            headers = {"X-User-Id": f"user-{client}-{number % 500}"}
            self._tally.sent += 1
            try:
                async with session.get(
                    f"http://127.0.0.1:{web}/api/items", headers=headers
                ) as response:
                    await response.read()
                    if response.status != 200:
                        self._tally.failed.append(f"status {response.status}")
            except aiohttp.ClientError as error:
                self._tally.failed.append(repr(error))
            await asyncio.sleep(0.005)

    async def _changes(self, session: aiohttp.ClientSession, over: asyncio.Event) -> None:
        for canary in itertools.count(2):
            if over.is_set():
                return
            weights = {"stable": 100, "canary": canary}
            try:
                self._newest = await asyncio.to_thread(
                    self._control.put_weights, SERVICE, weights, "demo"
                )
            except ControlError:
                # Its control plane died under it: in force or not, the next one shows.
                self._tally.refused += 1
                continue
            answered_s = time.monotonic()
            self._tally.changes += 1
            await self._until_everywhere(session)
            took_s = time.monotonic() - answered_s
            self._tally.slowest_s = max(self._tally.slowest_s, took_s)
            await asyncio.sleep(0.2)

    async def _until_everywhere(self, session: aiohttp.ClientSession) -> list[int]:
        async with asyncio.timeout(READY_S):
            while True:
                found = [await _revision(session, admin) for admin in self._admin]
                if min(found) >= self._newest:
                    return found
                await asyncio.sleep(0.01)

    def sum_up(self) -> int:
        """Says what was seen; returns the exit code."""
        tally = self._tally
        print(f"requests     {tally.sent:,} sent, {len(tally.failed)} failed")
        for reason in sorted(set(tally.failed)):
            print(f"             {tally.failed.count(reason)} × {reason}")
        print(f"changes      {tally.changes} answered, {tally.refused} lost with the killed one")
        print(f"convergence  revision {self._newest} asked for, proxies are on {self._at}")
        print(f"             slowest, from the answer to both proxies: {tally.slowest_s:.2f} s")
        return int(bool(tally.failed) or min(self._at, default=0) < self._newest)

    def _say(self, began_s: float, what: str) -> None:
        print(f"{time.monotonic() - began_s:5.1f} s  {what}; revision {self._newest}")

    async def _replica(self, number: int) -> Child:
        return await self._python(
            f"control{number + 1}",
            "controlplane",
            f"--store={self._store}",
            f"--bind=127.0.0.1:{self.replicas[number]}",
            f"--token-file={self._token_file}",
        )

    async def _python(self, name: str, module: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", module, *arguments]
        return await self._children.start(name, command, lasting=False)


async def _revision(session: aiohttp.ClientSession, admin: int) -> int:
    async with session.get(f"http://127.0.0.1:{admin}/config") as response:
        return int((await response.json())["revision"])


async def _until_ready(url: str) -> None:
    async with asyncio.timeout(READY_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # not yet
            await asyncio.sleep(0.05)
