"""Owns what every request goes through: errors as problem+json, then who calls.

Never lets a traceback or a secret into an answer; what was unexpected goes to the log. Who calls is
asked before there is a route, so that a stranger does not learn which paths there are; what they
may do is each operation's to say (``rules``).
"""

import logging
import math
from collections.abc import Awaitable, Callable, Container
from http import HTTPStatus

from aiohttp import web

from controlplane.access.admission import Admission, NotAdmittedError
from controlplane.access.book import Admitted
from controlplane.access.throttle import Throttle
from controlplane.api.problem import (
    INVALID_TOKEN,
    ApiError,
    bad_request,
    invalid,
    problem_response,
    unauthorized,
)
from controlplane.api.revision_tags import etag
from controlplane.api.rules import ADMITTED, caller_of
from controlplane.gate import FrozenError, OutsideWindowError
from controlplane.issuing import NameTakenError, TokenOverError, UnknownTokenError
from controlplane.model import (
    ControlError,
    KeyReusedError,
    StaleError,
    StaleRevisionError,
    UnknownRevisionError,
    UnknownServiceError,
)
from controlplane.store.base import StoreError, StoreFullError, StoreUnsureError
from proxy.model.errors import ConfigError

_log = logging.getLogger(__name__)

QUIET = web.RequestKey("quiet", bool)
"""There: the request was refused like many before it, and is not worth a line in the log."""
_LINES, _LINE_S = 20, 3.0
"""Refusals of one address that are logged: so many at once, then one each three seconds."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KINDS: dict[type[ControlError], tuple[HTTPStatus, str]] = {
    FrozenError: (HTTPStatus.CONFLICT, "frozen"),
    OutsideWindowError: (HTTPStatus.CONFLICT, "outside-change-window"),
    KeyReusedError: (HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused"),
    UnknownRevisionError: (HTTPStatus.NOT_FOUND, "unknown-revision"),
    UnknownServiceError: (HTTPStatus.NOT_FOUND, "unknown-service"),
    UnknownTokenError: (HTTPStatus.NOT_FOUND, "unknown-token"),
    NameTakenError: (HTTPStatus.CONFLICT, "name-taken"),
    TokenOverError: (HTTPStatus.CONFLICT, "token-over"),
}
_DETAILS = {
    HTTPStatus.NOT_FOUND: "there is nothing at this path",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not take this method; see Allow",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is too big",
}


@web.middleware
async def problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answers every error as problem+json."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return problem_response(_of_framework(error))
    except web.RequestPayloadError as error:
        return problem_response(bad_request(f"the body cannot be read: {error}"))
    except Exception as error:  # noqa: BLE001 - the last resort: nothing unexpected may leak
        return problem_response(_of(error, request))


def authenticate(
    admission: Admission, public: Container[str], monotonic_s: Callable[[], float]
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Lets only those pass who are known, and says who they are.

    Args:
        public: paths that anybody may call.
    """
    lines = Throttle(monotonic_s, _LINES, _LINE_S)

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path not in public:
            try:
                request[ADMITTED] = await _admitted(admission, request)
            except ApiError:
                address = request.remote or ""
                if lines.wait_s(address):
                    request[QUIET] = True
                lines.count(address)
                raise
        return await handler(request)

    return middleware


async def _admitted(admission: Admission, request: web.Request) -> Admitted:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not bearer.strip():
        raise unauthorized(given=bool(scheme))
    try:
        return await admission.admit(bearer.strip(), request.remote or "")
    except NotAdmittedError as error:
        if error.wait_s:
            raise _throttled(error.wait_s) from None
        raise unauthorized(given=True) from None


def _throttled(wait_s: float) -> ApiError:
    wait = str(math.ceil(wait_s))
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-bad-tokens",
        f"too many tokens from this address were not valid; try again in {wait} s",
        headers={"Retry-After": wait, "WWW-Authenticate": INVALID_TOKEN},
    )


def _of_framework(error: web.HTTPException) -> ApiError:
    status = HTTPStatus(error.status)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    kind = status.phrase.lower().replace(" ", "-")
    said = " ".join((error.text or status.description).split())
    return ApiError(status, kind, _DETAILS.get(status, said), headers=headers)


def _of(error: Exception, request: web.Request) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ConfigError):
        return invalid(error.problems)
    if isinstance(error, ControlError) and type(error) in _KINDS:
        status, kind = _KINDS[type(error)]
        return ApiError(status, kind, _detail(error, request))
    if isinstance(error, StaleError):
        kind = "stale-revision" if isinstance(error, StaleRevisionError) else "stale"
        headers = {"ETag": etag(error.tag)}
        return ApiError(HTTPStatus.PRECONDITION_FAILED, kind, str(error), headers=headers)
    if isinstance(error, StoreError):
        return _of_store(error, request)
    _log.error("%s %r failed", request.method, request.path, exc_info=error)
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "an unexpected error; see the server's log"
    )


def _detail(error: ControlError, request: web.Request) -> str:
    if isinstance(error, UnknownServiceError) and caller_of(request).services is not None:
        return f"unknown service {error.service!r}"  # those that there are, are not all theirs
    return str(error)


def _of_store(error: StoreError, request: web.Request) -> ApiError:
    _log.error("%s %r: %s", request.method, request.path, error)
    if isinstance(error, StoreFullError):
        detail = "the store's disk is full: nothing was changed; make room and try again"
        return ApiError(HTTPStatus.INSUFFICIENT_STORAGE, "store-full", detail)
    unsure = isinstance(error, StoreUnsureError)
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "store-unsure" if unsure else "store-unavailable",
        "the store was lost while it kept the change: look whether it is in force, then try again"
        if unsure
        else "the store does not answer: nothing was changed; see the server's log",
        headers={"Retry-After": "5"},
    )
