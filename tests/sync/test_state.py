"""The last good snapshot survives everything but being damaged, and that is noticed."""

import asyncio
import hashlib
import json
import logging
import os
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from proxy.model.config import Route, Service, Traffic, Version
from proxy.model.wire import Snapshot, SplitTable
from proxy.sync.state import StateFile, decode, encode


def snapshot(revision: int = 7) -> Snapshot:
    service = Service(
        versions={
            "stable": Version(endpoints=("http://127.0.0.1:9001",)),
            "canary": Version(endpoints=("http://127.0.0.1:9002",)),
        },
        weights={"stable": 95, "canary": 5},
        salt="söl\n",
    )
    return Snapshot(
        revision=revision,
        store="store-1",
        traffic=Traffic(services={"shop": service}, routes=(Route(service="shop"),)),
        tables={"shop": SplitTable(versions=("canary", "stable"), runs=(0, 500, 1, 9500))},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "last-good.json"


def write(state: StateFile, *snapshots: Snapshot) -> list[bool]:
    async def run() -> list[bool]:
        return await asyncio.gather(*map(state.write, snapshots))

    return asyncio.run(run())


def test_what_was_kept_is_read_again(path: Path) -> None:
    assert write(StateFile(path), snapshot()) == [True]
    assert StateFile(path).read() == snapshot()


def test_nothing_kept_is_nothing_read_and_no_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert StateFile(path).read() is None
    assert caplog.records == []


def test_a_newer_one_replaces_it_and_leaves_no_other_file(path: Path) -> None:
    state = StateFile(path)
    write(state, snapshot(1))
    write(state, snapshot(2))
    assert StateFile(path).read() == snapshot(2)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_of_many_at_once_the_last_one_wins(path: Path) -> None:
    assert all(write(StateFile(path), *map(snapshot, range(1, 40))))
    assert StateFile(path).read() == snapshot(39)


def test_a_write_that_comes_late_does_not_replace_a_newer_one(path: Path) -> None:
    state = StateFile(path)
    assert state._write(2, snapshot(2))
    assert state._write(1, snapshot(1))
    assert StateFile(path).read() == snapshot(2)


def test_nobody_waits_for_the_disk_and_the_newest_is_kept(path: Path) -> None:
    state = StateFile(path)
    may_write, written = threading.Event(), list[int]()
    write_now = state._write

    def slowly(call: int, wanted: Snapshot) -> bool:
        assert may_write.wait(20)
        written.append(wanted.revision)
        return write_now(call, wanted)

    async def run() -> None:
        state._write = slowly  # type: ignore[method-assign, assignment]
        for revision in (1, 2, 3, 4):
            state.keep(snapshot(revision))
            await asyncio.sleep(0)
        assert not await state.kept(within_s=0.0)
        assert written == []
        may_write.set()
        assert await state.kept(20)
        assert written == [1, 4]
        state.keep(snapshot(5))
        assert await state.kept(20)

    asyncio.run(run())
    assert StateFile(path).read() == snapshot(5)


def test_one_that_cannot_be_written_keeps_no_later_one_away(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = StateFile(path)

    async def run() -> None:
        state.keep(msgspec.structs.replace(snapshot(1), store="\ud800"))  # no JSON can hold it
        state.keep(snapshot(2))
        await state.kept(20)
        state.keep(msgspec.structs.replace(snapshot(3), store="\ud800"))
        await state.kept(20)
        state.keep(snapshot(4))
        assert await state.kept(20)

    asyncio.run(run())
    assert StateFile(path).read() == snapshot(4)
    assert "revision 3 is not kept for a restart" in caplog.text


def test_only_the_owner_may_read_it(path: Path) -> None:
    write(StateFile(path), snapshot())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "var" / "lib" / "last-good.json"
    assert write(StateFile(path), snapshot()) == [True]
    assert StateFile(path).read() == snapshot()


def test_a_temporary_name_that_is_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".{path.name}.{os.getpid()}.tmp").symlink_to(victim)
    write(StateFile(path), snapshot())
    assert victim.read_text() == "precious"


WHOLE = encode(snapshot())
DAMAGED = {
    "empty": (b"", "truncated"),
    "truncated": (WHOLE[: len(WHOLE) // 2], "truncated"),
    "zeros": (bytes(len(WHOLE)), "malformed"),
    "flipped figure": (WHOLE.replace(b'"stable":95', b'"stable":15'), "checksum does not match"),
    "another format": (WHOLE.replace(b'"format":1', b'"format":9'), "format 9 is unknown"),
    "deep": (b"[" * 100_000, ""),
    "not utf-8": (WHOLE.replace(b"store-1", b"store-\xff"), ""),
    "another thing": (b'{"hello": "world"}', "missing required field"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_told_and_put_aside(
    path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    raw, words = DAMAGED[name]
    assert raw != WHOLE
    path.write_bytes(raw)
    assert StateFile(path).read() is None
    (record,) = caplog.records
    assert words in record.message
    assert "is damaged and ignored" in record.message
    assert not path.exists()
    assert path.with_name("last-good.json.damaged").read_bytes() == raw
    assert StateFile(path).read() is None


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_no_truncation_passes(length: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(WHOLE[:length])


def test_a_snapshot_of_wrong_types_is_refused_though_its_checksum_is_right() -> None:
    raw = encode(snapshot())
    stored = json.loads(raw)
    body = json.dumps(stored["snapshot"] | {"revision": -1}).encode()
    forged = b'{"format":1,"sha256":"%s","snapshot":%s}' % (
        hashlib.sha256(body).hexdigest().encode(),
        body,
    )
    with pytest.raises(ValueError, match=r"Expected `int` >= 0"):
        decode(forged)


def test_a_damaged_file_that_cannot_be_renamed_is_told_too(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"{")
    aside = path.with_name("last-good.json.damaged")
    aside.mkdir()
    assert StateFile(path).read() is None
    assert "(it cannot be renamed: " in caplog.text
    assert path.exists()


def test_a_path_that_cannot_be_read_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    assert StateFile(path).read() is None
    assert "cannot be read: Is a directory" in caplog.text


def test_a_folder_that_cannot_be_written_is_told_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "state"
    folder.write_text("a file stands where the folder should be")
    state = StateFile(folder / "last-good.json")
    assert write(state, snapshot(1)) == [False]
    assert write(state, snapshot(2)) == [False]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "set control.state_file" in record.message
    folder.unlink()
    assert write(state, snapshot(3)) == [True]
    assert caplog.records[1].message.endswith("again")
    assert StateFile(folder / "last-good.json").read() == snapshot(3)


def test_a_failed_replacement_leaves_the_old_one_and_no_rubbish(path: Path) -> None:
    state = StateFile(path)
    path.mkdir()
    (path / "in the way").write_text("")
    assert write(state, snapshot()) == [False]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
