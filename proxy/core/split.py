"""Owns exact shares and split tables. Knows no requests, services or routes.

A service has 10,000 slots. A sticky key hashes to a slot (``core/slot``), and the split table names
the slot's version: one look-up, the same on every proxy and after every restart.

* ``canonical_table`` is a pure function of names and weights. Every (version, slot) pair has a
  fixed score that is Gumbel distributed; the highest score plus the log of the share wins the slot,
  which is weighted rendezvous hashing; then exact quotas are met by moving the slots with the
  smallest margin. With two versions that is "the first N slots of one hashed order".
* ``move_table`` starts from a table in force and moves only the slots that must move.

Scores are whole numbers (fixed point), so that sums are exact and no rounding can reorder slots
between two weights, two processes or two machines.

Source: product.md "Splitting: exact semantics"; Thaler and Ravishankar, "Using name-based mappings
to increase hit rates" (rendezvous hashing); Gumbel, "Statistical theory of extreme values" (the
maximum of ``ln w + g`` is a version with probability proportional to w); Hamilton's method for the
quotas.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from math import log

import msgspec

from proxy.core.slot import SLOTS, hash32, seed_of
from proxy.model.wire import SplitTable

MAX_VERSIONS = 64
"""As ``proxy.model.config.Service`` allows; a slot's version must fit a byte."""

_SLOT_ROOM = 1 << 15
"""Of a slot's number with its sign, from -9,999 to 9,999."""
_PAIR_ROOM = MAX_VERSIONS * MAX_VERSIONS
_SCALE = 1 << 24
# Fixed point of the scores: the largest Gumbel value of a 32-bit hash is 22.9, which still fits a
# 32-bit integer, and ties between slots are rare (they are broken by slot number all the same).


class Table(msgspec.Struct, frozen=True):
    """Which version owns each slot. Immutable; equal tables split equally.

    ``names`` holds the versions that own a slot, sorted; ``slots`` one index into it per slot.
    """

    names: tuple[str, ...]
    slots: bytes

    def version_at(self, slot: int) -> str:
        """The version that owns ``slot`` (0–9,999)."""
        return self.names[self.slots[slot]]

    def counts(self) -> dict[str, int]:
        """Slots per version; versions without a slot are left out."""
        return {name: self.slots.count(index) for index, name in enumerate(self.names)}


def quotas(weights: Mapping[str, int]) -> dict[str, int]:
    """How many slots each version gets: largest remainder, ties to the lesser name.

    Args:
        weights: version → weight, whole and ≥ 0; they need not sum to anything.

    Returns:
        version → slots, for every name in ``weights``, summing to 10,000. Weight 0 gets 0.

    Raises:
        ValueError: a weight is negative, or none is positive.
    """
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"{name}: weight {weight} is negative; weights are whole and ≥ 0")
    total = sum(weights.values())
    if not total:
        raise ValueError("no version has a weight above 0; give at least one a weight of 1 or more")
    shares = {name: divmod(weight * SLOTS, total) for name, weight in weights.items()}
    quota = {name: whole for name, (whole, _) in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (-shares[name][1], name))
    for name in by_remainder[: SLOTS - sum(quota.values())]:
        quota[name] += 1
    return quota


def canonical_table(weights: Mapping[str, int]) -> Table:
    """The table of these weights where there is no history: a pure function of names and weights.

    Args:
        weights: version → weight, as for ``quotas``; their order means nothing.

    Returns:
        A table with exactly ``quotas(weights)`` slots per version. A weight of 0 and a version
        that is not there are the same thing.

    Raises:
        ValueError: as ``quotas``, or there are more than 64 versions.
    """
    quota = {name: slots for name, slots in sorted(quotas(weights).items()) if slots}
    names, targets = _checked_names(quota), list(quota.values())
    lifts = [_fixed(log(target)) for target in targets]
    owners = _highest(names, lifts)
    _meet_quotas(owners, names, lifts, targets)
    return Table(names, bytes(owners))


def move_table(old: Table, weights: Mapping[str, int]) -> Table:
    """The table of new weights that moves as few slots away from ``old`` as can be.

    Args:
        old: the table in force; its versions may be missing from ``weights``, and the other way.
        weights: version → weight, as for ``quotas``.

    Returns:
        A table with exactly ``quotas(weights)`` slots per version that differs from ``old`` in
        exactly Σ max(0, new quota − old count) slots: a version that gains slots loses none.
        Which slots move follows the canonical order, so with two versions a canonical table stays
        canonical, and a canary that goes 5 → 0 → 5 gets the same slots back.

    Raises:
        ValueError: as ``canonical_table``.
    """
    quota = {name: slots for name, slots in quotas(weights).items() if slots}
    names = _checked_names(sorted({*old.names, *quota}))
    targets = [quota.get(name, 0) for name in names]
    # A version that loses everything has no log share; its own lift shifts all its margins alike.
    lifts = [_fixed(log(max(target, 1))) for target in targets]
    places = bytes(names.index(name) for name in old.names)
    owners = bytearray(places[index] for index in old.slots)
    _meet_quotas(owners, names, lifts, targets)
    return _compact(names, owners)


