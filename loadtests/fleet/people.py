"""Owns the processes of a fleet run: one real ``splitway-control`` and the crowds of proxies.

Never measures. Each process is ended by its own id.
"""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import msgspec

from loadtests.fleet.crowd import Order, Seen

ROOT = Path(__file__).parents[2]
READY_S = 30.0
STOP_S = 15.0
ANSWER_S = 60.0
MAX_ANSWER_BYTES = 16 << 20
_READY = re.compile(r"^control plane on (\S+)$", re.MULTILINE)


class FleetFailed(Exception):
    """The run cannot go on; says why."""


class ControlPlane:
    """One control plane that may be stopped and started again on its store and its port."""

    def __init__(self, folder: Path, token: str, port: int, report_every_s: float = 10.0) -> None:
        self._report_every_s = report_every_s
        self._folder = folder
        self._token = token
        self._port = port
        self._process: Process | None = None
        self.log = folder / "control.log"

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        if self._process is None:
            raise FleetFailed("the control plane is not running")
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Starts it and waits until it listens."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "controlplane"),
                *("--store", f"sqlite:///{self._folder / 'control.db'}"),
                *("--bind", f"127.0.0.1:{self._port}"),
                *("--report-every", str(self._report_every_s)),
                stdout=PIPE,
                stderr=log,
                cwd=ROOT,
                env=os.environ | {"SPLITWAY_TOKEN": self._token},
            )
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        async with asyncio.timeout(READY_S):
            while line := await self._process.stdout.readline():
                if _READY.search(line.decode()):
                    return
        raise FleetFailed(f"the control plane did not start: {self.log.read_text()[-2000:]}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it: as an operator does, or (SIGKILL) as a crash does."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


class Crowd:
    """One process of simulated proxies."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, name: str, proxies: int, url: str, token: str, services: int = 1, users: int = 0
    ) -> "Crowd":
        """Starts it; its proxies connect at once."""
        host, _, port = url.removeprefix("http://").rpartition(":")
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "loadtests.fleet.crowd", "--name", name),
                *("--host", host, "--port", port, "--proxies", str(proxies)),
                *("--services", str(services), "--users", str(users)),
                stdin=PIPE,
                stdout=PIPE,
                cwd=ROOT,
                env=os.environ | {"SPLITWAY_TOKEN": token},
                limit=MAX_ANSWER_BYTES,
            )
        )

    async def seen(self, order: Order) -> Seen:
        """What its proxies have seen until now."""
        assert self._process.stdin is not None  # noqa: S101 - pipes were asked for
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        async with asyncio.timeout(ANSWER_S):
            line = await self._process.stdout.readline()
        if not line:
            raise FleetFailed("a crowd of proxies has ended; see standard error")
        return msgspec.json.decode(line, type=Seen)

    async def stop(self) -> None:
        """Ends it."""
        if self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


class Operator:
    """Who changes weights and asks how far they have come."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def put(self, path: str, body: object) -> int:
        """Makes a change; returns its revision."""
        async with self._session.put(f"{self._url}{path}", json=body) as response:
            if response.status != 200:
                raise FleetFailed(f"PUT {path}: {response.status}: {await response.text()}")
            return int((await response.json())["revision"])

    async def reported(self, service: str) -> int:
        """Requests of a service that the figures have."""
        path = f"/v1/services/{service}/reports"
        async with self._session.get(f"{self._url}{path}", params={"level": "1h"}) as response:
            response.raise_for_status()
            intervals = (await response.json())["intervals"]
        return sum(row["requests"] for interval in intervals for row in interval["rows"])

    async def confirmed(self, revision: int) -> int:
        """How many connected proxies have confirmed a revision."""
        query = {"revision": str(revision)}
        async with self._session.get(f"{self._url}/v1/convergence", params=query) as response:
            response.raise_for_status()
            return int((await response.json())["confirmed"])
