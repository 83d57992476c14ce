from collections import Counter

from loadtests.tables import slot_of, tables_of
from proxy.core import slot


def test_each_step_has_its_exact_shares_and_moves_no_more_than_it_must() -> None:
    steps = [{"a": 10, "b": 45, "c": 45}, {"a": 20, "b": 40, "c": 40}, {"a": 0, "b": 1, "c": 0}]
    tables = tables_of(steps)
    assert Counter(tables[0]) == {"a": 1000, "b": 4500, "c": 4500}
    assert Counter(tables[1]) == {"a": 2000, "b": 4000, "c": 4000}
    assert Counter(tables[2]) == {"b": 10_000}
    assert sum(old != new for old, new in zip(tables[0], tables[1], strict=True)) == 1000


def test_slots_are_those_of_the_proxy() -> None:
    assert slot_of("shop")("alice") == slot.slot_of(b"alice", slot.seed_of("shop"))
    assert slot_of("shop")("alice") != slot_of("other")("alice")
