"""Owns what one process counts, and the sums over processes. Never exposes them (``exposition``).

Each version has one ``VersionCounters`` for the life of the process, whatever snapshots come and
go, so that no figure but a gauge ever falls. Counting is plain attribute, list and dict work: it
runs twice or more in every request. The rest of the module turns counters into ``wire.Counts`` and
adds those up; a worker that died stays in the sum with the last figures it told.

Source: design/performance.md ("Count into plain lists") and design/reliability.md row 13.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from proxy.model.spread import WIDTH, Tally
from proxy.model.users import Sketch
from proxy.model.wire import (
    Counts,
    Edges,
    EndpointStates,
    ReportRow,
    Taken,
    UsersSeen,
    VersionCounts,
)
from proxy.telemetry.histogram import BUCKETS, EDGES

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
OTHER: Final = "OTHER"
"""The label of every method that is not standard: clients choose those, and labels are bounded."""
LOWEST_CODE, HIGHEST_CODE = 100, 599
"""RFC 9110 §15: anything outside is not a status code; it is counted as ``OTHER`` too."""


class _Seen:
    """Who was seen by one version, in one segment of its audience."""

    __slots__ = ("erring", "tally", "users")

    def __init__(self, edges: Edges, before: "_Seen | None") -> None:
        self.users: Sketch = Sketch() if before is None else before.users
        self.erring: Sketch = Sketch() if before is None else before.erring
        self.tally = Tally(edges, WIDTH)

    def told(self, service: str, version: str, segment: str) -> UsersSeen:
        """What there is to tell."""
        spread = self.tally.spread()
        if not len(self.users):  # requests of nobody
            return UsersSeen(service, version, segment, None, None, spread)
        users, erring = self.users.sample(), self.erring.sample()
        return UsersSeen(service, version, segment, users, erring, spread)


class _Served:
    """What requests met whose first attempt was at one endpoint."""

    __slots__ = ("latency", "tally")

    def __init__(self, edges: Edges) -> None:
        self.latency: dict[int, int] = {}
        self.tally = Tally(edges, 1)

    def told(self, service: str, version: str, endpoint: str) -> ReportRow:
        """What there is to tell."""
        spread = self.tally.spread()
        requests, errors = spread.counts[:2]
        return ReportRow(
            service,
            version,
            requests=requests,
            errors=errors,
            latency=self.latency,
            endpoint=endpoint,
            spread=spread,
        )


class VersionCounters:
    """Counts one version's requests (``proxy.net.observer.VersionObserver``)."""

    __slots__ = (
        "_assignments",
        "_attempts",
        "_codes",
        "_ejections",
        "_errors",
        "_in_flight",
        "_latency",
        "_other_codes",
        "_request_bytes",
        "_response_bytes",
        "_seconds",
        "_seen",
        "_segment_errors",
        "_segment_latency",
        "_segments",
        "_served",
        "_tunnels",
        "service",
        "version",
    )

    def __init__(self, service: str, version: str) -> None:
        self.service = service
        self.version = version
        self._other_codes: dict[int, int] = {}
        self._codes: dict[str, dict[int, int]] = {method: {} for method in METHODS}
        self._latency = [0] * BUCKETS
        self._seconds = 0.0
        self._attempts: dict[str, int] = {}
        self._assignments: dict[str, int] = {}
        self._ejections = 0
        self._errors = 0
        self._segments: dict[str, int] = {}
        self._segment_errors: dict[str, int] = {}
        self._segment_latency: dict[str, dict[int, int]] = {}
        self._in_flight = 0
        self._tunnels = 0
        self._request_bytes = 0
        self._response_bytes = 0
        self._seen: dict[str, _Seen] = {}
        self._served: dict[str, _Served] = {}

    @property
    def in_flight(self) -> int:
        """Requests in hand."""
        return self._in_flight

    def started(self, source: str) -> None:
        """A request was given to this version by ``source``."""
        self._in_flight += 1
        try:
            self._assignments[source] += 1
        except KeyError:
            self._assignments[source] = 1

    def attempted(self, outcome: str) -> None:
        """One try against an endpoint ended with ``outcome``."""
        try:
            self._attempts[outcome] += 1
        except KeyError:
            self._attempts[outcome] = 1

    def finished(
        self, method: str, status: int, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """A started request is over."""
        self._in_flight -= 1
        codes = self._codes.get(method, self._other_codes)
        try:
            codes[status] += 1
        except KeyError:
            codes[status] = 1
        # histogram.bucket, without the call.
        self._latency[bisect_left(EDGES, seconds)] += 1
        self._seconds += seconds
        self._request_bytes += request_bytes
        self._response_bytes += response_bytes

    def charged(self) -> None:
        """The first attempt of a finished request was an error."""
        self._errors += 1

    def belonged(
        self, segments: tuple[str, ...], status: int, seconds: float, *, charged: bool
    ) -> None:
        """A finished request was one of these segments'."""
        known = LOWEST_CODE <= status <= HIGHEST_CODE
        kind = f" {status // 100}xx" if known else f" {OTHER}"
        counts, latency = self._segments, self._segment_latency
        bucket = bisect_left(EDGES, seconds)
        for segment in segments:
            key = segment + kind
            counts[key] = counts.get(key, 0) + 1
            buckets = latency.get(segment)
            if buckets is None:
                buckets = latency[segment] = {}
            buckets[bucket] = buckets.get(bucket, 0) + 1
        if charged:
            errors = self._segment_errors
            for segment in segments:
                errors[segment] = errors.get(segment, 0) + 1

    def saw(
        self, user: int, segments: tuple[str, ...], seconds: float, edges: Edges, *, charged: bool
    ) -> None:
        """A finished request was this user's, 0 for nobody's, and of these segments."""
        latency = bisect_left(EDGES, seconds)
        self._saw("", user, latency, edges, charged)
        for segment in segments:
            self._saw(segment, user, latency, edges, charged)

    def _saw(self, segment: str, user: int, latency: int, edges: Edges, charged: bool) -> None:
        seen = self._seen.get(segment)
        # Other edges: what was counted by those before belongs to a split that is over.
        if seen is None or seen.tally.edges != edges:
            seen = self._seen[segment] = _Seen(edges, seen)
        seen.tally.add(user, latency, charged=charged)
        if user:
            seen.users.add(user)
            if charged:
                seen.erring.add(user)

    def served(self, endpoint: str, seconds: float, edges: Edges, *, charged: bool) -> None:
        """Of a finished request, the first attempt was at this endpoint."""
        served = self._served.get(endpoint)
        if served is None or served.tally.edges != edges:
            served = self._served[endpoint] = _Served(edges)
        bucket = bisect_left(EDGES, seconds)
        served.tally.add(0, bucket, charged=charged)
        served.latency[bucket] = served.latency.get(bucket, 0) + 1

    def take(self) -> tuple[list[UsersSeen], list[ReportRow]]:
        """What was seen since the last time: by whom, and at which endpoints."""
        seen, self._seen = self._seen, {}
        served, self._served = self._served, {}
        return (
            [each.told(self.service, self.version, segment) for segment, each in seen.items()],
            [each.told(self.service, self.version, name) for name, each in served.items()],
        )

    def ejected(self) -> None:
        """An endpoint was ejected."""
        self._ejections += 1

    def tunnels(self, change: int) -> None:
        """So many tunnels more, or fewer, are open."""
        self._tunnels += change

    def moved(self, request_bytes: int, response_bytes: int) -> None:
        """Bytes went through a tunnel."""
        self._request_bytes += request_bytes
        self._response_bytes += response_bytes

    def counts(self) -> VersionCounts:
        """The figures so far, detached from the counters."""
        return VersionCounts(
            service=self.service,
            version=self.version,
            requests=self._requests(),
            latency={i: count for i, count in enumerate(self._latency) if count},
            latency_sum_s=self._seconds,
            # str() takes the plain text out of an Outcome: a key on the wire is a str and no more.
            attempts={str(outcome): count for outcome, count in self._attempts.items()},
            # Requests that reached no service were assigned by nobody.
            assignments={str(source): n for source, n in self._assignments.items() if source},
            in_flight=self._in_flight,
            tunnels=self._tunnels,
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
            ejections=self._ejections,
            segments=dict(self._segments),
            errors=self._errors,
            segment_errors=dict(self._segment_errors),
            segment_latency={
                segment: dict(buckets) for segment, buckets in self._segment_latency.items()
            },
        )

    def _requests(self) -> dict[str, int]:
        requests: dict[str, int] = {}
        for method, codes in (*self._codes.items(), (OTHER, self._other_codes)):
            for code, count in codes.items():
                known = LOWEST_CODE <= code <= HIGHEST_CODE
                key = f"{method} {code if known else OTHER}"
                requests[key] = requests.get(key, 0) + count
        return requests


class Registry:
    """Every version's counters in one process. Nothing is ever taken out."""

    def __init__(self) -> None:
        self.unrouted = VersionCounters("", "")
        """For requests that reached no service: refused heads, no route, no endpoint to ask."""
        self._versions: dict[tuple[str, str], VersionCounters] = {}
        self._copies: dict[tuple[str, str], VersionCounters] = {}

    def version(self, service: str, version: str) -> VersionCounters:
        """The counters of a version: the same ones each time it is asked for."""
        return _counters(self._versions, service, version)

    def copies(self, service: str, version: str) -> VersionCounters:
        """As ``version``, of mirrored requests."""
        return _counters(self._copies, service, version)

    def take(self) -> Taken:
        """What was seen in this process since the last time."""
        taken = [each.take() for each in self._versions.values()]
        return Taken(
            tuple(each for seen, _ in taken for each in seen),
            tuple(row for _, rows in taken for row in rows),
        )

    def counts(
        self,
        *,
        connections: int = 0,
        log_dropped: int = 0,
        shed: dict[str, int] | None = None,
        endpoints: tuple[EndpointStates, ...] = (),
        copies_dropped: int = 0,
    ) -> Counts:
        """Everything counted in this process so far.

        Args:
            connections: clients' connections open now.
            log_dropped: access log lines dropped so far.
            shed: refused for overload so far, by reason.
            endpoints: of the revision in force.
            copies_dropped: mirrored requests that were not sent.
        """
        every = (self.unrouted, *self._versions.values())
        return Counts(
            versions=tuple(counters.counts() for counters in every),
            connections=connections,
            log_dropped=log_dropped,
            shed=dict(shed or {}),
            endpoints=endpoints,
            copies=tuple(counters.counts() for counters in self._copies.values()),
            copies_dropped=copies_dropped,
        )


def _counters(
    known: dict[tuple[str, str], VersionCounters], service: str, version: str
) -> VersionCounters:
    key = (service, version)
    counters = known.get(key)
    if counters is None:
        counters = known[key] = VersionCounters(service, version)
    return counters


def merge(parts: Iterable[Counts]) -> Counts:
    """The sum of several processes' counts, versions in the order of their names."""
    parts = tuple(parts)
    return Counts(
        versions=_versions(part.versions for part in parts),
        connections=sum(part.connections for part in parts),
        log_dropped=sum(part.log_dropped for part in parts),
        shed=_sum(part.shed for part in parts),
        endpoints=_endpoints(parts),
        copies=_versions(part.copies for part in parts),
        copies_dropped=sum(part.copies_dropped for part in parts),
    )


def _versions(parts: Iterable[tuple[VersionCounts, ...]]) -> tuple[VersionCounts, ...]:
    sums: dict[tuple[str, str], VersionCounts] = {}
    for part in parts:
        for counts in part:
            key = (counts.service, counts.version)
            if key not in sums:
                sums[key] = VersionCounts(*key)
            _add(sums[key], counts)
    return tuple(sums[key] for key in sorted(sums))


def _endpoints(parts: Iterable[Counts]) -> tuple[EndpointStates, ...]:
    sums: dict[tuple[str, str, str], EndpointStates] = {}
    for part in parts:
        for states in part.endpoints:
            key = (states.service, states.version, states.endpoint)
            total = sums.setdefault(key, EndpointStates(*key))
            for name in ("used", "ejected", "unhealthy", "unknown", "off", "busy"):
                setattr(total, name, getattr(total, name) + getattr(states, name))
    return tuple(sums[key] for key in sorted(sums))


def _sum(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for part in parts:
        for key, count in part.items():
            sums[key] = sums.get(key, 0) + count
    return sums


def _add(total: VersionCounts, part: VersionCounts) -> None:
    for key, count in part.requests.items():
        total.requests[key] = total.requests.get(key, 0) + count
    for bucket, count in part.latency.items():
        total.latency[bucket] = total.latency.get(bucket, 0) + count
    for outcome, count in part.attempts.items():
        total.attempts[outcome] = total.attempts.get(outcome, 0) + count
    for source, count in part.assignments.items():
        total.assignments[source] = total.assignments.get(source, 0) + count
    total.ejections += part.ejections
    for segment, count in part.segments.items():
        total.segments[segment] = total.segments.get(segment, 0) + count
    total.errors += part.errors
    for segment, count in part.segment_errors.items():
        total.segment_errors[segment] = total.segment_errors.get(segment, 0) + count
    for segment, buckets in part.segment_latency.items():
        sums = total.segment_latency.setdefault(segment, {})
        for bucket, count in buckets.items():
            sums[bucket] = sums.get(bucket, 0) + count
    total.latency_sum_s += part.latency_sum_s
    total.in_flight += part.in_flight
    total.tunnels += part.tunnels
    total.request_bytes += part.request_bytes
    total.response_bytes += part.response_bytes


def what_remains(counts: Counts) -> Counts:
    """What a dead process leaves behind: all it counted, but nothing that was open."""
    kept = merge([counts])
    for version in (*kept.versions, *kept.copies):
        version.in_flight = version.tunnels = 0
    return Counts(
        versions=kept.versions,
        log_dropped=kept.log_dropped,
        shed=kept.shed,
        copies=kept.copies,
        copies_dropped=kept.copies_dropped,
    )


class FleetCounts:
    """The sum over a supervisor's workers; never goes back when one is respawned.

    Call ``joined`` when a worker starts, ``told`` with each of its ``Counts``, ``left`` when it is
    dead. An id may be used again (a slot's number, a pid): ``joined`` parts the lives.
    """

    def __init__(self) -> None:
        self._latest: dict[int, Counts] = {}
        self._retained = Counts(versions=())

    def joined(self, worker: int) -> None:
        """A worker has started from zero."""
        self.left(worker)
        self._latest[worker] = Counts(versions=())

    def told(self, worker: int, counts: Counts) -> None:
        """A worker's counts since it started. From one that has left it is ignored: what it left
        behind is in the sum already."""
        if worker in self._latest:
            self._latest[worker] = counts

    def left(self, worker: int) -> None:
        """A worker is dead."""
        last = self._latest.pop(worker, None)
        if last is not None:
            self._retained = merge([self._retained, what_remains(last)])

    def total(self) -> Counts:
        """The sum over the living and the dead."""
        return merge([self._retained, *self._latest.values()])
