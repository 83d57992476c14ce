import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controlplane import bookkeeping as module
from controlplane.access.book import TokenBook
from controlplane.bookkeeping import Bookkeeper
from controlplane.store.base import Store, StoreError, Unit
from tests.controlplane.access.test_book import NOW, Wall, made
from tests.controlplane.store.test_sql import opened
from tests.controlplane.support import PATIENCE_S, store_url


class Shaky:
    """A store whose readings fail while it is away."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.is_away = False
        self.asked = asyncio.Event()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Unit]:
        self.asked.set()
        if self.is_away:
            raise StoreError("gone")
        async with self.store.reading() as unit:
            yield unit

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


def test_a_copy_that_was_put_back_counts(tmp_path: Path) -> None:
    """As when PostgreSQL fails over to a replica that has not the last commits."""
    bearer, record = made()

    async def scenario() -> None:
        async with opened(store_url(tmp_path)) as store:
            book = TokenBook(Wall())
            book.load(7, [record])
            assert await book.check(bearer.text)
            await Bookkeeper(store, book).refresh()
            assert (book.version, book.find(bearer.text)) == (0, None)

    asyncio.run(scenario())


def test_while_the_store_is_away_the_book_stays_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "POLL_S", 1_000.0)
    bearer, record = made()

    async def scenario() -> None:
        async with opened(store_url(tmp_path)) as sql, asyncio.timeout(PATIENCE_S):
            async with sql.writing() as unit:
                await unit.put_token(record, NOW)
            store, book = Shaky(sql), TokenBook(Wall())
            keeper = Bookkeeper(store, book)  # type: ignore[arg-type] # see Shaky
            await keeper.refresh()
            store.is_away = True
            running = asyncio.create_task(keeper.run())
            for _ in range(3):
                store.asked.clear()
                keeper.tell()
                await store.asked.wait()
            await keeper.changed()  # what was written stays written
            assert await book.check(bearer.text)
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(scenario())
    said = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert said == [
        "changes of tokens cannot be asked for: gone",
        "a change of tokens is felt here later: gone",
    ]
