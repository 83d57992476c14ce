"""What was answered is kept: control planes killed, the disk full, the database restarted."""

import asyncio
import itertools
import os
import random
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from loadtests.postgres import PostgresServer
from proxy.core.split import decode
from proxy.model.wire import Snapshot
from tests.controlplane.conftest import postgres, postgres_url
from tests.controlplane.support import SHOP_WEIGHTS, Api, control_process

__all__ = ["postgres", "postgres_url"]  # fixtures

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("SPLITWAY_KILLS", "5"))
"""How often the control plane is killed in the middle of writes; 200 by hand."""
RESTARTS = int(os.environ.get("SPLITWAY_DATABASE_RESTARTS", "3"))
WRITERS = 3
PATIENCE_S = 60
PASSING = (aiohttp.ClientError, TimeoutError)


class Journal:
    """Clients that change weights without end, and what they were answered."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, str] = {}
        self.refused = 0
        self._never_the_same = itertools.count(1)
        self._grown = asyncio.Condition()

    async def change(self, api: Api) -> int:
        """Asks for one change; its status. Raises what a broken connection raises."""
        number = next(self._never_the_same)
        reason = f"change {number}"
        body = {"weights": {"stable": 10_000, "canary": number}, "reason": reason}
        answer = await api.put(SHOP_WEIGHTS, body)
        if answer.status == 200:
            revision = answer.body["revision"]
            assert revision not in self.acknowledged
            self.acknowledged[revision] = reason
            async with self._grown:
                self._grown.notify_all()
        else:
            self.refused += 1
            assert answer.status in (503, 507), answer.body
        return answer.status

    async def until_grown(self, by: int) -> None:
        wanted = len(self.acknowledged) + by
        async with asyncio.timeout(PATIENCE_S), self._grown:
            await self._grown.wait_for(lambda: len(self.acknowledged) >= wanted)

    async def check(self, api: Api, above: int = 0) -> Snapshot:
        """All that was answered above a revision is there, in one row, and whole."""
        async with api.proxy("checks") as proxy:
            snapshot = await proxy.snapshot()
            while snapshot.revision < max(self.acknowledged, default=0):
                snapshot = await proxy.snapshot()  # another control plane has made it: it follows
        found: dict[int, str] = {}
        before = snapshot.revision + 1
        while before > above + 1:
            page = (await api.get(f"/v1/revisions?limit=500&before={before}")).body["revisions"]
            found |= {note["revision"]: note["reason"] for note in page}
            before = min(note["revision"] for note in page)
        assert sorted(found) == list(range(before, snapshot.revision + 1))
        asked = {n: reason for n, reason in self.acknowledged.items() if n > above}
        assert asked.items() <= found.items()
        weights = snapshot.traffic.services["shop"].weights
        shares = decode(snapshot.tables["shop"]).counts()
        for version, weight in weights.items():
            exact = 10_000 * weight / sum(weights.values())
            assert abs(shares.get(version, 0) - exact) < 1
        return snapshot


async def until_it_dies(journal: Journal, api: Api) -> None:
    with suppress(*PASSING):
        while True:
            await journal.change(api)


def is_sound(file: Path) -> bool:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        return database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.timeout(60 + 10 * KILLS)
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    journal = Journal()
    stores = set[str]()
    above = 0

    async def one_life(url: str, process: subprocess.Popen[str], life: int) -> None:
        nonlocal above
        async with Api.at(url) as api:
            if not life:
                await api.push()
            snapshot = await journal.check(api, above)
            stores.add(snapshot.store)
            above = snapshot.revision
            assert is_sound(tmp_path / "control.db")
            if life == KILLS:
                await journal.check(api)
                return
            tasks = [asyncio.create_task(until_it_dies(journal, api)) for _ in range(WRITERS)]
            await journal.until_grown(random.randint(1, 30))
            process.kill()
            await asyncio.gather(*tasks)

    async def every_life() -> None:
        for life in range(KILLS + 1):
            with ExitStack() as stack:
                start = stack.enter_context
                process, url = await asyncio.to_thread(start, control_process(tmp_path))
                await one_life(url, process, life)

    asyncio.run(every_life())
    assert len(journal.acknowledged) >= KILLS
    assert len(stores) == 1


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("A FULL DISK IS NOT TESTED HERE: mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_on_a_full_disk_nothing_is_lost_and_reads_go_on(tmp_path: Path) -> None:
    async def fill_and_make_room(url: str, disk: Path) -> None:
        async with Api.at(url) as api, api.proxy() as proxy:
            await api.push()
            await journal.change(api)
            fill(disk / "filler")
            while (status := await journal.change(api)) == 200:
                pass
            assert status == 507
            number = max(journal.acknowledged)
            while (await proxy.snapshot()).revision < number:
                pass
            assert (await api.get("/v1/config")).body["revision"] == number
            assert (await journal.check(api)).revision == number
            (disk / "filler").unlink()
            assert await journal.change(api) == 200
            assert max(journal.acknowledged) == number + 1
            fill(disk / "filler")
            while await journal.change(api) == 200:
                pass

    async def after_the_kill(url: str) -> None:
        async with Api.at(url) as api:
            await journal.check(api)
            assert await journal.change(api) == 200

    async def two_lives(disk: Path) -> None:
        with control_process(disk) as (process, url):
            await fill_and_make_room(url, disk)
            process.kill()
        (disk / "filler").unlink()
        with control_process(disk) as (_, url):
            await after_the_kill(url)
            assert is_sound(disk / "control.db")

    journal = Journal()
    with small_disk(tmp_path / "disk") as disk:
        asyncio.run(two_lives(disk))


def fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as out:
        while True:
            out.write(b"x" * 4_096)


def test_a_database_that_restarts_in_mid_writes_loses_nothing(
    tmp_path: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    journal = Journal()

    async def scenario(url: str) -> None:
        async with Api.at(url) as api:
            await api.push()
            tasks = [asyncio.create_task(until_it_dies(journal, api)) for _ in range(WRITERS)]
            for _ in range(RESTARTS):
                await journal.until_grown(20)
                await asyncio.to_thread(postgres.restart)
            await journal.until_grown(20)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await journal.check(api)

    with control_process(tmp_path, "--store", postgres_url) as (process, url):
        asyncio.run(scenario(url))
        assert process.poll() is None
    assert journal.refused


async def newest_of(api: Api) -> int:
    return int((await api.get("/v1/config")).body["revision"])
