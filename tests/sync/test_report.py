"""Differences, numbers, answers: whatever is sent again, merged or cut apart, sums stay."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.split import canonical_table, encode
from proxy.model.users import Sketch
from proxy.model.wire import (
    LAST_BUCKET,
    MAX_ROWS,
    Counts,
    Report,
    ReportAck,
    ReportRow,
    Sample,
    Taken,
    UsersSeen,
    VersionCounts,
)
from proxy.sync.report import (
    MAX_BYTES,
    MAX_IN_FLIGHT,
    MAX_WAITING,
    RESEND_S,
    Backlog,
    Interval,
    difference,
    merged,
    pieces,
    shares_of,
)
from proxy.telemetry.histogram import OVERFLOW
from proxy.telemetry.metrics import VersionCounters

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BOOT = "0123456789abcdef"


def interval(number: int, *rows: ReportRow, store: str = "s") -> Interval:
    begin_s = 10.0 * number
    start = START + timedelta(seconds=begin_s)
    return Interval(start, begin_s, begin_s + 10.0, store, number, rows)


def requests(count: int, version: str = "stable") -> ReportRow:
    return ReportRow("shop", version, requests=count, latency={7: count} if count else {})


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def everything(backlog: Backlog) -> list[Report]:
    sent = []
    while (report := backlog.next()) is not None:
        sent.append(report)
    return sent


def test_the_last_bucket_is_the_histogram_s() -> None:
    assert LAST_BUCKET == OVERFLOW


def test_a_row_is_what_was_counted_since_the_last_look() -> None:
    counters = VersionCounters("shop", "canary")

    def request(status: int, *, charged: bool) -> None:
        counters.started("header")
        counters.finished("GET", status, 0.01, 0, 0)
        if charged:
            counters.charged()
        counters.belonged(("country=de", "device=other"), status, 0.01, charged=charged)

    request(200, charged=False)
    before = Counts((counters.counts(),))
    request(200, charged=True)
    request(404, charged=False)
    request(500, charged=True)
    rows = difference(before, Counts((counters.counts(),)), {}, {})
    (bucket,) = counters.counts().latency
    assert rows == (
        ReportRow("shop", "canary", "", 3, 2, {bucket: 3}),
        ReportRow("shop", "canary", "country=de", 3, 2, {bucket: 3}),
        ReportRow("shop", "canary", "device=other", 3, 2, {bucket: 3}),
    )


def test_who_counted_nothing_has_no_row_and_what_reached_no_service_has_none() -> None:
    idle = VersionCounts("shop", "stable", requests={"GET 200": 5}, latency={3: 5})
    unrouted = VersionCounts("", "", requests={"GET 404": 1})
    shares = {("shop", "stable"): 1.0}
    assert difference(Counts((idle,)), Counts((idle, unrouted)), shares, shares) == ()


def test_a_share_is_told_only_if_it_held_all_along() -> None:
    counts = Counts((VersionCounts("shop", "stable", requests={"GET 200": 1}, latency={3: 1}),))
    none = Counts(())
    held = {("shop", "stable"): 0.9}
    assert difference(none, counts, held, held)[0].share == 0.9
    assert difference(none, counts, {("shop", "stable"): 0.8}, held)[0].share is None
    assert difference(none, counts, {}, held)[0].share is None
    assert difference(none, counts, held, {})[0].share is None


def test_shares_are_those_of_the_split_table() -> None:
    table = encode(canonical_table({"stable": 95, "canary": 5, "off": 0}))
    found = shares_of({"shop": table})
    assert {key: share for key, share in found.items() if share} == {
        ("shop", "stable"): 0.95,
        ("shop", "canary"): 0.05,
    }


def test_numbers_are_given_when_a_report_is_first_sent_and_stay() -> None:
    clock = Clock()
    backlog = Backlog(BOOT, clock)
    assert backlog.next() is None
    backlog.add(interval(0, requests(1)))
    clock.now_s = 12.0
    (first,) = everything(backlog)
    assert (first.boot, first.number, first.age_s) == (BOOT, 1, 2.0)
    assert (first.start, first.length_s, first.revision) == (START, 10.0, 0)
    clock.now_s = 15.0
    backlog.reconnected()
    assert everything(backlog) == [msgspec.structs.replace(first, age_s=5.0)]
    assert everything(backlog) == []
    backlog.answered(ReportAck(1))
    backlog.answered(ReportAck(1))
    backlog.answered(ReportAck(77))
    assert len(backlog) == 0
    backlog.add(interval(1, requests(1)))
    assert [report.number for report in everything(backlog)] == [2]


def test_no_more_than_a_few_wait_for_an_answer_and_they_are_sent_again() -> None:
    clock = Clock()
    backlog = Backlog(BOOT, clock)
    for number in range(10):
        backlog.add(interval(number, requests(1)))
    sent = [report.number for report in everything(backlog)]
    assert sent == list(range(1, MAX_IN_FLIGHT + 1))
    backlog.answered(ReportAck(2))
    assert [report.number for report in everything(backlog)] == [MAX_IN_FLIGHT + 1]
    clock.now_s = RESEND_S
    assert [report.number for report in everything(backlog)] == [1, 3, 4, 5]


def test_news_wake_whoever_sends() -> None:
    backlog = Backlog(BOOT, Clock())

    def answer() -> None:
        backlog.next()
        backlog.answered(ReportAck(1))

    def add() -> None:
        backlog.add(interval(0, requests(1)))

    for event in (add, backlog.reconnected, answer):
        backlog.news.clear()
        event()
        assert backlog.news.is_set()


def test_what_is_refused_is_lost_and_said() -> None:
    backlog = Backlog(BOOT, Clock())
    backlog.add(interval(0, requests(5)))
    everything(backlog)
    backlog.answered(ReportAck(1, "too old", 5))
    assert (backlog.lost, len(backlog)) == (5, 0)


def test_intervals_of_two_stores_are_never_merged() -> None:
    backlog = Backlog(BOOT, Clock())
    for number in range(4 * MAX_WAITING):
        backlog.add(interval(number, requests(1), store=f"s{number // 90}"))
    assert set(counts_by_store(backlog).values()) == {90}


def counts_by_store(backlog: Backlog) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in backlog._waiting:
        found[each.store] = found.get(each.store, 0) + sum(row.requests for row in each.rows)
    return found


@given(st.integers(1, 3_000))
def test_the_longer_nobody_listens_the_coarser_it_gets_and_nothing_is_lost(count: int) -> None:
    backlog = Backlog(BOOT, Clock())
    for number in range(count):
        backlog.add(interval(number, requests(1), requests(2, "canary")))
        assert len(backlog) <= MAX_WAITING
    found = []
    while reports := everything(backlog):
        found += reports
        for report in reports:
            backlog.answered(ReportAck(report.number))
    assert [report.number for report in found] == list(range(1, len(found) + 1))
    rows = [row for report in found for row in report.rows]
    assert sum(row.requests for row in rows if row.version == "stable") == count
    assert sum(row.latency[7] for row in rows if row.version == "canary") == 2 * count
    assert sum(report.length_s for report in found) == 10.0 * count
    ends = [report.start + timedelta(seconds=report.length_s) for report in found]
    assert [report.start for report in found] == [START, *ends[:-1]]


ROWS = st.lists(
    st.builds(
        ReportRow,
        service=st.sampled_from(["a", "b"]),
        version=st.sampled_from(["x", "y"]),
        segment=st.sampled_from(["", "country=de"]),
        requests=st.integers(0, 9),
        errors=st.integers(0, 9),
        latency=st.dictionaries(st.integers(0, 9), st.integers(1, 9)),
        share=st.sampled_from([None, 0.5, 1.0]),
    ),
    max_size=8,
    unique_by=lambda row: (row.service, row.version, row.segment),
).map(tuple)


@given(ROWS, ROWS)
def test_a_merged_interval_has_the_sums_of_both(
    first: tuple[ReportRow, ...], second: tuple[ReportRow, ...]
) -> None:
    whole = merged(interval(0, *first), interval(1, *second))
    assert (whole.start, whole.start_s, whole.end_s) == (START, 0.0, 20.0)
    keys = [(row.service, row.version, row.segment) for row in whole.rows]
    assert len(set(keys)) == len(keys)
    both = (*first, *second)
    for row in whole.rows:
        parts = [
            r
            for r in both
            if (r.service, r.version, r.segment) == (row.service, row.version, row.segment)
        ]
        assert row.requests == sum(part.requests for part in parts)
        assert row.errors == sum(part.errors for part in parts)
        for bucket in range(10):
            assert row.latency.get(bucket, 0) == sum(p.latency.get(bucket, 0) for p in parts)
        assert row.share == (parts[0].share if len({p.share for p in parts}) == 1 else None)


def test_an_interval_that_is_too_long_becomes_several_reports() -> None:
    """Names and histograms as long as they can be: each report still fits into a message."""
    latency = dict.fromkeys(range(LAST_BUCKET + 1), 10**6)
    name = "n" * 63
    rows = [
        ReportRow(name, f"{number:063}", f"{name}={name}", 9**15, 9**15, latency, 0.1234)
        for number in range(500)
    ] + [ReportRow("shop", "v", f"d={number}", 1) for number in range(2 * MAX_ROWS)]
    parts = list(pieces(tuple(rows)))
    assert [row for part in parts for row in part] == rows
    assert max(len(part) for part in parts) <= MAX_ROWS
    assert max(len(msgspec.json.encode(part)) for part in parts) < 2 * MAX_BYTES < 1 << 20
    backlog = Backlog(BOOT, Clock())
    backlog.add(interval(0, *rows))
    first = everything(backlog)
    assert [report.number for report in first] == [1, 2, 3, 4]
    assert {report.start for report in first} == {START}
    assert [report.goes_on for report in first] == [False, True, True, True]


def sample(*users: int) -> Sample:
    sketch = Sketch()
    for user in users:
        sketch.add(user)
    return sketch.sample()


def test_rows_say_who_was_seen_and_nobody_is_left_out() -> None:
    counters = VersionCounters("shop", "canary")
    before = Counts((counters.counts(),))
    counters.started("header")
    counters.finished("GET", 200, 0.01, 0, 0)
    after = Counts((counters.counts(),))
    shares = {("shop", "canary"): 0.05, ("shop", "stable"): 0.95}
    none = sample()
    taken = Taken(
        (
            UsersSeen("shop", "canary", "", sample(7), sample(7)),
            UsersSeen("shop", "canary", "country=de", sample(7), none),
            UsersSeen("shop", "stable", "", sample(8), none),
        )
    )
    rows = difference(before, after, shares, shares, taken)
    told = {(row.version, row.segment): row for row in rows}
    assert len(told) == len(rows) == 3
    whole = told["canary", ""]
    assert (whole.requests, whole.users, whole.erring) == (1, sample(7), sample(7))
    # Their requests were counted in the interval before.
    assert told["canary", "country=de"] == ReportRow(
        "shop", "canary", "country=de", users=sample(7), erring=none
    )
    assert told["stable", ""] == ReportRow(
        "shop", "stable", share=0.95, users=sample(8), erring=none
    )
    assert all(row.users is None for row in difference(before, after, shares, shares))


def test_merged_intervals_count_everybody_once() -> None:
    first, second = (
        msgspec.structs.replace(requests(3), users=sample(*users), erring=sample(*users[:1]))
        for users in ((1, 2), (2, 3))
    )
    (both,) = merged(interval(0, first), interval(1, second)).rows
    assert (both.requests, both.users, both.erring) == (6, sample(1, 2, 3), sample(1, 2))
    (kept,) = merged(interval(0, first), interval(1, requests(1))).rows
    assert kept.users == first.users


def test_pieces_fit_with_all_the_users_there_can_be() -> None:
    full = sample(*range(256))
    rows = tuple(
        ReportRow("s" * 63, f"v{number}", users=full, erring=full) for number in range(500)
    )
    parts = list(pieces(rows))
    assert tuple(row for part in parts for row in part) == rows
    assert max(len(msgspec.json.encode(part)) for part in parts) < 1.1 * MAX_BYTES
