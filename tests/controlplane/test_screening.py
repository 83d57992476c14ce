from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.screening import (
    MAX_AGE_S,
    MAX_SKEW_S,
    WINDOW,
    Known,
    Screened,
    Seen,
    begun_at_s,
    refusal_of,
    requests_in,
    screen,
)
from proxy.model.config import Segment, Service, Traffic, Version
from proxy.model.spread import WIDTH
from proxy.model.wire import Report, ReportRow, Sample, Spread
from proxy.sync.report import MAX_IN_FLIGHT

ARRIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOOD = ReportRow("shop", "canary", "", 3, 1, {7: 3}, 0.05)


def report(*rows: ReportRow, **changes: Any) -> Report:
    """Ten seconds that ended two seconds before it arrived."""
    start = ARRIVED - timedelta(seconds=12)
    return msgspec.structs.replace(
        Report("0123456789abcdef", 1, "s", 7, start, 10.0, 2.0, rows), **changes
    )


def known() -> Known:
    versions = {name: Version((f"http://{name}:80",)) for name in ("stable", "canary")}
    segments = {
        "country": Segment(header="X-Country", values=("de", "fr")),
        "net": Segment(networks={"office": ("10.0.0.0/8",)}),
    }
    found = Known()
    found.learn(Traffic(services={"shop": Service(versions=versions, segments=segments)}))
    return found


@pytest.mark.parametrize("skew_s", [-MAX_SKEW_S, 0, MAX_SKEW_S])
def test_a_clock_that_is_about_right_is_believed(skew_s: float) -> None:
    told = ARRIVED + timedelta(seconds=skew_s - 12)
    assert begun_at_s(report(start=told), ARRIVED) == told.timestamp()


@pytest.mark.parametrize("skew_s", [-1e9, -3_600, -MAX_SKEW_S - 0.1, MAX_SKEW_S + 0.1, 86_400, 1e9])
def test_with_any_other_clock_the_arrival_counts(skew_s: float) -> None:
    told = ARRIVED + timedelta(seconds=skew_s - 12)
    assert begun_at_s(report(start=told), ARRIVED) == ARRIVED.timestamp() - 12
    late = report(start=told, age_s=3_600.0, length_s=60.0)
    assert abs(begun_at_s(late, ARRIVED) - (ARRIVED.timestamp() - 3_660)) < 5.1 or skew_s == -3_600


def test_of_another_store_or_too_old_it_is_not_looked_at() -> None:
    assert refusal_of(report(), "s") == ""
    assert refusal_of(report(), "t").startswith("store: 's' is not this control plane's")
    assert refusal_of(report(length_s=MAX_AGE_S - 2), "s") == ""
    assert refusal_of(report(length_s=MAX_AGE_S), "s").startswith("age_s: ")
    assert refusal_of(report(age_s=MAX_AGE_S), "s").startswith("age_s: ")


def test_what_is_good_counts_whole() -> None:
    rows = (
        GOOD,
        ReportRow("shop", "canary", "country=de", 2, 1),
        ReportRow("shop", "canary", "country=fr", 2, 1, {7: 2}),
        ReportRow("shop", "stable", "country=other", 1),
        ReportRow("shop", "stable", "net=office"),
    )
    assert screen(report(*rows), ARRIVED, known()) == Screened(ARRIVED.timestamp() - 12, [*rows])


@pytest.mark.parametrize(
    ("row", "why", "lost"),
    [
        (ReportRow("shap", "canary", requests=5), "has service 'shap'", 5),
        (ReportRow("shop", "canry", requests=5), "version 'canry'", 5),
        (ReportRow("shop", "canary", "country=xx", 5), "segment 'country=xx'", 0),
        (ReportRow("shop", "canary", "", 3, 4, {7: 3}), "errors: 4 of 3", 3),
        (ReportRow("shop", "canary", "", 3, 0, {7: 2}), "latency: it has 2 of 3", 3),
        (ReportRow("shop", "canary", "country=de", 3, 0, {7: 2}), "latency: ", 0),
        (ReportRow("shop", "canary", "", 10**9, 0, {7: 10**9}), "requests: 1000000000", 10**9),
    ],
)
def test_a_row_that_cannot_be_is_refused_and_the_others_count(
    row: ReportRow, why: str, lost: int
) -> None:
    found = screen(report(GOOD, row, GOOD), ARRIVED, known())
    assert list(found.rows) == [GOOD, GOOD]
    assert found.refused.startswith("rows[1]: ")
    assert why in found.refused
    assert found.lost == lost


