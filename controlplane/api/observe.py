"""Owns what is told of every request: its id, its one line in the log, its metrics.

Never looks at a body, a query or a header but ``X-Request-Id``: no secret comes into the log.
"""

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Container

from aiohttp import web

from controlplane.api.middleware import QUIET
from controlplane.api.rules import ADMITTED
from controlplane.logs import FIELDS, REQUEST_ID
from controlplane.telemetry import Telemetry

HEADER = "X-Request-Id"
_log = logging.getLogger("splitway.control.requests")
_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def observe(
    telemetry: Telemetry, public: Container[str]
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Tells of every request when it is over. Must be the outermost middleware.

    Args:
        public: paths that are asked all the time, and say nothing but yes or no.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        sent = request.headers.get(HEADER, "")
        ident = sent if _ID.fullmatch(sent) else uuid.uuid4().hex
        token = REQUEST_ID.set(ident)
        started_s = time.perf_counter()
        status = 499  # it left before it was answered
        try:
            response = await handler(request)
            status = response.status
            if not response.prepared:
                response.headers[HEADER] = ident
            return response
        finally:
            seconds = time.perf_counter() - started_s
            _count(request, status, seconds, telemetry)
            is_quiet = request.path in public or QUIET in request
            level = logging.DEBUG if is_quiet else logging.INFO
            _log.log(level, "request", extra={FIELDS: _fields(request, status, seconds)})
            REQUEST_ID.reset(token)

    return middleware


async def name_answer(_request: web.Request, response: web.StreamResponse) -> None:
    """Gives the id to an answer that begins before its handler ends, such as an export."""
    if ident := REQUEST_ID.get():
        response.headers.setdefault(HEADER, ident)


def _count(request: web.Request, status: int, seconds: float, telemetry: Telemetry) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else ""
    method = request.method if route else "OTHER"  # there is no end of methods that nobody serves
    is_stream = status == 101
    telemetry.finished(method, route, status, None if is_stream else seconds)


def _fields(request: web.Request, status: int, seconds: float) -> dict[str, object]:
    admitted = request.get(ADMITTED)
    return {
        "method": request.method,
        "path": request.path,
        "status": status,
        "ms": round(1e3 * seconds, 1),
        "author": admitted.caller.name if admitted else "",
        "client": request.remote or "",
    }
