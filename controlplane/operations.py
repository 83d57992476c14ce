"""Owns the use cases that change something: check, write, record, publish, in that order.

Never speaks HTTP and never names a database. Every change, by whomever, comes through here: in one
transaction it is judged against the newest revision, the freezes and the change windows, is written
with its entry in the audit log, and its reply is kept for whoever sends the same request again.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

import msgspec

from controlplane.audit import Entry
from controlplane.changes import checked, service_of, tables_after, with_weights
from controlplane.difference import Difference, difference, field_changes
from controlplane.edges import LOOK_BACK_S, chosen, edges_after, past_starts, stable_of, wanting
from controlplane.gate import Freeze, Freezes, Window, check_open, tag_of, touched
from controlplane.model import (
    Draft,
    Kept,
    KeyReusedError,
    Order,
    Reply,
    Revision,
    StaleError,
    StaleRevisionError,
    UnknownRevisionError,
)
from controlplane.store.base import Store, Unit
from proxy.model.config import Traffic
from proxy.model.errors import ConfigError, Problem
from proxy.model.wire import Edges

Show = Callable[[Revision], Any]
"""From the revision in force to the body of the answer."""


class Edited(msgspec.Struct, frozen=True):
    """What an edit of something beside the traffic has done."""

    before: object
    after: object
    shown: object
    """The answer's body."""
    tag_before: str
    tag: str


class Operations:
    """What can be done. Every method raises StoreError, and ConfigError with what is wrong."""

    def __init__(
        self,
        store: Store,
        publish: Callable[[Revision], None],
        wall: Callable[[], datetime],
        *,
        require_reason: bool = False,
    ) -> None:
        self._store = store
        self._publish = publish
        self._wall = wall
        self._require_reason = require_reason

    async def replace_traffic(self, traffic: Traffic, order: Order, show: Show) -> Reply:
        """Puts a whole new traffic in force; the same one again makes no revision.

        Raises: StaleRevisionError, ClosedError, KeyReusedError.
        """
        good = checked(traffic)
        return await self._change(lambda _: good, order, ("config.replace", ""), show)

    async def set_weights(
        self, service: str, weights: Mapping[str, int], order: Order, show: Show
    ) -> Reply:
        """Replaces one service's weights whole; the same ones again make no revision.

        Raises: UnknownServiceError, StaleRevisionError, ClosedError, KeyReusedError.
        """
        what = ("weights.set", f"services.{service}.weights")
        return await self._change(
            lambda newest: with_weights(newest.traffic, service, weights), order, what, show
        )

    async def restore(self, number: int, order: Order, show: Show) -> Reply:
        """Makes a new revision with the traffic of an old one; users move as little as can be.

        Raises: UnknownRevisionError, StaleRevisionError, ClosedError, KeyReusedError.
        """
        async with self._store.reading() as unit:
            old = await unit.revision(number)
        if old is None:
            raise UnknownRevisionError(number)
        # Its rules may have been others then.
        good = checked(old.traffic)
        what = ("revision.restore", f"revisions.{number}")
        return await self._change(lambda _: good, order, what, show)

    async def freeze(self, service: str | None, until: datetime | None, order: Order) -> Reply:
        """Allows no change of a service, or of anything, until the freeze is lifted or over.

        Raises: UnknownServiceError, StaleError, KeyReusedError.
        """
        now = self._wall()
        until = future("until", until, now)
        return await self._hold(service, Freeze(order.author, order.reason, now, until), order)

    async def unfreeze(self, service: str | None, order: Order) -> Reply:
        """Lifts a freeze; where there is none, nothing is changed.

        Raises: UnknownServiceError, StaleError, KeyReusedError.
        """
        return await self._hold(service, None, order)

    async def set_windows(
        self, windows: Sequence[Window], order: Order, show: Callable[[Sequence[Window]], Any]
    ) -> Reply:
        """Replaces the change windows; none means that changes may always be made.

        Raises: StaleError, KeyReusedError.
        """
        zones = await asyncio.to_thread(available_timezones)
        if problems := [
            Problem(f"windows[{at}].zone", f"no such time zone: {window.zone!r}")
            for at, window in enumerate(windows)
            if window.zone not in zones
        ]:
            raise ConfigError(problems)

        async def write(unit: Unit) -> Edited:
            before, after = await unit.windows(), tuple(windows)
            if not order.dry_run:
                await unit.put_windows(windows)
            told = {"windows": before}, {"windows": after}
            return Edited(*told, show(windows), tag_of(before), tag_of(after))

        return await self.edit(write, order, ("windows.set", "change-windows"))

    async def _change(
        self,
        change: Callable[[Revision], Traffic],
        order: Order,
        what: tuple[str, str],
        show: Show,
    ) -> Reply:
        now = self._wall()
        self._check_reason(order)

        def decide(newest: Revision) -> Draft | None:
            traffic = change(newest)
            if newest.number and traffic == newest.traffic:
                return None
            return Draft(traffic, tables_after(newest, traffic), order.author, order.reason, now)

        async with self._opened(order) as unit:
            if kept := await _kept(unit, order, now):
                return kept
            newest = await unit.newest()
            if order.expected is not None and str(newest.number) not in order.expected:
                raise StaleRevisionError(newest.number)
            # Tables of many services take long enough to be felt on open streams.
            draft = await asyncio.to_thread(decide, newest)
            if draft is not None:
                await self._check_open(unit, newest, draft, order, now)
                edges = await _edges(unit, newest, draft.traffic, now)
                draft = msgspec.structs.replace(draft, edges=edges)
            if order.dry_run:
                tried = Revision(0, draft.traffic, draft.tables) if draft else newest
                found = await asyncio.to_thread(difference, newest, tried, None)
                return Reply(msgspec.json.encode(found), str(newest.number))
            revision = newest
            if draft is not None:
                revision = await unit.append(newest, draft)
                entry = _entry(order, what, now, _digest(newest), _digest(revision))
                await unit.record(entry)
            reply = Reply(msgspec.json.encode(show(revision)), str(revision.number))
            await _keep(unit, order, reply, now)
        self._publish(revision)  # an unchanged revision is ignored there
        return reply

    async def _hold(self, service: str | None, freeze: Freeze | None, order: Order) -> Reply:
        now = self._wall()

        async def write(unit: Unit) -> Edited:
            if service is not None:  # one that is frozen cannot have been removed
                service_of((await unit.newest()).traffic, service)
            before = await unit.freezes(now)
            after = _with_freeze(before, service, freeze)
            if not order.dry_run:
                await unit.put_freeze(service, freeze)
            return Edited(before, after, after, tag_of(before), tag_of(after))

        action = "freeze.lift" if freeze is None else "freeze.set"
        return await self.edit(write, order, (action, f"services.{service}" if service else ""))

    async def edit(
        self,
        write: Callable[[Unit], Awaitable[Edited]],
        order: Order,
        what: tuple[str, str],
    ) -> Reply:
        """Changes something beside the traffic: ``write`` gives what was, what is, and the answer.

        Args:
            write: writes nothing when the change is only tried. What was and what is go into the
                audit log, where no secret may be.
            what: the audit log's action and target.

        Raises: KeyReusedError, and whatever ``write`` raises.
        """
        now = self._wall()
        self._check_reason(order)
        async with self._opened(order) as unit:
            if kept := await _kept(unit, order, now):
                return kept
            edited = await write(unit)
            if order.expected is not None and edited.tag_before not in order.expected:
                raise StaleError(edited.tag_before)  # which takes back what was written
            before, after = _json(edited.before), _json(edited.after)
            if order.dry_run:
                newest = (await unit.newest()).number
                told = Difference(newest, None, list(field_changes(before, after)), [])
                return Reply(msgspec.json.encode(told), edited.tag_before)
            if before != after:
                await unit.record(_entry(order, what, now, before, after))
            reply = Reply(msgspec.json.encode(edited.shown), edited.tag)
            await _keep(unit, order, reply, now)
        return reply

    def _opened(self, order: Order) -> AbstractAsyncContextManager[Unit]:
        return self._store.reading() if order.dry_run else self._store.writing()

    def _check_reason(self, order: Order) -> None:
        if order.reason.strip() or order.dry_run:
            return
        if self._require_reason:
            raise ConfigError([Problem("reason", "say why: this server asks for a reason")])
        if order.override:
            raise ConfigError([Problem("reason", "say why: override=true asks for a reason")])

    async def _check_open(
        self, unit: Unit, newest: Revision, draft: Draft, order: Order, now: datetime
    ) -> None:
        services = touched(newest.traffic, draft.traffic)
        freezes, windows = await unit.freezes(now), await unit.windows()
        check_open(freezes, windows, services, now, override=order.override)


