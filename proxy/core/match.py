"""Owns how a route's match compares with a request, but for its host and path (``finder``).

The bytes that are matched are the bytes that are forwarded: nothing but queries is decoded here.
A match is compiled once to a predicate; one that looks at nothing compiles to None and costs
nothing.
"""

from collections.abc import Callable

from msgspec import structs

from proxy.core.path import decoded
from proxy.core.request_view import Predicate, RequestView
from proxy.model.config import Match, PathMatch, TextMatch
from proxy.model.regex import compile_regex

_Read = Callable[[RequestView], bytes | None]
_Test = Callable[[bytes | None], bool]
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


def compile_match(match: Match, *, cors: bool = False) -> Predicate | None:
    """A predicate for what a match says of method, headers, query and cookies; None when it says
    nothing of them.

    Args:
        cors: the route answers preflights: one is matched as the request it asks for, whose headers
            and cookies a browser does not tell yet.
    """
    early: list[Predicate] = []
    late: list[Predicate] = []
    if match.methods:
        early.append(_method(match.methods, to_come=cors))
    for name, text in match.query.items():
        early.append(_value(_query(name.encode()), text))
    for name, text in match.headers.items():
        late.append(_value(_header(name.lower()), text))
    for name, text in match.cookies.items():
        late.append(_value(_cookie(name.encode()), text))
    whole = _all((*early, *late))
    if whole is None or not cors or not late:
        return whole
    known = _all(tuple(early)) or (lambda _: True)
    complete = whole
    return lambda view: known(view) if view.is_preflight else complete(view)


def _all(predicates: tuple[Predicate, ...]) -> Predicate | None:
    if len(predicates) < 2:
        return predicates[0] if predicates else None

    def matches(view: RequestView) -> bool:
        for predicate in predicates:  # noqa: SIM110 a generator costs more than the loop
            if not predicate(view):
                return False
        return True

    return matches


def _method(methods: tuple[str, ...], *, to_come: bool) -> Predicate:
    wanted = frozenset(methods)
    if to_come:
        return lambda view: view.method_to_come in wanted or view.method in wanted
    return lambda view: view.method in wanted


def _header(name: str) -> _Read:
    field = name.encode()
    if name in _FORWARDED:
        return lambda view: view.forwarded(field)
    return lambda view: view.header(field)


def _query(name: bytes) -> _Read:
    return lambda view: view.query(name)


def _cookie(name: bytes) -> _Read:
    return lambda view: view.cookie(name)


def _value(read: _Read, match: TextMatch) -> Predicate:
    test = _test(match)
    if match.invert:
        return lambda view: not test(read(view))
    return lambda view: test(read(view))


def _test(match: TextMatch) -> _Test:
    if match.present is not None:
        there = match.present
        return lambda value: (value is not None) is there
    if match.regex is not None:
        fullmatch = compile_regex(match.regex)
        return lambda value: value is not None and fullmatch(value)
    if match.prefix is not None:
        prefix = match.prefix.encode(errors="surrogateescape")
        return lambda value: value is not None and value.startswith(prefix)
    exact = (match.exact or "").encode(errors="surrogateescape")
    return lambda value: value == exact


def takes_every_path(path: PathMatch | None) -> bool:
    """Whether no path is left out."""
    if path is None or path.prefix == "/":
        return True
    return path.segment_prefix is not None and not path.segment_prefix.rstrip("/")


def is_encoded(match: Match) -> bool:
    """Whether its path's pattern holds ``%XX``."""
    if match.path is None:
        return False
    path = match.path
    texts = (path.exact, path.prefix, path.segment_prefix, path.regex)
    return any(text and "%" in text for text in texts)


def decoded_match(match: Match) -> Match:
    """The same match for paths that were decoded (``proxy.core.path.readings``). A regular
    expression cannot be; it is compared with the encoded form as well (``finder``)."""
    if match.path is None or match.path.regex is not None or not is_encoded(match):
        return match
    texts = {
        name: decoded(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")
        for name, text in structs.asdict(match.path).items()
        if isinstance(text, str)
    }
    return structs.replace(match, path=structs.replace(match.path, **texts))


def path_of(target: bytes) -> bytes:
    """A target without its query. ``*`` (of OPTIONS) counts as ``/``, which is what it stands for
    (RFC 9112 section 3.2.4)."""
    return b"/" if target == b"*" else target.partition(b"?")[0]
