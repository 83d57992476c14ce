"""Owns looking up and filtering the field lines of a head without building a dict of them.

A head keeps its lines as one byte string, and a lower-cased copy that is searched. Never decides
what a field means.
"""

from collections.abc import Container
from typing import Final

from proxy.http1.grammar import HOP_BY_HOP, MAX_LENGTH_DIGITS, NEVER_NOMINATED

_KEEP_ALIVE: Final = b"\nconnection: keep-alive\r\n"
_CLOSE: Final = b"\nconnection: close\r\n"


class Fields:
    """Field lines as received, each with its CRLF, already accepted by the grammar.

    Attributes:
        raw: the lines.
        low: the same in lower case, behind a line feed.
        plain: what of them is forwarded, where that is known without looking at each line; None
            where some of them must be dropped or rewritten.
    """

    __slots__ = ("low", "plain", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.plain: bytes | None = raw
        # One line feed ahead, so that every name stands behind one; offsets differ by that byte.
        self.low = b"\n" + raw.lower()

    def header(self, name: bytes) -> bytes | None:
        """The first value of field ``name`` (lower-case), without its padding; None if absent."""
        at = self.low.find(b"\n" + name + b":")
        if at < 0:
            return None
        start = at + len(name) + 1
        return self.raw[start : self.raw.index(b"\r", start)].strip(b" \t")

    def headers(self, name: bytes) -> list[bytes]:
        """Every value of field ``name`` (lower-case), in order."""
        values = []
        mark = b"\n" + name + b":"
        at = self.low.find(mark)
        while at >= 0:
            start = at + len(name) + 1
            values.append(self.raw[start : self.raw.index(b"\r", start)].strip(b" \t"))
            at = self.low.find(mark, at + 1)
        return values

    def options(self, name: bytes) -> list[bytes]:
        """The members of a comma-separated field (lower-case), over all its lines."""
        members = []
        for value in self.headers(name):
            members += [member.strip(b" \t").lower() for member in value.split(b",")]
        return [member for member in members if member]

    def cut_connection(self) -> bytes | None:
        """The lines without ``Connection: keep-alive`` or ``close``, the ones to drop that are
        often there; None if it stands there in another form."""
        low = self.low
        at = low.find(_KEEP_ALIVE)
        if at >= 0:
            return self.raw[:at] + self.raw[at + len(_KEEP_ALIVE) - 1 :]
        at = low.find(_CLOSE)
        return None if at < 0 else self.raw[:at] + self.raw[at + len(_CLOSE) - 1 :]

    def without(self, names: Container[bytes], prefixes: tuple[bytes, ...] = ()) -> bytes:
        """The lines whose names are not dropped.

        Args:
            names: lower-case names, with ``-`` for ``_``: both spellings are dropped.
            prefixes: names that start so are dropped too.
        """
        kept = []
        for line in self.raw.splitlines(keepends=True):
            name = line[: line.index(b":")].lower().replace(b"_", b"-")
            if name not in names and not name.startswith(prefixes):
                kept.append(line)
        return b"".join(kept)


def hop_by_hop(connection_options: list[bytes]) -> set[bytes]:
    """The names that end here: the fixed ones and those that ``Connection`` nominates."""
    nominated = {option.replace(b"_", b"-") for option in connection_options}
    return {
        *HOP_BY_HOP,
        *(name for name in nominated - NEVER_NOMINATED if not name.startswith(b"x-forwarded")),
    }


def parse_length(value: bytes) -> int | None:
    """A Content-Length in bytes (RFC 9110 §8.6); None for what is not one decimal number."""
    value = value.strip(b" \t")
    return int(value) if value.isdigit() and len(value) <= MAX_LENGTH_DIGITS else None
