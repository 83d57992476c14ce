"""Only who has a key makes a pin, and nobody changes one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pin import Pin, PinKeys

OLD, NEW = "the-old-secret-of-pins", "the-new-secret-of-pins"
KEYS = PinKeys("shop", [NEW])


def test_what_was_signed_is_read() -> None:
    pin = Pin("canary-1.2_3", 7, 1_790_000_000)
    value = KEYS.sign(pin)
    assert value.startswith("canary-1.2_3~7~1790000000~")
    for _ in range(2):
        assert KEYS.read(value.encode()) == pin


def test_keys_are_rotated() -> None:
    pin = Pin("canary", 0, 5)
    old = PinKeys("shop", [OLD]).sign(pin).encode()
    both = PinKeys("shop", [NEW, OLD])
    assert both.read(old) == pin._replace(first_key=False)
    assert both.sign(pin) == KEYS.sign(pin)
    assert KEYS.read(old) is None


def test_a_pin_is_good_for_one_service() -> None:
    value = PinKeys("api", [NEW]).sign(Pin("canary", 0, 5)).encode()
    assert KEYS.read(value) is None


@pytest.mark.parametrize(
    "value",
    [
        b"", b"~~~", b"canary~0~5", b"canary~0~5~", b"canary~0~5~" + b"A" * 22, b"\xff~0~5~\xff",
        b"canary~0~5~x~" + b"A" * 22, b"a" * 10_000, b"~" * 10_000, "canary~0~5~ä".encode(),
    ],
)  # fmt: skip
def test_nonsense_is_no_pin(value: bytes) -> None:
    assert KEYS.read(value) is None


@given(st.integers(0, 47), st.integers(1, 255))
def test_a_changed_pin_is_none(at: int, bits: int) -> None:
    value = bytearray(KEYS.sign(Pin("canary", 3, 1_790_000_000)).encode())
    value[at % len(value)] ^= bits
    assert KEYS.read(bytes(value)) is None


def test_many_pins_are_forgotten_in_time() -> None:
    keys = PinKeys("shop", [NEW])
    for number in range(5_000):
        assert keys.read(keys.sign(Pin("canary", 0, number)).encode()) is not None
    assert len(keys._good) <= 4_096
