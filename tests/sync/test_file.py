"""Every way in which people and machines replace a file is seen; no way of breaking it is."""

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.sync.file import MAX_BYTES, FileWatch


async def at_once(_: float) -> None:
    """Time that passes without waiting."""


def write(path: Path, text: str) -> None:
    path.write_text(text)


class Watched:
    """A watch over a file, and the texts it handed over."""

    def __init__(
        self,
        path: Path,
        text: str = "old",
        *,
        interval_s: float = 3600,
        wait: Callable[[float], Awaitable[None]] = at_once,
    ) -> None:
        self.texts: list[str] = []
        self.heard = asyncio.Event()
        self.watch = FileWatch(path, text, self._on_text, interval_s=interval_s, wait=wait)

    async def _on_text(self, text: str) -> None:
        self.texts.append(text)
        self.heard.set()


def with_watch(path: Path, check: Callable[[Watched], Awaitable[None]], text: str = "old") -> None:
    async def run() -> None:
        await check(Watched(path, text))

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "splitway.yaml"
    path.write_text("old")
    return path


def make_old(path: Path) -> None:
    """Sets a file's time back beyond what counts as fresh."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


def test_the_running_text_is_not_handed_over_again(path: Path) -> None:
    async def check(watched: Watched) -> None:
        assert not await watched.watch.poll()
        assert not await watched.watch.poll()
        assert watched.texts == []

    with_watch(path, check)


def test_a_change_before_the_first_look_is_seen(path: Path) -> None:
    async def check(watched: Watched) -> None:
        assert await watched.watch.poll()
        assert watched.texts == ["old"]

    with_watch(path, check, text="what the process started with")


def write_in_place(path: Path) -> None:
    path.write_text("new")


def rename_over(path: Path) -> None:
    other = path.with_suffix(".tmp")
    other.write_text("new")
    other.replace(path)


def same_size_and_old_time(path: Path) -> None:
    path.write_text("new")
    make_old(path)


@pytest.mark.parametrize("change", [write_in_place, rename_over, same_size_and_old_time])
def test_a_change_is_handed_over_once(path: Path, change: Callable[[Path], None]) -> None:
    make_old(path)

    async def check(watched: Watched) -> None:
        await watched.watch.poll()
        change(path)
        assert await watched.watch.poll()
        assert not await watched.watch.poll()
        assert watched.texts == ["new"]

    with_watch(path, check)


def test_the_swap_of_a_mounted_configmap_is_seen(tmp_path: Path) -> None:
    for name, text in (("1", "old"), ("2", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "splitway.yaml").write_text(text)
        make_old(tmp_path / name / "splitway.yaml")
    (tmp_path / "..data").symlink_to("1")
    path = tmp_path / "splitway.yaml"
    path.symlink_to("..data/splitway.yaml")

    async def check(watched: Watched) -> None:
        await watched.watch.poll()
        (tmp_path / "..data_tmp").symlink_to("2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        assert await watched.watch.poll()
        assert watched.texts == ["new"]

    with_watch(path, check)


def test_a_touched_file_is_no_change(path: Path) -> None:
    async def check(watched: Watched) -> None:
        await watched.watch.poll()
        make_old(path)
        assert not await watched.watch.poll()

    with_watch(path, check)


def test_an_unchanged_file_is_not_even_opened(path: Path) -> None:
    make_old(path)

    async def check(watched: Watched) -> None:
        await watched.watch.poll()
        assert watched.watch._read(always=False) is None

    with_watch(path, check)


def test_a_fresh_file_is_read_though_its_times_are_the_same(path: Path) -> None:
    async def check(watched: Watched) -> None:
        await watched.watch.poll()
        assert watched.watch._read(always=False) == b"old"

    with_watch(path, check)


def repair(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_text("new")


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_text(" \n")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def write_latin_1(path: Path) -> None:
    path.write_bytes(b"caf\xe9")


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove, "cannot be read: No such file or directory"),
        (empty, "is empty"),
        (make_folder, "is not a regular file"),
        (make_fifo, "is not a regular file"),
        (write_latin_1, "is not UTF-8 at byte 3"),
        (make_huge, f"is larger than {MAX_BYTES} bytes"),
    ],
)
def test_trouble_is_told_once_and_the_running_text_stays(
    path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], words: str
) -> None:
    caplog.set_level(logging.INFO)

    async def check(watched: Watched) -> None:
        damage(path)
        for _ in range(3):
            assert not await watched.watch.poll()
        assert [record.message for record in caplog.records] == [
            f"{path} {words}; what was read before stays"
        ]
        repair(path)
        assert await watched.watch.poll()
        assert caplog.records[1].message == f"{path} is readable again"
        assert watched.texts == ["new"]

    with_watch(path, check)


def test_what_comes_back_unchanged_is_not_handed_over(path: Path) -> None:
    async def check(watched: Watched) -> None:
        remove(path)
        await watched.watch.poll()
        write(path, "old")
        assert not await watched.watch.poll()
        assert watched.texts == []

    with_watch(path, check)


def test_a_text_that_is_still_being_written_is_waited_for(path: Path) -> None:
    parts = iter(["new: [1,", "new: [1, 2,", "new: [1, 2, 3]"])

    async def write_on(_: float) -> None:
        if (text := next(parts, None)) is not None:
            write(path, text)

    async def run() -> None:
        watched = Watched(path, wait=write_on)
        write(path, "new:")
        assert await watched.watch.poll()
        assert watched.texts == ["new: [1, 2, 3]"]

    asyncio.run(run())


def test_a_file_that_never_settles_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbers = itertools.count()

    async def write_on(_: float) -> None:
        write(path, f"new {next(numbers)}")

    async def run() -> None:
        watched = Watched(path, wait=write_on)
        write(path, "new")
        assert not await watched.watch.poll()
        assert "is being written to all the time" in caplog.text
        assert watched.texts == []

    asyncio.run(run())


def test_a_callback_that_fails_does_not_end_the_watch(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        texts = []

        async def on_text(text: str) -> None:
            texts.append(text)
            raise RuntimeError("boom")

        watch = FileWatch(path, "start", on_text, wait=at_once)
        assert await watch.poll()
        write(path, "new")
        assert await watch.poll()
        assert texts == ["old", "new"]

    asyncio.run(run())
    assert "taking it over failed" in caplog.text


def test_the_running_watch_sees_a_change_by_itself(path: Path) -> None:
    async def run() -> None:
        watched = Watched(path, interval_s=0.001)
        task = asyncio.create_task(watched.watch.run())
        rename_over(path)
        await asyncio.wait_for(watched.heard.wait(), 10)
        await stop(task)
        assert watched.texts == ["new"]

    asyncio.run(run())


def test_a_reload_hands_the_text_over_at_once_changed_or_not(path: Path) -> None:
    async def run() -> None:
        watched = Watched(path)  # would look again in an hour
        task = asyncio.create_task(watched.watch.run())
        for times in (1, 2):
            watched.heard.clear()
            watched.watch.reload_now()
            await asyncio.wait_for(watched.heard.wait(), 10)
            assert watched.texts == ["old"] * times
        await stop(task)

    asyncio.run(run())


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
