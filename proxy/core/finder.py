"""Owns finding a request's route among many: the first in the list that matches.

Hosts and paths are looked up, not compared one by one: exact ones in a dict, prefixes by bisection,
regular expressions all at once. What is left of a match (``match``) is asked only of the routes
whose host and path fit, in their order. So a thousand routes cost about what one does.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final
from urllib.parse import quote_from_bytes

from proxy.core.match import compile_match, takes_every_path
from proxy.core.message import HeadView
from proxy.core.request_view import Predicate, RequestView
from proxy.core.slot import SLOTS
from proxy.model.config import Match, PathMatch
from proxy.model.regex import compile_set

_NOWHERE: Final = 1 << 62
_LONGEST_HOST: Final = 253
"""RFC 1035 section 2.3.4; whoever names a longer one has another purpose."""
_HEX: Final = re.compile(rb"%[0-9A-F]{2}")
_UNRESERVED: Final = "/!$&'()*+,-.:;=@_~"


Find = Callable[[HeadView, bytes, RequestView | None], int]
"""(head, its path, a view of it) → the index of the first route that matches; -1 when none does.
The view may be left out where no match ``looks_closer``."""


def looks_closer(match: Match) -> bool:
    """Whether a match looks at more than host and path."""
    return match.fraction is not None or compile_match(match) is not None


class _Entry:
    """A route whose host and path fit."""

    __slots__ = ("index", "predicate", "slots")

    def __init__(self, index: int, match: Match, *, cors: bool) -> None:
        self.index = index
        self.predicate: Predicate | None = compile_match(match, cors=cors)
        self.slots = None if match.fraction is None else round(match.fraction * SLOTS)


def _first(entries: Sequence[_Entry], view: RequestView | None, best: int) -> int:
    """The first of them, which are in order, that matches; ``best`` if that is earlier."""
    for entry in entries:
        index = entry.index
        if index >= best:
            break
        predicate = entry.predicate
        if predicate is not None and (view is None or not view.fits(index, predicate)):
            continue
        slots = entry.slots
        if slots is None or (view is not None and view.is_below(index, slots)):
            return index
    return best


class _Texts:
    """Routes by exact paths and prefixes, in one spelling of them."""

    __slots__ = ("_exact", "_nodes", "_outer", "_prefixes")

    def __init__(self) -> None:
        self._exact: dict[bytes, list[_Entry]] = {}
        self._nodes: dict[bytes, list[_Entry]] = {}
        self._prefixes: list[bytes] = []
        self._outer: list[int] = []

    def add(self, path: PathMatch, entry: _Entry) -> None:
        """One more route; to be called in their order, before ``finish``."""
        lower = path.ignore_case
        if path.exact is not None:
            self._exact.setdefault(_bytes(path.exact, lower), []).append(entry)
        elif path.prefix is not None:
            self._nodes.setdefault(_bytes(path.prefix, lower), []).append(entry)
        else:
            whole = _bytes((path.segment_prefix or "").rstrip("/"), lower)
            self._exact.setdefault(whole, []).append(entry)
            self._nodes.setdefault(whole + b"/", []).append(entry)

    def finish(self) -> None:
        """All are there."""
        self._prefixes = sorted(self._nodes)
        open_: list[int] = []
        for at, prefix in enumerate(self._prefixes):
            while open_ and not prefix.startswith(self._prefixes[open_[-1]]):
                open_.pop()
            self._outer.append(open_[-1] if open_ else -1)
            open_.append(at)

    def find(self, path: bytes, view: RequestView | None, best: int) -> int:
        """As ``_first``."""
        entries = self._exact.get(path)
        if entries is not None:
            best = _first(entries, view, best)
        prefixes = self._prefixes
        # Whatever prefix fits is the one that sorts just before the path, or one around that.
        at = bisect_right(prefixes, path) - 1
        while at >= 0:
            prefix = prefixes[at]
            if path.startswith(prefix):
                best = _first(self._nodes[prefix], view, best)
            at = self._outer[at]
        return best


class _Paths:
    """Routes by path, of hosts that are the same to them."""

    __slots__ = ("_always", "_decoded", "_folded", "_matching", "_patterns", "_plain", "_regexes")

    def __init__(self, *, decoded: bool) -> None:
        self._decoded = decoded
        self._always: list[_Entry] = []
        self._plain: _Texts | None = None
        self._folded: _Texts | None = None
        self._regexes: list[_Entry] = []
        self._patterns: list[tuple[str, bool]] = []
        self._matching: Callable[[bytes], Sequence[int]] | None = None

    def add(self, path: PathMatch | None, entry: _Entry) -> None:
        """One more route; to be called in their order, before ``finish``."""
        if path is None or takes_every_path(path):
            self._always.append(entry)
        elif path.regex is not None:
            self._patterns.append((path.regex, path.ignore_case))
            self._regexes.append(entry)
        elif path.ignore_case:
            self._folded = self._folded or _Texts()
            self._folded.add(path, entry)
        else:
            self._plain = self._plain or _Texts()
            self._plain.add(path, entry)

    def finish(self) -> None:
        """All are there."""
        for texts in (self._plain, self._folded):
            if texts is not None:
                texts.finish()
        if self._patterns:
            self._matching = compile_set(self._patterns)

    def find(self, path: bytes, view: RequestView | None, best: int) -> int:
        """As ``_first``."""
        best = _first(self._always, view, best)
        plain = self._plain
        if plain is not None:
            best = plain.find(path, view, best)
        folded = self._folded
        if folded is not None:
            best = folded.find(path.lower(), view, best)
        matching = self._matching
        if matching is not None and self._regexes[0].index < best:
            found = set(matching(path))
            if self._decoded:  # servers may write either
                sent = quote_from_bytes(path, _UNRESERVED).encode()
                found.update(matching(sent))
                if b"%" in sent:
                    found.update(matching(_HEX.sub(lambda code: code[0].lower(), sent)))
            entries = [self._regexes[at] for at in sorted(found)]
            best = _first(entries, view, best)
        return best


class _Hosts:
    """Routes by host, then path."""

    __slots__ = ("_any", "_decoded", "_exact", "_suffixes")

    def __init__(self, *, decoded: bool) -> None:
        self._decoded = decoded
        self._any: _Paths | None = None
        self._exact: dict[bytes, _Paths] = {}
        self._suffixes: dict[bytes, _Paths] = {}

    def add(self, match: Match, entry: _Entry) -> None:
        """One more route; to be called in their order, before ``finish``."""
        self._paths(match.host).add(match.path, entry)

    def finish(self) -> None:
        """All are there."""
        for paths in (self._any, *self._exact.values(), *self._suffixes.values()):
            if paths is not None:
                paths.finish()

    def find(self, head: HeadView, path: bytes, view: RequestView | None) -> int:
        """See ``Find``."""
        best = _NOWHERE
        paths = self._any
        if paths is not None:
            best = paths.find(path, view, best)
        if self._exact:
            paths = self._exact.get(head.host)
            if paths is not None:
                best = paths.find(path, view, best)
        host = head.host
        if self._suffixes and len(host) <= _LONGEST_HOST:
            at = host.find(b".", 1)  # some label must stand in the asterisk's place
            while at >= 0:
                paths = self._suffixes.get(host[at:])
                if paths is not None:
                    best = paths.find(path, view, best)
                at = host.find(b".", at + 1)
        return best if best < _NOWHERE else -1

    def _paths(self, host: str | None) -> _Paths:
        if host is None:
            if self._any is None:
                self._any = _Paths(decoded=self._decoded)
            return self._any
        wanted = host.lower().encode()
        if wanted.startswith(b"*."):
            return self._suffixes.setdefault(wanted[1:], _Paths(decoded=self._decoded))
        return self._exact.setdefault(wanted, _Paths(decoded=self._decoded))


def compile_find(
    matches: Iterable[Match], *, decoded: bool = False, cors: Collection[int] = ()
) -> Find:
    """Makes routes ready to be found.

    Host: ``*.suffix`` takes any name below the suffix, not the suffix itself. Path: see
    ``match.path_of``.

    Args:
        decoded: paths come decoded, and so do the matches but for regular expressions; those fit
            where they fit the path as it is or as it would be sent.
        cors: indices of routes that answer preflights.
    """
    hosts = _Hosts(decoded=decoded)
    for index, match in enumerate(matches):
        hosts.add(match, _Entry(index, match, cors=index in cors))
    hosts.finish()
    return hosts.find


def _bytes(text: str, lower: bool) -> bytes:
    data = text.encode(errors="surrogateescape")
    return data.lower() if lower else data
