from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.changes import tables_after
from controlplane.difference import difference, field_changes
from controlplane.model import Revision
from proxy.model.config import Service, Traffic, Version


def shop(salt: str = "", **weights: int) -> Traffic:
    versions = {name: Version((f"http://{name}:80",)) for name in weights}
    return Traffic({"shop": Service(versions=versions, weights=weights, salt=salt)})


def after(before: Revision, traffic: Traffic) -> Revision:
    return Revision(before.number + 1, traffic, tables_after(before, traffic))


FIRST = after(Revision(0), shop(a=10, b=45, c=45))


def test_who_moves_from_where_to_where() -> None:
    second = after(FIRST, shop(a=20, b=40, c=40))
    found = msgspec.to_builtins(difference(FIRST, second, 2))
    assert (found["before"], found["after"]) == (1, 2)
    assert [change["path"] for change in found["fields"]] == [
        "services.shop.weights.a",
        "services.shop.weights.b",
        "services.shop.weights.c",
    ]
    assert found["fields"][0] == {"path": "services.shop.weights.a", "before": 10, "after": 20}
    (moved,) = found["services"]
    assert (moved["service"], moved["moved"], moved["redrawn"]) == ("shop", 1_000, False)
    assert moved["moves"] == [
        {"from": "b", "to": "a", "slots": 500},
        {"from": "c", "to": "a", "slots": 500},
    ]


def test_a_new_salt_draws_everybody_anew() -> None:
    (moved,) = difference(FIRST, after(FIRST, shop("new", a=10, b=45, c=45)), None).services
    assert (moved.moves, moved.redrawn) == ([], True)


def test_nothing_differs_from_itself_and_new_services_move_nobody() -> None:
    same = difference(FIRST, FIRST, 1)
    assert (same.fields, same.services) == ([], [])
    new = difference(Revision(0), FIRST, 1)
    assert new.services == []
    assert [change.path for change in new.fields] == ["services"]


@pytest.mark.parametrize(
    ("before", "new", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, [{"path": "b", "after": 2}]),
        ({"a": 1, "b": 2}, {"a": 1}, [{"path": "b", "before": 2}]),
        ({"a": 1}, {"a": True}, [{"path": "a", "before": 1, "after": True}]),
        ({"a": [1, 2, 3]}, {"a": [1, 9, 2, 3]}, [{"path": "a[1]", "after": 9}]),
        ({"a": [1, 2, 3]}, {"a": [1, 3]}, [{"path": "a[1]", "before": 2}]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [{"path": "a[0].b", "before": 1, "after": 2}]),
        ({"a": {"b": 1}}, {"a": None}, [{"path": "a", "before": {"b": 1}, "after": None}]),
    ],
)
def test_fields_that_differ(before: Any, new: Any, expected: list[Any]) -> None:
    assert msgspec.to_builtins(list(field_changes(before, new))) == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_there_are_changes_just_where_values_differ(before: Any, new: Any) -> None:
    same = msgspec.json.encode(before, order="sorted") == msgspec.json.encode(new, order="sorted")
    assert (list(field_changes(before, new)) == []) is same
