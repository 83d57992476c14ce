"""Row 15 of the design's table of faults: the database restarts and leaders die amid their steps.
There is one leader, no step is made twice, and none is left out."""

import asyncio
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest

from controlplane.model import RevisionNote
from loadtests.postgres import PostgresServer
from tests.controlplane.conftest import postgres, postgres_url
from tests.controlplane.store.test_sql import opened
from tests.controlplane.support import ROOT

__all__ = ["postgres", "postgres_url"]  # fixtures

pytestmark = pytest.mark.e2e

FAULTS = int(os.environ.get("SPLITWAY_LEADER_FAULTS", "4"))
"""60 by hand."""
CANDIDATES = 3
PATIENCE_S = 60.0
CANDIDATE = """
import asyncio, sys, time
from datetime import UTC, datetime
from controlplane.leader import Leader
from controlplane.model import Draft
from controlplane.store.base import NotLeadingError, StoreError
from controlplane.store.opening import open_database
from controlplane.store.sql import SqlStore
from proxy.model.config import Traffic

async def step(store, number):
    async with store.writing() as unit:
        await unit.check_leader("steps", number)
        newest = await unit.newest()
        reason = f"{number} {newest.number + 1}"
        await unit.append(newest, Draft(Traffic(), {}, "leader", reason, datetime.now(UTC)))

async def run():
    database = await open_database(sys.argv[1])
    store = await SqlStore.on(database)
    leader = Leader(database.session_lock("steps"), time.monotonic, 0.6)
    standing = asyncio.create_task(leader.run())
    while not standing.done():
        now_s = time.monotonic()
        if leader.leads:
            print("leads", leader.number, now_s, flush=True)
            try:
                await step(store, leader.number)
            except NotLeadingError:
                print("late", leader.number, now_s, flush=True)
            except StoreError:
                pass  # done or not: the next step begins where the store is
        await asyncio.sleep(0.005)
    standing.result()

while True:
    try:
        asyncio.run(run())
    except Exception as error:  # the database may be away just now
        print("again", type(error).__name__, error, file=sys.stderr, flush=True)
        time.sleep(0.1)
"""


class Candidate:
    """A process that leads when it may, and makes one step after the other then."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CANDIDATE, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self.led: list[tuple[int, float]] = []
        """Its number, and when it believed to lead."""
        self.late = 0
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                word, number, at_s = line.split()
                if word == "leads":
                    self.led.append((int(number), float(at_s)))
                else:
                    self.late += 1

    def leads_since(self, since_s: float) -> bool:
        return bool(self.led) and self.led[-1][1] > since_s

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.send_signal(SIGCONT)
        self._process.wait(PATIENCE_S)
        self._reading.join(PATIENCE_S)


class Election:
    """Several candidates, and those who were."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.everyone = [Candidate(url) for _ in range(CANDIDATES)]
        self._living = list(self.everyone)

    def leader(self, since_s: float, but: Candidate | None = None) -> Candidate:
        """Who leads at a moment after ``since_s``."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            for each in self._living:
                if each is not but and each.leads_since(since_s):
                    return each
            time.sleep(0.005)
        raise AssertionError("nobody leads")

    def replace(self, candidate: Candidate) -> None:
        candidate.send(SIGKILL)
        self._living.remove(candidate)
        new = Candidate(self._url)
        self._living.append(new)
        self.everyone.append(new)


@contextmanager
def election(url: str) -> Iterator[Election]:
    held = Election(url)
    try:
        yield held
    finally:
        for candidate in held.everyone:
            candidate.end()


def cut_off(held: Election, leader: Candidate, postgres: PostgresServer, name: str) -> None:
    """The leader stands still, its sessions end, and another one leads; then it goes on."""
    leader.send(SIGSTOP)
    try:
        postgres.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            name,
        )
        held.leader(time.monotonic(), but=leader)
    finally:
        leader.send(SIGCONT)


@pytest.mark.timeout(120 + 15 * FAULTS)
def test_there_is_one_leader_whatever_restarts_or_dies(
    postgres: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    faults = ["kill", "restart", "cut off", "restart in order"]

    async def notes() -> list[RevisionNote]:
        async with opened(postgres_url) as store:
            found = await store.notes(1_000_000, None)
            return found[::-1]

    asyncio.run(notes())  # makes the tables
    with election(postgres_url) as held:
        for turn in range(FAULTS):
            leader = held.leader(time.monotonic())
            fault = faults[turn % len(faults)] if turn < len(faults) else random.choice(faults)
            if fault == "kill":
                held.replace(leader)
            elif fault == "cut off":
                cut_off(held, leader, postgres, name)
            else:
                postgres.restart("immediate" if fault == "restart" else "fast")
            held.leader(time.monotonic())
    made = asyncio.run(notes())
    numbers = [int(note.reason.split()[0]) for note in made]
    assert numbers == sorted(numbers), "a former leader made a step after its successor"
    assert [note.reason.split()[1] for note in made] == [str(n + 1) for n in range(len(made))]
    assert len(set(numbers)) > 1
    terms: dict[int, list[float]] = {}
    for candidate in held.everyone:
        for number, at_s in candidate.led:
            terms.setdefault(number, []).append(at_s)
    assert sum(len({n for n, _ in each.led}) for each in held.everyone) == len(terms), (
        "two had one number"
    )
    spans = sorted((min(times), max(times)) for times in terms.values())
    for (_, end_s), (start_s, _) in itertools.pairwise(spans):
        assert end_s < start_s, "two led at once"
