"""Owns how a route's match compares with a request. Never changes what it reads.

The bytes that are matched are the bytes that are forwarded: nothing is decoded here. Matches are
compiled once to predicates; a match that takes everything compiles to None and costs nothing.
"""

from collections.abc import Callable

from msgspec import structs

from proxy.core.message import HeadView
from proxy.core.path import decoded
from proxy.model.config import Match, PathMatch

Predicate = Callable[[HeadView], bool]


def compile_match(match: Match) -> Predicate | None:
    """A predicate for a match; None when it takes every request.

    Host: ``*.suffix`` takes any name below the suffix, not the suffix itself. Path: the target up
    to its ``?``; the target ``*`` (of OPTIONS) counts as ``/``, which is what it stands for
    (RFC 9112 section 3.2.4).
    """
    host = _host(match.host) if match.host else None
    path = _path(match.path) if match.path else None
    if host is None or path is None:
        return host or path
    return _both(host, path)


def _both(first: Predicate, second: Predicate) -> Predicate:
    return lambda head: first(head) and second(head)


def _host(pattern: str) -> Predicate:
    wanted = pattern.lower().encode()
    if not wanted.startswith(b"*."):
        return lambda head: head.host == wanted
    suffix = wanted[1:]
    # Longer than the suffix: some label must stand in the asterisk's place.
    return lambda head: head.host.endswith(suffix) and len(head.host) > len(suffix)


def _path(match: PathMatch) -> Predicate | None:
    if match.exact is not None:
        exact = match.exact.encode(errors="surrogateescape")
        return lambda head: path_of(head.target) == exact
    if match.prefix is not None:
        return _prefix(match.prefix.encode(errors="surrogateescape"))
    return _segment_prefix(
        (match.segment_prefix or "").rstrip("/").encode(errors="surrogateescape")
    )


def _prefix(prefix: bytes) -> Predicate | None:
    if prefix == b"/":
        return None  # every path starts so
    return lambda head: path_of(head.target).startswith(prefix)


def _segment_prefix(prefix: bytes) -> Predicate | None:
    if not prefix:
        return None
    below = prefix + b"/"

    def matches(head: HeadView) -> bool:
        path = path_of(head.target)
        return path == prefix or path.startswith(below)

    return matches


def looks_at_path(match: Match) -> bool:
    """Whether some paths match and others do not."""
    return match.path is not None and _path(match.path) is not None


def is_encoded(match: Match) -> bool:
    """Whether its path's pattern holds ``%XX``."""
    if match.path is None:
        return False
    path = match.path
    return any(text and "%" in text for text in (path.exact, path.prefix, path.segment_prefix))


def decoded_match(match: Match) -> Match:
    """The same match for paths that were decoded (``proxy.core.path.readings``)."""
    if match.path is None or not is_encoded(match):
        return match
    texts = structs.asdict(match.path)
    path = {
        name: decoded(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")
        for name, text in texts.items()
        if text
    }
    return structs.replace(match, path=PathMatch(**path))


def path_of(target: bytes) -> bytes:
    """A target without its query; the path that ``*`` stands for."""
    return b"/" if target == b"*" else target.partition(b"?")[0]
