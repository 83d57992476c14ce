"""Owns how long lists are read page by page. A cursor means nothing to a caller."""

import base64
import re
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from controlplane.api.body import read_count
from controlplane.api.operation import HIGHEST_NUMBER, Parameter
from controlplane.api.problem import invalid
from proxy.model.errors import Problem

_DEFAULT, _MOST = 50, 500
_BELOW = re.compile(rb"below ([1-9][0-9]{0,9})")

LIMIT = Parameter("limit", "query", Annotated[int, Meta(ge=1, le=_MOST)], "How many at most.")
CURSOR = Parameter(
    "cursor", "query", Annotated[str, Meta(min_length=1)], "Of the page before: its next_cursor."
)


def read_limit(request: web.Request) -> int:
    """How many entries a page may have.

    Raises: ApiError 422.
    """
    return read_count(request, LIMIT.name, _DEFAULT, _MOST) or _DEFAULT


def read_cursor(request: web.Request) -> int | None:
    """The number below which the page begins; ``None`` for the first page.

    Raises: ApiError 422.
    """
    text = request.query.get(CURSOR.name)
    if text is None:
        return None
    try:
        found = _BELOW.fullmatch(base64.urlsafe_b64decode(text.encode("ascii")))
    except ValueError:  # not base64, not ASCII
        found = None
    if found is None or int(found[1]) > HIGHEST_NUMBER:
        raise invalid([Problem(CURSOR.name, "is none of this list; leave it out to begin anew")])
    return int(found[1])


def cursor_below(number: int) -> str:
    """The cursor of the page that begins below a number."""
    return base64.urlsafe_b64encode(b"below %d" % number).decode()
