"""The whole road as real processes: sample versions, control plane, proxy. For end-to-end tests."""

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from loadtests.control import Control
from loadtests.demo.children import Child, Children

TOKEN = "road-token-0123456789abcdef"
BOUND_S = 20.0
PORTS = 12_000
GIVEN: set[int] = set()
ROOT = Path(__file__).parents[2]


async def until(
    what: str, found: Callable[[], Awaitable[object]], within_s: float = BOUND_S
) -> None:
    """Wait until ``found`` says so; fail after ``within_s``."""
    try:
        async with asyncio.timeout(within_s):
            while not await found():  # noqa: ASYNC110 - the other side is another process
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {what}") from None


async def said(child: Child, pattern: str) -> re.Match[str]:
    """The first line of a child's log that matches."""
    match: list[re.Match[str]] = []

    async def look() -> bool:
        assert child.process.returncode is None or re.search(pattern, child.log.read_text()), (
            child.death()
        )
        match.extend(re.finditer(pattern, child.log.read_text()))
        return bool(match)

    await until(f"{child.name} says {pattern}", look)
    return match[0]


def free_port() -> int:
    """A port where nobody listens, each time another one.

    Not of the kernel's choice: behind a load that leaves tens of thousands of connections in
    TIME_WAIT it has few left, gives the same one twice, or gives it to somebody's connection before
    it is bound. Those below its range are nobody's.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(lowest - PORTS, lowest), PORTS):
        if port in GIVEN:
            continue
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        GIVEN.add(port)
        return port
    raise AssertionError("no port is free")


class Road:
    """Samples, control plane and proxy, each started on demand."""

    def __init__(self, folder: Path, children: Children, client: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.children = children
        self.client = client
        self.samples: dict[str, str] = {}
        self.control_port = free_port()
        self.port = free_port()
        self.admin_port = free_port()
        self.starts = 0
        self.proxies: list[Child] = []
        (folder / "token").write_text(TOKEN)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def control(self) -> Control:
        return Control(f"http://127.0.0.1:{self.control_port}", TOKEN)

    async def start_sample(self, version: str) -> None:
        port = free_port()
        child = await self._start(
            f"sample-{version}", "loadtests.sample", f"--version={version}", f"--port={port}"
        )
        self.samples[version] = f"http://127.0.0.1:{port}"
        await until("the sample answers", lambda: self.answers(self.samples[version] + "/healthz"))
        assert child.process.returncode is None

    async def start_control(self, *more: str) -> Child:
        child = await self._start(
            "control",
            "controlplane",
            f"--store=sqlite:///{self.folder / 'store.db'}",
            f"--bind=127.0.0.1:{self.control_port}",
            f"--token-file={self.folder / 'token'}",
            *more,
        )
        await said(child, "control plane on")
        return child

    async def start_proxy(self, text: str, *, workers: int = 1) -> Child:
        (self.folder / "proxy.yaml").write_text(text)
        child = await self._start(
            "proxy", "proxy", f"--config={self.folder / 'proxy.yaml'}", f"--workers={workers}"
        )
        await said(child, "serving on")
        self.proxies.append(child)
        return child

    def traffic(self, **weights: int) -> str:
        versions = "".join(
            f'      {name}: {{endpoints: ["{url}"]}}\n' for name, url in self.samples.items()
        )
        shares = ", ".join(f"{name}: {weight}" for name, weight in weights.items())
        return (
            f"services:\n  shop:\n    versions:\n{versions}    weights: {{{shares}}}\n"
            "    sticky: {key: [{header: X-User-Id}]}\nroutes:\n  - {service: shop}\n"
        )

    def config(self, traffic: str = "", more: str = "") -> str:
        return (
            f'listeners: [{{name: web, bind: "127.0.0.1:{self.port}"}}]\n'
            f'admin: {{bind: "127.0.0.1:{self.admin_port}"}}\n'
            "drain: {grace_s: 0.2, deadline_s: 10}\n" + more + traffic
        )

    def following(self) -> str:
        return self.config(
            more=(
                f'control: {{url: "http://127.0.0.1:{self.control_port}", '
                f'token_file: "{self.folder / "token"}", '
                f'state_file: "{self.folder / "last-good.json"}"}}\n'
            )
        )

    async def answers(self, url: str) -> bool:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with self.client.get(url) as response:
                return response.status == 200
        return False

    async def ready(self) -> None:
        await until("the proxy is ready", lambda: self.answers(self.admin + "/readyz"))

    async def version_of(self, user: str) -> str:
        """The version that answers a user through the proxy; any failure fails the test."""
        async with self.client.get(
            self.url + "/api/items", headers={"X-User-Id": user}
        ) as response:
            assert response.status == 200, await response.text()
            return response.headers["X-Version"]

    async def versions_of(self, users: list[str]) -> dict[str, str]:
        return {user: await self.version_of(user) for user in users}

    async def metrics(self) -> str:
        async with self.client.get(self.admin + "/metrics") as response:
            assert response.status == 200
            return await response.text()

    async def metric(self, name: str) -> float:
        """The sum over all label values of one metric."""
        values = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", await self.metrics(), re.MULTILINE)
        return sum(map(float, values))

    async def _start(self, name: str, module: str, *arguments: str) -> Child:
        self.starts += 1
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return await self.children.start(
            f"{name}-{self.starts}",
            [sys.executable, "-m", module, *arguments],
            environment,
            lasting=False,
        )


@asynccontextmanager
async def road(folder: Path, *versions: str) -> AsyncIterator[Road]:
    """A road with running samples and nothing else yet."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=BOUND_S)) as client,
        Children(folder, cwd=folder) as children,
    ):
        built = Road(folder, children, client)
        for version in versions:
            await built.start_sample(version)
        yield built


async def die(child: Child) -> None:
    """kill -9, and wait until it is gone."""
    child.process.send_signal(signal.SIGKILL)
    await asyncio.wait_for(child.process.wait(), BOUND_S)


def worker_pids(proxy: Child) -> list[int]:
    """The worker processes of a proxy."""
    path = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]
