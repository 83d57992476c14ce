import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from controlplane.leader import Leader
from controlplane.store.opening import open_database
from loadtests.postgres import PostgresServer
from tests.controlplane.support import ROOT, store_url

PATIENCE_S = 30
CANDIDATE = """
import asyncio, sys, time
from controlplane.leader import Leader
from controlplane.store.opening import open_database
async def run():
    database = await open_database(sys.argv[1])
    leader = Leader(database.session_lock("rollouts"), time.monotonic, 0.6)
    running = asyncio.create_task(leader.run())
    while not running.done():
        if leader.leads:
            print(time.monotonic(), flush=True)
        await asyncio.sleep(0.01)
asyncio.run(run())
"""


@pytest.mark.e2e
def test_when_the_leader_is_killed_the_other_one_leads_and_never_both(postgres_url: str) -> None:
    def candidate() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CANDIDATE, postgres_url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def leads_at(process: subprocess.Popen[str]) -> float:
        assert process.stdout is not None
        return float(process.stdout.readline())

    first = candidate()
    leads_at(first)
    second = candidate()
    with first, second:
        try:
            seen = [leads_at(first) for _ in range(20)]
            first.kill()
            began = leads_at(second)
            assert first.stdout is not None
            seen += map(float, first.stdout.read().split())
            assert max(seen) < began
        finally:
            first.kill()
            second.kill()


def test_a_leader_that_loses_its_session_steps_down_before_another_leads(
    postgres: PostgresServer, postgres_url: str
) -> None:
    """The machine's clock is one for both, so what is seen in turns is what is."""
    name = postgres_url.rpartition("/")[2]
    end = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND "
        "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )

    async def scenario() -> None:
        database = await open_database(postgres_url)
        leaders = [
            Leader(database.session_lock("a"), time.monotonic, lease_s=0.5) for _ in range(2)
        ]
        running = [asyncio.create_task(leader.run()) for leader in leaders]
        led = set[int]()
        async with asyncio.timeout(PATIENCE_S):
            while len(led) < 2:
                leading = await until_one_leads(leaders)
                led.add(leading)
                await asyncio.to_thread(postgres.sql, end, name)
                while leaders[leading].leads:
                    assert sum(leader.leads for leader in leaders) == 1
                    await asyncio.sleep(0.001)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await database.close()

    asyncio.run(scenario())


async def until_one_leads(leaders: list[Leader]) -> int:
    while True:
        leading = [number for number, leader in enumerate(leaders) if leader.leads]
        assert len(leading) < 2
        if leading:
            return leading[0]
        await asyncio.sleep(0.001)


def test_who_leaves_gives_the_lead_away(postgres_url: str) -> None:
    async def scenario() -> None:
        database = await open_database(postgres_url)
        for _ in range(2):
            leader = Leader(database.session_lock("a"), time.monotonic, lease_s=0.1)
            running = asyncio.create_task(leader.run())
            async with asyncio.timeout(PATIENCE_S):
                await until_one_leads([leader])
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            assert not leader.leads
        await database.close()

    asyncio.run(scenario())


def test_a_lease_that_is_not_confirmed_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        database = await open_database(store_url(tmp_path))
        now_s = 100.0
        leader = Leader(database.session_lock("a"), lambda: now_s, lease_s=0.01)
        running = asyncio.create_task(leader.run())
        async with asyncio.timeout(PATIENCE_S):
            await until_one_leads([leader])
        now_s += 0.02  # the process was stopped for a while, say
        assert not leader.leads
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await database.close()

    asyncio.run(scenario())
