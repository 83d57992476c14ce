"""Owns ETag, If-Match and If-None-Match: an entity tag here is a quoted revision number.

Never reads the store. Source: RFC 9110 §8.8.3 and §13.1.
"""

import re

from aiohttp import web

from controlplane.api.problem import bad_request

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_EACH = re.compile(r'(W/)?"([^"]*)"')
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


def etag(revision: int) -> str:
    """The entity tag of everything that revision says."""
    return f'"{revision}"'


def expected_revisions(request: web.Request) -> frozenset[int] | None:
    """The revisions that If-Match allows to be changed; ``None`` means any.

    Raises: ApiError 400: it is not a list of entity tags.
    """
    # A weak tag never matches here: §13.1.1 asks for the strong comparison.
    return _revisions(request, "If-Match", weak=False)


def is_known(request: web.Request, revision: int) -> bool:
    """Whether If-None-Match says that the caller has this revision already.

    Raises: ApiError 400: it is not a list of entity tags.
    """
    if "If-None-Match" not in request.headers:
        return False
    known = _revisions(request, "If-None-Match", weak=True)
    return known is None or revision in known


def _revisions(request: web.Request, header: str, *, weak: bool) -> frozenset[int] | None:
    if header not in request.headers:
        return None
    text = ", ".join(request.headers.getall(header)).strip()
    if text == "*":
        return None
    if not _LIST.fullmatch(text):
        raise bad_request(f'{header} must be a quoted revision such as "7", or *; got {text!r}')
    return frozenset(
        int(number)
        for is_weak, number in _EACH.findall(text)
        if (weak or not is_weak) and _NUMBER.fullmatch(number)
    )
