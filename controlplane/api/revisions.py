"""Owns ``/v1/revisions``: who changed what and why, newest first. Never changes history."""

from aiohttp import web

from controlplane.api.answer import json_answer
from controlplane.api.body import read_count
from controlplane.store.base import Store

_DEFAULT, _MOST = 50, 500
_HIGHEST = 2**31 - 1


class RevisionsApi:
    """Handlers of ``/v1/revisions``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        """What is served where."""
        return [web.get("/v1/revisions", self.list)]

    async def list(self, request: web.Request) -> web.Response:
        """One page; ``next`` is the ``before`` of the page that follows, if there is one."""
        limit = read_count(request, "limit", _DEFAULT, _MOST) or _DEFAULT
        before = read_count(request, "before", None, _HIGHEST)
        notes = await self._store.notes(limit, before)
        more = len(notes) == limit and notes[-1].revision > 1
        return json_answer({"revisions": notes, "next": notes[-1].revision if more else None})
