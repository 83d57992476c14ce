"""Owns how an answer that is no error is written. Never decides what is in it."""

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from controlplane.api.revision_tags import etag, is_known


def json_answer(body: Any, *, tag: int | str | None = None) -> web.Response:
    """The body as JSON, with its revision or its digest as the entity tag where it has one."""
    return json_text(msgspec.json.encode(body), tag=tag)


def json_text(text: bytes, *, tag: int | str | None = None) -> web.Response:
    """The same for a body that is JSON already."""
    response = web.Response(body=text, content_type="application/json")
    if tag is not None:
        response.headers["ETag"] = etag(tag)
    # An operator must never be shown yesterday's weights by something in between.
    response.headers["Cache-Control"] = "no-store"
    return response


def reading(request: web.Request, body: Any, revision: int) -> web.Response:
    """The answer to a GET, or 304 where the caller has that revision."""
    if is_known(request, revision):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(revision)})
    return json_answer(body, tag=revision)
