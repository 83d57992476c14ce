"""Owns the path policy: which paths an endpoint may read as others, and which are refused for it.

Nothing is ever rewritten: the bytes that are matched are the bytes that are forwarded. But servers
decode, merge slashes, drop ``;parameters`` and resolve dots before they look at a path, each in its
own order. A path is ambiguous when such a reading of it would have taken another route than its
bytes: then a rule for that route could be walked around (CVE-2025-66490, CVE-2026-27587).

Letter case is not touched: paths are case-sensitive (RFC 3986 section 6.2.2.1).
Source: RFC 3986 sections 2.3, 5.2.4 and 6.2.2.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

PLAIN: Final = re.compile(rb"(?:/(?!/)(?!\.)[^/%\\;#]*+)++")
"""Paths that everybody reads alike; all others are looked at closely."""

_SUSPECT: Final = re.compile(
    rb"//|[\\;#]|/\.\.?(?:/|\Z)|%(?:2[ef3]|5c|3[bf]|25[0-9a-f]{2})", re.IGNORECASE
)
_MOST_READINGS: Final = 32
_MOST_BYTES: Final = 4 * 1024
"""A path that can be read in more ways than that was written for no honest purpose; looking at all
of them would cost more than the request, and who sends many of them would keep others waiting."""


class AmbiguousPath(Exception):
    """The path may not be forwarded: an endpoint could read it as another."""


def has_nul(path: bytes) -> bool:
    """A decoded NUL ends the path for whoever reads it with C's functions; nobody means that."""
    return path.find(b"%00") >= 0  # `in` first tries the bytes as a number, and pays for the error


def is_ambiguous(path: bytes) -> bool:
    """Whether servers may read a path as different ones, whatever the routes are."""
    return _SUSPECT.search(path) is not None


def has_dots(path: bytes) -> bool:
    """Whether some reading of a path has dot segments, or there are too many readings to tell."""
    if not is_ambiguous(path):
        return False
    try:
        return any(_resolved(reading) != reading for reading in _all_readings(path))
    except AmbiguousPath:
        return True


def readings(path: bytes) -> set[bytes]:
    """Every path that an endpoint may take this one for, decoded.

    Args:
        path: as received, without the query.

    Returns:
        Paths without ``%XX``, comparable with patterns that ``decoded`` made so.

    Raises:
        AmbiguousPath: there are too many.
    """
    if len(path) > _MOST_BYTES:
        raise AmbiguousPath
    if not is_ambiguous(path):
        return {decoded(path)}
    return {decoded(reading) for reading in _all_readings(path)}


def _all_readings(path: bytes) -> set[bytes]:
    found = {path}
    fresh = [path]
    while fresh:
        reading = fresh.pop()
        for read in _READERS:
            other = read(reading)
            if other not in found:
                found.add(other)
                fresh.append(other)
        if len(found) > _MOST_READINGS or len(found) * len(path) > _MOST_BYTES:
            raise AmbiguousPath
    return found


def decoded(path: bytes) -> bytes:
    """With every ``%XX`` as its byte, once."""
    return unquote_to_bytes(path)


def _decoded_but_slashes(path: bytes) -> bytes:
    """Some servers keep ``%2F`` apart from ``/``, as RFC 3986 section 2.2 has it."""
    return unquote_to_bytes(path.replace(b"%2f", b"%252F").replace(b"%2F", b"%252F"))


def _slashed(path: bytes) -> bytes:
    return path.replace(b"\\", b"/")


def _without_parameters(path: bytes) -> bytes:
    if b";" not in path:
        return path
    return b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))


def _before_parameters(path: bytes) -> bytes:
    return path.partition(b";")[0] or b"/"


def _without_authority(path: bytes) -> bytes:
    """``//name/path`` is a reference to another host for some (RFC 3986 section 4.2)."""
    if not path.startswith(b"//"):
        return path
    return b"/" + path[2:].partition(b"/")[2]


def _cut(path: bytes) -> bytes:
    """Up to a fragment or a query that was encoded."""
    return path.partition(b"#")[0].partition(b"?")[0] or b"/"


def _merged(path: bytes) -> bytes:
    while b"//" in path:
        path = path.replace(b"//", b"/")
    return path


def _resolved(path: bytes) -> bytes:
    """Without dot segments (RFC 3986 section 5.2.4)."""
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments[1:]:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


_READERS: tuple[Callable[[bytes], bytes], ...] = (
    decoded,
    _decoded_but_slashes,
    _slashed,
    _without_parameters,
    _before_parameters,
    _cut,
    _without_authority,
    _merged,
    _resolved,
)
