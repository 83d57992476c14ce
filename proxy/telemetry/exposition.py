"""Owns the Prometheus metrics: names, labels, help texts. The only importer of prometheus_client.

Reads a ``ProxyState`` at scrape time and never counts anything itself. Every label value is
bounded: names from the configuration, standard methods, status codes, our own enumerations.
``docs/metrics.md`` lists what is here; a test holds the two together.

Source: design/product.md ("Measured by Prometheus names").
"""

from collections.abc import Callable, Iterator

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from proxy.model.wire import Counts, EndpointStates, SourceState, VersionCounts
from proxy.telemetry.histogram import COARSE_EDGES, fold

_LES = (*map(floatToGoString, COARSE_EDGES), "+Inf")
_BY_VERSION = ("service", "version")


class ProxyState(msgspec.Struct, frozen=True):
    """All that a scrape tells, at one moment."""

    counts: Counts
    """Over all workers, those of the past included (``metrics.FleetCounts``)."""
    revision: int
    """In force now."""
    release: str
    """The proxy's own software version."""
    rejected: int = 0
    """Configurations refused since the start, from the file or the control plane."""
    control_connected: bool | None = None
    """None where no control plane is configured."""
    reports_waiting: int = 0
    """For the control plane to count them."""
    report_requests_lost: int = 0
    """In reports that the control plane refused."""
    shares: dict[tuple[str, str], float] = {}
    """Share in force (0–1) by service and version."""
    worker_restarts: int = 0
    """Workers started in place of one that died."""
    sources: tuple[SourceState, ...] = ()
    """Of endpoints that are found rather than listed."""
    shown_segments: frozenset[tuple[str, str]] = frozenset()
    """Services and their dimensions that are to be shown."""


class SplitwayCollector(Collector):
    """Hands ``ProxyState`` to prometheus_client as metric families."""

    def __init__(self, state: Callable[[], ProxyState]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Every family, from one look at the state."""
        state = self._state()
        versions = state.counts.versions
        yield _requests(versions, "splitway_requests", _FINISHED)
        yield _durations(versions, "splitway_request_duration_seconds", _LASTED)
        yield _attempts(versions)
        yield _in_flight(versions)
        yield _tunnels(versions)
        yield from _bytes(versions)
        yield _assignments(versions)
        copies = state.counts.copies
        yield _requests(copies, "splitway_mirror_requests", "Mirrored requests, by their answers.")
        yield _durations(copies, "splitway_mirror_duration_seconds", "How long they took.")
        yield _healthy(state.counts.endpoints)
        yield _ejections(versions)
        if state.sources:
            yield from _sources(state.sources)
        if state.shown_segments:
            yield _segments(versions, state.shown_segments)
        yield _weights(state.shares)
        yield from _process_wide(state)


def render(state: ProxyState, accept: str) -> tuple[bytes, str]:
    """The exposition of a state.

    Args:
        state: what to expose.
        accept: the scraper's Accept header; OpenMetrics is sent to who asks for it.

    Returns:
        The body and its content type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SplitwayCollector(lambda: state))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


_FINISHED = "Requests finished, by what the client was sent; code 499: the client left before."
_LASTED = "From the request's head to the last byte of its response."


def _requests(versions: tuple[VersionCounts, ...], name: str, said: str) -> Metric:
    family = CounterMetricFamily(name, said, labels=(*_BY_VERSION, "method", "code"))
    for of in versions:
        for key, count in of.requests.items():
            method, _, code = key.partition(" ")
            family.add_metric((of.service, of.version, method, code), count)
    return family


def _durations(versions: tuple[VersionCounts, ...], name: str, said: str) -> Metric:
    family = HistogramMetricFamily(name, said, labels=_BY_VERSION)
    for of in versions:
        buckets = list(zip(_LES, fold(of.latency), strict=True))
        family.add_metric((of.service, of.version), buckets, of.latency_sum_s)
    return family


def _attempts(versions: tuple[VersionCounts, ...]) -> Metric:
    family = CounterMetricFamily(
        "splitway_upstream_attempts",
        "Tries against endpoints, by what came of them.",
        labels=(*_BY_VERSION, "outcome"),
    )
    for of in versions:
        for outcome, count in of.attempts.items():
            family.add_metric((of.service, of.version, outcome), count)
    return family


def _assignments(versions: tuple[VersionCounts, ...]) -> Metric:
    family = CounterMetricFamily(
        "splitway_assignments",
        "Requests given to a version, by the source that decided.",
        labels=(*_BY_VERSION, "source"),
    )
    for of in versions:
        for source, count in of.assignments.items():
            family.add_metric((of.service, of.version, source), count)
    return family


def _in_flight(versions: tuple[VersionCounts, ...]) -> Metric:
    family = GaugeMetricFamily(
        "splitway_requests_in_flight", "Requests started and not finished.", labels=_BY_VERSION
    )
    for of in versions:
        family.add_metric((of.service, of.version), of.in_flight)
    return family


