"""Weights are kept exactly, the less busy is taken, a key keeps its endpoint while it can."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.balance import (
    MOST_TURNS,
    HashRing,
    bounded,
    least_of_two,
    started_slowly,
    weighted_round,
)

WEIGHTS = st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any)


@given(WEIGHTS)
def test_a_round_holds_each_as_often_as_it_weighs(weights: list[int]) -> None:
    turns = Counter(weighted_round(weights))
    total = sum(turns.values())
    for index, weight in enumerate(weights):
        assert turns[index] * sum(weights) == weight * total


@pytest.mark.parametrize(
    ("weights", "turns"),
    [([1], [0]), ([1, 1], [0, 1]), ([2, 2], [0, 1]), ([5, 1, 1], [0, 0, 0, 1, 2, 0, 0])],
)
def test_a_round_is_even(weights: list[int], turns: list[int]) -> None:
    assert weighted_round(weights) == turns


def test_large_weights_are_scaled_and_nobody_is_left_out() -> None:
    turns = Counter(weighted_round([999_983, 500_000, 1, 0]))
    assert sum(turns.values()) <= MOST_TURNS + 3
    assert turns[2] == 1
    assert turns[3] == 0
    assert turns[0] / turns[1] == pytest.approx(2, abs=0.02)


def test_thousands_of_endpoints_have_a_round_all_the_same() -> None:
    assert weighted_round([1] * 5_000) == list(range(5_000))
    assert Counter(weighted_round([1] * 4_999 + [3]))[4_999] >= 1


def test_the_less_busy_of_two_is_taken() -> None:
    chance = random.Random(7)
    active, weights = [0, 9, 3], [1, 1, 1]
    picked = Counter(
        least_of_two([0, 1, 2], active.__getitem__, weights, chance.randrange) for _ in range(600)
    )
    assert picked[1] == 0
    assert picked[0] > picked[2] > 100


def test_who_weighs_more_may_be_busier() -> None:
    chance = random.Random(7)
    active, weights = [5, 2], [3, 1]
    picked = {
        least_of_two([0, 0, 0, 1], active.__getitem__, weights, chance.randrange) for _ in range(50)
    }
    assert picked == {0}
    assert least_of_two([4], [0].__getitem__, [1] * 5, chance.randrange) == 4


def test_least_of_two_keeps_endpoints_even() -> None:
    chance = random.Random(3)
    active, weights = [0] * 10, [1] * 10
    for _ in range(10_000):
        chosen = least_of_two(list(range(10)), active.__getitem__, weights, chance.randrange)
        active[chosen] += 1
    assert max(active) - min(active) <= 6


NAMES = [f"http://10.0.0.{number}:80" for number in range(1, 11)]


def anyone(_: int) -> bool:
    return True


def test_a_key_keeps_its_endpoint_when_another_goes() -> None:
    ring = HashRing(NAMES, [1] * 10)
    less = HashRing(NAMES[:9], [1] * 9)
    keys = random.Random(1).choices(range(1 << 32), k=5_000)
    moved = [key for key in keys if ring.pick(key, anyone) != less.pick(key, anyone)]
    assert all(ring.pick(key, anyone) == 9 for key in moved)
    assert 0.05 < len(moved) / len(keys) < 0.16
    out = [ring.pick(key, lambda index: index != 4) for key in keys]
    assert all(
        after == before for key, after in zip(keys, out, strict=True)
        if (before := ring.pick(key, anyone)) != 4
    )  # fmt: skip


def test_shares_of_the_ring_follow_the_weights() -> None:
    ring = HashRing(NAMES[:3], [2, 1, 0])
    keys = random.Random(1).choices(range(1 << 32), k=20_000)
    picked = Counter(ring.pick(key, anyone) for key in keys)
    assert picked[2] == 0
    assert picked[0] / picked[1] == pytest.approx(2, rel=0.2)


def test_nobody_has_room() -> None:
    assert HashRing(NAMES, [1] * 10).pick(17, lambda _: False) == -1


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), min_size=1, max_size=10).filter(
        lambda each: any(weight for _, weight in each)
    ),
    st.sampled_from([1.0, 1.25, 2.0]),
)
def test_somebody_always_has_room_within_the_bound(
    each: list[tuple[int, int]], factor: float
) -> None:
    active = [count for count, _ in each]
    weights = [weight for _, weight in each]
    has_room = bounded(factor, active, weights)
    assert any(has_room(index) for index in range(len(each)))
    assert not any(has_room(index) for index, weight in enumerate(weights) if not weight)


def test_slow_start_grows_to_the_whole_share() -> None:
    assert started_slowly(0.0, 30) == 0.1
    assert started_slowly(15, 30) == 0.5
    assert started_slowly(30, 30) == 1.0
    assert started_slowly(5, 0) == 1.0
