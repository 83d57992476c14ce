"""Owns the control plane's own Prometheus metrics. Never counts what proxies serve.

Every label value is bounded: routes as they are registered, methods that they take, status codes.
``docs/metrics.md`` lists what is here; a test holds the two together.
"""

from collections.abc import Callable, Iterator

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy import __version__

# Two series more for each of a counter, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call] # untyped in the library

_EDGES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class FleetState(msgspec.Struct, frozen=True):
    """What a scrape tells of the proxies and of what they are told."""

    revision: int
    connected: int
    on_newest: int
    refusing: int
    """Connected ones whose last word on the newest revision is no."""
    reports_pending: int = 0
    """That came and are not durable yet."""


class Telemetry:
    """Counts requests; asks for the rest when it is scraped.

    Args:
        certificate_ends_s: when the server's certificate ends, since 1970; ``None`` without one.
    """

    def __init__(
        self,
        state: Callable[[], FleetState],
        certificate_ends_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_FleetCollector(state))
        self._registry.register(_CertificateCollector(certificate_ends_s))
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "splitway_control_requests",
            "Requests of the API finished, streams of proxies among them.",
            ("method", "route", "code"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "splitway_control_request_duration_seconds",
            "How long requests of the API took, streams left out.",
            ("route",),
            buckets=_EDGES_S,
            registry=self._registry,
        )

        self._reports = Counter(
            "splitway_control_reports",
            "Reports of proxies, by what came of them.",
            ("result",),
            registry=self._registry,
        )
        self._lost = Counter(
            "splitway_control_report_requests_lost",
            "Requests in reports, or in rows of them, that were refused.",
            registry=self._registry,
        )
        for result in ("counted", "duplicate", "refused", "deferred"):
            self._reports.labels(result)

    def reported(self, result: str, reports: int = 1, lost: int = 0) -> None:
        """So many reports came to this; so many requests in them will never be counted."""
        self._reports.labels(result).inc(reports)
        self._lost.inc(lost)

    def finished(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """A request is over.

        Args:
            route: as it was registered; empty where no path matched.
            seconds: None for what lasts as long as its client likes.
        """
        self._requests.labels(method, route, str(status)).inc()
        if seconds is not None:
            self._durations.labels(route).observe(seconds)

    def exposed(self, accept: str) -> tuple[bytes, str]:
        """Everything in the format that a scraper accepts, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _FleetCollector(Collector):
    def __init__(self, state: Callable[[], FleetState]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """From one look at the state."""
        state = self._state()
        yield GaugeMetricFamily(
            "splitway_control_revision", "The newest revision.", value=state.revision
        )
        proxies = GaugeMetricFamily(
            "splitway_control_proxies", "Proxies that are connected here.", labels=("state",)
        )
        for name in ("connected", "on_newest", "refusing"):
            proxies.add_metric((name,), getattr(state, name))
        yield proxies
        yield GaugeMetricFamily(
            "splitway_control_reports_pending",
            "Reports that came and are not in the store yet.",
            value=state.reports_pending,
        )
        yield InfoMetricFamily(
            "splitway_control", "What runs here.", value={"release": __version__}
        )


class _CertificateCollector(Collector):
    def __init__(self, ends_s: Callable[[], float | None]) -> None:
        self._ends_s = ends_s

    def collect(self) -> Iterator[Metric]:
        """Nothing without TLS."""
        ends_s = self._ends_s()
        if ends_s is not None:
            yield GaugeMetricFamily(
                "splitway_control_certificate_end_seconds",
                "When the certificate in use ends, in seconds since 1970.",
                value=ends_s,
            )
