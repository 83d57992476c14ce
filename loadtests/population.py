"""Owns who the users are: numbered ids, the same in every run, and their own exact shares.

A population of N users is a sample: with 10,000 of them a 50 % share is off by 0.5 points (one
standard deviation) before any proxy has a say. So that a run can be held to one point, the series
of ids is the first whose own share, by slot, is close to what is asked at every step.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

Table = Sequence[str]
"""A split table: the version of each slot."""
SlotOf = Callable[[str], int]

SERIES_TRIED = 600
"""With 4,000 users and 1 %, 20 % and 50 % about one series in 150 is within a hundredth."""


def user_id(series: str, number: int) -> str:
    """The id of one user of the population."""
    return f"{series}-{number:06d}"


def users(series: str, count: int) -> Iterable[str]:
    """The whole population."""
    return (user_id(series, number) for number in range(count))


def shares_asked(weights: Mapping[str, int]) -> dict[str, float]:
    """What the weights ask for, 0–1 by version."""
    total = sum(weights.values())
    return {version: weight / total for version, weight in weights.items()}


def own_shares(user_ids: Iterable[str], table: Table, slot_of: SlotOf) -> dict[str, float]:
    """The exact share of these users on each version, 0–1, as their slots decide it."""
    return _shares_of([slot_of(user) for user in user_ids], table)


def distance(asked: Mapping[str, float], seen: Mapping[str, float]) -> float:
    """The largest difference of any version's share, 0–1."""
    return max(abs(asked.get(name, 0.0) - seen.get(name, 0.0)) for name in {*asked, *seen})


def relative_distance(asked: Mapping[str, float], seen: Mapping[str, float]) -> float:
    """The largest difference of any version's share, by the share asked; infinite for users on a
    version that nothing is asked of."""
    return max(
        abs(share - seen.get(name, 0.0)) / share if share else seen.get(name, 0.0) and inf
        for name, share in {**dict.fromkeys(seen, 0.0), **asked}.items()
    )


def choose_series(
    count: int,
    steps: Sequence[tuple[Mapping[str, int], Table]],
    slot_of: SlotOf,
    tolerance: float,
) -> str:
    """The first series whose own shares are within ``tolerance`` of what each step asks, relative
    to it: with 0.01 a share of 1 % is 0.99–1.01 %.

    Returns:
        That series; the closest of ``SERIES_TRIED`` when none is close enough.
    """

    def worst(series: str) -> float:
        slots = [slot_of(user) for user in users(series, count)]
        return max(
            relative_distance(shares_asked(weights), _shares_of(slots, table))
            for weights, table in steps
        )

    closest, closest_off = "user0", inf
    for number in range(SERIES_TRIED):
        series = f"user{number}"
        if (off := worst(series)) < closest_off:
            closest, closest_off = series, off
        if closest_off <= tolerance:
            break
    return closest


def _shares_of(slots: Sequence[int], table: Table) -> dict[str, float]:
    counts = Counter(table[slot] for slot in slots)
    return {version: count / len(slots) for version, count in counts.items()}
