import re
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from controlplane.telemetry import FleetState, Telemetry
from proxy import __version__

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def busy() -> Telemetry:
    telemetry = Telemetry(
        lambda: FleetState(revision=7, connected=5, on_newest=3, refusing=1), lambda: 1.75e9
    )
    telemetry.finished("PUT", "/v1/config", 200, 0.015)
    telemetry.finished("GET", "/v1/stream", 101, None)
    telemetry.finished("OTHER", "", 404, 0.001)
    return telemetry


def figures(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text, _ = telemetry.exposed("")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in plain(text.decode())
        for sample in family.samples
    }


def test_what_is_counted_is_told() -> None:
    found = figures(busy())
    name = "splitway_control_requests_total"
    assert found[name, (("code", "200"), ("method", "PUT"), ("route", "/v1/config"))] == 1
    assert found[name, (("code", "101"), ("method", "GET"), ("route", "/v1/stream"))] == 1
    assert found[name, (("code", "404"), ("method", "OTHER"), ("route", ""))] == 1
    durations = "splitway_control_request_duration_seconds"
    assert found[f"{durations}_count", (("route", "/v1/config"),)] == 1
    assert found[f"{durations}_bucket", (("le", "0.01"), ("route", "/v1/config"))] == 0
    assert found[f"{durations}_bucket", (("le", "0.02"), ("route", "/v1/config"))] == 1
    assert (f"{durations}_count", (("route", "/v1/stream"),)) not in found


def test_the_fleet_is_asked_at_each_scrape() -> None:
    found = figures(busy())
    assert found["splitway_control_revision", ()] == 7
    states = {
        state: found["splitway_control_proxies", (("state", state),)]
        for state in ("connected", "on_newest", "refusing")
    }
    assert states == {"connected": 5, "on_newest": 3, "refusing": 1}
    assert found["splitway_control_info", (("release", __version__),)] == 1


def test_openmetrics_is_sent_to_who_asks_for_it() -> None:
    text, content_type = busy().exposed("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert any(family.name == "splitway_control_proxies" for family in openmetrics(text.decode()))  # type: ignore[no-untyped-call] # untyped in the library


def test_every_metric_is_documented() -> None:
    own = DOCS.read_text().partition("## The control plane's own")[2]
    told = set(re.findall(r"^\| `(splitway_\w+)`", own, re.MULTILINE))
    text, _ = busy().exposed("")
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in plain(text.decode())
        if family.name.startswith("splitway_")
    }
    assert told == there