def future(field: str, until: datetime | None, now: datetime) -> datetime | None:
    """When something ends, in UTC, as it will be read again.

    Raises: ConfigError: it is over, or beyond what a calendar holds.
    """
    if until is None:
        return None
    try:
        until = until.astimezone(UTC)
    except OverflowError:
        raise ConfigError([Problem(field, "is beyond the year 9999")]) from None
    if until <= now:
        raise ConfigError([Problem(field, "is over already; give a time to come")])
    return until


async def _edges(unit: Unit, newest: Revision, traffic: Traffic, now: datetime) -> dict[str, Edges]:
    edges = edges_after(newest, traffic)
    for name in wanting(newest, traffic, edges):
        stable = stable_of(newest.traffic.services[name])
        for level_s in LOOK_BACK_S:
            starts = past_starts(level_s, now.timestamp())
            if found := chosen(await unit.figures(level_s, starts, name, segment=""), stable):
                edges[name] = found
                break
    return edges


async def _kept(unit: Unit, order: Order, now: datetime) -> Reply | None:
    kept = await unit.reply(order.author, order.key, now) if order.key else None
    if kept is None:
        return None
    if kept.digest != order.digest:
        raise KeyReusedError
    return Reply(kept.body, kept.tag, replayed=True)


async def _keep(unit: Unit, order: Order, reply: Reply, now: datetime) -> None:
    if order.key:
        kept = Kept(order.digest, reply.body, reply.tag)
        await unit.keep(order.author, order.key, kept, now)


def _entry(order: Order, what: tuple[str, str], now: datetime, before: Any, after: Any) -> Entry:
    action, target = what
    if order.override:
        action += ".override"
    fields = (action, target, order.reason, before, after)
    return Entry(now, order.author, order.address, order.request, *fields)


def _digest(revision: Revision) -> dict[str, object]:
    text = msgspec.json.encode(revision.traffic, order="sorted")
    return {"revision": revision.number, "sha256": hashlib.sha256(text).hexdigest()}


def _with_freeze(freezes: Freezes, service: str | None, freeze: Freeze | None) -> Freezes:
    if service is None:
        return Freezes(freeze, freezes.services)
    others = {name: each for name, each in freezes.services.items() if name != service}
    return Freezes(freezes.all, {**others, service: freeze} if freeze else others)


def _json(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
