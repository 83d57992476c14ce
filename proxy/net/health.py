"""Owns asking endpoints whether they work. Never decides what follows (``endpoints`` does)."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from proxy.http1.errors import ProtocolError
from proxy.http1.grammar import HEAD_END, MAX_HEAD_BYTES
from proxy.http1.response import parse_response

if TYPE_CHECKING:
    from proxy.model.address import Address
    from proxy.model.config import HealthCheck, Service
    from proxy.net.endpoints import EndpointSet


class Thresholds:
    """Makes of single checks whether an endpoint is healthy.

    Attributes:
        healthy: None before the first check is over.
    """

    __slots__ = ("_config", "_in_a_row", "healthy")

    def __init__(self, config: HealthCheck, healthy: bool | None = None) -> None:
        self._config = config
        self._in_a_row = 0
        self.healthy = healthy

    def checked(self, *, passed: bool) -> None:
        """One more check is over."""
        if self.healthy is None:
            self.healthy = passed
            return
        self._in_a_row = 0 if passed is self.healthy else self._in_a_row + 1
        config = self._config
        if self._in_a_row >= (config.healthy_after if passed else config.unhealthy_after):
            self.healthy = passed
            self._in_a_row = 0


def passes(config: HealthCheck, status: int) -> bool:
    """Whether a status counts as a pass."""
    for text in config.statuses:
        first, _, last = text.partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False


async def check(config: HealthCheck, address: Address) -> bool:
    """Ask once. Whatever goes wrong is a failure."""
    try:
        async with asyncio.timeout(config.timeout_s):
            return passes(config, await _status(config, address))
    except (OSError, EOFError, ProtocolError, asyncio.LimitOverrunError):
        return False


async def _status(config: HealthCheck, address: Address) -> int:
    if address.is_unix:
        reader, writer = await asyncio.open_unix_connection(address.path, limit=MAX_HEAD_BYTES)
    else:
        reader, writer = await asyncio.open_connection(
            address.host, address.port, limit=MAX_HEAD_BYTES
        )
    try:
        host = config.host or address.authority
        writer.write(
            f"GET {config.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: splitway\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        while True:
            head = parse_response(await reader.readuntil(HEAD_END), "GET")
            if head.status >= 200:
                return head.status
    finally:
        writer.transport.abort()


class EndpointWatch:
    """Looks after the endpoints of one version until it is closed: checks them, and sweeps what
    was learnt of them.

    Args:
        service: for its rules.

    Attributes:
        endpoints: whom it looks after.
    """

    def __init__(self, service: Service, endpoints: EndpointSet) -> None:
        self.endpoints = endpoints
        self._loop = asyncio.get_running_loop()
        self._unknown = len(endpoints.states) if service.health is not None else 0
        self._known = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._sweeping: asyncio.TimerHandle | None = None
        if not self._unknown:
            self._known.set()
        if service.health is not None:
            for index in range(len(endpoints.states)):
                task = self._loop.create_task(self._keep_checking(service.health, index))
                self._tasks.append(task)
        if service.outliers is not None:
            self._interval_s = service.outliers.interval_s
            self._sweeping = self._loop.call_later(self._interval_s, self._sweep)

    async def known(self) -> None:
        """Every endpoint was checked once."""
        await self._known.wait()

    async def close(self) -> None:
        """Look no more; nobody need wait for what is not known."""
        self._known.set()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _sweep(self) -> None:
        self.endpoints.sweep()
        self._sweeping = self._loop.call_later(self._interval_s, self._sweep)

    async def _keep_checking(self, config: HealthCheck, index: int) -> None:
        state = self.endpoints.states[index]
        thresholds = Thresholds(config, state.healthy)
        if state.healthy is not None:
            self._checked_once()
            await asyncio.sleep(config.interval_s * random.random())
        while True:
            begins = thresholds.healthy is None
            thresholds.checked(passed=await check(config, state.pool.address))
            self.endpoints.checked(index, healthy=bool(thresholds.healthy))
            if begins:
                self._checked_once()
            spread = config.jitter * (2 * random.random() - 1)
            await asyncio.sleep(config.interval_s * (1 + spread))

    def _checked_once(self) -> None:
        self._unknown -= 1
        if not self._unknown:
            self._known.set()
