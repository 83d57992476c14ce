"""Owns what a configuration changes in the fields of a head. Never looks at a start line.

Heads are changed as bytes, once they are whole: whoever changes nothing pays nothing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from proxy.model.config import HeaderChanges


class HeaderEdit(NamedTuple):
    """Several ``HeaderChanges`` made one."""

    dropped: re.Pattern[bytes] | None
    """Field lines, each with its CRLF; behind a line's end only."""
    lines: bytes
    """Field lines to add."""

    def apply(self, head: bytes) -> bytes:
        """A head with the fields changed.

        Args:
            head: from the start line to the empty line, both with their CRLF.
        """
        if self.dropped is not None:
            head = self.dropped.sub(b"\n", head)
        return head[:-2] + self.lines + b"\r\n" if self.lines else head


def compile_edit(changes: Iterable[HeaderChanges]) -> HeaderEdit | None:
    """One edit for all of them, as if each were applied to what the one before it left; None when
    nothing is changed."""
    dropped: set[bytes] = set()
    added: list[tuple[bytes, bytes]] = []
    for change in changes:
        gone = {name.lower().encode() for name in (*change.remove, *change.set)}
        dropped |= gone
        added = [(name, value) for name, value in added if name.lower() not in gone]
        for fields in (change.set, change.add):
            added += [(name.encode(), value.encode()) for name, value in fields.items()]
    if not dropped and not added:
        return None
    lines = b"".join(b"%b: %b\r\n" % field for field in added)
    return HeaderEdit(_lines_of(frozenset(dropped)) if dropped else None, lines)


@lru_cache(maxsize=1_024)  # many routes change the same fields
def _lines_of(names: frozenset[bytes]) -> re.Pattern[bytes]:
    # WSGI and CGI servers read "_" as "-": a client could say it in the other spelling.
    spelt = (re.escape(name.replace(b"_", b"-")) for name in sorted(names))
    either = b"|".join(name.replace(rb"\-", b"[-_]") for name in spelt)
    return re.compile(rb"\n(?:(?:" + either + rb"):[^\n]*\n)+", re.IGNORECASE)
