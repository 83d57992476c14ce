"""Owns the order of a run: processes up; the good client alone, then beside an attack, for each
attack; the table."""

import asyncio
import contextlib
import json
import os
import re
import resource
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from loadtests.compare.proc import rss_bytes
from loadtests.demo.children import Child, ChildDied, Children
from loadtests.slow.attacks import SLOW, TEST_TOOL, command, parse_report
from loadtests.slow.backend import backend_command
from loadtests.slow.good import Figures
from loadtests.slow.options import Options
from loadtests.slow.table import Held, Row, misses, table

ROOT = Path(__file__).parents[2]
READY_S = 20.0
SETTLE_S = 60.0
"""How long the connections of one attack may take to be gone before the next."""
SAMPLE_EACH_S = 5.0


class NotReady(Exception):
    """The proxy or the back end did not get where it should in time."""


@dataclass(slots=True)
class Peak:
    """The most connections seen, and the proxy's memory then."""

    connections: int = 0
    rss_bytes: int = 0


async def run(options: Options) -> int:
    """Attack; returns 1 when something promised does not hold."""
    use_all_files()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        async with Children(folder, cwd=folder) as children, aiohttp.ClientSession() as session:
            stage = Stage(options, folder, children, session)
            await stage.start()
            rows = []
            for attack in options.attacks:
                if attack in SLOW and shutil.which(TEST_TOOL) is None:
                    print(f"{attack}: {TEST_TOOL} is not installed (Debian: {TEST_TOOL})")
                    continue
                # Before each: what a shared machine does by itself changes from minute to minute.
                alone = await stage.good(f"before-{attack}")
                play = stage.slow if attack in SLOW else stage.flood
                rows.append(await play(attack, alone))
                print(table(rows[-1:]), flush=True)
                await stage.settle()
    print("\n" + table(rows))
    missed = misses(rows)
    print("\n".join(missed) or "everything promised holds")
    return 1 if missed else 0


