"""Edges are exact, folding loses nothing, quantiles are upper bounds."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.histogram import (
    COARSE_EDGES,
    EDGES,
    LAST,
    OVERFLOW,
    bucket,
    edge,
    fold,
    quantile,
)

durations = st.floats(min_value=0, max_value=1000)


def test_edges_span_a_tenth_of_a_millisecond_to_beyond_100_seconds() -> None:
    assert edge(0) == 0.0001
    assert EDGES[-2] > 100 / 1.05
    assert EDGES[-1] == 104.8576
    assert len(EDGES) == 321


def test_neighbouring_edges_differ_by_the_base() -> None:
    for low, high in itertools.pairwise(EDGES):
        assert high / low == pytest.approx(2 ** (1 / 16), rel=1e-12)


@pytest.mark.parametrize("index", range(LAST + 1))
def test_an_edge_belongs_to_the_bucket_below_it(index: int) -> None:
    assert bucket(edge(index)) == index
    assert bucket(math.nextafter(edge(index), math.inf)) == index + 1


@pytest.mark.parametrize(
    ("seconds", "index"),
    [(0.0, 0), (-1.0, 0), (math.nan, 0), (1e-9, 0), (105.0, OVERFLOW), (math.inf, OVERFLOW)],
)
def test_values_outside_the_edges_have_a_bucket_too(seconds: float, index: int) -> None:
    assert bucket(seconds) == index


@given(durations)
def test_a_value_lies_within_its_bucket(seconds: float) -> None:
    index = bucket(seconds)
    assert seconds <= edge(index)
    assert index == 0 or seconds > edge(index - 1)


@pytest.mark.parametrize("index", [-1, OVERFLOW + 1])
def test_there_is_no_edge_outside_the_buckets(index: int) -> None:
    with pytest.raises(IndexError, match=f"bucket {index}: there are 0 to {OVERFLOW}"):
        edge(index)


def test_the_overflow_has_no_finite_edge() -> None:
    assert edge(OVERFLOW) == math.inf


def test_coarse_edges_double_exactly() -> None:
    assert COARSE_EDGES[:4] == (0.0001, 0.0002, 0.0004, 0.0008)
    assert all(b == 2 * a for a, b in itertools.pairwise(COARSE_EDGES))
    assert len(COARSE_EDGES) == 21


@given(st.lists(durations | st.sampled_from(EDGES)))
def test_folding_agrees_with_counting_the_values(values: list[float]) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    direct = [sum(value <= le for value in values) for le in (*COARSE_EDGES, math.inf)]
    assert fold(counts) == direct


@given(st.lists(durations, min_size=1), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_at_most_one_bucket_above_the_truth(values: list[float], q: float) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    truth = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    assert quantile(counts, q) == edge(bucket(truth))


def test_the_quantile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(quantile({}, 0.5))
    assert math.isnan(quantile({3: 0}, 0.5))


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="must be within 0 to 1"):
        quantile({1: 1}, q)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        quantile({1: -3, 2: -2}, 0.5)
