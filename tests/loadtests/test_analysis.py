"""Each table row is a journal and what it must prove.

Users are named after their slot in a world of ten slots: user "3" is in slot 3. At the start all
slots are stable's; then canary gets slots 0–1, then 0–4.
"""

from collections.abc import Callable, Mapping, Sequence

import pytest

from loadtests.analysis import Findings, analyse, quantile
from loadtests.journal import Change, Record, Request, Start

S, C = "stable", "canary"
STEPS = [{S: 10, C: 0}, {S: 8, C: 2}, {S: 5, C: 5}]
START = Start(at_us=0, service="shop", users=10, series="u", weights=STEPS[0])
FIRST = Change(step=1, weights=STEPS[1], asked_us=100, answered_us=105, settled_us=110)
SECOND = Change(step=2, weights=STEPS[2], asked_us=200, answered_us=205, settled_us=210)


def tables(steps: Sequence[Mapping[str, int]]) -> list[list[str]]:
    return [[C] * weights[C] + [S] * weights[S] for weights in steps]


def slot_of(salt: str) -> Callable[[str], int]:
    assert salt in {"shop", ""}
    return int


def request(user: int, version: str, started: int, ended: int = 0, error: str = "") -> Request:
    return Request(
        user=str(user),
        step=0,
        version=version,
        status=500 if error else 200,
        started_us=started,
        ended_us=ended or started + 1,
        request_id=f"{user}-{started}",
        error=error,
    )


def findings_of(*records: Record) -> Findings:
    return analyse(records, tables, slot_of)


def judged(*requests: Request) -> tuple[int, int, tuple[str, ...], tuple[str, ...]]:
    found = findings_of(START, *requests, SECOND, FIRST)
    return found.changed, found.had_to, found.without_need, found.misplaced


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([(7, S, 50), (7, S, 150), (7, S, 250)], (0, 0, (), ())),
        ([(0, S, 50), (0, C, 150), (0, C, 250)], (1, 1, (), ())),
        ([(3, S, 50), (3, S, 150), (3, C, 250)], (1, 1, (), ())),
        ([(3, C, 250), (3, S, 50)], (1, 1, (), ())),
    ],
    ids=["slot stays", "moves in step 1", "moves in step 2", "lines in any order"],
)
def test_needed_moves_are_not_held_against_anyone(
    seen: list[tuple[int, str, int]], expected: tuple[int, int, tuple[str, ...], tuple[str, ...]]
) -> None:
    assert judged(*(request(*what) for what in seen)) == expected


@pytest.mark.parametrize(
    "seen",
    [
        [(7, S, 50), (7, C, 150)],
        [(7, S, 50), (7, C, 60), (7, S, 70)],
        [(0, S, 50), (0, C, 150), (0, S, 160)],
        [(0, S, 50), (0, C, 150), (0, S, 250)],
        [(0, S, 50), (0, C, 60), (0, C, 150)],
        [(3, S, 50), (3, C, 150), (3, C, 250)],
    ],
    ids=[
        "moves though its slot stays",
        "flips within a step",
        "flips back within the next step",
        "flips back a step later",
        "moves before the change",
        "moves a step too early",
    ],
)
def test_needless_moves_are_caught(seen: list[tuple[int, str, int]]) -> None:
    changed, had_to, without_need, misplaced = judged(*(request(*what) for what in seen))
    assert (changed, had_to, without_need, misplaced) == (1, 0, (str(seen[0][0]),), ())


@pytest.mark.parametrize(
    ("user", "version", "started"), [(7, C, 50), (0, S, 150), (3, S, 250), (3, C, 150)]
)
def test_a_user_on_the_wrong_version_is_caught_though_it_never_changes(
    user: int, version: str, started: int
) -> None:
    assert judged(request(user, version, started)) == (0, 0, (), (str(user),))


@pytest.mark.parametrize("version", [S, C])
@pytest.mark.parametrize(
    ("started", "ended"), [(98, 101), (99, 300), (101, 104), (105, 109), (110, 115)]
)
def test_a_request_in_flight_around_a_change_may_be_on_either_side(
    version: str, started: int, ended: int
) -> None:
    assert judged(request(0, version, started, ended)) == (0, 0, (), ())


