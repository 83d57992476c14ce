"""Waits grow to the cap, spread over the whole range, and start anew after a success."""

from proxy.core.backoff import Backoff


def test_waits_double_up_to_the_cap() -> None:
    backoff = Backoff(lambda: 1.0)
    waits = [round(backoff.next_s(), 3) for _ in range(7)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_jitter_reaches_down_to_no_wait() -> None:
    backoff = Backoff(lambda: 0.0)
    assert [backoff.next_s(), backoff.next_s()] == [0.0, 0.0]


def test_each_wait_is_drawn() -> None:
    draws = iter([0.5, 0.25])
    backoff = Backoff(lambda: next(draws), base_s=1.0, cap_s=8.0)
    assert [backoff.next_s(), backoff.next_s()] == [0.5, 0.5]


def test_a_success_starts_anew() -> None:
    backoff = Backoff(lambda: 1.0, base_s=1.0, cap_s=4.0)
    for _ in range(5):
        backoff.next_s()
    backoff.reset()
    assert [backoff.next_s(), backoff.next_s()] == [1.0, 2.0]


def test_a_base_above_the_cap_is_capped() -> None:
    assert Backoff(lambda: 1.0, base_s=9.0, cap_s=2.0).next_s() == 2.0
