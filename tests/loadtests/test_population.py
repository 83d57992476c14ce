from math import inf

import pytest

from loadtests.population import (
    choose_series,
    distance,
    own_shares,
    relative_distance,
    shares_asked,
    user_id,
    users,
)
from loadtests.tables import slot_of, tables_of

STEPS = [{"stable": 80, "canary": 20}, {"stable": 50, "canary": 50}]


def test_users_are_numbered_and_always_the_same() -> None:
    assert list(users("user7", 2)) == ["user7-000000", "user7-000001"]
    assert user_id("user7", 1) == "user7-000001"


def test_shares_asked_follow_the_weights() -> None:
    assert shares_asked({"a": 3, "b": 1, "c": 0}) == {"a": 0.75, "b": 0.25, "c": 0.0}


def test_own_shares_count_users_by_the_version_of_their_slot() -> None:
    assert own_shares(["0", "1", "2", "2"], ["a", "b", "a"], int) == {"a": 0.75, "b": 0.25}


def test_distance_is_the_largest_of_any_version() -> None:
    assert distance({"a": 0.5, "b": 0.5}, {"a": 0.4, "c": 0.6}) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("seen", "off"),
    [
        ({"a": 0.99, "b": 0.01}, 0.0),
        ({"a": 0.9908, "b": 0.0092}, 0.08),
        ({"a": 1.0}, 1.0),
        ({"a": 0.99, "b": 0.009, "c": 0.001}, inf),
    ],
)
def test_relative_distance_is_by_the_share_asked(seen: dict[str, float], off: float) -> None:
    assert relative_distance({"a": 0.99, "b": 0.01, "d": 0.0}, seen) == pytest.approx(off)


def test_the_chosen_series_is_close_to_every_step() -> None:
    asked = list(zip(STEPS, tables_of(STEPS), strict=True))
    series = choose_series(2000, asked, slot_of("shop"), tolerance=0.01)
    everyone = list(users(series, 2000))
    for weights, table in asked:
        own = own_shares(everyone, table, slot_of("shop"))
        assert relative_distance(shares_asked(weights), own) <= 0.01


def test_the_closest_series_is_taken_when_none_is_close_enough() -> None:
    # Three users cannot be half and half: the best there is has one of them apart.
    asked = list(zip(STEPS[1:], tables_of(STEPS[1:]), strict=True))
    series = choose_series(3, asked, slot_of("shop"), tolerance=0.0)
    own = own_shares(users(series, 3), asked[0][1], slot_of("shop"))
    assert sorted(own.values()) == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
