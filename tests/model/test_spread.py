"""Counts by bucket of users: they add up, and what cannot be one is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.spread import BUCKETS, WIDTH, Tally, check, columns, joined
from proxy.model.wire import Edges, Spread

EDGES = (10, 20)
REQUESTS = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 30), st.booleans()))


def spread(*requests: tuple[int, int, bool], edges: Edges = EDGES, width: int = WIDTH) -> Spread:
    tally = Tally(edges, width)
    for user, latency, charged in requests:
        tally.add(user, latency, charged=charged)
    return tally.spread()


def test_a_request_is_counted_in_the_bucket_of_its_user() -> None:
    found = spread((7, 10, False), (7 + BUCKETS, 11, False), (8, 21, False), (9, 1, True))
    requests, errors, above_10, above_20 = columns(found)
    assert (requests[7], requests[8], requests[9], sum(requests)) == (2, 1, 1, 4)
    assert (errors[9], sum(errors)) == (1, 1)
    assert (above_10[7], above_10[8], above_10[9], sum(above_10)) == (1, 1, 1, 3)
    assert (above_20[8], above_20[9], sum(above_20)) == (1, 1, 2)


def test_requests_of_nobody_are_apart() -> None:
    requests = columns(spread((0, 1, False), (BUCKETS, 1, False)))[0]
    assert (requests[BUCKETS], requests[0]) == (1, 1)


def test_by_endpoint_there_is_one_count() -> None:
    assert spread((7, 15, False), (8, 1, True), width=1) == Spread(EDGES, (2, 1, 2, 1))


def test_without_edges_requests_and_errors_are_counted() -> None:
    assert spread((7, 15, False), (8, 1, True), edges=(), width=1) == Spread((), (2, 1))


@given(REQUESTS, REQUESTS)
def test_what_two_count_is_what_one_would_have(
    first: list[tuple[int, int, bool]], second: list[tuple[int, int, bool]]
) -> None:
    one, two = spread(*first), spread(*second)
    assert joined(one, two) == joined(two, one) == spread(*first, *second)
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(one), type=Spread) == one
    check(one, WIDTH)


def test_nothing_adds_nothing_and_other_edges_begin_anew() -> None:
    one, other = spread((7, 15, False)), spread((8, 15, False), edges=(11,))
    assert joined(None, one) == joined(one, None) == one
    assert joined(None, None) is None
    assert joined(one, other) == other


@pytest.mark.parametrize(
    ("edges", "counts", "why"),
    [
        ((20, 10), (1, 0, 0, 0), "its edges do not ascend"),
        ((10, 10), (1, 0, 0, 0), "its edges do not ascend"),
        ((10, 20), (1, 0, 0), "3 counts for 2 edges"),
        ((), (), "0 counts for 0 edges"),
        ((), (1, 2), "more errors than requests"),
        ((10,), (1, 0, 2), "more are slow"),
        ((10, 20), (3, 0, 1, 2), "more are slow"),
        ((10,), (3, 2, 1), "more are slow"),
    ],
)
def test_what_cannot_be_is_refused(edges: Edges, counts: tuple[int, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(Spread(edges, counts), 1)
