"""Owns the order of a fleet run: connect, changes of weights, a quiet while, a restart.

Times are of the machine's monotonic clock, which all its processes share. A change counts as
confirmed when the control plane says so to somebody who asks; the time of asking is in the figure.
"""

import asyncio
import math
import resource
import secrets
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from loadtests.compare.proc import cpu_us, pss_bytes
from loadtests.fleet.crowd import Order, Seen
from loadtests.fleet.options import Options
from loadtests.fleet.people import ControlPlane, Crowd, FleetFailed, Operator

POLL_S = 0.02
SPARE_FILES = 500
SHARES = (0.5, 0.99, 1.0)
_SERVICE = "shop"


class Change(msgspec.Struct, frozen=True):
    """One change of weights, in seconds after it was asked for."""

    answered_s: float
    told_s: tuple[float, ...]
    """When so many proxies (``SHARES``) had it in hand."""
    confirmed_s: tuple[float, ...]
    """When the control plane said that so many have confirmed it."""
    cpu_s: float
    """What the control plane used for it."""


class Restart(msgspec.Struct, frozen=True):
    """The control plane was stopped and started again; seconds after it was asked to stop."""

    stopped_s: float
    listening_s: float
    back_s: tuple[float, ...]
    """When so many proxies (``SHARES``) were connected again."""
    tries: int
    """Of all proxies, to connect; as many as proxies when each came back at the first."""
    failures: dict[str, int]
    cpu_s: float


class Figures(msgspec.Struct, frozen=True):
    """What one run found."""

    proxies: int
    services: int
    snapshot_bytes: int
    connect_s: float
    """From the start of the crowds until all have confirmed the first revision."""
    connect_cpu_s: float
    pss_before_bytes: int
    """Of the control plane, alone."""
    pss_bytes: int
    """With all proxies connected."""
    changes: tuple[Change, ...]
    idle_cpu: float
    """CPU seconds a second while nothing happens but heartbeats and reports."""
    idle_reports: float
    """A second, counted in that while."""
    reports: int
    """Counted in the whole run."""
    reported_requests: int
    """Of one service, as the API tells them."""
    restart: Restart | None


async def run(options: Options) -> Figures:
    """One run.

    Raises: FleetFailed, TimeoutError.
    """
    allow_files(options.proxies)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="splitway-fleet-")))
        token = secrets.token_urlsafe(24)
        control = ControlPlane(folder, token, free_port(), options.report_every_s)
        stack.push_async_callback(control.stop)
        await control.start()
        session = await stack.enter_async_context(
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
        )
        return await _Run(options, control, Operator(control.url, session), token, stack).run()


