from pathlib import Path

import pytest

from loadtests.demo.live import WINDOW_US, Live, Tail
from loadtests.journal import Change, Request, Start, encode

BEGIN = 1_000_000
START = Start(at_us=BEGIN, service="shop", users=4, series="u", weights={"a": 3, "b": 1})


def request(user: str, version: str, at_us: int, error: str = "") -> Request:
    return Request(user, 0, version, 200, BEGIN + at_us, BEGIN + at_us + 1500, "r", error)


def test_shares_are_over_users_and_rates_over_the_last_seconds() -> None:
    live = Live()
    live.add(START)
    for number in range(8):
        live.take(encode(request(f"u{number % 4}", "b" if number % 4 == 0 else "a", number + 1)))
    live.add(request("u1", "", 100, error="status 500"))
    picture = live.picture(BEGIN + 1_000_000)
    assert picture.asked == picture.seen == {"a": 0.75, "b": 0.25}
    assert (picture.step, picture.users, picture.sent, picture.failed) == (0, 4, 9, 1)
    assert picture.rate == pytest.approx(9.0)
    assert (picture.p50_ms, picture.p99_ms) == (1.5, 1.5)


def test_what_is_long_past_counts_no_more_in_the_rate() -> None:
    live = Live()
    live.add(START)
    live.add(request("u1", "a", 1))
    picture = live.picture(BEGIN + WINDOW_US + 1_000_000)
    assert (picture.rate, picture.p99_ms, picture.sent) == (0.0, 0.0, 1)


def test_a_new_step_starts_with_users_seen_since_it_is_in_force() -> None:
    live = Live()
    live.add(START)
    live.add(request("u1", "a", 1))
    live.add(Change(1, {"a": 1, "b": 1}, BEGIN + 5, BEGIN + 7, BEGIN + 10))
    live.add(request("u2", "a", 9))
    live.add(request("u1", "b", 11))
    picture = live.picture(BEGIN + 100)
    assert (picture.step, picture.users, picture.seen) == (1, 1, {"b": 1.0})
    assert picture.asked == {"a": 0.5, "b": 0.5}


def test_a_change_that_failed_changes_nothing() -> None:
    live = Live()
    live.add(START)
    live.add(Change(1, {"a": 1, "b": 1}, BEGIN, BEGIN, BEGIN, error="422"))
    assert live.picture(BEGIN + 1).weights == START.weights


def test_before_the_first_record_there_is_nothing() -> None:
    picture = Live().picture(BEGIN)
    assert (picture.users, picture.seen, picture.asked, picture.rate) == (0, {}, {}, 0.0)


def test_a_growing_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    tail = Tail(path)
    assert tail.lines() == []
    with path.open("wb", buffering=0) as file:
        file.write(b"one\ntw")
        assert tail.lines() == [b"one"]
        assert tail.lines() == []
        file.write(b"o\nthree\n")
        assert tail.lines() == [b"two", b"three"]
