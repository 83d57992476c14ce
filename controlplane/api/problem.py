"""Owns the form of every error the API answers. Never decides which error it is.

Source: RFC 9457 (problem details); ``problems`` is our extension, one entry a wrong field.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from proxy.model.errors import Problem

CONTENT_TYPE = "application/problem+json"
_TYPE = "urn:splitway:problem:"
_CHALLENGE = 'Bearer realm="splitway"'
INVALID_TOKEN = f'{_CHALLENGE}, error="invalid_token"'
"""Of ``WWW-Authenticate`` (RFC 6750 section 3)."""


class FieldProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One wrong field."""

    field: str
    message: str
    line: int = 0
    """1-based, where text with lines was sent."""


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every error's body."""

    type: str
    title: str
    status: int
    detail: str
    problems: tuple[FieldProblem, ...] = ()


class ApiError(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        problems: Iterable[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        """The last part of the problem's type: what a program compares."""
        self.detail = detail
        self.problems = tuple(problems)
        self.headers = headers


def problem_response(error: ApiError) -> web.Response:
    """The error as problem+json."""
    body = ProblemDocument(
        f"{_TYPE}{error.kind}",
        error.status.phrase,
        int(error.status),
        error.detail,
        tuple(FieldProblem(each.field, each.message, each.line) for each in error.problems),
    )
    return web.Response(
        status=error.status,
        body=msgspec.json.encode(body),
        content_type=CONTENT_TYPE,
        headers=error.headers,
    )


def invalid(problems: Iterable[Problem]) -> ApiError:
    """422: the body was read, and what it asks for is wrong."""
    found = tuple(problems)
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    detail = f"refused whole, {count}; nothing was changed"
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, found)


def bad_request(detail: str) -> ApiError:
    """400: the request itself cannot be understood."""
    return ApiError(HTTPStatus.BAD_REQUEST, "bad-request", detail)


def unauthorized(*, given: bool) -> ApiError:
    """401: nobody is known by what was sent, or nothing was."""
    return ApiError(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "the token is not valid here" if given else "send Authorization: Bearer <token>",
        headers={"WWW-Authenticate": INVALID_TOKEN if given else _CHALLENGE},
    )
