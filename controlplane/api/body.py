"""Owns request bodies and query parameters → typed values. Never changes anything.

JSON and YAML are read by one parser (``proxy.model.parse``), so that a mistake is worded the same
everywhere. In JSON, text is text: ``${`` is nothing special. In YAML a ``${NAME}`` is a mistake:
this server's environment is not the caller's.
"""

import asyncio
import json
from collections import Counter
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta
from msgspec.json import schema

from controlplane.api.problem import ApiError, bad_request, invalid
from proxy.model.config import Name, Traffic, Weight
from proxy.model.errors import ConfigError, Problem
from proxy.model.parse import parse_traffic

YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
JSON_TYPES = frozenset({"application/json"})
MAX_REASON = 500

_T = TypeVar("_T")

# Inside a quoted YAML scalar these end the line; escaped they are the characters they are.
_YAML_BREAKS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class WeightsChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a change of weights. What the weights are is checked against the service."""

    weights: Annotated[dict[str, Any], Meta(extra_json_schema=schema(dict[Name, Weight]))]
    """By version; one that is not named gets 0."""
    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


async def read_traffic(request: web.Request) -> Traffic:
    """The services and routes in a body of YAML or JSON.

    Raises: ApiError 400, 415; ConfigError with every problem.
    """
    text = await _text(request, YAML_TYPES | JSON_TYPES)
    # Big documents take seconds to read; other requests and streams must not wait for that.
    if request.content_type not in JSON_TYPES:
        return await asyncio.to_thread(parse_traffic, text)
    try:
        return await asyncio.to_thread(_parse_json, text)
    except ConfigError as error:
        # The lines are those of our own rewriting, not of what was sent.
        raise invalid(Problem(p.field, p.message) for p in error.problems) from None


async def read_json(request: web.Request, kind: type[_T]) -> _T:
    """The body as a value of that type.

    Raises: ApiError 400, 415, 422.
    """
    plain = _plain(await _text(request, JSON_TYPES))
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        field = where.strip("`.").removeprefix(".")
        raise invalid([Problem(field, message)]) from None


def read_count(request: web.Request, name: str, default: int | None, highest: int) -> int | None:
    """A query parameter that is a whole number from 1 up.

    Raises: ApiError 422.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and 1 <= int(text) <= highest):
        message = f"expected a whole number from 1 to {highest}, got {text[:40]!r}"
        raise invalid([Problem(name, message)])
    return int(text)


async def _text(request: web.Request, types: frozenset[str]) -> str:
    # aiohttp calls a missing Content-Type application/octet-stream, which is in no set.
    if request.content_type not in types:
        wanted = " or ".join(sorted(types))
        detail = f"send Content-Type: {wanted}"
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        detail = "send UTF-8"
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
    try:
        return (await request.read()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise bad_request(f"the body is not UTF-8 at byte {error.start}") from None


def _parse_json(text: str) -> Traffic:
    return parse_traffic(_as_yaml(text))


def _plain(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise bad_request("the body is nested too deeply") from None
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from None


def _as_yaml(text: str) -> str:
    """JSON that YAML 1.1 reads as the same values; it is not quite a subset of YAML."""
    whole = json.dumps(_plain(text), ensure_ascii=False, indent=0)
    return whole.translate(_YAML_BREAKS).replace("${", "$${")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:80]!r} is given twice in one object")
    return plain


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def checked_reason(text: str) -> str:
    """The reason, if it can be kept and shown.

    Raises: ApiError 422.
    """
    if len(text) > MAX_REASON:
        message = f"expected at most {MAX_REASON} characters, got {len(text)}"
        raise invalid([Problem("reason", message)])
    if not all(char.isprintable() or char == "\n" for char in text):
        raise invalid([Problem("reason", "control characters are not allowed")])
    return text
