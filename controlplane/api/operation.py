"""Owns how the API is declared: one ``Operation`` registers a route and is its entry in OpenAPI.

Never answers by itself but to refuse callers who may not call it, and parameters that were not
declared: a mistyped ``dry_run`` would make the change.
"""

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta

from controlplane.api.deadlines import read_whole
from controlplane.api.problem import invalid, unauthorized
from controlplane.api.rules import Rule, check, still_holds
from proxy.model.config import Name
from proxy.model.errors import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
HIGHEST_NUMBER = 2**31 - 1
"""Of a revision and of an entry of the audit log, as every database counts them."""


@dataclass(frozen=True)
class Parameter:
    """What may stand in the query, the header or the path of a request."""

    name: str
    where: Literal["query", "header", "path"]
    kind: Any
    """A type that msgspec makes a schema of."""
    text: str


@dataclass(frozen=True)
class Operation:
    """One method of one path. Its summary is the first line of its handler's docstring."""

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    handler: Handler
    answer: Any
    """The type of a good answer's body; ``None`` where it is no JSON of one type."""
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    """The type of the request's body; ``None`` where there is none."""
    body_media: tuple[str, ...] = (JSON,)
    problems: tuple[HTTPStatus, ...] = ()
    """Beyond those that every operation may answer."""
    media: str = JSON
    """Of a good answer."""
    status: HTTPStatus = HTTPStatus.OK
    rule: Rule = field(kw_only=True)
    """What its caller needs. To be given each time, so that no route is open by an oversight."""

    @property
    def public(self) -> bool:
        """Whether it needs no token."""
        return self.rule.role is None

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return inspect.cleandoc(self.handler.__doc__ or "").partition("\n")[0]

    @property
    def plain_path(self) -> str:
        """The path with its parameters by name, without the expressions they must match."""
        return web.DynamicResource(self.path).canonical if "{" in self.path else self.path


OPERATIONS = web.AppKey("operations", Sequence[Operation])
"""All that an application serves."""
NAME = Parameter("name", "path", Name, "The service's name.")
NUMBER = Parameter(
    "number", "path", Annotated[int, Meta(ge=1, le=HIGHEST_NUMBER)], "The revision's number."
)
IF_MATCH = Parameter(
    "If-Match",
    "header",
    Annotated[str, Meta(pattern=r'^(\*|"(0|[1-9][0-9]{0,8})")$')],
    "Make the change only if this quoted revision is the newest one.",
)
IF_MATCH_DIGEST = Parameter(
    "If-Match",
    "header",
    Annotated[str, Meta(pattern=r'^(\*|"[0-9a-f]{16}")$')],
    "Make the change only if this is still what GET answers: its ETag.",
)
IF_NONE_MATCH = Parameter(
    "If-None-Match",
    "header",
    Annotated[str, Meta(pattern=r'^(\*|"(0|[1-9][0-9]{0,8})")$')],
    "Answer 304 if this quoted revision is the newest one.",
)
READING = (IF_NONE_MATCH,)


def register(app: web.Application, operations: Sequence[Operation]) -> None:
    """Adds the routes of what is declared."""
    app[OPERATIONS] = operations
    for operation in operations:
        handler = _strict(operation)
        if operation.method == "GET":
            is_http = operation.status is not HTTPStatus.SWITCHING_PROTOCOLS
            app.router.add_get(operation.path, handler, allow_head=is_http)
        else:
            app.router.add_route(operation.method, operation.path, handler)


def _strict(operation: Operation) -> Handler:
    known = [each.name for each in operation.parameters if each.where == "query"]

    async def handler(request: web.Request) -> web.StreamResponse:
        check(operation.rule, request)
        if problems := _problems(Counter(name for name, _ in request.query.items()), known):
            raise invalid(problems)
        if operation.method != "GET":
            await read_whole(request)
            if not still_holds(request):
                raise unauthorized(given=True)
        return await operation.handler(request)

    return handler


def _problems(given: Counter[str], known: list[str]) -> list[Problem]:
    takes = f"this path takes {', '.join(known)}" if known else "this path takes none"
    unknown = [name for name in given if name not in known]
    return [Problem(name[:80], f"unknown parameter; {takes}") for name in unknown] + [
        Problem(name, "given twice") for name in known if given[name] > 1
    ]