def use_all_files() -> None:
    """Children inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Stage:
    """The back end, the proxy, and what is played on them."""

    def __init__(
        self, options: Options, folder: Path, children: Children, session: aiohttp.ClientSession
    ) -> None:
        self._options = options
        self._folder = folder
        self._children = children
        self._session = session
        self._port, self._admin, self._backend = free_port(), free_port(), free_port()
        self._proxy: Child

    async def start(self) -> None:
        """Both are ready when this returns."""
        more = self._options.config.read_text() if self._options.config else ""
        file = self._folder / "proxy.yaml"
        file.write_text(
            f'listeners: [{{name: web, bind: "127.0.0.1:{self._port}"}}]\n'
            f'admin: {{bind: "127.0.0.1:{self._admin}"}}\n'
            "services: {shop: {versions: {stable: {endpoints: "
            f'["http://127.0.0.1:{self._backend}"]}}}}}}}}\n'
            "routes: [{match: {path: {prefix: /}}, service: shop}]\n" + more
        )
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        await self._children.start(
            "backend", backend_command(self._folder, self._backend, files), environment()
        )
        self._proxy = await self._child(
            "proxy", "proxy", f"--config={file}", f"--workers={self._options.workers}", lasting=True
        )
        await self._until("the proxy serves", self._serves)

    async def good(self, beside: str) -> Figures:
        """The good client for a phase."""
        options = self._options
        child = await self._child(
            f"good-{beside}", "loadtests.slow.good", f"--port={self._port}",
            f"--rate={options.good_rate}", f"--seconds={options.seconds}",
        )  # fmt: skip
        return Figures(**await said(child))

    async def slow(self, attack: str, alone: Figures) -> Row:
        """One of slowhttptest's attacks."""
        out = self._folder / f"slowhttptest-{attack}"
        base = rss_bytes(self._proxy.process.pid)
        tool = await self._attack(attack, self._port, out)
        async with self._watched() as peak:
            good = await self.good(attack)
            await tool.process.wait()
        report = parse_report(out.with_suffix(".csv").read_text())
        each = max(0, peak.rss_bytes - base) / max(1, peak.connections)
        held = Held(report.opened, report.closed, each)
        note = await self._aside(attack, alone) if self._options.aside else ""
        return Row(attack, alone, good, held, note)

    async def _aside(self, attack: str, alone: Figures) -> str:
        """The same attack on a server that the good client has nothing to do with: whatever it
        notices then is the tool's use of this machine, not the proxy's work."""
        await self.settle()
        folder = self._folder / f"aside-{attack}"
        folder.mkdir()
        port = free_port()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        other = await self._children.start(
            f"aside-{attack}", backend_command(folder, port, files), environment(), lasting=False
        )
        tool = await self._attack(attack, port, folder / "slowhttptest")
        good = await self.good(f"aside-{attack}")
        await tool.process.wait()
        await self._children.end(other)
        return f"aimed elsewhere: p99 {good.p99_ms:.2f}, ratio {good.p99_ms / alone.p99_ms:.2f}"

    async def _attack(self, attack: str, port: int, out: Path) -> Child:
        options = self._options
        return await self._children.start(
            out.name,
            command(attack, f"http://127.0.0.1:{port}", connections=options.connections,
                    rate=options.rate, seconds=options.seconds, out=str(out)),
            lasting=False,
        )  # fmt: skip

    async def flood(self, kind: str, alone: Figures) -> Row:
        """One kind of expensive requests."""
        options = self._options
        child = await self._child(
            f"flood-{kind}", "loadtests.slow.flood", f"--port={self._port}", f"--kind={kind}",
            f"--rate={options.flood_rate}", f"--seconds={options.seconds}",
        )  # fmt: skip
        good = await self.good(kind)
        reached = await said(child)
        statuses = ", ".join(f"{code} × {count:,}" for code, count in reached["statuses"].items())
        return Row(kind, alone, good, note=f"{reached['rate']:.0f}/s: {statuses}")

    async def settle(self) -> None:
        """Wait until the attack's connections are gone."""

        async def few() -> bool:
            return await self._connections() < 10

        await self._until("the attack's connections are gone", few, SETTLE_S)

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[Peak]:
        peak = Peak()

        async def watch() -> None:
            while True:
                connections = await self._connections()
                if connections > peak.connections:
                    peak.connections = connections
                    peak.rss_bytes = rss_bytes(self._proxy.process.pid)
                await asyncio.sleep(SAMPLE_EACH_S)

        task = asyncio.create_task(watch())
        try:
            yield peak
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _connections(self) -> int:
        url = f"http://127.0.0.1:{self._admin}/metrics"
        async with self._session.get(url) as response:
            found = re.search(r"^splitway_connections (\S+)$", await response.text(), re.MULTILINE)
        return int(float(found[1])) if found else 0

    async def _serves(self) -> bool:
        async with self._session.get(f"http://127.0.0.1:{self._port}/api/items") as response:
            return response.status == 200

    async def _until(self, what: str, found: Callable[[], Any], within_s: float = READY_S) -> None:
        try:
            async with asyncio.timeout(within_s):
                while True:
                    with contextlib.suppress(aiohttp.ClientError):
                        if await found():
                            return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise NotReady(f"not within {within_s:.0f} s: {what}") from None

    async def _child(self, name: str, module: str, *arguments: str, lasting: bool = False) -> Child:
        command_line = [sys.executable, "-m", module, *arguments]
        return await self._children.start(name, command_line, environment(), lasting=lasting)


def environment() -> dict[str, str]:
    """Of every child: modules are found, wherever it runs."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


async def said(child: Child) -> dict[str, Any]:
    """What a child that ends by itself printed.

    Raises:
        ChildDied: it printed nothing of the kind.
    """
    if await child.process.wait():
        raise child.death()
    try:
        found: dict[str, Any] = json.loads(child.log.read_text().splitlines()[-1])
    except (ValueError, IndexError):
        raise ChildDied(f"{child.name} said: {child.tail()}") from None
    return found


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