class _Run:
    def __init__(
        self,
        options: Options,
        control: ControlPlane,
        operator: Operator,
        token: str,
        stack: AsyncExitStack,
    ) -> None:
        self._options = options
        self._control = control
        self._operator = operator
        self._token = token
        self._stack = stack
        self._crowds: list[Crowd] = []
        self._weight = 1

    async def run(self) -> Figures:
        document = traffic_of(self._options.services)
        revision = await self._operator.put("/v1/config", document)
        alone, begun_cpu = self._pss(), self._cpu()
        begun = time.monotonic()
        await self._connect()
        await self._confirmed(revision, begun)
        say(f"all connected after {time.monotonic() - begun:.2f} s")
        connect_s, connect_cpu = time.monotonic() - begun, self._cpu() - begun_cpu
        changes = [await self._change() for _ in range(self._options.changes)]
        pss = self._pss()
        counted = await self._counted()
        idle, idle_s = await self._idle()
        idle_reports = (await self._counted() - counted) / idle_s
        restart = await self._restart() if self._options.restart else None
        return Figures(
            proxies=self._options.proxies,
            services=self._options.services,
            snapshot_bytes=len(msgspec.json.encode(document)),
            connect_s=connect_s,
            connect_cpu_s=connect_cpu,
            pss_before_bytes=alone,
            pss_bytes=pss,
            changes=tuple(changes),
            idle_cpu=idle,
            idle_reports=idle_reports,
            reports=await self._counted(),
            reported_requests=await self._operator.reported(f"{_SERVICE}0"),
            restart=restart,
        )

    async def _connect(self) -> None:
        each, more = divmod(self._options.proxies, self._options.processes)
        for number in range(self._options.processes):
            crowd = await Crowd.start(
                f"crowd{number}",
                each + (number < more),
                self._control.url,
                self._token,
                self._options.services,
                self._options.users,
            )
            self._stack.push_async_callback(crowd.stop)
            self._crowds.append(crowd)

    async def _change(self) -> Change:
        await asyncio.sleep(self._options.pause_s)
        cpu = self._cpu()
        self._weight += 1
        begun = time.monotonic()
        weights = {"stable": 100, "canary": self._weight}
        revision = await self._operator.put(
            f"/v1/services/{_SERVICE}0/weights", {"weights": weights}
        )
        answered = time.monotonic() - begun
        confirmed = await self._confirmed(revision, begun)
        cpu = self._cpu() - cpu
        say("confirmed by 50 %, 99 %, all after " + ", ".join(f"{at:.2f} s" for at in confirmed))
        seen = await self._seen(Order(revision=revision))
        told = sorted(at - begun for each in seen for at in each.told_s)
        return Change(answered, quantiles(told), confirmed, cpu)

    async def _confirmed(self, revision: int, begun: float) -> tuple[float, ...]:
        """When so many had confirmed, in seconds after ``begun``."""
        times: list[float] = []
        wanted = [math.ceil(share * self._options.proxies) for share in SHARES]
        async with asyncio.timeout(self._options.patience_s):
            while len(times) < len(wanted):
                count = await self._operator.confirmed(revision)
                now = time.monotonic() - begun
                times += [now for least in wanted[len(times) :] if count >= least]
                await asyncio.sleep(POLL_S)
        return tuple(times)

    async def _idle(self) -> tuple[float, float]:
        cpu, begun = self._cpu(), time.monotonic()
        await asyncio.sleep(self._options.idle_s)
        seconds = time.monotonic() - begun
        return (self._cpu() - cpu) / seconds, seconds

    async def _counted(self) -> int:
        return sum(each.counted for each in await self._seen(Order()))

    async def _restart(self) -> Restart:
        before = await self._seen(Order(opened=True))
        begun = time.monotonic()
        await self._control.stop()
        stopped = time.monotonic() - begun
        await self._control.start()
        listening = time.monotonic() - begun
        say(f"restarted: listening after {listening:.2f} s")
        opened: list[float] = []
        async with asyncio.timeout(self._options.patience_s):
            while True:
                seen = await self._seen(Order(opened=True))
                opened += [at - begun for each in seen for at in each.opened_s]
                if sum(each.connected for each in seen) == self._options.proxies:
                    break
                await asyncio.sleep(POLL_S)
        failures = sum((Counter(each.failures) for each in seen), Counter())
        failures -= sum((Counter(each.failures) for each in before), Counter())
        return Restart(
            stopped_s=stopped,
            listening_s=listening,
            back_s=quantiles(sorted(opened)),
            tries=sum(each.tries for each in seen) - sum(each.tries for each in before),
            failures=dict(failures),
            cpu_s=self._cpu(),
        )

    async def _seen(self, order: Order) -> list[Seen]:
        return [await crowd.seen(order) for crowd in self._crowds]

    def _cpu(self) -> float:
        return cpu_us(self._control.pid) / 1e6

    def _pss(self) -> int:
        return pss_bytes(self._control.pid)


def quantiles(ordered: Sequence[float]) -> tuple[float, ...]:
    """The values that so many (``SHARES``) do not exceed.

    Raises: FleetFailed: there is none.
    """
    if not ordered:
        raise FleetFailed("no proxy has said anything")
    return tuple(ordered[math.ceil(share * len(ordered)) - 1] for share in SHARES)


def traffic_of(services: int) -> dict[str, Any]:
    """Services and routes such as a company has them: each of two versions, three endpoints."""
    names = [f"{_SERVICE}{number}" for number in range(services)]
    return {
        "services": {
            name: {
                "versions": {
                    version: {
                        "endpoints": [f"http://10.0.{third}.{last}:8080" for last in (1, 2, 3)]
                    }
                    for third, version in enumerate(("stable", "canary"))
                },
                "weights": {"stable": 100, "canary": 1},
            }
            for name in names
        },
        "routes": [
            {"match": {"host": f"{name}.example.org", "path": {"prefix": "/"}}, "service": name}
            for name in names
        ],
    }


def allow_files(proxies: int) -> None:
    """Raises the limit of open files, which children inherit.

    Raises: FleetFailed: it is too low for so many proxies.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < proxies + SPARE_FILES:
        raise FleetFailed(f"only {most} files may be open: too few for {proxies} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def say(line: str) -> None:
    """Tells whoever waits."""
    print(line, file=sys.stderr, flush=True)


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
