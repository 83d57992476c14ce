"""Owns ``/v1/freeze``, ``/v1/services/{name}/freeze`` and ``/v1/change-windows``: when changes may
be made. Never judges a change (``controlplane.gate`` does)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from controlplane.access.caller import Caller
from controlplane.api.answer import json_answer
from controlplane.api.body import MAX_REASON, read_json
from controlplane.api.operation import NAME, Operation
from controlplane.api.order import EDITING, REASON, read_order, reply_answer
from controlplane.api.rules import ADMINISTER, OPERATE_SERVICE, VIEW, caller_of
from controlplane.gate import Freezes, Window, is_open, tag_of
from controlplane.model import Order, Reply
from controlplane.operations import Operations
from controlplane.store.base import Store

_SERVICE = "/v1/services/{name}/freeze"


class FreezeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Allows no change until it is lifted, or over."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]
    until: Annotated[datetime, Meta(tz=True)] | None = None
    """With its zone; left out: until it is lifted."""


class WindowsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When changes may be made; no window means always."""

    windows: Annotated[tuple[Window, ...], Meta(max_length=100)]
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


class WindowsView(msgspec.Struct, frozen=True):
    """When changes may be made; no window means always."""

    windows: tuple[Window, ...]
    open: bool
    """Whether one is open now."""


class FreezesApi:
    """Handlers of freezes and change windows."""

    def __init__(self, store: Store, operations: Operations) -> None:
        self._store = store
        self._operations = operations

    def operations(self) -> list[Operation]:
        """What is served where."""
        unknown, none = (HTTPStatus.NOT_FOUND,), Freezes
        lift = (*EDITING, REASON)
        asked = FreezeRequest
        return [
            Operation("GET", "/v1/freeze", self.get, Freezes, rule=VIEW),
            Operation("PUT", "/v1/freeze", self.put, none, EDITING, body=asked, rule=ADMINISTER),
            Operation("DELETE", "/v1/freeze", self.delete, none, lift, rule=ADMINISTER),
            Operation(
                "PUT",
                _SERVICE,
                self.put,
                none,
                (NAME, *EDITING),
                body=asked,
                problems=unknown,
                rule=OPERATE_SERVICE,
            ),
            Operation(
                "DELETE",
                _SERVICE,
                self.delete,
                none,
                (NAME, *lift),
                problems=unknown,
                rule=OPERATE_SERVICE,
            ),
            Operation("GET", "/v1/change-windows", self.get_windows, WindowsView, rule=VIEW),
            Operation(
                "PUT",
                "/v1/change-windows",
                self.put_windows,
                WindowsView,
                EDITING,
                body=WindowsRequest,
                rule=ADMINISTER,
            ),
        ]

    async def get(self, request: web.Request) -> web.Response:
        """Every freeze there is of services in the caller's scope, and that of everything."""
        async with self._store.reading() as unit:
            found = await unit.freezes(datetime.now(UTC))
        return json_answer(_within(found, caller_of(request)), tag=tag_of(found))

    async def put(self, request: web.Request) -> web.Response:
        """Freezes the service, or everything: no changes until it is lifted."""
        asked = await read_json(request, FreezeRequest)
        order = await read_order(request, asked.reason)
        service = request.match_info.get("name")
        reply = await self._operations.freeze(service, asked.until, order)
        return _answer(reply, order, caller_of(request))

    async def delete(self, request: web.Request) -> web.Response:
        """Lifts the freeze, if there is one."""
        service, order = request.match_info.get("name"), await read_order(request)
        reply = await self._operations.unfreeze(service, order)
        return _answer(reply, order, caller_of(request))

    async def get_windows(self, _request: web.Request) -> web.Response:
        """When changes may be made."""
        async with self._store.reading() as unit:
            windows = await unit.windows()
        return json_answer(_shown(windows), tag=tag_of(windows))

    async def put_windows(self, request: web.Request) -> web.Response:
        """Replaces the change windows."""
        asked = await read_json(request, WindowsRequest)
        order = await read_order(request, asked.reason)
        return reply_answer(await self._operations.set_windows(asked.windows, order, _shown))


def _answer(reply: Reply, order: Order, caller: Caller) -> web.Response:
    if caller.services is not None and not order.dry_run:
        seen = _within(msgspec.json.decode(reply.body, type=Freezes), caller)
        reply = msgspec.structs.replace(reply, body=msgspec.json.encode(seen))
    return reply_answer(reply)


def _within(freezes: Freezes, caller: Caller) -> Freezes:
    services = {name: each for name, each in freezes.services.items() if caller.may_touch(name)}
    return Freezes(freezes.all, services)


def _shown(windows: Sequence[Window]) -> WindowsView:
    now = datetime.now(UTC)
    return WindowsView(tuple(windows), not windows or any(is_open(each, now) for each in windows))
