"""Three control planes on one PostgreSQL database, one killed every second while weights change:
no proxy goes back, every proxy ends on what is newest, and no request fails."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadtests.demo.children import Children
from loadtests.ha.balancer import balancing
from tests.controlplane.conftest import postgres, postgres_url
from tests.controlplane.support import ROOT, TOKEN, Api, control_process
from tests.e2e.test_store_faults import PASSING, PATIENCE_S, Journal
from tests.support.road import free_port, said, until

__all__ = ["postgres", "postgres_url"]  # fixtures

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("SPLITWAY_REPLICA_KILLS", "4"))
"""One a second; 60 by hand."""
REPLICAS, FOLLOWERS, PROXIES, WRITERS = 3, 6, 2, 2
EVERY_S = 1.0
PROXY = """\
listeners: [{{name: web, bind: "127.0.0.1:{web}"}}]
admin: {{bind: "127.0.0.1:{admin}"}}
control: {{url: "http://127.0.0.1:{control}", token_file: "{token}", state_file: "{state}"}}
drain: {{grace_s: 0, deadline_s: 5}}
"""


class Replica:
    """One place for a control plane: a port, and who serves there."""

    def __init__(self, folder: Path, store: str) -> None:
        self.port = free_port()
        self._arguments = ("--store", store, "--bind", f"127.0.0.1:{self.port}")
        self._folder = folder
        self._stack = ExitStack()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def serves(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        process, _ = await asyncio.to_thread(
            self._stack.enter_context, control_process(self._folder, *self._arguments)
        )
        self._process = process

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
        self._stack.close()


class Work:
    """Tasks that go on until they are ended."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, *work: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.create_task(each) for each in work]

    def check(self) -> None:
        """Nobody has failed."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise AssertionError("ended unasked")

    async def end(self) -> None:
        ended, self._tasks = self._tasks, []
        for task in ended:
            task.cancel()
        for result in await asyncio.gather(*ended, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result


class Scene:
    """Control planes, and those who use them."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.replicas = replicas
        self.journal = Journal()
        self.users, self.writers = Work(), Work()

    def any_url(self) -> str:
        return random.choice([each for each in self.replicas if each.serves]).url

    def check(self) -> None:
        """Nobody has failed."""
        self.users.check()
        self.writers.check()

    async def write(self) -> None:
        while True:
            with suppress(*PASSING):
                async with Api.at(self.any_url()) as api:
                    while True:
                        await self.journal.change(api)
                        await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)

    async def kill_and_start(self, kills: int) -> None:
        """One a second; who was killed is started at once, however long that takes."""
        starting = set[asyncio.Task[None]]()
        for turn in range(kills):
            began_s = time.monotonic()
            replica = self.replicas[turn % len(self.replicas)]
            # On a busy machine a start may take longer than the others live: one stays.
            while sum(each.serves for each in self.replicas) < 2 or not replica.serves:
                await asyncio.sleep(0.02)
                self.check()
            replica.kill()
            starting.add(asyncio.create_task(replica.start()))
            await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - began_s)))
            self.check()
        await asyncio.gather(*starting)


class Follower:
    """A proxy's end of the stream, which connects to any, and to another when that one dies."""

    def __init__(self, name: str, scene: Scene) -> None:
        self._name = name
        self._scene = scene
        self._store = ""
        self.revision = 0
        self.lives = 0

    async def run(self) -> None:
        while True:
            with suppress(*PASSING, TypeError):  # TypeError: a close where a text was awaited
                async with (
                    Api.at(self._scene.any_url()) as api,
                    api.proxy(self._name, self._store, self.revision) as proxy,
                ):
                    self.lives += 1
                    while True:
                        snapshot = await proxy.snapshot()
                        assert snapshot.revision > self.revision
                        assert self._store in ("", snapshot.store)
                        self.revision, self._store = snapshot.revision, snapshot.store
                        await proxy.socket.send_str(
                            f'{{"type":"ack","revision":{snapshot.revision}}}'
                        )
            await asyncio.sleep(random.uniform(0.01, 0.1))  # as proxies do


class RealProxy:
    """A `splitway-proxy` behind whose back control planes die."""

    def __init__(self, web: int, admin: int) -> None:
        self._web = web
        self._admin = admin
        self.revision = 0
        self.answered = 0

    async def is_ready(self) -> bool:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{self._admin}/readyz") as response,
        ):
            return response.status == 200

    async def watch(self, client: aiohttp.ClientSession) -> None:
        while True:
            async with client.get(f"http://127.0.0.1:{self._admin}/config") as response:
                found = int((await response.json())["revision"])
            assert found >= self.revision, "it went back"
            self.revision = found
            await asyncio.sleep(0.02)

    async def use(self, client: aiohttp.ClientSession) -> None:
        url = f"http://127.0.0.1:{self._web}/api/items"
        for number in itertools.count():
            headers = {"X-User-Id": f"user-{number}"}
            async with client.get(url, headers=headers) as response:
                assert response.status == 200, await response.text()
                await response.read()
            self.answered += 1
            await asyncio.sleep(0.02)


