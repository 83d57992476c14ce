"""Owns the chain of the audit log: how an entry is sealed, and how an edit is found. Pure.

Every entry's seal is SHA-256 over the seal before it and the entry's canonical JSON. Whoever edits,
removes or reorders entries must change every seal from there on, and the last one with them: it is
enough to keep that one elsewhere. Source: docs/adr/0017-audit-chain.md.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

BEGINNING = "0" * 64
"""Stands before the first entry."""


class Entry(msgspec.Struct, frozen=True):
    """What was done: who, when, from where, what, to what, why, before and after."""

    at: datetime
    actor: str
    address: str
    """Where the call came from; empty when nobody called."""
    request: str
    """The call's ``X-Request-Id``."""
    action: str
    """Such as ``weights.set``."""
    target: str
    """Such as ``services.shop.weights``; empty for everything."""
    reason: str
    before: Any
    """Of a revision its number and the SHA-256 of its traffic; else what there was."""
    after: Any


class Sealed(Entry, frozen=True):
    """An entry of the log."""

    number: int
    """1, 2, 3, … without gaps."""
    seal: str
    """64 hexadecimal digits."""


class Flaw(msgspec.Struct, frozen=True):
    """The first entry of a log that does not fit."""

    number: int
    """Where it stands, from 1."""
    message: str


class Chain:
    """Verifies a log, entry by entry."""

    def __init__(self) -> None:
        self.entries = 0
        self.head = BEGINNING
        """The seal of the last entry that was good."""

    def take(self, line: bytes) -> Flaw | None:
        """The next line of an exported log; what is wrong with it, if anything."""
        number = self.entries + 1
        try:
            plain = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Flaw(number, "is no JSON object")
        if canonical(plain) != line:
            return Flaw(number, "is not written as it was exported")
        if plain.get("number") != number:
            found = plain.get("number")
            return Flaw(number, f"is numbered {found!r}: entries were removed, added or reordered")
        seal = plain.pop("seal", None)
        if seal != seal_of(self.head, canonical(plain)):
            return Flaw(number, "does not fit its seal: it was edited, or the one before it was")
        self.entries, self.head = number, seal
        return None


def seal(entry: Entry, number: int, before: str) -> Sealed:
    """The entry as it goes into the log.

    Args:
        number: its place, from 1.
        before: the seal of the entry before it.
    """
    fields = msgspec.structs.asdict(entry)
    text = canonical(msgspec.to_builtins({**fields, "number": number}))
    return Sealed(**fields, number=number, seal=seal_of(before, text))


def verify(lines: Iterable[bytes], head: str | None = None) -> Flaw | None:
    """The first flaw of an exported log.

    Args:
        lines: one entry each, without line ends.
        head: the last entry's seal as it is known from elsewhere; without it, entries that were
            cut off at the end cannot be missed.
    """
    chain = Chain()
    for line in lines:
        if flaw := chain.take(line):
            return flaw
    if head is not None and chain.head != head:
        return Flaw(chain.entries + 1, "is missing: the last seal is not the one that is known")
    return None


def canonical(plain: Any) -> bytes:
    """The one way to write a value as JSON: fields sorted, nothing between them, UTF-8."""
    return msgspec.json.encode(plain, order="sorted")


def seal_of(before: str, text: bytes) -> str:
    """The seal over the seal before it and an entry's canonical JSON."""
    return hashlib.sha256(before.encode("ascii") + text).hexdigest()
