"""Owns which sources are followed now, and what was found last behind each.

A source that fails keeps its endpoints. Whatever finds nothing tells in words why, once for each
change of state.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from proxy.discovery.finder import Finder
from proxy.model.address import parse_endpoint
from proxy.model.config import Endpoint
from proxy.model.wire import SourceState

LOG = logging.getLogger("splitway.discovery")

CANCEL_AGAIN_S: Final = 0.1
MOST: Final = 4_096
"""Endpoints of one source."""
AGAIN_S: Final = 5.0
"""Until a finder that has ended, which none should, is started again."""


def is_usable(url: str) -> bool:
    """Whether an address that was found may be asked. Whoever answers for a name, or writes a list,
    is not to lead requests to what every address means, to many, or to this machine's link, where
    clouds serve credentials (design/reliability.md #29)."""
    try:
        host = parse_endpoint(url).host
    except ValueError:
        return False
    try:
        ip = ip_address(host)
    except ValueError:  # a name, or a Unix socket
        return True
    return not (ip.is_unspecified or ip.is_multicast or ip.is_link_local or ip.is_reserved)


class Discovery:
    """The sources that a configuration names.

    Args:
        make: the finder of a source, by its URL.

    Attributes:
        changed: set when other endpoints were found; whoever takes them clears it.
    """

    def __init__(self, make: Callable[[str], Finder]) -> None:
        self._make = make
        self.changed = asyncio.Event()
        self._followed: dict[str, _Followed] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def follow(self, urls: Iterable[str]) -> None:
        """Follow these sources from now on, and no others."""
        wanted = list(dict.fromkeys(urls))
        for url in self._followed.keys() - set(wanted):
            ending = asyncio.create_task(end(self._followed.pop(url).task))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        for url in wanted:
            if url not in self._followed:
                self._followed[url] = _Followed(url, self._make(url), self.changed)

    async def tried(self, within_s: float) -> None:
        """Wait until each source has been asked once, with success or not, or it takes too long."""
        waiting = [followed.tried.wait() for followed in self._followed.values()]
        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*waiting)
        except TimeoutError:
            late = [url for url, followed in self._followed.items() if not followed.tried.is_set()]
            LOG.warning(
                "no answer within %g s from %s; going on without", within_s, ", ".join(late)
            )

    @property
    def found(self) -> dict[str, tuple[Endpoint, ...]]:
        """By URL, what was found last; a source that never answered has none."""
        return {url: followed.endpoints for url, followed in self._followed.items()}

    def states(self) -> tuple[SourceState, ...]:
        """What there is to tell of each source."""
        return tuple(
            SourceState(url, len(followed.endpoints), followed.trouble, followed.failures)
            for url, followed in self._followed.items()
        )

    async def stop(self) -> None:
        """Follow nothing any more."""
        tasks = [followed.task for followed in self._followed.values()]
        self._followed = {}
        await asyncio.gather(*map(end, tasks), *self._ending)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it is done: wait_for, which libraries use, loses a cancellation that
    comes in the moment of the answer (Python 3.11, bpo-37658)."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=CANCEL_AGAIN_S)


class _Followed:
    """One source."""

    def __init__(self, url: str, finder: Finder, changed: asyncio.Event) -> None:
        self.endpoints: tuple[Endpoint, ...] = ()
        self.trouble = ""
        self.failures = 0
        self.tried = asyncio.Event()
        self._url = url
        self._finder = finder
        self._changed = changed
        self.task = asyncio.create_task(self._run(), name=f"discovery {url}")

    async def _run(self) -> None:
        while True:
            try:
                await self._finder.run(self._found, self._failed)
            except Exception as error:
                LOG.exception("%s: looking for endpoints failed", self._url)
                self._failed(str(error) or type(error).__name__)
            await asyncio.sleep(AGAIN_S)

    def _found(self, endpoints: tuple[Endpoint, ...]) -> None:
        # Names are asked for in any order; a set that is the same is no change.
        endpoints = tuple(sorted(set(endpoints), key=lambda endpoint: endpoint.url))
        usable = tuple(endpoint for endpoint in endpoints if is_usable(endpoint.url))
        if len(endpoints) > MOST:
            self._failed(f"{len(endpoints)} endpoints are more than {MOST}")
            return
        if len(usable) < len(endpoints):
            bad = next(endpoint.url for endpoint in endpoints if endpoint not in usable)
            self._failed(f"{bad} cannot be an endpoint")
            if not usable:
                return
        elif self.trouble:
            LOG.info("%s answers again", self._url)
            self.trouble = ""
        self.tried.set()
        if usable != self.endpoints:
            LOG.info("%s: %d endpoints, %d before", self._url, len(usable), len(self.endpoints))
            self.endpoints = usable
            self._changed.set()

    def _failed(self, trouble: str) -> None:
        self.failures += 1
        self.tried.set()
        if trouble != self.trouble:
            kept = len(self.endpoints)
            LOG.warning("%s: %s; %d endpoints found before stay", self._url, trouble, kept)
            self.trouble = trouble
