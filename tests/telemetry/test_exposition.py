"""What Prometheus reads: names, labels and values, judged by promtool and by a second parser."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from proxy.core.outcome import Outcome
from proxy.model.wire import EndpointStates, SourceState
from proxy.telemetry.exposition import ProxyState, SplitwayCollector, render
from proxy.telemetry.metrics import Registry

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
PROMTOOL = shutil.which("promtool")


def busy_state(*, control_connected: bool | None = True) -> ProxyState:
    """A state in which every metric has a sample."""
    registry = Registry()
    for version, seconds in (("stable", 0.0002), ("canary", 0.03), ("canary", 500.0)):
        counters = registry.version("shop", version)
        counters.started("header")
        counters.started("cookie")
        counters.attempted(Outcome.CONNECT_FAILED)
        counters.attempted(Outcome.SUCCESS)
        counters.finished("GET", 200, seconds, 3, 1000)
        counters.ejected()
        counters.belonged(("country=de",), 200, 0.01, charged=False)
        copies = registry.copies("shop", version)
        copies.started("mirror")
        copies.finished("GET", 502, seconds, 0, 0)
    registry.unrouted.started("")
    registry.unrouted.finished("BREW", 404, 0.001, 0, 90)
    return ProxyState(
        counts=registry.counts(
            connections=12,
            log_dropped=5,
            shed={"memory": 3},
            endpoints=(
                EndpointStates("shop", "canary", "http://10.0.0.1:80", used=1, ejected=3),
                EndpointStates("shop", "canary", "http://10.0.0.2:80"),
            ),
            copies_dropped=9,
        ),
        revision=41,
        release="1.2.3",
        rejected=2,
        control_connected=control_connected,
        reports_waiting=4,
        report_requests_lost=17,
        shares={("shop", "stable"): 0.95, ("shop", "canary"): 0.05},
        worker_restarts=1,
        sources=(SourceState("dns://shop:80", 2, "no answer in time", 7),),
        shown_segments=frozenset({("shop", "country")}),
    )


def families(state: ProxyState) -> dict[str, Metric]:
    body, _ = render(state, "")
    return {family.name: family for family in plain(body.decode())}


def value(state: ProxyState, name: str, **labels: str) -> float:
    body, _ = render(state, "")
    found = [
        sample.value
        for family in plain(body.decode())
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) == 1, f"{name}{labels}: {found}"
    return found[0]


CANARY = {"service": "shop", "version": "canary"}


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("splitway_requests_total", {**CANARY, "method": "GET", "code": "200"}, 2),
        (
            "splitway_requests_total",
            {"service": "", "version": "", "method": "OTHER", "code": "404"},
            1,
        ),
        ("splitway_request_duration_seconds_count", CANARY, 2),
        ("splitway_request_duration_seconds_sum", CANARY, 500.03),
        ("splitway_request_duration_seconds_bucket", {**CANARY, "le": "0.0256"}, 0),
        ("splitway_request_duration_seconds_bucket", {**CANARY, "le": "0.0512"}, 1),
        ("splitway_request_duration_seconds_bucket", {**CANARY, "le": "104.8576"}, 1),
        ("splitway_request_duration_seconds_bucket", {**CANARY, "le": "+Inf"}, 2),
        (
            "splitway_request_duration_seconds_bucket",
            {"service": "shop", "version": "stable", "le": "0.0002"},
            1,
        ),
        ("splitway_upstream_attempts_total", {**CANARY, "outcome": "connect_failed"}, 2),
        ("splitway_requests_in_flight", CANARY, 2),
        ("splitway_request_bytes_total", CANARY, 6),
        ("splitway_response_bytes_total", CANARY, 2000),
        ("splitway_assignments_total", {**CANARY, "source": "cookie"}, 2),
        ("splitway_split_weight", CANARY, 0.05),
        ("splitway_config_revision", {}, 41),
        ("splitway_config_rejected_total", {}, 2),
        ("splitway_control_connected", {}, 1),
        ("splitway_reports_waiting", {}, 4),
        ("splitway_report_requests_lost_total", {}, 17),
        ("splitway_connections", {}, 12),
        ("splitway_worker_restarts_total", {}, 1),
        ("splitway_endpoint_healthy", {**CANARY, "endpoint": "http://10.0.0.1:80"}, 0.25),
        ("splitway_endpoint_ejections_total", CANARY, 2),
        ("splitway_mirror_requests_total", {**CANARY, "method": "GET", "code": "502"}, 2),
        ("splitway_mirror_duration_seconds_count", CANARY, 2),
        ("splitway_mirror_dropped_total", {}, 9),
        (
            "splitway_segment_requests_total",
            {**CANARY, "dimension": "country", "value": "de", "class": "2xx"},
            2,
        ),
        ("splitway_discovery_up", {"source": "dns://shop:80"}, 0),
        ("splitway_discovery_endpoints", {"source": "dns://shop:80"}, 2),
        ("splitway_discovery_failures_total", {"source": "dns://shop:80"}, 7),
        ("splitway_access_log_dropped_total", {}, 5),
        ("splitway_build_info", {"version": "1.2.3"}, 1),
    ],
)
def test_each_metric_tells_its_figure(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(busy_state(), name, **labels) == expected


def test_a_lost_control_plane_is_0_and_none_configured_is_absent() -> None:
    assert value(busy_state(control_connected=False), "splitway_control_connected") == 0
    without = families(busy_state(control_connected=None))
    for name in ("control_connected", "reports_waiting", "report_requests_lost"):
        assert f"splitway_{name}" not in without


def test_requests_without_a_service_are_assigned_by_nobody() -> None:
    assigned = families(busy_state())["splitway_assignments"].samples
    assert {sample.labels["service"] for sample in assigned} == {"shop"}


def test_the_state_is_looked_at_once_a_scrape() -> None:
    looks = []

    def look() -> ProxyState:
        looks.append(1)
        return busy_state()

    list(SplitwayCollector(look).collect())
    assert len(looks) == 1


def test_figures_of_the_process_are_there() -> None:
    assert value(busy_state(), "process_resident_memory_bytes") > 1_000_000


def test_openmetrics_is_sent_to_who_asks_for_it() -> None:
    body, content_type = render(busy_state(), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in openmetrics(body.decode())}  # type: ignore[no-untyped-call] # untyped in the library
    assert "splitway_requests" in names
    _, content_type = render(busy_state(), "text/html, */*")
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_names_from_a_configuration_cannot_break_out_of_their_label() -> None:
    registry = Registry()
    registry.version('a"} 1\nevil', "b\\").started("x")
    state = ProxyState(counts=registry.counts(), revision=1, release="1")
    labels = {"service": 'a"} 1\nevil', "version": "b\\"}
    assert value(state, "splitway_requests_in_flight", **labels) == 1


@pytest.mark.skipif(
    PROMTOOL is None, reason="NOT CHECKED: promtool (Debian package prometheus) is not installed"
)
@pytest.mark.parametrize("control_connected", [True, None])
def test_promtool_has_no_complaint(control_connected: bool | None) -> None:
    assert PROMTOOL is not None
    body, _ = render(busy_state(control_connected=control_connected), "")
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def documented() -> dict[str, tuple[str, set[str]]]:
    of_the_proxy = DOCS.read_text().partition("## The control plane's own")[0]
    rows = re.findall(r"^\| `(splitway_\w+)` \| (\w+) \|([^|]*)\|", of_the_proxy, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def exposed() -> dict[str, tuple[str, set[str]]]:
    found = {}
    for family in families(busy_state()).values():
        if family.name.startswith("splitway_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = {label for sample in family.samples for label in sample.labels}
            found[name] = (family.type, labels - {"le"})
    return found


def test_the_documentation_lists_exactly_what_is_exposed() -> None:
    assert documented() == exposed()


def test_the_documentation_names_every_outcome() -> None:
    (row,) = re.findall(
        r"^\| `splitway_upstream_attempts_total` .*$", DOCS.read_text(), re.MULTILINE
    )
    assert set(Outcome) <= set(re.findall(r"`(\w+)`", row))
