"""Owns ``/v1/revisions``: who changed what and why, what it was, and going back to it.

Never changes history: a revision that is restored is a new one.
"""

import asyncio
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from controlplane.api.answer import json_answer
from controlplane.api.body import read_count
from controlplane.api.config import ConfigView, config_view
from controlplane.api.operation import HIGHEST_NUMBER, NUMBER, Operation, Parameter
from controlplane.api.order import CHANGING, REASON, read_order, reply_answer
from controlplane.api.pages import CURSOR, LIMIT, cursor_below, read_cursor, read_limit
from controlplane.api.problem import invalid
from controlplane.api.rules import OPERATE_ALL, VIEW_ALL
from controlplane.difference import Difference, difference
from controlplane.model import Revision, RevisionNote, UnknownRevisionError
from controlplane.operations import Operations
from controlplane.store.base import Store
from proxy.model.errors import Problem

_NUMBER = Annotated[int, Meta(ge=1, le=HIGHEST_NUMBER)]
BEFORE = Parameter("before", "query", _NUMBER, "Only older ones; a cursor by another name.")
TO = Parameter("to", "query", _NUMBER, "The other revision; without it, the one before.")
_PATH = "/v1/revisions/{number:[1-9][0-9]{0,9}}"


class RevisionPage(msgspec.Struct, frozen=True):
    """Some revisions, newest first."""

    revisions: list[RevisionNote]
    next: int | None
    """The ``before`` of the page that follows, if there is one."""
    next_cursor: str | None
    """Its ``cursor``."""


class RevisionView(RevisionNote, frozen=True):
    """One revision with its content."""

    config: ConfigView


class RevisionsApi:
    """Handlers of ``/v1/revisions``."""

    def __init__(self, store: Store, operations: Operations) -> None:
        self._store = store
        self._operations = operations

    def operations(self) -> list[Operation]:
        """What is served where."""
        page, none = (LIMIT, CURSOR, BEFORE), (HTTPStatus.NOT_FOUND,)
        refused = (*none, HTTPStatus.CONFLICT)
        return [
            Operation("GET", "/v1/revisions", self.list, RevisionPage, page, rule=VIEW_ALL),
            Operation(
                "GET", _PATH, self.get, RevisionView, (NUMBER,), problems=none, rule=VIEW_ALL
            ),
            Operation(
                "GET",
                f"{_PATH}/diff",
                self.diff,
                Difference,
                (NUMBER, TO),
                problems=none,
                rule=VIEW_ALL,
            ),
            Operation(
                "POST",
                f"{_PATH}/restore",
                self.restore,
                ConfigView,
                (NUMBER, *CHANGING, REASON),
                problems=refused,
                rule=OPERATE_ALL,
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """Who changed what and why, newest first, page by page."""
        limit, below = read_limit(request), read_cursor(request)
        before = read_count(request, BEFORE.name, None, HIGHEST_NUMBER)
        if below is not None and before is not None:
            raise invalid([Problem(BEFORE.name, "is a cursor too; send one of the two")])
        notes = await self._store.notes(limit, below or before)
        last = notes[-1].revision if len(notes) == limit and notes[-1].revision > 1 else None
        return json_answer(RevisionPage(notes, last, cursor_below(last) if last else None))

    async def get(self, request: web.Request) -> web.Response:
        """One revision: who, when, why, and its services and routes."""
        revision = await self._revision(_number(request))
        (note,) = await self._store.notes(1, revision.number + 1)
        view = RevisionView(**msgspec.structs.asdict(note), config=config_view(revision))
        return json_answer(view)

    async def diff(self, request: web.Request) -> web.Response:
        """What differs between this revision and the one before it, or the one at `to`."""
        number = _number(request)
        to = read_count(request, TO.name, None, HIGHEST_NUMBER)
        pair = (number - 1, number) if to is None else (number, to)
        before, after = [await self._revision(each) for each in pair]
        found = await asyncio.to_thread(difference, before, after, after.number)
        return json_answer(found)

    async def restore(self, request: web.Request) -> web.Response:
        """Makes a new revision with the services and routes of this one."""
        order = await read_order(request)
        return reply_answer(
            await self._operations.restore(_number(request), order, show=config_view)
        )

    async def _revision(self, number: int) -> Revision:
        async with self._store.reading() as unit:
            found = await unit.revision(number)
        if found is None:
            raise UnknownRevisionError(number)
        return found


def _number(request: web.Request) -> int:
    number = int(request.match_info["number"])
    if number > HIGHEST_NUMBER:
        raise UnknownRevisionError(number)
    return number
