"""Owns which reports count, when they were, and that each counts once. Pure.

A proxy's wall clock is believed within ``MAX_SKEW_S``. Beyond that its monotonic clock is, which
says how long before the sending the interval ended: the rest is the arrival.

Source: the anti-replay window of IPsec (RFC 4303 §3.4.3) for counting once; docs/adr/0022.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from proxy.model.config import Service, Traffic
from proxy.model.spread import WIDTH, check, columns
from proxy.model.users import users_in
from proxy.model.wire import Report, ReportRow

MAX_SKEW_S: Final = 5.0
"""Between what a proxy says and when it can have been."""
MAX_AGE_S: Final = 7 * 86_400.0
"""From the beginning of an interval to its arrival. Which reports were counted is remembered for
longer (``REMEMBERED_S``), so that none can outlive that."""
REMEMBERED_S: Final = MAX_AGE_S + 86_400.0
MAX_RATE: Final = 10_000_000
"""Requests a second that no proxy serves."""
WINDOW: Final = 60
"""Numbers below the newest one of a proxy that are told apart. A proxy has far fewer unanswered
(``proxy.sync.report.MAX_IN_FLIGHT``); what is older still counts as seen."""
_MASK: Final = (1 << WINDOW) - 1
_OTHER: Final = "other"


class Seen(NamedTuple):
    """Which reports of one life of a proxy were counted."""

    newest: int = 0
    mask: int = 0
    """Bit ``i``: the report ``newest - i`` was."""

    def with_(self, number: int) -> "Seen | None":
        """With one more; None if it was counted before, or may have been."""
        ahead = number - self.newest
        if ahead > 0:
            return Seen(number, (self.mask << min(ahead, WINDOW) | 1) & _MASK)
        bit = 1 << -ahead if -ahead < WINDOW else 0
        if not bit or self.mask & bit:
            return None
        return Seen(self.newest, self.mask | bit)


class Names(NamedTuple):
    """What rows may be about in one service."""

    versions: frozenset[str]
    segments: frozenset[str]
    """``dimension=value``, and the empty one."""


def names_of(service: Service) -> Names:
    """What a service declares."""
    segments = {""}
    for dimension, segment in service.segments.items():
        values = (*segment.values, *(segment.networks or ()), _OTHER)
        segments.update(f"{dimension}={value}" for value in values)
    return Names(frozenset(service.versions), frozenset(segments))


class Known:
    """Every name that any of some revisions declares."""

    def __init__(self) -> None:
        self._services: dict[str, Names] = {}

    def learn(self, traffic: Traffic) -> None:
        """Takes a revision's names in."""
        for name, service in traffic.services.items():
            new, old = names_of(service), self._services.get(name)
            if old is not None:
                new = Names(new.versions | old.versions, new.segments | old.segments)
            self._services[name] = new

    def has(self, row: ReportRow) -> bool:
        """Whether there is, or was, what a row is about."""
        names = self._services.get(row.service)
        return names is not None and row.version in names.versions and row.segment in names.segments

    def has_all(self, rows: Iterable[ReportRow]) -> bool:
        """The same of all of them."""
        return all(map(self.has, rows))


class Screened(NamedTuple):
    """What of a report counts."""

    start_s: float
    """Unix time."""
    rows: Collection[ReportRow]
    refused: str = ""
    """Why the rest does not."""
    lost: int = 0
    """The requests of the rest."""


def begun_at_s(report: Report, arrived: datetime) -> float:
    """When a report's interval began, Unix time."""
    by_arrival_s = arrived.timestamp() - report.age_s - report.length_s
    told_s = report.start.timestamp()
    return told_s if abs(told_s - by_arrival_s) <= MAX_SKEW_S else by_arrival_s


def refusal_of(report: Report, store: str) -> str:
    """Why a report is not looked at any closer; empty when it is.

    Args:
        store: the id of ours.
    """
    if report.store != store:
        return f"store: {report.store[:40]!r} is not this control plane's, which is {store!r}"
    if report.age_s + report.length_s > MAX_AGE_S:
        return f"age_s: it begins more than {MAX_AGE_S / 86_400:g} days ago; too late to count"
    return ""


def screen(report: Report, arrived: datetime, known: Known) -> Screened:
    """What counts of a report that is not refused as a whole.

    Args:
        arrived: when it came, UTC.
        known: the names of its revision, and of those around it.
    """
    most = MAX_RATE * max(report.length_s, 1.0)
    good: list[ReportRow] = []
    why, lost = "", 0
    for index, row in enumerate(report.rows):
        flaw = _flaw(row, most) if known.has(row) else _unknown(row)
        if not flaw:
            good.append(row)
            continue
        why = why or f"rows[{index}]: {flaw}"
        if not (row.segment or row.endpoint):
            lost += row.requests
    return Screened(begun_at_s(report, arrived), good, why, lost)


def requests_in(rows: Iterable[ReportRow]) -> int:
    """Each request once: by segment and by endpoint they are told again."""
    return sum(row.requests for row in rows if not (row.segment or row.endpoint))


def _unknown(row: ReportRow) -> str:
    what = f"{row.service!r}, version {row.version!r}"
    what += f", segment {row.segment!r}" if row.segment else ""
    return f"no revision around the report's has service {what}"


def _flaw(row: ReportRow, most: float) -> str:
    if row.requests > most:
        return f"requests: {row.requests} in so short an interval"
    if row.errors > row.requests:
        return f"errors: {row.errors} of {row.requests} requests"
    timed = sum(row.latency.values())
    # Early proxies time no segments.
    if timed != row.requests and (timed or not row.segment):
        return f"latency: it has {timed} of {row.requests} requests"
    if row.endpoint and row.segment:
        return "endpoint: it is told of none by segment"
    return _users_flaw(row) or _spread_flaw(row, most)


def _spread_flaw(row: ReportRow, most: float) -> str:
    if row.spread is None:
        return ""
    try:
        check(row.spread, 1 if row.endpoint else WIDTH)
    except ValueError as error:
        return str(error)
    # Not the row's own requests: those that ended between two looks are in the row before.
    requests = sum(columns(row.spread)[0])
    return f"spread: {requests} requests in so short an interval" if requests > most else ""


def _users_flaw(row: ReportRow) -> str:
    for name, sample in (("users", row.users), ("erring", row.erring)):
        if sample is not None:
            try:
                users_in(sample)
            except ValueError as error:
                return f"{name}: {error}"
    return ""
