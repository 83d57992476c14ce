"""Owns what each operation asks of its caller, and whether a caller has it. Never finds out who
calls: the middleware does, before.

Every ``Operation`` declares its rule; there is none by default.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus

from aiohttp import web

from controlplane.access.book import Admitted
from controlplane.access.caller import Caller, Role
from controlplane.api.problem import ApiError

ADMITTED = web.RequestKey("admitted", Admitted)
"""Who calls, and whether what they proved still holds."""


class Reach(Enum):
    """How a caller's scope counts."""

    ANY = "any"
    """It does not, or the answer is cut down to it."""
    SERVICE = "service"
    """The service in the path must be in it."""
    ALL = "all"
    """The caller must have none: what is served or changed belongs to more than one service."""


@dataclass(frozen=True)
class Rule:
    """What a caller needs."""

    role: Role | None
    """At least; ``None``: not even a token."""
    reach: Reach


PUBLIC = Rule(None, Reach.ANY)
VIEW = Rule(Role.VIEWER, Reach.ANY)
VIEW_SERVICE = Rule(Role.VIEWER, Reach.SERVICE)
VIEW_ALL = Rule(Role.VIEWER, Reach.ALL)
OPERATE_SERVICE = Rule(Role.OPERATOR, Reach.SERVICE)
OPERATE_ALL = Rule(Role.OPERATOR, Reach.ALL)
ADMINISTER = Rule(Role.ADMIN, Reach.ALL)
FOLLOW = Rule(Role.PROXY, Reach.ALL)


def caller_of(request: web.Request) -> Caller:
    """Who calls."""
    return request[ADMITTED].caller


def still_holds(request: web.Request) -> bool:
    """Whether what the caller proved when the request began holds yet: a request can be held open
    for longer than the token behind it."""
    return request[ADMITTED].holds(datetime.now(UTC))


def check(rule: Rule, request: web.Request) -> None:
    """Whether the caller may do what the request asks.

    Raises: ApiError 403.
    """
    if rule.role is None:
        return
    caller = caller_of(request)
    check_role(caller, rule.role)
    if rule.reach is Reach.ALL and caller.services is not None:
        raise _forbidden("this is for callers without a scope, because it touches every service")
    if rule.reach is Reach.SERVICE:
        service = request.match_info["name"]
        if not caller.may_touch(service):
            scope = ", ".join(sorted(caller.services or ()))
            raise _forbidden(f"service {service[:80]!r} is outside of the caller's scope: {scope}")


def check_role(caller: Caller, role: Role, what: str = "this") -> None:
    """Whether the caller may do what a role may do.

    Raises: ApiError 403.
    """
    if not caller.is_at_least(role):
        has = caller.role
        raise _forbidden(f"{what} needs the role {role}; {caller.name!r} has the role {has}")


def _forbidden(detail: str) -> ApiError:
    return ApiError(HTTPStatus.FORBIDDEN, "forbidden", detail)
