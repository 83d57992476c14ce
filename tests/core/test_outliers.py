"""An endpoint that fails is out for a while, longer each time, and never the last one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.outliers import OutlierDetector
from proxy.model.config import Outliers


def failing(detector: OutlierDetector, index: int, times: int, now: float = 0.0) -> bool:
    changes = [detector.failed(index, now) for _ in range(times)]  # all of them, not until one
    return any(changes)


def test_five_failures_in_a_row_eject() -> None:
    detector = OutlierDetector(Outliers(), 3)
    assert not failing(detector, 1, 4)
    assert detector.failed(1, 0.0)
    assert detector.ejected == {1}
    assert detector.ejections == 1
    assert not failing(detector, 1, 9)  # it is out already


@pytest.mark.parametrize("status", [200, 302, 404, 499])
def test_an_answer_that_is_no_error_begins_anew(status: int) -> None:
    detector = OutlierDetector(Outliers(), 3)
    assert not failing(detector, 1, 4)
    assert not detector.answered(1, status, 0.0)
    assert not failing(detector, 1, 4)
    assert detector.failed(1, 0.0)


@pytest.mark.parametrize(
    ("statuses", "out"),
    [
        ([500] * 5, True),
        ([503] * 2, True),
        ([500, 503, 500, 503], False),
        ([501, 505, 500, 599, 503], True),
        ([504, 502], True),
    ],
)
def test_gateway_errors_are_counted_apart(statuses: list[int], *, out: bool) -> None:
    detector = OutlierDetector(Outliers(consecutive_gateway_errors=2), 3)
    for status in statuses:
        detector.answered(0, status, 0.0)
    assert (detector.ejected == {0}) is out


def test_zero_turns_a_rule_off() -> None:
    detector = OutlierDetector(Outliers(consecutive_5xx=0, consecutive_gateway_errors=0), 3)
    assert not failing(detector, 0, 1_000)


def test_each_ejection_is_longer_than_the_last_up_to_a_limit() -> None:
    config = Outliers(base_ejection_s=30, max_ejection_s=75, interval_s=10)
    detector = OutlierDetector(config, 3)
    now = 0.0
    for lasts in (30, 60, 75, 75):
        assert failing(detector, 0, 5, now)
        assert not detector.sweep(now + lasts - 1)
        now += lasts
        assert detector.sweep(now)
        assert detector.ejected == set()


def test_time_without_an_ejection_is_forgiving() -> None:
    detector = OutlierDetector(Outliers(), 3)
    for _ in range(2):
        failing(detector, 0, 5, 0.0)
        detector.sweep(1_000)
    for _ in range(2):
        detector.sweep(1_000)
    failing(detector, 0, 5, 2_000)
    assert detector.sweep(2_030)


@pytest.mark.parametrize(
    ("size", "percent", "out"),
    [(1, 100, 0), (2, 100, 1), (3, 10, 1), (10, 10, 1), (11, 10, 2), (10, 50, 5), (4, 100, 3),
     (5, 0, 1)],
)  # fmt: skip
def test_so_many_and_never_the_last(size: int, percent: int, out: int) -> None:
    detector = OutlierDetector(Outliers(max_ejected_percent=percent), size)
    for index in range(size):
        failing(detector, index, 5)
    assert len(detector.ejected) == out


def test_who_fails_far_more_than_the_others_goes_without_five_in_a_row() -> None:
    detector = OutlierDetector(Outliers(), 5)
    for index in range(5):
        for number in range(200):
            bad = number % 100 == 0 or (index == 3 and number % 2)
            detector.answered(index, 500 if bad else 200, 0.0)
    assert detector.ejected == set()
    assert detector.sweep(10.0)
    assert detector.ejected == {3}


@pytest.mark.parametrize(("size", "requests"), [(4, 200), (5, 99)])
def test_few_are_not_compared(size: int, requests: int) -> None:
    detector = OutlierDetector(Outliers(), size)
    for index in range(size):
        for number in range(requests):
            detector.answered(index, 500 if index == 3 and number % 2 else 200, 0.0)
    assert not detector.sweep(10.0)


def test_rates_are_those_of_one_interval() -> None:
    detector = OutlierDetector(Outliers(), 5)
    for _ in range(2):
        for index in range(5):
            for number in range(60):
                detector.answered(index, 500 if index == 3 and number % 2 else 200, 0.0)
        assert not detector.sweep(10.0)


@given(
    st.integers(1, 8),
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(0, 7), st.sampled_from([200, 500, 503]), st.booleans())),
)
def test_whatever_happens_one_is_left_and_what_is_said_is_so(
    size: int, percent: int, events: list[tuple[int, int, bool]]
) -> None:
    detector = OutlierDetector(Outliers(max_ejected_percent=percent, consecutive_5xx=1), size)
    now = 0.0
    for index, status, sweeps in events:
        before = set(detector.ejected)
        now += 7.0
        said = detector.sweep(now) if sweeps else detector.answered(index % size, status, now)
        assert said is (detector.ejected != before)
        assert len(detector.ejected) < size
