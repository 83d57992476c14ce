"""A whole data plane on real sockets in the test's own loop, with the real counters."""

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, TypeVar

import uvloop

from proxy.model.config import (
    Config,
    Match,
    PathMatch,
    Route,
    Service,
    Timeouts,
    Version,
    traffic_of,
)
from proxy.model.wire import Snapshot, VersionCounts
from proxy.net import downstream
from proxy.net.listener import bind
from proxy.net.plane import Plane
from proxy.net.runtime import RequestLog
from proxy.telemetry.metrics import Registry

T = TypeVar("T")
COMPILED = str(downstream.__file__).endswith(".so")
"""The hot modules are compiled (docs/adr/0009)."""
WITHIN_S = 20.0
"""Nothing in these tests waits this long unless something is lost."""
LONG_S = 100.0
"""For tests that compute for long by themselves, on a machine that has other things to do."""


def run(test: Callable[[], Coroutine[Any, Any, T]], within_s: float = WITHIN_S) -> T:
    """Runs a test on uvloop, as the proxy runs, within a bound; no task may be left behind."""

    async def bounded() -> T:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with asyncio.timeout(within_s):
            result = await test()
        assert errors == []
        return result

    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        result = runner.run(bounded())
    finally:
        # An error out of a warning would keep the loop from closing what a failed test left open,
        # and closing that after the loop's end aborts the process in a later test (libuv).
        with warnings.catch_warnings(record=True) as unclosed:
            warnings.simplefilter("always")
            runner.close()
    left = [str(warning.message) for warning in unclosed]
    assert left == [], left
    return result


async def eventually(is_so: Callable[[], bool]) -> None:
    """Turns the loop until a condition holds; the test's own bound ends a vain wait."""
    while not is_so():  # noqa: ASYNC110 the condition is the product's own state, nothing signals it
        await asyncio.sleep(0.001)


def config_for(
    *endpoints: str, timeouts: Timeouts | None = None, path: str | None = None, **more: Any
) -> Config:
    """One service with one version.

    Args:
        path: only this prefix leads to it; everything when None.
        more: other fields of ``Config``.
    """
    service = Service(
        versions={"stable": Version(endpoints=endpoints)}, timeouts=timeouts or Timeouts()
    )
    match = Match(path=PathMatch(prefix=path)) if path else Match()
    routes = (Route(service="shop", match=match),)
    return Config(services={"shop": service}, routes=routes, **more)


class Running(AbstractAsyncContextManager["Running"]):
    """A plane that listens. When it is left, everything must have been given back.

    Args:
        config: its traffic is the first revision.
        socket_path: a Unix socket to listen on instead of a port of loopback.
    """

    def __init__(
        self, config: Config, *, socket_path: str = "", log: RequestLog | None = None
    ) -> None:
        self._config = config
        self._socket_path = socket_path
        self._revision = 0
        self.registry = Registry()
        registry = self.registry
        self.plane = Plane(registry.version, registry.unrouted, log, None, registry.copies)
        self.where: tuple[str, int] | str

    async def __aenter__(self) -> Self:
        self.install(self._config)
        name = f"unix:{self._socket_path}" if self._socket_path else "127.0.0.1:0"
        sockets = bind("web", name)
        self.where = self._socket_path or sockets[0].getsockname()[:2]
        await self.plane.listen(sockets)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.plane.close()
        await eventually(lambda: not self.plane.connections)
        for pool in self.plane._pools.values():
            await eventually(lambda pool=pool: not pool.open)  # type: ignore[misc]
        assert not self.plane._tasks
        for counts in self.registry.counts().versions:
            assert counts.in_flight == 0, counts

    def install(self, config: Config) -> None:
        """Bring the next revision in force."""
        self._revision += 1
        self.plane.install(config, Snapshot(revision=self._revision, traffic=traffic_of(config)))

    def counts(self, version: str = "stable", service: str = "shop") -> VersionCounts:
        """What was counted for a version so far; of requests without one for ("", "")."""
        for counts in self.registry.counts().versions:
            if (counts.service, counts.version) == (service, version):
                return counts
        raise LookupError(version)

    async def counted(self, requests: dict[str, int], *, unrouted: bool = False) -> VersionCounts:
        """Waits until these are the requests counted."""
        key = ("", "") if unrouted else ("stable", "shop")
        await eventually(lambda: self.counts(*key).requests == requests)
        return self.counts(*key)
