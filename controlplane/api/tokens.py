"""Owns ``/v1/tokens``: who may call. Never keeps an answer that holds a secret.

So what makes a secret takes no ``Idempotency-Key``: the answer would have to be kept, with the
secret in it, to be given again. A name is given once, so a token is not made twice either.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from controlplane.api.answer import json_answer
from controlplane.api.body import read_json
from controlplane.api.operation import IF_MATCH_DIGEST, Operation, Parameter
from controlplane.api.order import DRY_RUN, EDITING, REASON, read_order, reply_answer
from controlplane.api.pages import CURSOR, LIMIT, cursor_below, read_cursor, read_limit
from controlplane.api.problem import bad_request, invalid
from controlplane.api.rules import ADMINISTER
from controlplane.issuing import (
    MAX_GRACE_S,
    IssuedToken,
    Issuing,
    TokenRequest,
    TokenView,
    view_of,
)
from controlplane.store.base import Store
from proxy.model.errors import Problem

GRACE_S = 3_600
"""An hour for whoever reads the token from a file to read it anew."""
IDENT = Parameter("id", "path", Annotated[str, Meta(pattern="^[0-9a-f]{12}$")], "The token's id.")
GRACE = Parameter(
    "grace_s",
    "query",
    Annotated[int, Meta(ge=0, le=MAX_GRACE_S)],
    f"Seconds that the secret before works on; {GRACE_S} without this, 0 ends it now.",
)
_PATH = "/v1/tokens"
_ONE = "/v1/tokens/{id:[0-9a-f]{12}}"


class TokenPage(msgspec.Struct, frozen=True):
    """Some tokens, newest first; those that have been over for 90 days are gone."""

    tokens: list[TokenView]
    next_cursor: str | None
    """The ``cursor`` of the page that follows, if there is one."""


class TokensApi:
    """Handlers of ``/v1/tokens``."""

    def __init__(self, store: Store, issuing: Issuing) -> None:
        self._store = store
        self._issuing = issuing

    def operations(self) -> list[Operation]:
        """What is served where."""
        none, over = (HTTPStatus.NOT_FOUND,), (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        return [
            Operation("GET", _PATH, self.list, TokenPage, (LIMIT, CURSOR), rule=ADMINISTER),
            Operation(
                "POST",
                _PATH,
                self.create,
                IssuedToken,
                (DRY_RUN,),
                body=TokenRequest,
                problems=(HTTPStatus.CONFLICT,),
                rule=ADMINISTER,
            ),
            Operation(
                "POST",
                f"{_ONE}/rotate",
                self.rotate,
                IssuedToken,
                (IDENT, GRACE, IF_MATCH_DIGEST, DRY_RUN, REASON),
                problems=over,
                rule=ADMINISTER,
            ),
            Operation(
                "DELETE",
                _ONE,
                self.revoke,
                TokenView,
                (IDENT, *EDITING, REASON),
                problems=none,
                rule=ADMINISTER,
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """Every token without its secret, newest first, page by page."""
        limit, below = read_limit(request), read_cursor(request)
        async with self._store.reading() as unit:
            found = await unit.tokens(limit, below)
        now = datetime.now(UTC)
        last = found[-1].number if len(found) == limit and found[-1].number > 1 else None
        views = [view_of(record, now) for record in found]
        return json_answer(TokenPage(views, cursor_below(last) if last else None))

    async def create(self, request: web.Request) -> web.Response:
        """Makes a token, and tells it this once."""
        _check_keyless(request)
        wanted = await read_json(request, TokenRequest)
        order = await read_order(request, wanted.reason)
        return reply_answer(await self._issuing.create(wanted, order))

    async def rotate(self, request: web.Request) -> web.Response:
        """Gives a token a new secret, and tells it this once."""
        _check_keyless(request)
        order, grace_s = await read_order(request), _grace_s(request)
        return reply_answer(await self._issuing.rotate(request.match_info["id"], grace_s, order))

    async def revoke(self, request: web.Request) -> web.Response:
        """Ends a token at once; streams that were opened with it are closed within 5 s."""
        order = await read_order(request)
        return reply_answer(await self._issuing.revoke(request.match_info["id"], order))


def _check_keyless(request: web.Request) -> None:
    if "Idempotency-Key" in request.headers:
        raise bad_request(
            "Idempotency-Key is not taken here: the answer holds a secret, and is not kept"
        )


def _grace_s(request: web.Request) -> int:
    text = request.query.get(GRACE.name, str(GRACE_S))
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) <= MAX_GRACE_S):
        message = f"expected whole seconds from 0 to {MAX_GRACE_S}, got {text[:40]!r}"
        raise invalid([Problem(GRACE.name, message)])
    return int(text)
