"""Owns the order of one run: a control plane, a proxy, two versions, load, and changes of weights.

Times are of the machine's monotonic clock. Never judges.
"""

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import msgspec

from loadtests.applied.clients import Answered, load, probe
from loadtests.demo.children import Children
from loadtests.postgres import free_port

ROOT = Path(__file__).parents[2]
READY_S = 30.0
WITHIN_S = 10.0
LOAD_CLIENTS = 8
_SHOP = "/v1/services/shop/weights"
_TRAFFIC = """\
services:
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"]}}
    weights: {{stable: 1, canary: 0}}
    sticky: {{key: [{{header: X-User-Id}}]}}
routes:
  - {{match: {{path: {{prefix: /}}}}, service: shop}}
"""
_PROXY = """\
listeners:
  - {{name: web, bind: "127.0.0.1:{web}"}}
admin: {{bind: "127.0.0.1:{admin}"}}
control: {{url: "http://127.0.0.1:{control}", token_file: {token}, state_file: {state}}}
drain: {{grace_s: 0, deadline_s: 5}}
"""


class Change(msgspec.Struct, frozen=True):
    """One change of all weights, in milliseconds."""

    answer_ms: float
    """How long the API took to answer."""
    first_ms: float
    """From its answer to the first answer by the new weights; 0 when that was there before."""
    every_ms: float
    """The same until every probe has been answered by the new weights: every worker has them."""
    confirmed_ms: float
    """The same until the control plane counts the proxy as having confirmed."""


class Figures(msgspec.Struct, frozen=True):
    """What one run found."""

    workers: int
    requests: int
    """Sent beside those of the probes."""
    load_s: float
    changes: tuple[Change, ...]


class _Watch:
    """What the probes have last seen of each change."""

    def __init__(self, probes: int) -> None:
        self._probes = probes
        self._wanted = ""
        self._began_s = 0.0
        self._times: dict[int, float] = {}
        self._all = asyncio.Event()

    def begin(self, wanted: str) -> None:
        """From now on it is waited for answers of this version."""
        self._wanted, self._times = wanted, {}
        self._began_s = time.monotonic()
        self._all.clear()

    def see(self, number: int, answered: Answered) -> None:
        """A probe was answered."""
        if answered.version == self._wanted and answered.sent_s > self._began_s:
            self._times.setdefault(number, answered.at_s)
            if len(self._times) == self._probes:
                self._all.set()

    async def times_s(self) -> list[float]:
        """When each probe was first answered by it, the first one first."""
        async with asyncio.timeout(WITHIN_S):
            await self._all.wait()
        return sorted(self._times.values())


async def run(workers: int, changes: int, per_s: float) -> Figures:
    """One run; every process that it starts is ended.

    Raises: RequestFailed, TimeoutError.
    """
    with tempfile.TemporaryDirectory(prefix="splitway-applied-") as name:
        folder = Path(name)
        async with Children(folder, ROOT) as children, _stage(folder, children, workers) as at:
            return await _measure(*at, workers, changes, per_s)


@asynccontextmanager
async def _stage(
    folder: Path, children: Children, workers: int
) -> AsyncIterator[tuple[aiohttp.ClientSession, str, int]]:
    """Gives an operator's session, the control plane's URL and the proxy's port."""
    names = ("stable", "canary", "control", "web", "admin")
    ports = {name: free_port() for name in names}
    token = secrets.token_urlsafe(32)
    token_file, config = folder / "token", folder / "proxy.yaml"
    token_file.touch(0o600)
    token_file.write_text(token)
    config.write_text(
        _PROXY.format(
            **ports,
            token=msgspec.json.encode(str(token_file)).decode(),
            state=msgspec.json.encode(str(folder / "last-good.json")).decode(),
        )
    )
    control = f"http://127.0.0.1:{ports['control']}"
    for version in ("stable", "canary"):
        await _python(
            children,
            version,
            "loadtests.sample",
            "--version",
            version,
            "--port",
            str(ports[version]),
        )
    await _python(
        children, "control", "controlplane", "--store", f"sqlite:///{folder / 'control.db'}",
        "--bind", f"127.0.0.1:{ports['control']}", "--token-file", str(token_file),
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for each in ("stable", "canary", "control"):
            await _until_ready(session, f"http://127.0.0.1:{ports[each]}/healthz")
        text = _TRAFFIC.format(**ports)
        async with session.put(
            f"{control}/v1/config", data=text, headers={"Content-Type": "application/yaml"}
        ) as response:
            response.raise_for_status()
        await _python(children, "proxy", "proxy", f"--config={config}", f"--workers={workers}")
        await _until_ready(session, f"http://127.0.0.1:{ports['admin']}/readyz")
        yield session, control, ports["web"]


async def _measure(
    session: aiohttp.ClientSession,
    control: str,
    port: int,
    workers: int,
    changes: int,
    per_s: float,
) -> Figures:
    probes = 1 if workers == 1 else 4 * workers
    watch = _Watch(probes)
    sent = 0

    def count() -> None:
        nonlocal sent
        sent += 1

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(probe(port, partial(watch.see, number))) for number in range(probes)
        ]
        tasks.append(group.create_task(load(port, per_s, LOAD_CLIENTS, count)))
        began_s = time.monotonic()
        found = [await _change(session, control, watch, version) for version in _turns(changes)]
        took_s = time.monotonic() - began_s
        for task in tasks:
            task.cancel()
    return Figures(workers, sent, took_s, tuple(found))


def _turns(changes: int) -> Iterator[str]:
    for turn in range(changes):
        yield "stable" if turn % 2 else "canary"


async def _change(
    session: aiohttp.ClientSession, control: str, watch: _Watch, version: str
) -> Change:
    weights = {name: int(name == version) for name in ("stable", "canary")}
    await asyncio.sleep(secrets.randbelow(50) / 1e3)  # in step with nothing
    watch.begin(version)
    asked_s = time.monotonic()
    async with session.put(f"{control}{_SHOP}", json={"weights": weights}) as response:
        response.raise_for_status()
        revision = (await response.json())["revision"]
    answered_s = time.monotonic()
    confirming = asyncio.create_task(_confirmed_s(session, control, revision))
    times_s = await watch.times_s()
    confirmed_s = await confirming
    return Change(
        1e3 * (answered_s - asked_s),
        1e3 * max(0.0, times_s[0] - answered_s),
        1e3 * max(0.0, times_s[-1] - answered_s),
        1e3 * (confirmed_s - answered_s),
    )


async def _confirmed_s(session: aiohttp.ClientSession, control: str, revision: int) -> float:
    query = {"revision": str(revision)}
    async with asyncio.timeout(WITHIN_S):
        while True:
            async with session.get(f"{control}/v1/convergence", params=query) as response:
                if (await response.json())["confirmed"]:
                    return time.monotonic()
            await asyncio.sleep(0.002)


async def _until_ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # not yet
            await asyncio.sleep(0.02)


async def _python(children: Children, name: str, module: str, *arguments: str) -> None:
    await children.start(name, [sys.executable, "-m", module, *arguments], lasting=False)
