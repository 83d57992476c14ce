"""Owns ETag, If-Match and If-None-Match. The entity tag of the configuration is its revision; what
has no number has a digest of what it says (``controlplane.gate.tag_of``).

Never reads the store. Source: RFC 9110 §8.8.3 and §13.1.
"""

import re

from aiohttp import web

from controlplane.api.problem import bad_request

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_EACH = re.compile(r'(W/)?"([^"]*)"')


def etag(tag: int | str) -> str:
    """The entity tag of everything that a revision says, or of what has this digest."""
    return f'"{tag}"'


def expected_tags(request: web.Request) -> frozenset[str] | None:
    """The tags, without their quotes, that If-Match allows to be changed; ``None`` means any.

    Raises: ApiError 400: it is not a list of entity tags.
    """
    # A weak tag never matches here: §13.1.1 asks for the strong comparison.
    return _tags(request, "If-Match", weak=False)


def is_known(request: web.Request, revision: int) -> bool:
    """Whether If-None-Match says that the caller has this revision already.

    Raises: ApiError 400: it is not a list of entity tags.
    """
    if "If-None-Match" not in request.headers:
        return False
    known = _tags(request, "If-None-Match", weak=True)
    return known is None or str(revision) in known


def _tags(request: web.Request, header: str, *, weak: bool) -> frozenset[str] | None:
    if header not in request.headers:
        return None
    text = ", ".join(request.headers.getall(header)).strip()
    if text == "*":
        return None
    if not _LIST.fullmatch(text):
        raise bad_request(f'{header} must be a quoted ETag such as "7", or *; got {text!r}')
    return frozenset(tag for is_weak, tag in _EACH.findall(text) if weak or not is_weak)
