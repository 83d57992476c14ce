import pytest

from controlplane.access import throttle as module
from controlplane.access.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_after_the_burst_it_waits_for_the_refill() -> None:
    clock = Clock()
    throttle = Throttle(clock, burst=3, refill_s=10)
    for _ in range(3):
        assert throttle.wait_s("10.0.0.1") == 0
        throttle.count("10.0.0.1")
    assert throttle.wait_s("10.0.0.1") == 10
    clock.now_s += 4
    for _ in range(5):
        throttle.count("10.0.0.1")  # the wait does not grow
    assert throttle.wait_s("10.0.0.1") == 6
    clock.now_s += 6
    assert throttle.wait_s("10.0.0.1") == 0
    throttle.count("10.0.0.1")
    assert throttle.wait_s("10.0.0.1") == 10
    clock.now_s += 1_000
    for _ in range(3):
        assert throttle.wait_s("10.0.0.1") == 0
        throttle.count("10.0.0.1")
    assert throttle.wait_s("10.0.0.1") == 10


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("", "unix", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, are_one: bool) -> None:
    throttle = Throttle(Clock(), burst=1, refill_s=10)
    throttle.count(one)
    assert (throttle.wait_s(other) > 0) is are_one


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ADDRESSES", 3)
    throttle = Throttle(Clock(), burst=1, refill_s=10)
    for number in range(4):
        throttle.count(f"10.0.0.{number}")
    waits = [throttle.wait_s(f"10.0.0.{number}") for number in range(4)]
    assert waits == [0, 10, 10, 10]
    assert len(throttle._full_at_s) == 3
