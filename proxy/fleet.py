"""Owns several workers as one: every order goes to all, their counts are one sum.

A worker that is started again gets what is in force before it accepts; until every worker has
answered, a change is not in force.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import proxy
from proxy.model.config import Config
from proxy.model.errors import Problem
from proxy.model.wire import Ack, Counts, FromWorker, Install, Leave, Nack, Pull, Reopen, Snapshot
from proxy.supervisor.link import Link, LinkClosed
from proxy.supervisor.prefork import Prefork
from proxy.telemetry.metrics import FleetCounts

LOG = logging.getLogger("splitway.fleet")

PULL_S = 1.0
"""How often each worker is asked: what a killed one counted since is all that is lost."""
ANSWER_S = 5.0
"""A worker that does not answer for so long is left out; its last counts stand."""


# Safe path: a folder named proxy where the operator happens to stand is not ours.
_COMMAND = ("-P", "-m", "proxy.worker")


def _same_code(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which workers import what this process has imported."""
    home = str(Path(proxy.__file__).parents[1])
    path = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": f"{home}{os.pathsep}{path}" if path else home}


class _Member:
    """One running worker, asked one thing at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._asking = asyncio.Lock()
        self.gone = False

    async def ask(self, question: Any, within_s: float) -> Any:
        """Its answer; None when it is gone or does not answer."""
        async with self._asking:
            if self.gone:
                return None
            try:
                async with asyncio.timeout(within_s):
                    await self._link.send(question)
                    return await self._link.receive()
            except (LinkClosed, TimeoutError):
                # A late answer would be taken for the next one's: nothing is asked any more.
                self.gone = True
                return None


class Fleet:
    """Workers in processes of their own.

    Args:
        places: the bound sockets of each worker.
        config: what they begin with, with ``snapshot``.
    """

    def __init__(
        self, places: list[list[socket.socket]], config: Config, snapshot: Snapshot
    ) -> None:
        self._places = places
        self._install = Install(config, snapshot)
        self._members: dict[int, _Member] = {}
        self._counts = FleetCounts()
        self._ready = [asyncio.Event() for _ in places]
        self._prefork = Prefork(_COMMAND, places, self._serve, _same_code(os.environ))
        self._pulling: asyncio.Task[None] | None = None

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return self._prefork.restarts

    @property
    def pids(self) -> list[int]:
        """The processes running now."""
        return list(self._prefork.pids.values())

    async def start(self, within_s: float) -> bool:
        """Start every worker. Returns whether all accept connections within ``within_s``."""
        self._prefork.start()
        self._pulling = asyncio.create_task(self._pull_for_ever())
        try:
            async with asyncio.timeout(within_s):
                for ready in self._ready:
                    await ready.wait()
        except TimeoutError:
            return False
        return True

    async def install(self, config: Config, snapshot: Snapshot) -> tuple[Problem, ...]:
        """Have every worker serve by ``snapshot``. Returns why not, if it is refused."""
        before, self._install = self._install, Install(config, snapshot)
        answers = await asyncio.gather(*(self._ask(p, self._install) for p in list(self._members)))
        for answer in answers:
            if isinstance(answer, Nack):  # compiling is a pure function: all refuse alike
                self._install = before
                return answer.problems
        return ()

    async def counts(self) -> Counts:
        """The sum over all workers that are and were."""
        await asyncio.gather(*(self._pull(place) for place in list(self._members)))
        return self._counts.total()

    async def reopen_log(self) -> None:
        """Have every worker open its access log anew, after it was rotated."""
        await asyncio.gather(*(self._ask(place, Reopen()) for place in list(self._members)))

    async def drain(self, deadline_s: float) -> bool:
        """Have every worker finish and end. Returns whether all did within ``deadline_s``."""
        self._prefork.leave()
        if self._pulling is not None:
            self._pulling.cancel()
        await asyncio.gather(
            *(self._leave(place, m, deadline_s) for place, m in list(self._members.items()))
        )
        return await self._prefork.ended(within_s=2.0)

    async def _leave(self, place: int, member: _Member, deadline_s: float) -> None:
        counts = await member.ask(Leave(deadline_s), deadline_s + 1.0)
        if isinstance(counts, Counts):
            self._counts.told(place, counts)

    async def _serve(self, place: int, ours: socket.socket) -> None:
        """A worker was started: give it what is in force. Cancelled when the worker is gone."""
        link = await Link.over(ours, FromWorker)
        member = _Member(link)
        self._counts.joined(place)
        try:
            answer = await self._begin(place, member)
            if isinstance(answer, Nack):
                LOG.error("worker %d refuses what is in force: %s", place, answer.problems)
            await asyncio.get_running_loop().create_future()
        finally:
            self._members.pop(place, None)
            self._counts.left(place)
            await link.close()

    async def _begin(self, place: int, member: _Member) -> Any:
        while True:
            given = self._install
            answer = await member.ask(given, ANSWER_S)
            if given is self._install or not isinstance(answer, Ack):
                break
        if isinstance(answer, Ack):
            self._members[place] = member
            self._ready[place].set()
        return answer

    async def _pull_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PULL_S)
            await asyncio.gather(*(self._pull(place) for place in list(self._members)))

    async def _pull(self, place: int) -> None:
        counts = await self._ask(place, Pull())
        if isinstance(counts, Counts):
            self._counts.told(place, counts)

    async def _ask(self, place: int, question: Any) -> Any:
        """A worker's answer; one that hangs is killed, so that its successor does what it does
        not."""
        member = self._members.get(place)
        if member is None:
            return None
        answer = await member.ask(question, ANSWER_S)
        if answer is None:
            self._prefork.kill(place)
        return answer
