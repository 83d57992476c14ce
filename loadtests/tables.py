"""Owns recomputing, on the clients' side, which version each user belongs to at each step.

It uses the proxy's own pure hash and table builder, so it proves that the running system does what
the pure core says; that the core itself is right is proven by its own tests. The first step is
taken to be the canonical table: with two versions it always is, whatever the weights went through;
with more, only when they were never changed live before.
"""

from collections.abc import Mapping, Sequence

from loadtests.population import SlotOf, Table
from proxy.core import slot, split


def tables_of(steps: Sequence[Mapping[str, int]]) -> list[Table]:
    """The split table in force at each step: the first has no history, the others move slots."""
    table = split.canonical_table(steps[0])
    tables = [_expanded(table)]
    for weights in steps[1:]:
        table = split.move_table(table, weights)
        tables.append(_expanded(table))
    return tables


def _expanded(table: split.Table) -> Table:
    return tuple(table.names[index] for index in table.slots)


def slot_of(salt: str) -> SlotOf:
    """How a service with that salt (its name if it has none) finds a user's slot."""
    seed = slot.seed_of(salt)
    return lambda user: slot.slot_of(user.encode(), seed)
