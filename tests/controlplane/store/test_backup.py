import asyncio
import sqlite3
from pathlib import Path

import pytest

from controlplane.cli import main
from controlplane.store.backup import backup
from controlplane.store.base import StoreError
from tests.controlplane.support import Api, control, control_process, store_url


def test_a_store_that_is_written_to_is_copied_whole(tmp_path: Path) -> None:
    """Copied again and again by the command, while changes are made one after the other."""
    places = [tmp_path / f"copy{number}" for number in range(3)]

    async def scenario(url: str) -> None:
        async with Api.at(url) as api:
            await api.push()
            for place in places:
                place.mkdir()
                saving = asyncio.create_task(asyncio.to_thread(save, place / "control.db"))
                before = after = await api.set_weights(stable=1, canary=1)
                while not saving.done():
                    after = await api.set_weights(stable=1, canary=after)
                assert await saving == 0
                async with control(place) as copy:
                    number = (await copy.get("/v1/config")).body["revision"]
                    assert before - 1 <= number <= after
                    assert (
                        len((await copy.get("/v1/revisions?limit=500")).body["revisions"]) == number
                    )

    def save(file: Path) -> int:
        return main(["backup", str(file), "--store", store_url(tmp_path)])

    with control_process(tmp_path) as (_, url):
        asyncio.run(scenario(url))


def test_a_copy_is_one_private_file_and_replaces_nothing(tmp_path: Path) -> None:
    async def made() -> None:
        async with control(tmp_path) as api:
            await api.push()

    asyncio.run(made())
    folder = tmp_path / "copies"
    folder.mkdir()
    backup(tmp_path / "control.db", folder / "one.db")
    assert (folder / "one.db").stat().st_mode & 0o777 == 0o600
    before = (folder / "one.db").read_bytes()
    with pytest.raises(StoreError, match=r"one\.db: the file is there already"):
        backup(tmp_path / "control.db", folder / "one.db")
    assert (folder / "one.db").read_bytes() == before
    assert [found.name for found in folder.iterdir()] == ["one.db"]


def test_what_cannot_be_copied_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    with pytest.raises(StoreError, match="there is no such file"):
        backup(tmp_path / "none.db", folder / "copy.db")
    (tmp_path / "text.db").write_bytes(b"not a database, but long enough to look at" * 50)
    with pytest.raises(StoreError, match="not a database"):
        backup(tmp_path / "text.db", folder / "copy.db")
    database = sqlite3.connect(tmp_path / "good.db")
    database.execute("CREATE TABLE a (b)")
    database.close()
    with pytest.raises(StoreError, match="No such file or directory"):
        backup(tmp_path / "good.db", tmp_path / "none" / "copy.db")
    assert list(folder.iterdir()) == []
