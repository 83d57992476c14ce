"""Owns that the book of tokens says what the store says, and that the store learns when tokens were
used. Never judges a token.

Both go by a number that grows with each change of tokens: asking for it every two seconds costs
next to nothing, and on PostgreSQL every commit of another control plane has it asked at once
(``following``). While the store is away, the book stays as it is: expiry is the clock's to tell.
"""

import asyncio
import logging
from contextlib import suppress

from controlplane.access.book import TokenBook
from controlplane.store.base import Store, StoreError
from controlplane.store.uncut import uncut

_log = logging.getLogger(__name__)

POLL_S = 2.0
NOTED_S = 60.0
"""How often the store is told when tokens were used: it is a write like any other."""


class Bookkeeper:
    """Keeps one book."""

    def __init__(self, store: Store, book: TokenBook) -> None:
        self._store = store
        self._book = book
        self._told = asyncio.Event()
        self._one_reader = asyncio.Lock()
        """So that what was read before never takes the place of what was read after it."""
        self._fails = False

    def tell(self) -> None:
        """Something was changed, maybe tokens."""
        self._told.set()

    async def refresh(self) -> None:
        """Reads the tokens anew if they were changed.

        Raises: StoreError.
        """
        async with self._one_reader, self._store.reading() as unit:
            version = await unit.token_changes()
            # A smaller one, too: a copy of the database was put back under us.
            if version != self._book.version:
                self._book.load(version, await unit.unrevoked_tokens())

    async def changed(self) -> None:
        """The same after a change of our own, which is durable whatever happens here."""
        try:
            await self.refresh()
        except StoreError as error:
            _log.warning("a change of tokens is felt here later: %s", error)

    async def run(self) -> None:
        """Keeps the book until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="following changes of tokens")
            # A write may wait for other control planes' writes, and a revocation must not.
            tasks.create_task(self._note(), name="noting which tokens are used")

    async def _follow(self) -> None:
        while True:
            try:
                await self.refresh()
            except StoreError as error:
                if not self._fails:
                    _log.warning("changes of tokens cannot be asked for: %s", error)
                self._fails = True
            else:
                self._fails = False
            await self._until_told()

    async def _note(self) -> None:
        while True:
            await asyncio.sleep(NOTED_S)
            try:
                await uncut(self.note_used())
            except StoreError as error:
                _log.warning("it is not noted which tokens are used: %s", error)

    async def note_used(self) -> None:
        """Tells the store which tokens were used since the last time.

        Raises: StoreError: it is not noted.
        """
        if used := self._book.take_used():
            async with self._store.writing() as unit:
                await unit.use_tokens(used)

    async def _until_told(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._told.wait()
        self._told.clear()
