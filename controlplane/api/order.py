"""Owns how a change is asked for: the parameters and headers that every change takes → ``Order``.

Source: draft-ietf-httpapi-idempotency-key-header; RFC 9110 §13.1 for If-Match.
"""

import hashlib
import re
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta

from controlplane.access.caller import Role
from controlplane.api.answer import json_text
from controlplane.api.body import MAX_REASON, checked_reason
from controlplane.api.operation import IF_MATCH, IF_MATCH_DIGEST, Parameter
from controlplane.api.problem import bad_request, invalid
from controlplane.api.revision_tags import expected_tags
from controlplane.api.rules import caller_of, check_role
from controlplane.logs import REQUEST_ID
from controlplane.model import Order, Reply
from proxy.model.errors import Problem

_KEY = r"[!-~]{1,255}"

REASON = Parameter("reason", "query", Annotated[str, Meta(max_length=MAX_REASON)], "Why; kept.")
DRY_RUN = Parameter("dry_run", "query", bool, "Only tell what would change: a Difference.")
OVERRIDE = Parameter(
    "override", "query", bool, "Go past the change windows; for admins, with a reason."
)
KEY = Parameter(
    "Idempotency-Key",
    "header",
    Annotated[str, Meta(pattern=f"^{_KEY}$")],
    "Sent again with the same request within 24 hours it gets the same answer.",
)

EDITING = (IF_MATCH_DIGEST, DRY_RUN, KEY)
"""What a change of something beside the traffic takes."""
CHANGING = (IF_MATCH, DRY_RUN, KEY, OVERRIDE)
"""What a change of the traffic takes."""


async def read_order(request: web.Request, reason: str | None = None) -> Order:
    """How the change is asked for.

    Args:
        reason: the body's; ``None`` where it is a parameter.

    Raises: ApiError 400, 403, 422.
    """
    key = request.headers.get("Idempotency-Key", "")
    if "Idempotency-Key" in request.headers and not re.fullmatch(_KEY, key):
        raise bad_request("Idempotency-Key must be 1 to 255 characters without spaces")
    caller, override = caller_of(request), flag(request, OVERRIDE)
    if override:
        check_role(caller, Role.ADMIN, "override=true")
    return Order(
        author=caller.name,
        reason=checked_reason(request.query.get("reason", "") if reason is None else reason),
        address=request.remote or "",
        request=REQUEST_ID.get(),
        expected=expected_tags(request),
        dry_run=flag(request, DRY_RUN),
        override=override,
        key=key,
        digest=await _digest(request) if key else "",
    )


def reply_answer(reply: Reply) -> web.Response:
    """The reply to a change."""
    response = json_text(reply.body, tag=reply.tag)
    if reply.replayed:
        response.headers["Idempotent-Replay"] = "true"
    return response


def flag(request: web.Request, parameter: Parameter) -> bool:
    """Whether a parameter says so; without it, not.

    Raises: ApiError 422.
    """
    text = request.query.get(parameter.name, "false")
    if text not in ("true", "false"):
        raise invalid([Problem(parameter.name, f"expected true or false, got {text[:40]!r}")])
    return text == "true"


async def _digest(request: web.Request) -> str:
    """Over all that makes the request what it is."""
    told: list[Any] = [request.method, request.path, sorted(request.query.items())]
    told.append(request.headers.getall("If-Match", []))
    return hashlib.sha256(repr(told).encode() + await request.read()).hexdigest()
