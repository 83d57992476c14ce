"""Owns how Locust users walk through the population and journal what they see.

Each Locust user (a greenlet) is one lane: with L lanes, lane i plays users i, i + L, i + 2L … in
turn, each user always in the same lane. So one user's requests never overlap, and every user is
seen as often as every other. Lanes need one Locust process: no ``--processes``, no workers.
"""

import itertools
import secrets
import time
from typing import Any

import msgspec
from locust import FastHttpUser, events, task
from locust.runners import LocalRunner

from loadtests.journal import Request, Start
from loadtests.locustfiles import settings
from loadtests.population import user_id
from loadtests.recorder import Recorder, now_us

USERS = int(settings.number("LOAD_USERS", 2000, least=1))
SERIES = settings.text("LOAD_SERIES", "user0")
SERVICE = settings.text("LOAD_SERVICE", "shop")
RATE = settings.number("LOAD_RATE", 0, least=0)


hooks: Any = events
"""Locust's events; their methods carry no types."""


class Run:
    """What one test run shares among its lanes."""

    def __init__(self, recorder: Recorder, lanes: int) -> None:
        self.recorder = recorder
        self.lanes = lanes
        self.step = 0
        self._prefix = secrets.token_hex(4)
        self._ids = itertools.count(1)
        self._lane = itertools.count()

    def request_id(self) -> str:
        """An id that no other request has."""
        return f"{self._prefix}-{next(self._ids):x}"

    def take_lane(self) -> int:
        """The number of the next lane to start."""
        return next(self._lane)


current: Run | None = None


def begin(environment: Any, start: Start) -> Run:
    """Opens the journal; called when Locust's test starts, before the first user."""
    global current
    lanes = environment.parsed_options.num_users or 1
    if lanes > USERS:
        settings.refuse("LOAD_USERS", f"{USERS} users cannot fill {lanes} lanes (-u)")
    if not isinstance(environment.runner, LocalRunner):
        settings.refuse("locust", "run it in one process: each user belongs to one lane")
    current = Run(Recorder(settings.journal_path()), lanes)
    current.recorder.write(start)
    return current


def end(**_: Any) -> None:
    """Closes the journal; called when Locust's test has stopped and no user runs any more."""
    if current:
        current.recorder.close()


def running() -> Run:
    """The run that is under way."""
    if current is None:
        raise RuntimeError("begin() was not called: see the Locust file's test_start")
    return current


class _Item(msgspec.Struct):
    version: str
    user: str


_item = msgspec.json.Decoder(_Item)


def fault_of(response: Any, request_id: str) -> str:
    """What is wrong with a response's status or head; empty when nothing is."""
    if not response.status_code:
        return f"no response: {type(response.error).__name__}: {response.error}"
    if response.status_code != 200:
        return f"status {response.status_code}"
    if response.headers.get("X-Request-Id") != request_id:
        return "the response carries another request's X-Request-Id"
    return "" if response.headers.get("X-Version") else "the response names no version"


def _item_fault(response: Any, user: str) -> str:
    try:
        item = _item.decode(response.content)
    except msgspec.DecodeError as error:
        return f"body: {error}"
    if item.user != user:
        return "the body is another user's"
    if item.version != response.headers.get("X-Version"):
        return "the body and X-Version name different versions"
    return ""


class PopulationUser(FastHttpUser):
    """One lane through the population."""

    abstract = True

    def on_start(self) -> None:
        """Takes a lane, and a place in time among the other lanes."""
        self.run_ = running()
        lane = self.run_.take_lane() % self.run_.lanes
        self.numbers = itertools.cycle(range(lane, USERS, self.run_.lanes))
        self.pause_s = self.run_.lanes / RATE if RATE else 0.0
        self.next_at = time.monotonic() + self.pause_s * lane / self.run_.lanes

    def wait_time(self) -> float:
        """Until this lane's next turn; a lane that is late does not rush to catch up."""
        now = time.monotonic()
        self.next_at = max(self.next_at + self.pause_s, now)
        return self.next_at - now

    @task
    def ask(self) -> None:
        """One request of the next user."""
        user = user_id(SERIES, next(self.numbers))
        run, request_id = self.run_, self.run_.request_id()
        headers = {"X-User-Id": user, "X-Request-Id": request_id}
        step, started_us = run.step, now_us()
        with self.client.get("/api/items?page=1", headers=headers, catch_response=True) as response:
            ended_us = now_us()
            error = fault_of(response, request_id) or _item_fault(response, user)
            if error:
                response.failure(error)
        version = "" if response.headers is None else response.headers.get("X-Version") or ""
        run.recorder.write(
            Request(
                user=user,
                step=step,
                version=version,
                status=response.status_code or 0,
                started_us=started_us,
                ended_us=ended_us,
                request_id=request_id,
                error=error,
            )
        )
