"""Owns finding endpoints in a file that somebody else writes: a list, in YAML or JSON.

A file that is missing, empty, half written or wrong is a failure: what was found last stays. A list
without items is an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from proxy.discovery.finder import Failed, Found
from proxy.model.errors import ConfigError
from proxy.model.parse import parse_endpoints

INTERVAL_S: Final = 1.0


class Watch(Protocol):
    """Tells when the text of a file has changed (``proxy.sync.file.FileWatch``)."""

    async def poll(self) -> bool:
        """One look at the file. Returns whether a new text was handed over."""

    @property
    def trouble(self) -> str:
        """Why it could not be read at the last look; empty if it could."""


OpenWatch = Callable[[Path, Callable[[str], Awaitable[None]]], Watch]


class FileFinder:
    """A file's list.

    Args:
        open_watch: makes the watch over a file, given its path and who takes each new text.
    """

    def __init__(self, path: str, open_watch: OpenWatch) -> None:
        self._path = path
        self._open_watch = open_watch

    async def run(self, found: Found, failed: Failed) -> None:
        """See ``Finder``."""

        def tell_nothing() -> None:
            """Before the file was read."""

        tell: Callable[[], None] = tell_nothing

        async def take(text: str) -> None:
            nonlocal tell
            try:
                # A long list takes a while, and with one worker this loop carries the traffic.
                endpoints = await asyncio.to_thread(parse_endpoints, text, file=self._path)
            except ConfigError as error:
                tell = partial(failed, "; ".join(map(str, error.problems)))
            else:
                tell = partial(found, endpoints)

        watch = self._open_watch(Path(self._path), take)
        trouble = ""
        while True:
            if await watch.poll() or (trouble and not watch.trouble):
                tell()
            elif watch.trouble and watch.trouble != trouble:
                failed(watch.trouble)
            trouble = watch.trouble
            await asyncio.sleep(INTERVAL_S)
