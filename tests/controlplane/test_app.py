import asyncio
import logging

import pytest
from aiohttp import web

from controlplane import app as module
from controlplane.app import _in_background
from tests.controlplane.support import PATIENCE_S


class Part:
    """Fails for what nobody thought of, twice, and once more when it is told to end."""

    def __init__(self) -> None:
        self.starts = 0
        self.runs = asyncio.Event()

    async def run(self) -> None:
        self.starts += 1
        if self.starts < 3:
            raise KeyError(f"start {self.starts}")
        self.runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("at the end")


def test_a_part_that_fails_is_told_at_once_and_begun_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.0)

    async def scenario() -> None:
        part = Part()
        context = _in_background(part)(web.Application())
        async with asyncio.timeout(PATIENCE_S):
            await anext(context)
            await part.runs.wait()
            said = [record.getMessage() for record in caplog.records]
            assert said == ["Part failed", "Part failed"]
            with pytest.raises(StopAsyncIteration):
                await anext(context)
        assert part.starts == 3

    caplog.set_level(logging.ERROR)
    asyncio.run(scenario())
    assert "start 2" in caplog.text
    assert "at the end" in caplog.text