def test_names_of_older_revisions_stay_known() -> None:
    names = known()
    names.learn(Traffic(services={"shop": Service(versions={"next": Version(("http://n:80",))})}))
    rows = [ReportRow("shop", version) for version in ("stable", "next")]
    assert names.has_all(rows)
    assert not names.has_all([*rows, ReportRow("other", "next")])


def test_each_number_counts_once_in_any_order() -> None:
    seen = Seen()
    for number, counts in ((2, True), (2, False), (1, True), (5, True), (4, True), (1, False),
                           (5, False), (3, True), (3, False)):  # fmt: skip
        found = seen.with_(number)
        assert (found is not None) == counts, number
        seen = found or seen


def test_what_is_far_behind_counts_as_seen_and_no_proxy_is_so_far_behind() -> None:
    seen = Seen().with_(1_000)
    assert seen is not None
    assert seen.with_(1_000 - WINDOW) is None
    assert seen.with_(1_000 - WINDOW + 1) is not None
    assert WINDOW > 2 * MAX_IN_FLIGHT
    far = seen.with_(2**53)
    assert far == Seen(2**53, 1)


@given(st.data())
def test_whatever_comes_however_often_each_counts_once(data: st.DataObject) -> None:
    """A proxy has at most so many without an answer; they come in any order, and again."""
    seen, open_, counted, sent = Seen(), set[int](), list[int](), 0
    for _ in range(data.draw(st.integers(0, 100))):
        if len(open_) < MAX_IN_FLIGHT and data.draw(st.booleans()):
            sent += 1
            open_.add(sent)
        elif sent:
            number = data.draw(st.integers(max(1, sent - 2 * MAX_IN_FLIGHT), sent))
            if number in open_ or number in counted:
                found = seen.with_(number)
                assert (found is None) == (number in counted)
                if found is not None:
                    seen = found
                    counted.append(number)
                open_.discard(number)
        assert 0 <= seen.mask < 2**63
    assert len(set(counted)) == len(counted)


@pytest.mark.parametrize("name", ["users", "erring"])
def test_a_row_whose_users_cannot_be_is_refused(name: str) -> None:
    wrong = Sample(0, bytes(16))
    row = msgspec.structs.replace(GOOD, **{name: wrong})
    found = screen(report(row, GOOD), ARRIVED, known())
    assert (list(found.rows), found.lost) == ([GOOD], 3)
    assert found.refused == f"rows[0]: {name}: users: they do not ascend"


@pytest.mark.parametrize(
    ("endpoint", "spread", "why"),
    [
        ("", Spread((), (1, 0)), "2 counts for 0 edges"),
        ("http://a:80", Spread((), (0,) * 2 * WIDTH), "130 counts for 0 edges"),
        ("http://a:80", Spread((9,), (1, 0, 2)), "more are slow"),
        ("http://a:80", Spread((), (10**9, 0)), "1000000000 requests in so short"),
    ],
)
def test_a_row_whose_spread_cannot_be_is_refused(endpoint: str, spread: Spread, why: str) -> None:
    row = msgspec.structs.replace(GOOD, endpoint=endpoint, spread=spread)
    found = screen(report(row, GOOD), ARRIVED, known())
    assert list(found.rows) == [GOOD]
    assert why in found.refused
    assert found.lost == (0 if endpoint else 3)  # by endpoint they are told again


def test_of_an_endpoint_nothing_is_told_by_segment() -> None:
    row = msgspec.structs.replace(GOOD, segment="country=de", endpoint="http://a:80")
    assert screen(report(row), ARRIVED, known()).refused.startswith("rows[0]: endpoint: ")
    for wrong in ("http://a:80\n", "http://a\0:80", "a b", "\n"):
        text = msgspec.json.encode(msgspec.structs.replace(GOOD, endpoint=wrong))
        with pytest.raises(msgspec.ValidationError, match="endpoint"):
            msgspec.json.decode(text, type=ReportRow)


def test_endpoints_are_told_beside_everybody() -> None:
    row = msgspec.structs.replace(GOOD, endpoint="http://a:80", spread=Spread((9,), (3, 1, 2)))
    assert list(screen(report(GOOD, row), ARRIVED, known()).rows) == [GOOD, row]
    assert requests_in([GOOD, row]) == 3
