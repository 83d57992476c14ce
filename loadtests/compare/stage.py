"""Owns the processes of a comparison: on which CPU they run, when they are ready, that they end.

Never knows what is measured. Each process leads its own group; when it is ended, what is left of
the group (a worker whose master was killed) is killed.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from loadtests.compare.scenarios import HOST, USER
from loadtests.demo.children import Child, Children

READY_S = 30.0
POLL_S = 0.002
TOOL_S = 300.0
"""No tool is given as long as this to do."""


class NotReady(Exception):
    """A process did not answer in time; the message holds the end of its log."""


class ToolFailed(Exception):
    """A tool ended with an error; the message holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which CPU the proxy has, and which everything else; None: all share what there is."""

    proxy: int | None
    load: int | None


def cores_of(allowed: Collection[int]) -> Cores:
    """The first for the proxy, the second for the load; no pinning where there is only one."""
    usable = sorted(allowed)
    return Cores(usable[0], usable[1]) if len(usable) > 1 else Cores(None, None)


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command, kept on one CPU; taskset replaces itself by it."""
    taskset = shutil.which("taskset")
    if core is None or taskset is None:
        return list(command)
    return [taskset, "--cpu-list", str(core), *command]


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago, each another one."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in held]


class Stage:
    """Every process of one comparison; leaving the context ends them, the last started first."""

    def __init__(self, folder: Path, cores: Cores, cwd: Path) -> None:
        self.folder = folder
        self.cores = cores
        self._cwd = cwd
        self._children: Children
        self._running: list[Child] = []
        self._stack = AsyncExitStack()
        self._starts = 0

    async def __aenter__(self) -> Self:
        self._children = await self._stack.enter_async_context(Children(self.folder, self._cwd))
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._running:
            await self.end(self._running[-1])
        await self._stack.aclose()

    def new_folder(self, name: str) -> Path:
        """A folder for one process."""
        self._starts += 1
        folder = self.folder / f"{self._starts}-{name}"
        folder.mkdir()
        return folder

    async def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        proxy: bool = False,
    ) -> Child:
        """Start a process on the load's CPU, or on the proxy's."""
        self._starts += 1
        core = self.cores.proxy if proxy else self.cores.load
        child = await self._children.start(
            f"{self._starts}-{name}", pinned(command, core), environment, lasting=False
        )
        self._running.append(child)
        return child

    async def end(self, child: Child) -> None:
        """End a process and what is left of its group."""
        try:
            await self._children.end(child)
        finally:
            _kill_group(child)
            self._running.remove(child)

    def kill_all(self) -> None:
        """End every process at once, for those who cannot wait."""
        for child in self._running:
            child.kill()
            _kill_group(child)

    async def tool(self, name: str, command: Sequence[str], served_by: Child | None = None) -> str:
        """Run a command on the load's CPU to its end; returns what it printed.

        Raises:
            ToolFailed: it ended with an error, or not in time.
            ChildDied: ``served_by`` did not live through it.
        """
        child = await self.start(name, command)
        try:
            status = await asyncio.wait_for(child.process.wait(), TOOL_S)
        except TimeoutError:
            raise ToolFailed(f"{name} did not end in {TOOL_S:g} s:\n{child.tail()}") from None
        finally:
            await self.end(child)
        if served_by is not None and served_by.process.returncode is not None:
            raise served_by.death()
        if status:
            raise ToolFailed(f"{name} ended with exit code {status}:\n{child.tail()}")
        return child.log.read_text()


def _kill_group(child: Child) -> None:
    # Its id stays taken as long as the group has a member.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)


async def until_ready(
    child: Child,
    port: int,
    path: str = "/api/items",
    within_s: float = READY_S,
    host: str = HOST,
) -> None:
    """Wait for the first 200 from ``port``.

    Raises:
        ChildDied: it ended instead.
        NotReady: it did not answer in time.
    """
    deadline = time.monotonic() + within_s
    ask = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{USER}: u\r\nConnection: close\r\n\r\n".encode()
    while not await _answers(port, ask):
        if child.process.returncode is not None:
            raise child.death()
        if time.monotonic() > deadline:
            raise NotReady(f"{child.name} did not answer in {within_s:g} s; {child.tail()}")
        await asyncio.sleep(POLL_S)  # nothing signals when another process listens


async def _answers(port: int, ask: bytes) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(ask)
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    return False
