"""Owns several workers as one: every order goes to all, their counts are one sum.

A worker that is started again gets what is in force before it accepts; until every worker has
answered, a change is not in force.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import proxy
from proxy.model.errors import ConfigError, Problem
from proxy.model.taken import joined
from proxy.model.wire import (
    Ack,
    Counts,
    FromWorker,
    Install,
    Leave,
    Left,
    Nack,
    Pull,
    Reopen,
    Take,
    Taken,
)
from proxy.net.plane import make_router
from proxy.supervisor.link import Link, LinkClosed
from proxy.supervisor.prefork import Prefork
from proxy.telemetry.metrics import FleetCounts

LOG = logging.getLogger("splitway.fleet")

PULL_S = 1.0
"""How often each worker is asked: what a killed one counted since is all that is lost."""
ANSWER_S = 5.0
"""A worker that does not answer for so long is killed and replaced; its last counts stand."""
BEGIN_S = 20.0
"""The same for its first answer: Python's own start on a busy machine is in it."""
LAST_WORDS_S = 3.0
"""Behind the deadline: the rest of the access log, then the process's end."""


# Safe path: a folder named proxy where the operator happens to stand is not ours.
_COMMAND = ("-P", "-m", "proxy.worker")


def _same_code(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which workers import what this process has imported."""
    home = str(Path(proxy.__file__).parents[1])
    path = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": f"{home}{os.pathsep}{path}" if path else home}


class _Member:
    """One running worker. It answers in the order in which it is asked."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._gone = False
        self.serves = False
        """Whether it accepts connections by what is in force."""
        self.left: Left | None = None

    async def follow(self) -> None:
        """Take its answers until it is gone."""
        try:
            while not isinstance(answer := await self._link.receive(), Left):
                if not self._waiting:
                    return  # it says what nobody asked: it cannot be followed any more
                # Whoever asked may have given up; the answer is taken off the line all the same.
                if not (waiting := self._waiting.popleft()).done():
                    waiting.set_result(answer)
            self.left = answer
        except LinkClosed:
            return
        finally:
            self._gone = True
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    async def ask(self, question: Any, within_s: float) -> Any:
        """Its answer; None when it is gone or does not answer."""
        if self._gone:
            return None
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        try:
            async with asyncio.timeout(within_s):
                await self._link.send(question)
                return await answer
        except (LinkClosed, TimeoutError):
            return None

    async def tell_to_leave(self, deadline_s: float) -> None:
        """``left`` is the answer."""
        with contextlib.suppress(LinkClosed):
            await self._link.send(Leave(deadline_s))


class Fleet:
    """Workers in processes of their own.

    Args:
        places: the bound sockets of each worker.
        install: what they begin with.
    """

    def __init__(self, places: list[list[socket.socket]], install: Install) -> None:
        self._places = places
        self._install = install
        self._members: dict[int, _Member] = {}
        self._counts = FleetCounts()
        self._watches_splits = False
        self._left_behind: list[Taken] = []
        """What workers had seen that ended in order since it was taken last."""
        self._unready = set(range(len(places)))
        self._refusal = ""
        self._settled = asyncio.Event()
        self._changing = asyncio.Lock()
        self._leaving = False
        self._cut = False
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

    async def start(self, within_s: float) -> str:
        """Start every worker. Returns why they do not accept connections; empty when all do."""
        self._prefork.start()
        self._pulling = asyncio.create_task(self._pull_for_ever())
        try:
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        except TimeoutError:
            return f"the workers did not start within {within_s:g} s"
        return self._refusal

    async def install(self, install: Install) -> tuple[Problem, ...]:
        """Have every worker serve by this. Returns why not, if it is refused."""
        try:
            # There may be no worker to refuse it just now.
            make_router(install.config, install.snapshot)
        except ConfigError as error:
            return error.problems
        async with self._changing:
            for answer in await self._ask_all(install):
                if isinstance(answer, Nack):  # compiling is a pure function: all refuse alike
                    return answer.problems
            self._install = install
            return ()

    async def counts(self) -> Counts:
        """The sum over all workers that are and were."""
        await self._pull()
        return self._counts.total()

    async def take(self) -> Taken:
        """What any worker has seen since the last time, where users are split; what one that was
        killed has seen since then is lost."""
        self._watches_splits = True
        answers = await self._ask_all(Take())
        left, self._left_behind = self._left_behind, []
        return joined([*left, *(each for each in answers if isinstance(each, Taken))])

    async def reopen_log(self) -> None:
        """Have every worker open its access log anew, after it was rotated."""
        await self._ask_all(Reopen())

    async def drain(self, deadline_s: float) -> bool:
        """Have every worker finish and end. Returns whether nothing had to be cut. May be called
        again, with less time."""
        self._leaving = True
        self._prefork.leave()
        # The kernel would go on taking connections for us that nobody accepts.
        for sock in (sock for sockets in self._places for sock in sockets):
            sock.close()
        if self._pulling is not None:
            self._pulling.cancel()
        telling = [asyncio.create_task(m.tell_to_leave(deadline_s)) for m in self._members.values()]
        ended = await self._prefork.ended(within_s=deadline_s + LAST_WORDS_S)
        await asyncio.gather(*telling)
        return ended and not self._cut

    async def _serve(self, place: int, ours: socket.socket) -> None:
        """A worker was started: give it what is in force, and take its answers until it is gone."""
        link = await Link.over(ours, FromWorker)
        member = self._members[place] = _Member(link)
        self._counts.joined(place)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._begin(place, member))
                await member.follow()
        finally:
            del self._members[place]
            if member.left is not None:
                self._counts.told(place, member.left.counts)
                if self._watches_splits:  # else it is nothing, and nobody takes it
                    self._left_behind.append(member.left.taken)
            if self._leaving and member.serves and not (member.left and member.left.clean):
                self._cut = True
            self._counts.left(place)
            await link.close()

    async def _begin(self, place: int, member: _Member) -> None:
        given = self._install
        answer = await member.ask(given, BEGIN_S)
        async with self._changing:  # what is given now stays in force until it counts as serving
            if isinstance(answer, Ack) and given is not self._install:
                answer = await member.ask(self._install, ANSWER_S)
            if isinstance(answer, Ack):
                if self._watches_splits:
                    await member.ask(Take(), ANSWER_S)  # from its first request on
                self._is_ready(place, member)
                return
        if isinstance(answer, Nack):
            refusal = "; ".join(map(str, answer.problems))
            LOG.error("worker %d cannot begin: %s", place, refusal)
            if self._unready:
                self._refusal = refusal
                self._settled.set()
        if not self._leaving:
            self._prefork.kill(place)

    def _is_ready(self, place: int, member: _Member) -> None:
        member.serves = True
        self._unready.discard(place)
        if not self._unready:
            self._settled.set()

    async def _pull_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PULL_S)
            await self._pull()

    async def _pull(self) -> None:
        await self._ask_all(Pull())

    async def _ask_all(self, question: Any) -> list[Any]:
        serving = [(place, member) for place, member in self._members.items() if member.serves]
        return await asyncio.gather(*(self._ask(*one, question) for one in serving))

    async def _ask(self, place: int, member: _Member, question: Any) -> Any:
        """A worker's answer; one that hangs is killed, so that its successor does what it does
        not."""
        answer = await member.ask(question, ANSWER_S)
        if self._members.get(place) is not member:
            return answer
        if isinstance(answer, Counts):
            self._counts.told(place, answer)
        elif answer is None:
            self._prefork.kill(place)
        return answer