def document(port: int) -> dict[str, Any]:
    endpoint = {"endpoints": [f"http://127.0.0.1:{port}"]}
    shop = {"versions": {"stable": endpoint, "canary": endpoint}, "weights": {"stable": 1}}
    return {"services": {"shop": shop}, "routes": [{"service": "shop"}]}


async def started(children: Children, folder: Path, number: int, balancer: int) -> RealProxy:
    config = folder / f"proxy{number}.yaml"
    ports = {"web": free_port(), "admin": free_port(), "control": balancer}
    places = {"token": folder / "token", "state": folder / f"state{number}.json"}
    config.write_text(PROXY.format(**ports, **places))
    command = [sys.executable, "-m", "proxy", f"--config={config}", "--workers=1"]
    child = await children.start(f"proxy{number}", command, lasting=False)
    await said(child, "serving on")
    return RealProxy(ports["web"], ports["admin"])


@asynccontextmanager
async def stage(folder: Path, store: str) -> AsyncIterator[tuple[Scene, list[RealProxy]]]:
    """Control planes behind a balancer, a back end, and proxies that follow through it."""
    scene = Scene([Replica(folder, store) for _ in range(REPLICAS)])
    (folder / "token").write_text(TOKEN)
    async with AsyncExitStack() as stack:
        children = await stack.enter_async_context(Children(folder, ROOT))
        for replica in scene.replicas:
            stack.callback(replica.kill)
            await replica.start()
        balancer, backend = free_port(), free_port()
        ports = [replica.port for replica in scene.replicas]
        await stack.enter_async_context(balancing(balancer, ports))
        command = [sys.executable, "-m", "loadtests.sample", "--version=v", f"--port={backend}"]
        await said(await children.start("sample", command, lasting=False), "sample v on")
        async with Api.at(scene.replicas[0].url) as api:
            await api.push(document(backend))
        proxies = [await started(children, folder, number, balancer) for number in range(PROXIES)]
        yield scene, proxies


@pytest.mark.timeout(120 + 10 * KILLS)
def test_control_planes_that_are_killed_every_second_are_felt_by_nobody(
    tmp_path: Path, postgres_url: str
) -> None:
    async def all_are_on_the_newest(scene: Scene, followers: list[Follower | RealProxy]) -> None:
        """What was asked for by those who went may come into force still: newest is what it is."""

        async def are_they() -> bool:
            scene.check()
            async with Api.at(scene.any_url()) as api:
                newest = (await api.get("/v1/config")).body["revision"]
            return {each.revision for each in followers} == {newest}

        await until("all are on the newest revision", are_they, PATIENCE_S)

    async def all_say_so(scene: Scene) -> None:
        """Every control plane tells of the proxies of all."""

        async def do_they() -> bool:
            told = []
            for replica in scene.replicas:
                async with Api.at(replica.url) as api:
                    told.append((await api.get("/v1/convergence")).body)
            return all(each["done"] and each["connected"] == FOLLOWERS + PROXIES for each in told)

        await until("each control plane counts all proxies", do_they, PATIENCE_S)

    async def scenario() -> None:
        async with (
            stage(tmp_path, postgres_url) as (scene, proxies),
            aiohttp.ClientSession() as client,
        ):
            followers = [Follower(f"p{number}", scene) for number in range(FOLLOWERS)]
            for proxy in proxies:
                await until("the proxy is ready", proxy.is_ready)
            scene.users.begin(*(each.run() for each in followers))
            scene.users.begin(*(each.watch(client) for each in proxies))
            scene.users.begin(*(each.use(client) for each in proxies))
            scene.writers.begin(*(scene.write() for _ in range(WRITERS)))
            await scene.journal.until_grown(20)
            await scene.kill_and_start(KILLS)
            await scene.journal.until_grown(20)
            scene.check()
            await scene.writers.end()
            async with Api.at(scene.replicas[0].url) as api:
                await scene.journal.check(api)
            await all_are_on_the_newest(scene, [*followers, *proxies])
            await all_say_so(scene)
            assert sum(each.lives for each in followers) > FOLLOWERS
            assert all(each.answered for each in proxies)
            await scene.users.end()

    asyncio.run(scenario())
