"""Owns ``/v1/audit``: the log of everything that was changed. Never changes it."""

import msgspec
from aiohttp import web

from controlplane.api.answer import json_answer
from controlplane.api.operation import Operation
from controlplane.api.pages import CURSOR, LIMIT, cursor_below, read_cursor, read_limit
from controlplane.api.rules import VIEW_ALL, still_holds
from controlplane.audit import BEGINNING, Sealed
from controlplane.store.base import Store

LINES = "application/jsonl"
_BATCH = 500


class AuditPage(msgspec.Struct, frozen=True):
    """Some entries, newest first."""

    entries: list[Sealed]
    head: str
    """The seal of the newest entry there is: what to keep elsewhere."""
    next_cursor: str | None
    """The ``cursor`` of the page that follows, if there is one."""


class AuditApi:
    """Handlers of ``/v1/audit``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def operations(self) -> list[Operation]:
        """What is served where."""
        return [
            Operation("GET", "/v1/audit", self.page, AuditPage, (LIMIT, CURSOR), rule=VIEW_ALL),
            Operation("GET", "/v1/audit/export", self.export, None, media=LINES, rule=VIEW_ALL),
        ]

    async def page(self, request: web.Request) -> web.Response:
        """Who did what, when, from where and why, newest first, page by page."""
        limit, below = read_limit(request), read_cursor(request)
        async with self._store.reading() as unit:
            texts = await unit.entries(limit, after=None, before=below)
            newest = await unit.entries(1, after=None, before=None)
            entries = [_entry(text) for _, text in texts]
            head = _entry(newest[0][1]).seal if newest else BEGINNING
        last = entries[-1].number if len(entries) == limit and entries[-1].number > 1 else None
        return json_answer(AuditPage(entries, head, cursor_below(last) if last else None))

    async def export(self, request: web.Request) -> web.StreamResponse:
        """The whole log as JSON lines, oldest first, as it stands in the store."""
        response = web.StreamResponse(headers={"Cache-Control": "no-store"})
        response.content_type = LINES
        texts = await self._after(0)  # what fails here is answered with a problem
        await response.prepare(request)
        while texts:
            if not still_holds(request):
                # The answer has begun: that it is cut says that it is not whole.
                if request.transport is not None:
                    request.transport.abort()
                break
            await response.write("".join(f"{text}\n" for _, text in texts).encode())
            texts = await self._after(texts[-1][0])
        else:
            await response.write_eof()
        return response

    async def _after(self, number: int) -> list[tuple[int, str]]:
        async with self._store.reading() as unit:
            return await unit.entries(_BATCH, after=number, before=None)


def _entry(text: str) -> Sealed:
    return msgspec.json.decode(text, type=Sealed)
