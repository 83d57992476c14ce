"""So many a second, so many at once, and never more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.token_bucket import TokenBucket


def test_a_burst_and_then_so_many_a_second() -> None:
    bucket = TokenBucket(10, 3, 5.0)
    assert [bucket.take(5.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(5.09)
    assert bucket.take(5.11)
    assert not bucket.take(5.12)
    assert [bucket.take(60.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_stands_still_or_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(1, 1, 5.0)
    assert bucket.take(5.0)
    assert not bucket.take(5.0)
    assert not bucket.take(4.0)
    assert bucket.take(6.0)


@pytest.mark.parametrize(("per_s", "wait"), [(10, 1), (1, 1), (0.5, 2), (0.1, 10)])
def test_when_to_come_again(per_s: float, wait: int) -> None:
    bucket = TokenBucket(per_s, 1, 0.0)
    assert bucket.take(0.0)
    assert bucket.wait_s() == wait


@given(
    st.floats(0.1, 1_000),
    st.integers(1, 100),
    st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_never_more_than_promised(per_s: float, burst: int, pauses: list[float]) -> None:
    bucket = TokenBucket(per_s, burst, 0.0)
    now = passed = 0.0
    for pause in pauses:
        now += pause
        passed += bucket.take(now)
        assert passed <= burst + now * per_s + 1e-6
