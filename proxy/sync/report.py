"""Owns what is still to be reported: differences of counters, their numbers, what was answered.

Never sends anything, and loses nothing unsaid. An interval gets its number when it is first sent.
From then on it stays as it is, so that it can be sent again and counted once; those that were never
sent are merged into longer ones where they grow too many. Figures are differences of what this
process has counted in its own life: there is none before it, so there is no negative one after it.

Source: docs/adr/0022.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from proxy.core.slot import SLOTS
from proxy.model.taken import summed
from proxy.model.wire import (
    MAX_INTERVAL_S,
    MAX_ROWS,
    Counts,
    Report,
    ReportAck,
    ReportRow,
    SplitTable,
    Taken,
    VersionCounts,
)

LOG = logging.getLogger("splitway.sync.report")

_T = TypeVar("_T", str, int)

MAX_WAITING = 180
"""Intervals that were never sent: half an hour of ten seconds each, before the older ones are
merged two by two."""
MAX_IN_FLIGHT = 4
"""Sent and not answered: a control plane that is slow is not sent more."""
RESEND_S = 30.0
"""Without an answer a report is sent again; a control plane that had no room does not answer."""
MAX_BYTES = 400_000
"""Of one report, about: the control plane takes messages of up to 1 MiB."""
_ROW_BYTES, _BUCKET_BYTES, _COUNT_BYTES = 700, 12, 8
"""At most, with names of 63 characters and an endpoint of 300."""

NOTHING = Taken()

Shares = Mapping[tuple[str, str], float]
"""By service and version, 0 to 1."""


class Interval(NamedTuple):
    """What was counted in a while."""

    start: datetime
    start_s: float
    """Monotonic."""
    end_s: float
    store: str
    revision: int
    rows: tuple[ReportRow, ...]


def shares_of(tables: Mapping[str, SplitTable]) -> dict[tuple[str, str], float]:
    """The share of the users that each version has by the split tables."""
    shares = {}
    for service, table in tables.items():
        slots = dict.fromkeys(range(len(table.versions)), 0)
        for version, count in zip(table.runs[::2], table.runs[1::2], strict=True):
            slots[version] += count
        for version, name in enumerate(table.versions):
            shares[service, name] = slots[version] / SLOTS
    return shares


def difference(
    before: Counts,
    after: Counts,
    shares_before: Shares,
    shares_after: Shares,
    taken: Taken = NOTHING,
) -> tuple[ReportRow, ...]:
    """What was counted between two looks at the same counters. What counted nothing has no row: the
    report says by itself that somebody looked."""
    shares = {key: share for key, share in shares_after.items() if share == shares_before.get(key)}
    known = {(counts.service, counts.version): counts for counts in before.versions}
    now = {(counts.service, counts.version): counts for counts in after.versions}
    rows: list[ReportRow] = []
    for key, counts in now.items():
        then = known.get(key, VersionCounts(*key))
        requests = sum(counts.requests.values()) - sum(then.requests.values())
        if not requests or not key[0]:  # those without a name reached no service
            continue
        rows.append(
            ReportRow(
                *key,
                requests=requests,
                errors=counts.errors - then.errors,
                latency=_grown(then.latency, counts.latency),
                share=shares.get(key),
            )
        )
        rows += _by_segment(key, then, counts)
    return (*_with_users(rows, taken, shares), *taken.served)


def _with_users(rows: Iterable[ReportRow], taken: Taken, shares: Shares) -> Iterator[ReportRow]:
    """The rows, each with whom it was counted for. A request that ended between the two looks is in
    one interval and its user in the next: then there may be a row of users alone."""
    seen = {(each.service, each.version, each.segment): each for each in taken.seen}
    for row in rows:
        each = seen.pop((row.service, row.version, row.segment), None)
        if each is None:
            yield row
        else:
            yield msgspec.structs.replace(
                row, users=each.users, erring=each.erring, spread=each.spread
            )
    for (service, version, segment), each in seen.items():
        share = None if segment else shares.get((service, version))
        yield ReportRow(
            service,
            version,
            segment,
            share=share,
            users=each.users,
            erring=each.erring,
            spread=each.spread,
        )


def _by_segment(
    key: tuple[str, str], before: VersionCounts, after: VersionCounts
) -> Iterator[ReportRow]:
    requests: dict[str, int] = {}
    for name, count in _grown(before.segments, after.segments).items():
        segment = name.partition(" ")[0]  # what follows is the class of status
        requests[segment] = requests.get(segment, 0) + count
    errors = _grown(before.segment_errors, after.segment_errors)
    for segment, count in requests.items():
        latency = _grown(
            before.segment_latency.get(segment, {}), after.segment_latency.get(segment, {})
        )
        yield ReportRow(*key, segment, count, errors.get(segment, 0), latency)


def _grown(before: Mapping[_T, int], after: Mapping[_T, int]) -> dict[_T, int]:
    return {key: more for key, count in after.items() if (more := count - before.get(key, 0))}


def merged(first: Interval, second: Interval) -> Interval:
    """Two intervals, one after the other, as one."""
    rows = summed((*first.rows, *second.rows))
    return second._replace(start=first.start, start_s=first.start_s, rows=rows)


def pieces(rows: tuple[ReportRow, ...]) -> Iterator[tuple[ReportRow, ...]]:
    """The rows in parts that each fit into a message."""
    part: list[ReportRow] = []
    size = 0
    for row in rows:
        row_bytes = _ROW_BYTES + _BUCKET_BYTES * len(row.latency)
        row_bytes += sum(len(each.users) * 4 // 3 for each in (row.users, row.erring) if each)
        row_bytes += _COUNT_BYTES * len(row.spread.counts) if row.spread else 0
        if part and (size + row_bytes > MAX_BYTES or len(part) == MAX_ROWS):
            yield tuple(part)
            part, size = [], 0
        part.append(row)
        size += row_bytes
    yield tuple(part)


class _Sent:
    """A report that was sent and not answered."""

    __slots__ = ("again_s", "end_s", "report")

    def __init__(self, report: Report, end_s: float) -> None:
        self.report = report
        self.end_s = end_s
        self.again_s = 0.0


class Backlog:
    """What one life of a proxy has still to report.

    Args:
        boot: names this life.
        monotonic_s: the clock of the intervals.

    Attributes:
        news: set when there may be something to send.
        lost: requests that the control plane refused to count.
    """

    def __init__(self, boot: str, monotonic_s: Callable[[], float]) -> None:
        self.news = asyncio.Event()
        self._boot = boot
        self._monotonic_s = monotonic_s
        self._waiting: deque[Interval] = deque()
        self._cut: deque[tuple[Interval, tuple[ReportRow, ...], bool]] = deque()
        """Parts of an interval that is too long for one report."""
        self._sent: dict[int, _Sent] = {}
        self._number = 0
        self.lost = 0

    def __len__(self) -> int:
        """Reports that are not counted yet."""
        return len(self._waiting) + len(self._cut) + len(self._sent)

    def add(self, interval: Interval) -> None:
        """An interval is over."""
        self._waiting.append(interval)
        if len(self._waiting) > MAX_WAITING:
            self._shorten()
        self.news.set()

    def next(self) -> Report | None:
        """What to send now, if anything; ask until there is nothing."""
        now_s = self._monotonic_s()
        for sent in self._sent.values():
            if sent.again_s <= now_s:
                return self._sending(sent, now_s)
        if len(self._sent) >= MAX_IN_FLIGHT or not (self._cut or self._waiting):
            return None
        if not self._cut:
            whole = self._waiting.popleft()
            parts = enumerate(pieces(whole.rows))
            self._cut.extend((whole, rows, place > 0) for place, rows in parts)
        interval, rows, goes_on = self._cut.popleft()
        self._number += 1
        report = Report(
            boot=self._boot,
            number=self._number,
            store=interval.store,
            revision=interval.revision,
            start=interval.start,
            length_s=min(max(interval.end_s - interval.start_s, 1e-6), MAX_INTERVAL_S),
            age_s=0.0,
            rows=rows,
            goes_on=goes_on,
        )
        sent = self._sent[self._number] = _Sent(report, interval.end_s)
        return self._sending(sent, now_s)

    def answered(self, ack: ReportAck) -> None:
        """The control plane has counted a report, or will never."""
        sent = self._sent.pop(ack.number, None)
        if sent is None:
            return  # an answer to what was sent twice
        if ack.refused:
            self.lost += ack.lost
            LOG.error("report %d: %d requests are lost: %s", ack.number, ack.lost, ack.refused)
        self.news.set()

    def reconnected(self) -> None:
        """On a new connection everything without an answer is sent again."""
        for sent in self._sent.values():
            sent.again_s = 0.0
        self.news.set()

    def _sending(self, sent: _Sent, now_s: float) -> Report:
        sent.again_s = now_s + RESEND_S
        age_s = min(max(now_s - sent.end_s, 0.0), MAX_INTERVAL_S)
        return msgspec.structs.replace(sent.report, age_s=age_s)

    def _shorten(self) -> None:
        """Merge the older half two by two: the longer nobody listens, the coarser the oldest."""
        half = len(self._waiting) // 4
        pairs = [(self._waiting.popleft(), self._waiting.popleft()) for _ in range(half)]
        for first, second in reversed(pairs):
            if first.store == second.store:
                self._waiting.appendleft(merged(first, second))
            else:
                self._waiting.extendleft((second, first))
