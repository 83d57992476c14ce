"""Owns what a finder of endpoints told a test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.discovery.finder import Finder
from proxy.discovery.following import end
from proxy.model.config import Endpoint


class Heard:
    """In order.

    Attributes:
        found, failed: as it was told.
    """

    def __init__(self) -> None:
        self.found: list[tuple[Endpoint, ...]] = []
        self.failed: list[str] = []
        self._news = asyncio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for it; the test's own bound ends it."""
        while not is_so():
            self._news.clear()
            await self._news.wait()

    def urls(self) -> list[str]:
        """Of what was found last."""
        return sorted(each.url for each in self.found[-1]) if self.found else []

    def on_found(self, endpoints: tuple[Endpoint, ...]) -> None:
        """See ``Found``."""
        self.found.append(tuple(sorted(endpoints, key=lambda each: each.url)))
        self._news.set()

    def on_failed(self, trouble: str) -> None:
        """See ``Failed``."""
        self.failed.append(trouble)
        self._news.set()


@asynccontextmanager
async def hearing(finder: Finder) -> AsyncIterator[Heard]:
    """What a finder tells while it runs."""
    heard = Heard()
    task = asyncio.create_task(finder.run(heard.on_found, heard.on_failed))
    try:
        yield heard
    finally:
        await end(task)


async def soon(_: float) -> None:
    """A wait that no test has to sit through."""
    await asyncio.sleep(0.02)
