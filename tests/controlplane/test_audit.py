from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.audit import BEGINNING, Entry, canonical, seal, verify

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_log(count: int) -> list[bytes]:
    lines, before = [], BEGINNING
    for number in range(1, count + 1):
        at = NOW + timedelta(seconds=number)
        fields = ("weights.set", "services.shop.weights", f"because {number} ü")
        entry = Entry(at, "admin", "127.0.0.1", "id", *fields, {"revision": number - 1}, number)
        sealed = seal(entry, number, before)
        lines.append(canonical(msgspec.to_builtins(sealed)))
        before = sealed.seal
    return lines


def head_of(lines: list[bytes]) -> str:
    return str(msgspec.json.decode(lines[-1])["seal"])


LOG = make_log(6)


def test_a_log_that_was_left_alone_is_good() -> None:
    assert verify(LOG) is None
    assert verify(LOG, head_of(LOG)) is None
    assert verify([], BEGINNING) is None


@given(st.integers(0, 5), st.data())
def test_any_byte_that_is_changed_is_found(entry: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(LOG[entry]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != LOG[entry][at]))
    edited = LOG[entry][:at] + bytes([byte]) + LOG[entry][at + 1 :]
    flaw = verify([*LOG[:entry], edited, *LOG[entry + 1 :]])
    assert flaw is not None
    assert flaw.number == entry + 1


@given(st.sets(st.integers(0, 5), min_size=1))
def test_any_entries_that_are_removed_are_found(removed: set[int]) -> None:
    left = [line for at, line in enumerate(LOG) if at not in removed]
    flaw = verify(left, head_of(LOG))
    assert flaw is not None
    assert flaw.number == min(removed) + 1


@given(st.permutations(range(6)).filter(lambda order: order != list(range(6))))
def test_any_other_order_is_found(order: list[int]) -> None:
    flaw = verify([LOG[at] for at in order])
    assert flaw is not None
    assert flaw.number == next(at for at in range(6) if order[at] != at) + 1


@given(st.integers(0, 5), st.text(max_size=5), st.sampled_from(["actor", "reason", "target"]))
def test_an_entry_that_is_sealed_again_does_not_fit_the_next(
    entry: int, text: str, field: str
) -> None:
    plain = msgspec.json.decode(LOG[entry])
    before = head_of(LOG[:entry]) if entry else BEGINNING
    del plain["seal"]
    sealed = msgspec.convert({**plain, "seal": "", field: text + "!"}, Entry)
    again = canonical(msgspec.to_builtins(seal(sealed, entry + 1, before)))
    flaw = verify([*LOG[:entry], again, *LOG[entry + 1 :]], head_of(LOG))
    assert flaw is not None
    assert flaw.number == (entry + 2 if entry < 5 else 7)


@pytest.mark.parametrize(
    "edited",
    [b"", b"[]", b"{}", b"\xff", b'{"number": 3}', LOG[2] + b" ", LOG[2].replace(b",", b", ", 1)],
)
def test_a_line_that_was_never_exported(edited: bytes) -> None:
    flaw = verify([*LOG[:2], edited, *LOG[3:]])
    assert flaw is not None
    assert flaw.number == 3
