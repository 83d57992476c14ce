"""Owns what every request goes through: errors as problem+json, then the bearer token.

Never lets a traceback or a secret into an answer; what was unexpected goes to the log.
"""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from controlplane.api.problem import ApiError, bad_request, invalid, problem_response
from controlplane.gate import FrozenError, OutsideWindowError
from controlplane.model import (
    ControlError,
    KeyReusedError,
    StaleRevisionError,
    UnknownRevisionError,
    UnknownServiceError,
)
from controlplane.store.base import StoreError, StoreFullError, StoreUnsureError
from controlplane.tokens import Tokens
from proxy.model.errors import ConfigError

_log = logging.getLogger(__name__)

AUTHOR = web.RequestKey("author", str)
"""Who calls: the name of the token."""
PUBLIC = frozenset({"/healthz", "/readyz"})
"""Probes carry no token, and these say nothing but yes or no."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KINDS: dict[type[ControlError], tuple[HTTPStatus, str]] = {
    FrozenError: (HTTPStatus.CONFLICT, "frozen"),
    OutsideWindowError: (HTTPStatus.CONFLICT, "outside-change-window"),
    KeyReusedError: (HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused"),
    UnknownRevisionError: (HTTPStatus.NOT_FOUND, "unknown-revision"),
    UnknownServiceError: (HTTPStatus.NOT_FOUND, "unknown-service"),
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


def authenticate(tokens: Tokens) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Lets only bearers of a token pass, and says who they are."""

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path not in PUBLIC:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            name = tokens.name_of(token.strip()) if scheme.lower() == "bearer" else None
            if name is None:
                raise _unauthorized(given=bool(scheme))
            request[AUTHOR] = name
        return await handler(request)

    return middleware


def _unauthorized(*, given: bool) -> ApiError:
    challenge = 'Bearer realm="splitway"' + (', error="invalid_token"' if given else "")
    return ApiError(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "the token is not valid here" if given else "send Authorization: Bearer <token>",
        headers={"WWW-Authenticate": challenge},
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
        return ApiError(status, kind, str(error))
    if isinstance(error, StaleRevisionError):
        etag = {"ETag": f'"{error.newest}"'}
        return ApiError(HTTPStatus.PRECONDITION_FAILED, "stale-revision", str(error), headers=etag)
    if isinstance(error, StoreError):
        return _of_store(error, request)
    _log.error("%s %r failed", request.method, request.path, exc_info=error)
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "an unexpected error; see the server's log"
    )


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
