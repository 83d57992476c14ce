"""Owns each measure of one proxy: start it, load it, read its figures, end it.

Never decides who is measured when (``run``). Whatever goes wrong with a proxy under measurement is
a ``ProxyFailed``.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.compare import peers, proc, wrk
from loadtests.compare.backend import BODY, FILE_BYTES
from loadtests.compare.figures import Figures
from loadtests.compare.options import IDLE, RATE, WEIGHTS, Options
from loadtests.compare.peers import SPLITWAY, Peer
from loadtests.compare.scenarios import SCENARIOS, Scenario
from loadtests.compare.stage import NotReady, Stage, ToolFailed, free_ports, until_ready
from loadtests.compare.table import DIRECT, START
from loadtests.demo.children import Child, ChildDied

WARM_SECONDS = 1
QUANTILES = ("p50_ms", "p90_ms", "p99_ms")


class ProxyFailed(Exception):
    """A proxy, or what measured it, did not do its work; the message says how."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A proxy that is here."""

    peer: Peer
    executable: str

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.peer.name


@dataclass(frozen=True, slots=True)
class Started:
    """A proxy that answers."""

    name: str
    child: Child
    port: int

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self.child.process.pid


class Bench:
    """The measures of one comparison."""

    def __init__(self, stage: Stage, options: Options, figures: Figures) -> None:
        self._stage = stage
        self._options = options
        self._figures = figures
        self._v1, self._v2 = free_ports(2)
        self._direct: Mapping[str, float] = {}
        self._scripts: dict[str, Path] = {}
        for name in options.scenarios:
            self._scripts[name] = stage.folder / f"{name}.lua"
            self._scripts[name].write_text(SCENARIOS[name].script())

    async def start_backend(self, nginx: str | None) -> None:
        """Start the two versions; without nginx, the slow ones."""
        folder = self._stage.new_folder("backend")
        if nginx is None:
            command = _python("backend", self._v1, self._v2)
        else:
            (folder / "1m.bin").write_bytes(os.urandom(FILE_BYTES))
            values = {**self._ends(), "folder": folder, "body": BODY.decode()}
            peers.write_configs(["backend.conf"], folder, values)
            command = [nginx, "-e", "stderr", "-p", str(folder), "-c", f"{folder}/backend.conf"]
        child = await self._stage.start("backend", command)
        for port in (self._v1, self._v2):
            await until_ready(child, port)

    async def direct(self) -> None:
        """The latency without a proxy; each round has its own."""
        if RATE in self._options.also:
            self._direct = await self._paced(self._v1, None)
            self._figures.add(DIRECT, RATE, self._direct)

    async def loaded(self, contender: Contender) -> None:
        """Every scenario and the latency, on one process of a proxy."""
        if not self._options.scenarios and RATE not in self._options.also:
            return
        async with self._started(contender) as started:
            for name in self._options.scenarios:
                await self._load(started, SCENARIOS[name])
            if RATE in self._options.also:
                found = await self._paced(started.port, started.child)
                added = {f"added_{name}": found[name] - self._direct[name] for name in QUANTILES}
                self._figures.add(started.name, RATE, {**found, **added})

    async def idle(self, contender: Contender) -> None:
        """Many silent connections, on a fresh process: a used one has memory to spare."""
        if IDLE not in self._options.also:
            return
        async with self._started(contender) as started:
            count = self._options.connections
            asked = _python(
                "idle", f"--port={started.port}", f"--pid={started.pid}", f"--connections={count}"
            )
            found = json.loads(await self._stage.tool("idle", asked, started.child))
            kb_each = found.pop("bytes_each") / 1e3
            self._figures.add(started.name, IDLE, {"kb_each": kb_each, **found})

    async def weights(self) -> None:
        """Changes of weights through Splitway's own control plane."""
        if WEIGHTS not in self._options.also:
            return
        folder = self._stage.new_folder("weights")
        port, admin, control = free_ports(3)
        values = {
            **self._ends(), "port": port, "admin": admin, "control": control, "folder": folder,
        }  # fmt: skip
        peers.write_configs(["splitway-control.yaml", "splitway-traffic.yaml"], folder, values)
        (folder / "token").write_text(secrets.token_hex(16))
        environment = dict(os.environ)
        beside = Path(sys.executable).parent  # what is installed there, compiled or not
        url, token = f"http://127.0.0.1:{control}", f"--token-file={folder}/token"
        plane = [
            str(beside / "splitway-control"), f"--store=sqlite:///{folder}/store.db",
            f"--bind=127.0.0.1:{control}", token,
        ]  # fmt: skip
        proxy = [
            str(beside / "splitway-proxy"), f"--config={folder}/splitway-control.yaml",
            "--workers=1",
        ]  # fmt: skip
        async with self._process("control", plane, environment) as served:
            await until_ready(served, control, "/readyz", host="localhost")
            async with self._process("splitway", proxy, environment, proxy=True) as proxied:
                # It waits until the proxy has taken what it begins with.
                asked = _python(
                    "weights", f"--control={url}", token, f"--port={port}",
                    f"--traffic={folder}/splitway-traffic.yaml",
                )  # fmt: skip
                found = json.loads(await self._stage.tool("weights", asked, proxied))
            self._figures.add(SPLITWAY.name, WEIGHTS, found)

    async def _load(self, started: Started, scenario: Scenario) -> None:
        script, seconds = self._scripts[scenario.name], self._options.seconds

        async def load(for_seconds: int) -> wrk.Summary:
            asked = wrk.command(script, scenario.connections, for_seconds, started.port)
            return wrk.parse(await self._stage.tool("wrk", asked, started.child))

        await load(WARM_SECONDS)
        before = proc.cpu_us(started.pid)
        found = await load(seconds)
        used = proc.cpu_us(started.pid) - before
        if not found.requests:
            raise ToolFailed(f"{scenario.name}: not one request was answered")
        values = {
            "cpu_us": used / found.requests,
            "rps": found.requests_per_s,
            "p50_ms": found.p50_ms,
            "p99_ms": found.p99_ms,
            "pss_mb": proc.pss_bytes(started.pid) / 1e6,
            "failed": found.failed,
        }
        self._figures.add(started.name, scenario.name, values)

    async def _paced(self, port: int, served_by: Child | None) -> dict[str, float]:
        rate, seconds = self._options.rate, self._options.seconds
        asked = _python("pace", f"--port={port}", f"--rate={rate}", f"--seconds={seconds}")
        found: dict[str, float] = json.loads(await self._stage.tool("pace", asked, served_by))
        return found

    @asynccontextmanager
    async def _started(self, contender: Contender) -> AsyncIterator[Started]:
        """A fresh process of a proxy that answers; how long that took is a figure."""
        peer = contender.peer
        folder = self._stage.new_folder(peer.name)
        port, admin = free_ports(2)
        values = {**self._ends(), "port": port, "admin": admin}
        command = peer.prepare(contender.executable, folder, values)
        environment = peers.environment_of(peer, folder)
        before = time.perf_counter()
        async with self._process(peer.name, command, environment, proxy=True) as child:
            await until_ready(child, port)
            self._figures.add(peer.name, START, {"start_s": time.perf_counter() - before})
            yield Started(peer.name, child, port)

    @asynccontextmanager
    async def _process(
        self, name: str, command: list[str], environment: Mapping[str, str], *, proxy: bool = False
    ) -> AsyncIterator[Child]:
        child = await self._stage.start(name, command, environment, proxy=proxy)
        try:
            yield child
        except (ChildDied, NotReady, ToolFailed, wrk.UnreadableOutput) as error:
            raise ProxyFailed(str(error)) from error
        finally:
            await self._stage.end(child)

    def _ends(self) -> dict[str, object]:
        return {"v1": self._v1, "v2": self._v2}


def _python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"loadtests.compare.{module}", *map(str, arguments)]
