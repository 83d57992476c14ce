"""Counters say what happened; sums over workers never go back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.outcome import Outcome
from proxy.model.wire import Counts, VersionCounts
from proxy.net.observer import VersionObserver
from proxy.telemetry.histogram import bucket
from proxy.telemetry.metrics import FleetCounts, Registry, VersionCounters, merge, what_remains


def one_request(counters: VersionObserver, *, status: int = 200, seconds: float = 0.01) -> None:
    counters.started("header")
    counters.attempted(Outcome.SUCCESS)
    counters.finished("GET", status, seconds, 10, 200)


def counts_of(requests: int, *, in_flight: int = 0, connections: int = 0) -> Counts:
    registry = Registry()
    counters = registry.version("shop", "stable")
    for _ in range(requests):
        one_request(counters)
    for _ in range(in_flight):
        counters.started("header")
    return registry.counts(connections=connections)


def shop(counts: Counts) -> VersionCounts:
    (found,) = [of for of in counts.versions if of.service == "shop"]
    return found


def test_a_request_is_counted_in_every_figure() -> None:
    counters = VersionCounters("shop", "canary")
    one_request(counters)
    counters.started("cookie")
    assert counters.counts() == VersionCounts(
        service="shop",
        version="canary",
        requests={"GET 200": 1},
        latency={bucket(0.01): 1},
        latency_sum_s=0.01,
        attempts={"success": 1},
        assignments={"header": 1, "cookie": 1},
        in_flight=1,
        request_bytes=10,
        response_bytes=200,
    )


def test_same_figures_add_up() -> None:
    counters = VersionCounters("shop", "canary")
    for _ in range(3):
        one_request(counters)
    counts = counters.counts()
    assert counts.requests == {"GET 200": 3}
    assert counts.latency == {bucket(0.01): 3}
    assert counts.attempts == {"success": 3}
    assert counts.assignments == {"header": 3}
    assert counts.response_bytes == 600


@pytest.mark.parametrize(
    ("method", "status", "key"),
    [
        ("DELETE", 204, "DELETE 204"),
        ("PROPFIND", 207, "OTHER 207"),
        ("get", 200, "OTHER 200"),
        ("x" * 1000, 200, "OTHER 200"),
        ("GET", 99, "GET OTHER"),
        ("GET", 600, "GET OTHER"),
        ("BREW", 999, "OTHER OTHER"),
    ],
)
def test_labels_that_others_choose_are_bounded(method: str, status: int, key: str) -> None:
    counters = VersionCounters("shop", "stable")
    counters.started("header")
    counters.finished(method, status, 0.1, 0, 0)
    assert counters.counts().requests == {key: 1}


def test_unheard_of_codes_share_one_label() -> None:
    counters = VersionCounters("shop", "stable")
    for status in (0, 700, 999):
        counters.finished("GET", status, 0.1, 0, 0)
    assert counters.counts().requests == {"GET OTHER": 3}


def test_counts_do_not_change_with_the_counters() -> None:
    counters = VersionCounters("shop", "stable")
    one_request(counters)
    counts = counters.counts()
    one_request(counters)
    assert counts.requests == {"GET 200": 1}


def test_counts_travel_as_messagepack() -> None:
    counts = counts_of(2, in_flight=1, connections=4)
    packed = msgspec.msgpack.encode(counts)
    assert msgspec.msgpack.decode(packed, type=Counts) == counts


def test_a_version_keeps_its_counters_for_the_life_of_the_process() -> None:
    registry = Registry()
    first = registry.version("shop", "stable")
    assert registry.version("shop", "canary") is not first
    assert registry.version("shop", "stable") is first


def test_requests_without_a_service_are_counted_and_assigned_by_nobody() -> None:
    registry = Registry()
    registry.unrouted.started("")
    registry.unrouted.finished("GET", 404, 0.001, 0, 50)
    (counts,) = registry.counts(log_dropped=7).versions
    assert (counts.service, counts.version) == ("", "")
    assert counts.requests == {"GET 404": 1}
    assert counts.assignments == {}
    assert registry.counts(log_dropped=7).log_dropped == 7


def test_merging_adds_versions_by_name_and_sorts_them() -> None:
    registry = Registry()
    one_request(registry.version("shop", "stable"), status=500)
    one_request(registry.version("blog", "stable"))
    merged = merge([counts_of(2, in_flight=1, connections=3), registry.counts(connections=2)])
    assert [(of.service, of.version) for of in merged.versions] == [
        ("", ""),
        ("blog", "stable"),
        ("shop", "stable"),
    ]
    assert shop(merged).requests == {"GET 200": 2, "GET 500": 1}
    assert shop(merged).attempts == {"success": 3}
    assert shop(merged).assignments == {"header": 4}
    assert shop(merged).latency == {bucket(0.01): 3}
    assert shop(merged).latency_sum_s == pytest.approx(0.03)
    assert (shop(merged).request_bytes, shop(merged).response_bytes) == (30, 600)
    assert shop(merged).in_flight == 1
    assert merged.connections == 5


def test_merging_leaves_its_parts_alone() -> None:
    part = counts_of(2)
    before = msgspec.json.encode(part)
    merge([part, part])
    assert msgspec.json.encode(part) == before


def test_the_dead_leave_counters_but_nothing_open() -> None:
    remains = what_remains(
        Counts(versions=counts_of(3, in_flight=2).versions, connections=9, log_dropped=4)
    )
    assert shop(remains).requests == {"GET 200": 3}
    assert shop(remains).in_flight == 0
    assert remains.connections == 0
    assert remains.log_dropped == 4


def test_the_sum_does_not_go_back_when_a_worker_is_respawned() -> None:
    fleet = FleetCounts()
    fleet.joined(0)
    fleet.joined(1)
    fleet.told(0, counts_of(5, in_flight=1, connections=2))
    fleet.told(1, counts_of(7, connections=3))
    assert shop(fleet.total()).requests == {"GET 200": 12}
    fleet.left(0)
    assert shop(fleet.total()).requests == {"GET 200": 12}
    assert shop(fleet.total()).in_flight == 0
    assert fleet.total().connections == 3
    fleet.joined(0)
    assert shop(fleet.total()).requests == {"GET 200": 12}
    fleet.told(0, counts_of(1))
    assert shop(fleet.total()).requests == {"GET 200": 13}


def test_an_id_that_joins_again_begins_another_life() -> None:
    fleet = FleetCounts()
    fleet.joined(0)
    fleet.told(0, counts_of(5))
    fleet.joined(0)
    fleet.told(0, counts_of(1))
    assert shop(fleet.total()).requests == {"GET 200": 6}


def test_late_counts_of_a_dead_worker_are_not_added_twice() -> None:
    fleet = FleetCounts()
    fleet.joined(0)
    fleet.told(0, counts_of(5))
    fleet.left(0)
    fleet.told(0, counts_of(5))
    fleet.left(0)
    assert shop(fleet.total()).requests == {"GET 200": 5}


steps = st.lists(st.tuples(st.sampled_from(["told", "left", "joined"]), st.integers(0, 2)))


@given(steps)
def test_no_order_of_events_makes_the_sum_fall(events: list[tuple[str, int]]) -> None:
    fleet, alive, counted, total = FleetCounts(), dict[int, int](), 0, 0
    for event, worker in events:
        if event == "told":
            if worker in alive:
                alive[worker] += 1
                counted += 1
            fleet.told(worker, counts_of(alive.get(worker, 1)))
        elif event == "left":
            alive.pop(worker, None)
            fleet.left(worker)
        else:
            alive[worker] = 0
            fleet.joined(worker)
        now = sum(sum(of.requests.values()) for of in fleet.total().versions)
        assert now >= total
        assert now == counted
        total = now
