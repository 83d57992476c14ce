"""Owns how many proxies are connected to all control planes on one database, and how far a revision
has come among them. Never sends a proxy anything.

Each control plane writes down what it knows of its own proxies, at most once a second: a short
summary whenever that differs, and every three seconds as a sign of life; the list of its proxies,
which may be long, at most every other second. Each reads the others' summaries once a second, and
answers about convergence from memory; the lists are read by whoever asks for them.

A control plane that was killed leaves its row behind, whose beat stands still. After ten looks at
the same beat it no longer counts. Looks are counted and no clock is read, so that neither a
database that was away nor a clock that was set makes the living look dead. What is told of others
is up to two seconds old. That delays a ``done`` and never makes one up for proxies that had been
seen: their row says the older revision until a newer row is read.

On a SQLite store there is nobody else: nothing is written and nothing is read.
"""

import asyncio
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from controlplane.fleet import Fleet, convergence_of
from controlplane.model import Convergence, ProxyInfo, Summary
from controlplane.store.base import Board, StoreError

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

TICK_S = 1.0
"""Between two looks."""
ALIVE_TICKS = 3
"""A summary that has not changed is written so often all the same."""
LIST_TICKS = 2
"""The list is written this often at most."""
DEAD_LOOKS = 10
"""So many looks at the same beat: nobody writes it any more."""
FORGOTTEN_LOOKS = 60
"""After so many its row is removed."""
_GOODBYE_S = 1.0


@dataclass(slots=True)
class _Seen:
    """What was last read of another control plane."""

    beat: int
    summary: Summary
    looks: int = 0
    """At the same beat."""


class Census:
    """The proxies of every control plane.

    Args:
        fleet: the proxies that are connected here.
        board: where control planes write to each other; ``None`` where there is only this one.
        name: of this control plane, used by no other one ever.
    """

    def __init__(self, fleet: Fleet, board: Board | None, name: str = "") -> None:
        self._fleet = fleet
        self._board = board
        self._name = name or str(uuid.uuid4())
        self._others: dict[str, _Seen] = {}
        self._beat = 0
        self._tick = 0
        self._told = b""
        self._told_tick = 0
        self._listed = -1
        self._listed_tick = 0

    def convergence(self, target: int) -> Convergence:
        """How far a revision has come among all connected proxies; a newer one counts as well."""
        return convergence_of([self._fleet.summary(target), *self._summaries()], target)

    def connected(self) -> int:
        """How many proxies are connected."""
        return self._fleet.connected() + sum(
            each.proxies for summary in self._summaries() for each in summary.revisions
        )

    def on(self, revision: int) -> int:
        """How many connected proxies have the revision in force."""
        return self._fleet.on(revision) + sum(
            each.proxies
            for summary in self._summaries()
            for each in summary.revisions
            if each.revision == revision
        )

    async def proxies(self, target: int) -> list[ProxyInfo]:
        """Everyone, the connected ones first, then by instance.

        Raises: StoreError: there are other control planes, and it cannot be read what they know.
        """
        found = self._fleet.proxies(target)
        living = self._living()
        if self._board is not None and living:
            for text in await self._board.proxies(sorted(living)):
                told = _read(text, list[ProxyInfo])
                found += [msgspec.structs.replace(each, target=target) for each in told]
        here = {each.instance for each in found if each.connected}
        latest: dict[str, ProxyInfo] = {}
        for each in found:
            # Who left one control plane for another one is not gone.
            if not each.connected and each.instance not in here:
                known = latest.get(each.instance)
                if known is None or _left(known) < _left(each):
                    latest[each.instance] = each
        found = [*(each for each in found if each.connected), *latest.values()]
        found.sort(key=lambda p: (not p.connected, p.instance, p.connected_since))
        return found

    async def run(self) -> None:
        """Tells the others and looks at what they tell, until it is cancelled."""
        if self._board is None:
            return
        fails = False
        try:
            while True:
                try:
                    await self.look()
                except StoreError as error:
                    if not fails:
                        _log.warning("proxies of other control planes are not followed: %s", error)
                    fails = True
                else:
                    fails = False
                await asyncio.sleep(TICK_S)
        finally:
            await self._leave()

    async def look(self) -> None:
        """Tells what the others do not know yet, and reads what they tell.

        Raises: StoreError.
        """
        if self._board is None:
            return
        self._tick += 1
        await self._tell(self._board)
        told = await self._board.summaries(self._name)
        for name in self._others.keys() - told.keys():
            del self._others[name]
        for name, (beat, text) in told.items():
            known = self._others.get(name)
            if known is not None and known.beat == beat:
                known.looks += 1
                if known.looks >= FORGOTTEN_LOOKS:
                    await self._board.remove(name, beat)
            else:
                self._others[name] = _Seen(beat, _read(text, Summary))

    async def _tell(self, board: Board) -> None:
        text = msgspec.json.encode(self._fleet.summary())
        changes = self._fleet.changes
        is_listed = changes == self._listed or self._tick < self._listed_tick + LIST_TICKS
        if is_listed and text == self._told and self._tick < self._told_tick + ALIVE_TICKS:
            return
        proxies = None if is_listed else msgspec.json.encode(self._fleet.proxies(0)).decode()
        self._beat += 1
        if not await board.put(self._name, self._beat, text.decode(), proxies):
            # The first time, or somebody took this one for dead: then the whole is written.
            whole = proxies or msgspec.json.encode(self._fleet.proxies(0)).decode()
            await board.add(self._name, self._beat, text.decode(), whole)
            proxies = whole
        self._told, self._told_tick = text, self._tick
        if proxies is not None:
            self._listed, self._listed_tick = changes, self._tick

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_S):
                if self._board is not None:
                    await self._board.remove(self._name, self._beat)
        except (StoreError, TimeoutError):
            _log.info("the other control planes are not told that this one stops")

    def _living(self) -> Mapping[str, _Seen]:
        return {name: seen for name, seen in self._others.items() if seen.looks < DEAD_LOOKS}

    def _summaries(self) -> list[Summary]:
        return [seen.summary for seen in self._living().values()]


def _read(text: str, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise StoreError(f"another release tells what this one cannot read: {error}") from error


def _left(proxy: ProxyInfo) -> str:
    return proxy.disconnected_at.isoformat() if proxy.disconnected_at else ""