def test_a_request_after_the_change_settled_must_be_on_the_new_side() -> None:
    assert judged(request(0, S, 111))[3] == ("0",)


def test_a_request_that_ended_before_the_change_was_asked_must_be_on_the_old_side() -> None:
    assert judged(request(0, C, 98, 99))[3] == ("0",)


def test_the_window_of_a_change_does_not_excuse_a_flip_back() -> None:
    flipping = [request(0, S, 101), request(0, C, 103), request(0, S, 105)]
    assert judged(*flipping) == (1, 0, ("0",), ())


def test_the_window_of_a_change_does_not_excuse_a_user_whose_slot_stays() -> None:
    assert judged(request(7, S, 50), request(7, C, 101)) == (1, 0, ("7",), ())


def test_without_known_weights_no_user_may_change_at_all() -> None:
    start = Start(at_us=0, service="shop", users=0, series="big")
    found = findings_of(start, request(1, S, 1), request(1, S, 5), request(2, C, 1))
    assert (found.changed, found.without_need, found.misplaced) == (0, (), ())
    flipped = findings_of(start, request(1, S, 1), request(1, C, 5), request(1, S, 9))
    assert (flipped.changed, flipped.had_to, flipped.without_need) == (1, 0, ("1",))
    assert flipped.steps[0].asked == {}
    assert flipped.steps[0].off == 0.0


def test_failed_requests_are_counted_by_what_went_wrong() -> None:
    failing = [request(1, "", at, error="no response") for at in (1, 2)]
    found = findings_of(START, *failing, request(1, S, 3, error="status 500"), request(1, S, 4))
    assert (found.sent, found.failed) == (4, 3)
    assert found.failures == (("no response", 2), ("status 500", 1))
    assert found.users == 1
    assert found.faults(0.01)[0] == "3 of 4 requests failed"


def test_shares_are_over_users_and_leave_out_requests_that_may_be_on_either_side() -> None:
    everyone = [request(user, C if user < 2 else S, 150 + user) for user in range(10)]
    again = [request(9, S, at) for at in range(170, 190)]
    unsure = [request(user, S, 105) for user in range(10)]
    found = findings_of(START, FIRST, SECOND, *everyone, *again, *unsure)
    step = found.steps[1]
    assert (step.step, step.users, step.weights) == (1, 10, STEPS[1])
    assert step.asked == step.own == step.seen == {S: 0.8, C: 0.2}
    assert step.off == 0.0
    assert found.steps[0].users == found.steps[2].users == 0
    assert found.faults(0.01) == ["step 0: no user was seen", "step 2: no user was seen"]


def test_own_shares_are_those_of_the_users_seen() -> None:
    found = findings_of(
        START, FIRST, *(request(user, C if user < 2 else S, 150) for user in (0, 7))
    )
    step = found.steps[1]
    assert step.own == step.seen == {S: 0.5, C: 0.5}
    assert step.off == pytest.approx(0.3)
    assert any("30.00% off the share asked" in fault for fault in found.faults(0.01))


def test_a_change_that_failed_makes_no_step_and_is_a_fault() -> None:
    refused = Change(
        step=1, weights=STEPS[1], asked_us=100, answered_us=105, settled_us=110, error="422"
    )
    found = findings_of(START, refused, request(0, S, 50), request(0, S, 150))
    assert [step.step for step in found.steps] == [0]
    assert found.misplaced == ()
    assert found.faults(1.0) == ["a change of weights failed: 422"]


def test_an_empty_journal_is_not_good() -> None:
    found = findings_of()
    assert (found.sent, found.users, found.seconds) == (0, 0, 0.0)
    assert "no request was sent" in found.faults(0.01)


def test_the_users_who_moved_without_need_are_named() -> None:
    fault = Findings(sent=1, without_need=tuple(map(str, range(30)))).faults(0.01)[0]
    assert fault.startswith("30 users (0, 1, 2,")
    assert fault.endswith("19, …) changed version without need")


def test_latencies_and_duration() -> None:
    found = findings_of(START, *(request(1, S, at * 10_000, at * 10_000 + 2000) for at in (1, 5)))
    assert (found.p50_ms, found.p99_ms, found.seconds) == (2.0, 2.0, 0.042)


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_quantile(part: float, expected: int) -> None:
    assert quantile(range(1, 101), part) == expected
    assert quantile([], part) == 0
