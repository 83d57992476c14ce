import asyncio
import logging
from pathlib import Path

import pytest

from controlplane.store import uncut as module
from controlplane.store.base import StoreError
from controlplane.store.uncut import uncut
from tests.controlplane.store.test_sql import added, append, opened, shop
from tests.controlplane.support import PATIENCE_S, store_url


def test_a_write_that_is_cut_is_ended_before_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async with opened(store_url(tmp_path)) as store, asyncio.timeout(PATIENCE_S):

            async def write() -> None:
                async with store.writing() as unit:
                    await added(unit, shop(a=1))
                    begun.set()
                    await go.wait()

            task = asyncio.create_task(uncut(write()))
            await begun.wait()
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await append(store, shop(a=2))).number == 2

    asyncio.run(scenario())


def test_it_gives_and_raises_what_the_write_does() -> None:
    async def good() -> int:
        return 7

    async def bad() -> None:
        raise StoreError("gone")

    async def scenario() -> None:
        assert await uncut(good()) == 7
        with pytest.raises(StoreError, match="gone"):
            await uncut(bad())

    asyncio.run(scenario())


def test_who_stops_waits_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async def hanging() -> None:
            await asyncio.Event().wait()

        async def failing() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            raise StoreError("gone")

        for wait_s, write in ((PATIENCE_S, failing), (0.01, hanging)):
            monkeypatch.setattr(module, "WAIT_S", wait_s)
            task = asyncio.create_task(uncut(write()))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    caplog.set_level(logging.WARNING)
    asyncio.run(scenario())
    assert "a write that was under way at the end failed: gone" in caplog.text