def movement(old: Table, new: Table) -> dict[tuple[str, str], int]:
    """How many slots go from one version to another, by (from, to); what stays is left out."""
    moves = Counter(zip(old.slots, new.slots, strict=True))
    named = {(old.names[i], new.names[j]): slots for (i, j), slots in moves.items()}
    return {pair: named[pair] for pair in sorted(named) if pair[0] != pair[1]}


def encode(table: Table) -> SplitTable:
    """A table as it travels: run-length coded."""
    slots = table.slots
    edges = [0, *(at for at in range(1, SLOTS) if slots[at] != slots[at - 1]), SLOTS]
    runs = chain.from_iterable((slots[start], end - start) for start, end in pairwise(edges))
    return SplitTable(versions=table.names, runs=tuple(runs))


def decode(coded: SplitTable) -> Table:
    """A table that came over the wire.

    Raises:
        ValueError: names are missing, repeated or too many, or the runs are not whole pairs of a
            valid version and a length that cover exactly 10,000 slots.
    """
    names = coded.versions
    if len(set(names)) != len(names):
        raise ValueError("the split table names a version twice")
    _checked_names(names)
    if len(coded.runs) % 2:
        raise ValueError("the split table's runs are not pairs of a version and a length")
    owners = bytearray()
    for index, length in zip(coded.runs[::2], coded.runs[1::2], strict=True):
        if not 0 <= index < len(names):
            raise ValueError(f"the split table has a run of version {index} of {len(names)}")
        if not 0 <= length <= SLOTS - len(owners):
            raise ValueError(f"the split table covers more than {SLOTS} slots or has a bad length")
        owners += bytes((index,)) * length
    if len(owners) != SLOTS:
        raise ValueError(f"the split table covers {len(owners)} slots, not {SLOTS}")
    return _compact(names, owners)


def _checked_names(names: Iterable[str]) -> tuple[str, ...]:
    checked = tuple(names)
    if len(checked) > MAX_VERSIONS:
        raise ValueError(f"{len(checked)} versions in one split table; at most {MAX_VERSIONS}")
    return checked


def _compact(names: Sequence[str], owners: bytearray) -> Table:
    """The one form of a table: owners only, sorted."""
    present = {names[index] for index in set(owners)}
    kept = tuple(sorted(present))
    places = {index: kept.index(name) for index, name in enumerate(names) if name in present}
    return Table(kept, bytes(places[index] for index in owners))


def _fixed(value: float) -> int:
    return round(value * _SCALE)


@lru_cache(maxsize=MAX_VERSIONS)
def _column(name: str) -> "array[int]":
    """A version's fixed Gumbel score per slot. 10,000 hashes, 40 KB: worth keeping.

    Names, not positions, are hashed: a version added or removed leaves the others' scores alone.
    """
    seed = seed_of(name)
    uniform = ((hash32(b"%d" % slot, seed) + 0.5) / 2**32 for slot in range(SLOTS))
    return array("i", (round(-log(-log(u)) * _SCALE) for u in uniform))


def _lifted(name: str, lift: int) -> Iterator[int]:
    return map(lift.__add__, _column(name))


def _highest(names: Sequence[str], lifts: Sequence[int]) -> bytearray:
    """Per slot the index of the version with the highest score; the first of equals."""
    rows = zip(*map(_lifted, names, lifts), strict=True)
    return bytearray(row.index(max(row)) for row in rows)


def _meet_quotas(
    owners: bytearray, names: Sequence[str], lifts: Sequence[int], targets: Sequence[int]
) -> None:
    """Moves, in place, the slots with the smallest margin from versions above quota to those below.

    Margin: how much higher the slot's owner scores on it than the version it would move to.
    """
    excess = [owners.count(index) - target for index, target in enumerate(targets)]
    givers = [index for index, slots in enumerate(excess) if slots > 0]
    takers = [index for index, slots in enumerate(excess) if slots < 0]
    # One number holds what a candidate is ordered by: margin, slot, giver, taker. Thousands of
    # numbers are sorted in a fraction of the time of as many tuples.
    candidates: list[int] = []
    for giver in givers:
        held = [slot for slot, owner in enumerate(owners) if owner == giver]
        for taker in takers:
            lift = lifts[giver] - lifts[taker]
            high, low = _column(names[giver]), _column(names[taker])
            # Ties break by slot, reversed with the direction: one order, whichever way slots go.
            sign = 1 if giver < taker else -1
            pair = giver * MAX_VERSIONS + taker
            numbers = [
                ((high[slot] - low[slot] + lift) * _SLOT_ROOM + sign * slot) * _PAIR_ROOM + pair
                for slot in held
            ]
            numbers.sort()
            # A giver never needs more than its excess: fewer of its slots can have gone before.
            candidates += numbers[: excess[giver]]
    candidates.sort()
    for number in candidates:
        of_margin, pair = divmod(number, _PAIR_ROOM)
        giver, taker = divmod(pair, MAX_VERSIONS)
        slot = abs((of_margin + SLOTS) % _SLOT_ROOM - SLOTS)
        if excess[giver] > 0 > excess[taker] and owners[slot] == giver:
            owners[slot] = taker
            excess[giver] -= 1
            excess[taker] += 1
