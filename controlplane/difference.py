"""Owns what differs between two revisions: fields, and users between versions. Pure.

Source: product.md, "Splitting: exact semantics": a slot is one of 10,000 equal parts of the users.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import zip_longest
from typing import Any

import msgspec
from msgspec import UNSET

from controlplane.model import Revision
from proxy.core.split import decode, movement


class FieldChange(msgspec.Struct, frozen=True):
    """One field that differs."""

    path: str
    """Dotted, such as ``services.shop.weights.canary`` or ``routes[0].service``."""
    before: Any = UNSET
    """Left out where there was none."""
    after: Any = UNSET
    """Left out where there will be none."""


class Move(msgspec.Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """Users who change their version."""

    source: str
    target: str
    slots: int
    """Of 10,000."""


class ServiceMoves(msgspec.Struct, frozen=True):
    """Who moves in one service."""

    service: str
    moved: int
    """Slots of 10,000."""
    moves: list[Move]
    redrawn: bool = False
    """The salt changes: every user is drawn anew, whatever the slots say."""


class Difference(msgspec.Struct, frozen=True):
    """From one state to another."""

    before: int
    """The revision that is compared."""
    after: int | None
    """``None`` for a change that was only tried."""
    fields: list[FieldChange]
    services: list[ServiceMoves]
    """Those whose users move."""


def difference(before: Revision, after: Revision, number: int | None) -> Difference:
    """What differs between two revisions.

    Args:
        number: what ``after`` is called; ``None`` when it was only tried.
    """
    fields = list(field_changes(_plain(before), _plain(after)))
    return Difference(before.number, number, fields, list(_moves(before, after)))


def field_changes(before: Any, after: Any, path: str = "") -> Iterator[FieldChange]:
    """Every field that differs between two plain values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            where = f"{path}.{name}" if path else str(name)
            yield from field_changes(before.get(name, UNSET), after.get(name, UNSET), where)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_changes(before, after, path)
    elif not _is_same(before, after):
        yield FieldChange(path, before, after)


def _list_changes(before: list[Any], after: list[Any], path: str) -> Iterator[FieldChange]:
    """What is the same at both ends is left out, so that one new route is one change."""
    start, end, shorter = 0, 0, min(len(before), len(after))
    while start < shorter and _is_same(before[start], after[start]):
        start += 1
    while end < shorter - start and _is_same(before[-1 - end], after[-1 - end]):
        end += 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    pairs = zip_longest(old, new, fillvalue=UNSET)
    for at, (one, other) in enumerate(pairs, start):
        yield from field_changes(one, other, f"{path}[{at}]")


def _is_same(before: Any, after: Any) -> bool:
    """As JSON has it: Python takes 1 and true for the same, at any depth."""
    if before is UNSET or after is UNSET:
        return before is after
    sorted_json = partial(msgspec.json.encode, order="sorted")
    return before == after and bool(sorted_json(before) == sorted_json(after))


def _plain(revision: Revision) -> Any:
    # By way of JSON: what is compared is what the API shows.
    return msgspec.json.decode(msgspec.json.encode(revision.traffic))


def _moves(before: Revision, after: Revision) -> Iterator[ServiceMoves]:
    for name in after.traffic.services:
        if name not in before.tables or name not in before.traffic.services:
            continue
        if _salt(before, name) != _salt(after, name):
            yield ServiceMoves(name, 0, [], redrawn=True)
        elif before.tables[name] != after.tables[name]:
            moves = movement(decode(before.tables[name]), decode(after.tables[name]))
            yield _told(name, moves)


def _told(name: str, moves: Mapping[tuple[str, str], int]) -> ServiceMoves:
    told = [Move(source, target, slots) for (source, target), slots in moves.items()]
    return ServiceMoves(name, sum(moves.values()), told)


def _salt(revision: Revision, name: str) -> str:
    return revision.traffic.services[name].salt or name
