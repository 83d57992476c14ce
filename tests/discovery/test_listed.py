"""Endpoints found in a file that somebody else writes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.discovery import listed
from proxy.discovery.listed import FileFinder
from proxy.model.config import Endpoint
from proxy.sync.file import FileWatch
from tests.support.heard import hearing
from tests.support.running import run


def watch(path: Path, take: Callable[[str], Awaitable[None]]) -> FileWatch:
    return FileWatch(path, "", take)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "INTERVAL_S", 0.02)


def test_a_file_that_changes_breaks_and_is_repaired(tmp_path: Path) -> None:
    async def test() -> None:
        file = tmp_path / "endpoints.yaml"
        async with hearing(FileFinder(str(file), watch)) as heard:
            await heard.until(lambda: bool(heard.failed))
            assert "No such file" in heard.failed[0]
            file.write_text('endpoints: ["http://10.0.0.1:80"]\n')
            await heard.until(lambda: bool(heard.found))
            file.write_text('{"endpoints": [{"url": "http://10.0.0.2:80", "weight": 3}]}')
            await heard.until(lambda: len(heard.found) == 2)
            assert heard.found[1] == (Endpoint("http://10.0.0.2:80", 3),)
            file.write_text("endpoints: [ftp://x]\n")
            await heard.until(lambda: len(heard.failed) == 2)
            assert "endpoints[0]: expected http://host:port" in heard.failed[1]
            file.write_text("endpoints: []\n")
            await heard.until(lambda: len(heard.found) == 3)
            assert heard.found[2] == ()

    run(test)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("endpoints: 1", "expected a list"),
        ("hosts: []", "unknown field"),
        ("endpoints: ['dns://shop.test:80']", "a source cannot name another"),
        ("endpoints: ['http://a:1', 'http://a:1']", "the same endpoint as endpoints[0]"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, words: str) -> None:
    async def test() -> None:
        file = tmp_path / "endpoints.yaml"
        file.write_text(text)
        async with hearing(FileFinder(str(file), watch)) as heard:
            await heard.until(lambda: bool(heard.failed))
            assert words in heard.failed[0]
            assert heard.found == []

    run(test)


def test_a_file_that_comes_back_as_it_was_is_told_again(tmp_path: Path) -> None:
    async def test() -> None:
        file = tmp_path / "endpoints.yaml"
        file.write_text("endpoints: ['http://10.0.0.1:80']")
        async with hearing(FileFinder(str(file), watch)) as heard:
            await heard.until(lambda: len(heard.found) == 1)
            file.rename(tmp_path / "away")
            await heard.until(lambda: len(heard.failed) == 1)
            (tmp_path / "away").rename(file)
            await heard.until(lambda: len(heard.found) == 2)
            assert heard.found[0] == heard.found[1]

    run(test)


def test_a_failure_is_told_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with hearing(FileFinder(str(tmp_path / "none"), watch)) as heard:
            await heard.until(lambda: bool(heard.failed))
            await asyncio.sleep(0.1)
            assert len(heard.failed) == 1

    run(test)
