"""Owns how a route's match compares with a request. Never changes what it reads.

The bytes that are matched are the bytes that are forwarded: nothing is decoded here. Matches are
compiled once to predicates; a match that takes everything compiles to None and costs nothing.
"""

from collections.abc import Callable

from proxy.core.message import HeadView
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
        exact = match.exact.encode()
        return lambda head: _path_of(head.target) == exact
    if match.prefix is not None:
        return _prefix(match.prefix.encode())
    return _segment_prefix((match.segment_prefix or "").rstrip("/").encode())


def _prefix(prefix: bytes) -> Predicate | None:
    if prefix == b"/":
        return None  # every path starts so
    return lambda head: _path_of(head.target).startswith(prefix)


def _segment_prefix(prefix: bytes) -> Predicate | None:
    if not prefix:
        return None
    below = prefix + b"/"

    def matches(head: HeadView) -> bool:
        path = _path_of(head.target)
        return path == prefix or path.startswith(below)

    return matches


def _path_of(target: bytes) -> bytes:
    return b"/" if target == b"*" else target.partition(b"?")[0]
