import pytest

from proxy.core.balance import RoundRobin


@pytest.mark.parametrize(
    ("size", "offset", "expected"),
    [
        (1, 0, [0, 0, 0]),
        (3, 0, [0, 1, 2, 0, 1]),
        (3, 2, [2, 0, 1, 2]),
        (3, 7, [1, 2, 0, 1]),
        (3, -1, [2, 0, 1]),
    ],
)
def test_endpoints_are_taken_in_turn_from_the_offset(
    size: int, offset: int, expected: list[int]
) -> None:
    balance = RoundRobin(size, offset)
    assert [balance.pick() for _ in expected] == expected


def test_no_endpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one endpoint"):
        RoundRobin(0)
