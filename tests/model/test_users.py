"""Samples of users: bounded, mergeable in any order, and right about how many there are."""

import random
from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.user import user_of
from proxy.model.users import BITS, MAX_DEPTH, MOST, Sketch, estimate, merged, users_in
from proxy.model.wire import MAX_COUNT, MAX_SAMPLE_BYTES, Sample

# Many with leading zeros, so that samples deepen.
USERS = st.integers(0, BITS).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))


def sampled(users: object) -> Sample:
    sketch = Sketch()
    for user in users:  # type: ignore[attr-defined] # any collection
        sketch.add(user)
    return sketch.sample()


def crowd(size: int, start: int = 0) -> list[int]:
    return [user_of(b"user-%d" % number) for number in range(start, start + size)]


@given(st.sets(USERS, max_size=MOST))
def test_few_users_are_all_there(users: set[int]) -> None:
    sample = sampled(users)
    assert (sample.depth, users_in(sample)) == (0, sorted(users))
    assert estimate(sample) == len(users)


@given(st.lists(st.sets(USERS, max_size=400), min_size=1, max_size=4), st.randoms())
def test_parts_in_any_order_are_what_one_would_have_kept(
    parts: list[set[int]], draw: random.Random
) -> None:
    whole = sampled(set.union(*parts))
    samples = [sampled(part) for part in parts]
    draw.shuffle(samples)
    assert reduce(merged, samples, None) == whole
    twice = [*samples, *samples]
    assert reduce(merged, twice, None) == whole
    assert len(users_in(whole)) <= MOST


@pytest.mark.parametrize("size", [1_000, 30_000, 1_000_000])
def test_how_many_there_are_is_about_right(size: int) -> None:
    sample = sampled(crowd(size))
    assert len(sample.users) <= MAX_SAMPLE_BYTES == MOST * 8
    assert abs(estimate(sample) - size) < 0.3 * size  # three standard deviations


def test_who_was_seen_before_adds_nothing() -> None:
    sample = sampled(crowd(10_000))
    assert merged(sample, sampled(crowd(5_000))) == sample
    assert merged(sample, None) == merged(None, sample) == sample
    assert merged(None, None) is None


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (Sample(0, b"1234567"), "bytes are not"),
        (Sample(0, bytes(8 * (MOST + 1))), "bytes are not"),
        (Sample(0, bytes(16)), "do not ascend"),
        (Sample(0, (2).to_bytes(8, "big") + (1).to_bytes(8, "big")), "do not ascend"),
        (Sample(1, b"\x80" + bytes(7)), "not all of them are of depth 1"),
        (Sample(45, b"\xff" * 8), "not all of them are of depth 45"),
    ],
)
def test_what_is_no_sample(sample: Sample, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        users_in(sample)
    with pytest.raises(ValueError, match=words):
        Sketch().update(sample)


def test_the_deepest_sample_ends() -> None:
    sketch = Sketch()
    for user in range(2 * MOST):
        sketch.add(user)
    sample = sketch.sample()
    assert users_in(sample) == list(range(MOST))
    assert sample.depth == MAX_DEPTH
    assert users_in(Sample(MAX_DEPTH, bytes(8))) == [0]
    assert estimate(sample) <= MAX_COUNT
    assert len(merged(sample, sample).users) == MAX_SAMPLE_BYTES  # type: ignore[union-attr] # see there
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(Sample(46, b"")), type=Sample)


def test_it_goes_through_both_wires() -> None:
    sample = sampled(crowd(1_000))
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(sample), type=Sample) == sample


def test_a_user_is_known_apart_from_their_slot() -> None:
    assert user_of(b"") != user_of(b"a") != user_of(b"a", b"secret")
    assert 0 <= user_of(b"a") < 1 << BITS
    ones = sum(user >> (BITS - 1) for user in crowd(10_000))
    assert 4_800 < ones < 5_200
