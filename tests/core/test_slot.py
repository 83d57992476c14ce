import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.slot import SLOTS, seed_of, slot_of


# Made with an independent implementation of MurmurHash3_x86_32.
@pytest.mark.parametrize(("salt", "seed"), [("", 0), ("shop", 3145125624), ("größe", 3822294591)])
def test_seed_reference(salt: str, seed: int) -> None:
    assert seed_of(salt) == seed


@pytest.mark.parametrize(
    ("key", "salt", "slot"),
    [
        (b"", "", 0),
        (b"user-1", "shop", 4988),
        (b"user-2", "shop", 3521),
        (b"user-1", "cart", 1967),
        (b"x" * 8192, "shop", 5439),
    ],
)
def test_slot_reference(key: bytes, salt: str, slot: int) -> None:
    assert slot_of(key, seed_of(salt)) == slot


@given(st.binary(), st.text())
def test_a_slot_is_a_slot(key: bytes, salt: str) -> None:
    assert 0 <= slot_of(key, seed_of(salt)) < SLOTS


def test_users_spread_evenly_over_slots() -> None:
    seed = seed_of("shop")
    tenths = [0] * 10
    for user in range(20_000):
        tenths[slot_of(b"user-%d" % user, seed) // 1_000] += 1
    # 2,000 ± 6 standard deviations of a binomial.
    assert all(abs(count - 2_000) < 255 for count in tenths)