def _tunnels(versions: tuple[VersionCounts, ...]) -> Metric:
    family = GaugeMetricFamily(
        "splitway_tunnels", "Tunnels (WebSockets) open now.", labels=_BY_VERSION
    )
    for of in versions:
        family.add_metric((of.service, of.version), of.tunnels)
    return family


def _healthy(endpoints: tuple[EndpointStates, ...]) -> Metric:
    family = GaugeMetricFamily(
        "splitway_endpoint_healthy",
        "Part of the worker processes that give an endpoint requests.",
        labels=(*_BY_VERSION, "endpoint"),
    )
    for of in endpoints:
        every = of.used + of.ejected + of.unhealthy + of.unknown + of.off
        family.add_metric((of.service, of.version, of.endpoint), of.used / max(1, every))
    return family


def _segments(versions: tuple[VersionCounts, ...], shown: frozenset[tuple[str, str]]) -> Metric:
    family = CounterMetricFamily(
        "splitway_segment_requests",
        "Requests finished, by segment of the audience and class of status.",
        labels=(*_BY_VERSION, "dimension", "value", "class"),
    )
    for of in versions:
        for key, count in of.segments.items():
            segment, _, kind = key.partition(" ")
            dimension, _, value = segment.partition("=")
            if (of.service, dimension) in shown:
                family.add_metric((of.service, of.version, dimension, value, kind), count)
    return family


def _ejections(versions: tuple[VersionCounts, ...]) -> Metric:
    family = CounterMetricFamily(
        "splitway_endpoint_ejections",
        "Times an endpoint was ejected for what its requests met.",
        labels=_BY_VERSION,
    )
    for of in versions:
        if of.service:
            family.add_metric((of.service, of.version), of.ejections)
    return family


def _bytes(versions: tuple[VersionCounts, ...]) -> Iterator[Metric]:
    received = CounterMetricFamily(
        "splitway_request_bytes", "Bytes of request bodies from clients.", labels=_BY_VERSION
    )
    sent = CounterMetricFamily(
        "splitway_response_bytes", "Bytes of response bodies to clients.", labels=_BY_VERSION
    )
    for of in versions:
        received.add_metric((of.service, of.version), of.request_bytes)
        sent.add_metric((of.service, of.version), of.response_bytes)
    yield received
    yield sent


def _sources(sources: tuple[SourceState, ...]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "splitway_discovery_up", "1 while a source of endpoints answers.", labels=["source"]
    )
    endpoints = GaugeMetricFamily(
        "splitway_discovery_endpoints", "Endpoints that it found last.", labels=["source"]
    )
    failures = CounterMetricFamily(
        "splitway_discovery_failures", "How often it did not answer.", labels=["source"]
    )
    for source in sources:
        up.add_metric([source.source], 0 if source.trouble else 1)
        endpoints.add_metric([source.source], source.endpoints)
        failures.add_metric([source.source], source.failures)
    yield from (up, endpoints, failures)


def _weights(shares: dict[tuple[str, str], float]) -> Metric:
    family = GaugeMetricFamily(
        "splitway_split_weight", "Share of the users in force, 0 to 1.", labels=_BY_VERSION
    )
    for key in sorted(shares):
        family.add_metric(key, shares[key])
    return family


def _process_wide(state: ProxyState) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "splitway_config_revision", "Revision of the snapshot in force.", value=state.revision
    )
    yield CounterMetricFamily(
        "splitway_config_rejected",
        "Configurations refused, from the file or the control plane.",
        value=state.rejected,
    )
    if state.control_connected is not None:
        yield GaugeMetricFamily(
            "splitway_control_connected",
            "1 while the control stream is up; absent without a control plane.",
            value=int(state.control_connected),
        )
        yield GaugeMetricFamily(
            "splitway_reports_waiting",
            "Reports that the control plane has not counted yet.",
            value=state.reports_waiting,
        )
        yield CounterMetricFamily(
            "splitway_report_requests_lost",
            "Requests in reports, or in rows of them, that the control plane refused.",
            value=state.report_requests_lost,
        )
    yield GaugeMetricFamily(
        "splitway_connections", "Connections of clients, open now.", value=state.counts.connections
    )
    shed = CounterMetricFamily(
        "splitway_shed",
        "Connections and requests refused for overload, by the limit reached.",
        labels=("limit",),
    )
    for limit, count in state.counts.shed.items():
        shed.add_metric((limit,), count)
    yield shed
    yield CounterMetricFamily(
        "splitway_mirror_dropped",
        "Mirrored requests that were not sent: no room, or too long a body.",
        value=state.counts.copies_dropped,
    )
    yield CounterMetricFamily(
        "splitway_worker_restarts",
        "Workers started in place of one that died.",
        value=state.worker_restarts,
    )
    yield CounterMetricFamily(
        "splitway_access_log_dropped",
        "Access log lines dropped: reader too slow, or the disk refused them.",
        value=state.counts.log_dropped,
    )
    build = GaugeMetricFamily(
        "splitway_build_info", "Always 1; the release is in the label.", labels=("version",)
    )
    build.add_metric((state.release,), 1)
    yield build
