import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controlplane.app import Settings, running
from proxy.model.spread import WIDTH, Tally
from proxy.model.wire import Hello, Report, ReportAck, Reporting, ReportRow, Sample, Spread
from tests.controlplane.support import PATIENCE_S, TOKEN, Api, Proxy, control, store_url

PATH = "/v1/services/shop/reports"
FAST = ReportRow("shop", "stable", "", 100, 1, {90: 100}, 0.95)
SLOW = ReportRow("shop", "canary", "", 10, 2, {90: 5, 200: 5}, 0.05)


@asynccontextmanager
async def reporting(api: Api, instance: str = "p1") -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy that was asked to report, and the store's id."""
    await api.push()
    async with api.stream() as proxy:
        await proxy.say(Hello(instance, "1.0", reports=True))
        asked = msgspec.json.decode(await proxy.socket.receive_str(), type=Reporting)
        assert (asked.every_s, asked.splits) == (10.0, True)
        yield proxy, (await proxy.snapshot()).store


def report(store: str, number: int, start: datetime, *rows: ReportRow) -> Report:
    age_s = (datetime.now(UTC) - start).total_seconds() - 10.0
    return Report("0123456789abcdef", number, store, 1, start, 10.0, max(age_s, 0.0), rows)


async def sent(proxy: Proxy, *reports: Report) -> list[ReportAck]:
    for each in reports:
        await proxy.socket.send_str(msgspec.json.encode(each).decode())
    return [await ack(proxy) for _ in reports]


async def ack(proxy: Proxy) -> ReportAck:
    return msgspec.json.decode(await proxy.socket.receive_str(timeout=PATIENCE_S), type=ReportAck)


def a_while_ago(minutes: float) -> datetime:
    """The start of a minute."""
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes)


def test_figures_are_told_by_interval_version_and_segment(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            start = a_while_ago(5)
            acks = await sent(
                proxy,
                report(store, 1, start, FAST, SLOW),
                report(store, 2, start + timedelta(seconds=10), FAST),
                report(store, 3, start + timedelta(minutes=2)),
            )
            assert acks == [ReportAck(number) for number in (1, 2, 3)]
            body = (await api.get(PATH)).body
            assert (body["service"], body["level"], body["next_cursor"]) == ("shop", "1m", None)
            quiet, busy = body["intervals"]
            assert (quiet["reports"], quiet["seconds"], quiet["rows"]) == (1, 10.0, [])
            assert datetime.fromisoformat(busy["start"]) == start
            assert (busy["reports"], busy["seconds"]) == (2, 20.0)
            canary, stable = busy["rows"]
            assert (stable["requests"], stable["errors"], stable["share"]) == (200, 2, 0.95)
            assert (stable["latency"], stable["error_rate"]) == ({"90": 200}, 0.01)
            assert canary["version"] == "canary"
            assert canary["p50_s"] < 0.006 < 0.5 < canary["p95_s"] == canary["p99_s"]
            fine = (await api.get(f"{PATH}?level=10s&version=stable")).body["intervals"]
            assert [[row["requests"] for row in each["rows"]] for each in fine] == [
                [],
                [100],
                [100],
            ]

    asyncio.run(scenario())


def test_pages_follow_each_other_and_times_bound_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            starts = [a_while_ago(minutes) for minutes in (9, 7, 5, 4)]
            await sent(proxy, *(report(store, n, start, FAST) for n, start in enumerate(starts, 1)))

            async def page(query: str) -> tuple[list[datetime], str | None]:
                body = (await api.get(f"{PATH}?{query}")).body
                found = [datetime.fromisoformat(each["start"]) for each in body["intervals"]]
                return found, body["next_cursor"]

            first, cursor = await page("limit=3")
            assert first == starts[:0:-1]
            assert await page(f"limit=3&cursor={cursor}") == ([starts[0]], None)
            since = starts[1].strftime("%Y-%m-%dT%H:%M:%SZ")
            assert (await page(f"from={since}"))[0] == starts[:0:-1]
            assert (await page(f"to={since}"))[0] == starts[:1]
            assert (await page(f"from={since}&to={since}"))[0] == []

    asyncio.run(scenario())


def test_segments_are_told_beside_everybody(tmp_path: Path) -> None:
    document = {
        "services": {
            "shop": {
                "versions": {"only": {"endpoints": ["http://127.0.0.1:9001"]}},
                "segments": {"country": {"header": "X-Country", "values": ["de"]}},
            }
        }
    }
    rows = (
        ReportRow("shop", "only", "", 3, 1, {90: 3}),
        ReportRow("shop", "only", "country=de", 2, 1),
        ReportRow("shop", "only", "country=other", 1),
    )

    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            await api.push(document)
            await proxy.snapshot()
            made = report(store, 1, a_while_ago(5), *rows)
            assert await sent(proxy, msgspec.structs.replace(made, revision=2)) == [ReportAck(1)]

            async def segments(query: str) -> list[tuple[str, int, Any]]:
                (interval,) = (await api.get(f"{PATH}?{query}")).body["intervals"]
                return [(r["segment"], r["requests"], r["p50_s"]) for r in interval["rows"]]

            everybody, german, other = await segments("")
            assert (everybody[:2], german, other) == (
                ("", 3),
                ("country=de", 2, None),
                ("country=other", 1, None),
            )
            assert await segments("segment=country%3Dde") == [german]
            assert await segments("segment=") == [everybody]

    asyncio.run(scenario())


def test_endpoints_and_how_requests_are_spread_are_told_when_asked(tmp_path: Path) -> None:
    by_user = Tally((90, 150), WIDTH)
    for user, latency in ((7, 90), (7, 200), (8, 200), (0, 90)):
        by_user.add(user, latency, charged=user == 8)
    whole = ReportRow("shop", "canary", "", 4, 1, {90: 2, 200: 2}, spread=by_user.spread())
    one = ReportRow(
        "shop", "canary", "", 3, 1, {90: 1, 200: 2},
        endpoint="http://a:80", spread=Spread((90, 150), (3, 1, 2, 2)),
    )  # fmt: skip
    other = ReportRow("shop", "canary", "", 1, 0, {90: 1}, endpoint="http://b:80")

    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            assert await sent(proxy, report(store, 1, a_while_ago(5), whole, one, other)) == [
                ReportAck(1)
            ]

            async def rows(query: str) -> list[dict[str, Any]]:
                (interval,) = (await api.get(f"{PATH}?{query}")).body["intervals"]
                found: list[dict[str, Any]] = interval["rows"]
                return found

            (plain,) = await rows("")
            assert (plain["requests"], plain["endpoint"], plain["spread"]) == (4, "", None)
            (spread,) = [row["spread"] for row in await rows("spread=true")]
            assert (spread["requests"], spread["errors"]) == (4, 1)
            assert [spread["requests_by_bucket"][at] for at in (7, 8, 64)] == [2, 1, 1]
            assert sum(spread["errors_by_bucket"]) == spread["errors_by_bucket"][8] == 1
            assert [each["requests"] for each in spread["slow"]] == [2, 2]
            assert [each["by_bucket"][7] for each in spread["slow"]] == [1, 1]
            assert 0.004 < spread["slow"][0]["edge_s"] < spread["slow"][1]["edge_s"] < 0.1
            first, second = await rows("by=endpoint&spread=true&level=10s")
            assert (first["endpoint"], first["requests"]) == ("http://a:80", 3)
            assert first["spread"]["slow"][0]["by_bucket"] == [2]
            assert (second["endpoint"], second["spread"]) == ("http://b:80", None)

    asyncio.run(scenario())


def test_edges_are_chosen_when_users_begin_to_be_split(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            weights = "/v1/services/shop/weights"

            async def split(**given: int) -> dict[str, tuple[int, ...]]:
                answer = await api.put(weights, {"weights": given})
                assert answer.status == 200, answer.body
                return (await proxy.snapshot()).edges

            assert await split(stable=100, canary=0) == {}
            fast = msgspec.structs.replace(FAST, requests=400, latency={90: 300, 120: 100})
            slow = msgspec.structs.replace(SLOW, requests=400, latency={200: 400})
            made = report(store, 1, a_while_ago(5), fast, slow)
            assert await sent(proxy, made) == [ReportAck(1)]
            assert await split(stable=95, canary=5) == {"shop": (90, 120)}
            more = msgspec.structs.replace(FAST, requests=900, latency={200: 900})
            again = report(store, 2, a_while_ago(4), more)
            assert await sent(proxy, again) == [ReportAck(2)]
            assert await split(stable=50, canary=50) == {"shop": (90, 120)}
            assert await split(stable=0, canary=100) == {}
            assert await split(stable=5, canary=95) == {"shop": (200,)}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("level=5s", "level"),
        ("from=yesterday", "from"),
        ("to=2026-01-02T03:04:05", "to"),
        ("limit=501", "limit"),
        ("cursor=nonsense", "cursor"),
        ("since=1h", "since"),
        ("by=pod", "by"),
        ("by=endpoint&level=1h", "by"),
        ("spread=1", "spread"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(tmp_path: Path, query: str, field: str) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            await api.push()
            answer = await api.get(f"{PATH}?{query}")
            assert (answer.status, answer.fields) == (422, [field])

    asyncio.run(scenario())


def test_times_beyond_any_calendar_of_ours_bound_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            assert (await api.get(PATH)).status == 404
            await api.push()
            for query in ("from=0001-01-01T00:00:00Z", "to=9999-12-31T23:59:59Z"):
                answer = await api.get(f"{PATH}?{query}")
                assert (answer.status, answer.body["intervals"]) == (200, [])

    asyncio.run(scenario())


def test_any_control_plane_tells_what_any_has_counted(postgres_url: str) -> None:
    async def scenario() -> None:
        settings = Settings(postgres_url, "127.0.0.1", 0, TOKEN)
        async with (
            running(settings) as url,
            running(settings) as other_url,
            Api.at(url) as api,
            Api.at(other_url) as other,
            reporting(api) as (proxy, store),
        ):
            start = a_while_ago(5)
            first = report(store, 1, start, FAST)
            await sent(proxy, first)
            async with other.stream() as again:
                await again.say(Hello("p1", "1.0", store, 1, reports=True))
                await again.socket.receive_str(timeout=PATIENCE_S)
                await sent(again, first, report(store, 2, start, SLOW))
            for each in (api, other):
                (interval,) = (await each.get(PATH)).body["intervals"]
                counted = {row["version"]: row["requests"] for row in interval["rows"]}
                assert counted == {"stable": 100, "canary": 10}

    asyncio.run(scenario())


def test_none_is_asked_for_when_none_is_wanted(tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = Settings(store_url(tmp_path), "127.0.0.1", 0, TOKEN, report_every_s=0)
        async with running(settings) as url, Api.at(url) as api, api.stream() as proxy:
            await proxy.say(Hello("p1", "1.0", reports=True))
            await proxy.settle()  # fails if anything came
            made = report("", 1, a_while_ago(5))
            await proxy.socket.send_str(msgspec.json.encode(made).decode())
            assert await proxy.closed_with() == 1008

    asyncio.run(scenario())


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"boot": "x"}, "boot"),
    ({"length_s": -1.0}, "length_s"),
    ({"length_s": 0.0}, "length_s"),
    ({"age_s": -5.0}, "age_s"),
    ({"start": "2026-01-02T03:04:05"}, "start"),
    ({"start": 5}, "start"),
    ({"rows": [{"service": "shop", "version": "stable", "requests": -1}]}, "requests"),
    ({"rows": [{"service": "shop", "version": "stable", "requests": 2**60}]}, "requests"),
    ({"rows": [{"service": "shop", "version": "stable", "latency": {"322": 1}}]}, "latency"),
    ({"rows": [{"service": "shop", "version": "stable", "share": 1.5}]}, "share"),
    ({"rows": [{"service": "", "version": "stable"}]}, "service"),
    ({"rows": [{"service": "shop", "version": "stable"}] * 5_001}, "rows"),
]


@pytest.mark.parametrize(("changes", "field"), MALFORMED, ids=str)
def test_a_malformed_report_is_refused_by_its_number_and_the_stream_goes_on(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            good = report(store, 1, a_while_ago(5), FAST)
            bad = msgspec.to_builtins(good) | {"number": 7} | changes
            await proxy.socket.send_str(msgspec.json.encode(bad).decode())
            refused = await ack(proxy)
            assert refused.number == 7
            assert f"$.{field}" in refused.refused or field in refused.refused
            assert await sent(proxy, good) == [ReportAck(1)]
            (interval,) = (await api.get(PATH)).body["intervals"]
            assert [row["requests"] for row in interval["rows"]] == [100]

    asyncio.run(scenario())


def test_one_without_a_number_ends_the_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, _):
            await proxy.socket.send_str('{"type":"report","rows":[]}')
            assert await proxy.closed_with() == 1008

    asyncio.run(scenario())


def test_the_clock_of_a_proxy_may_be_anything(tmp_path: Path) -> None:
    """Beyond a few seconds it is when the report came that counts."""

    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            now = datetime.now(UTC)
            for number, year in enumerate((1970, 1, 9999), 1):
                made = report(store, number, now, FAST)
                await sent(
                    proxy, msgspec.structs.replace(made, start=datetime(year, 1, 1, 1, tzinfo=UTC))
                )
            (interval,) = (await api.get(f"{PATH}?level=1h&limit=1")).body["intervals"]
            assert abs(datetime.fromisoformat(interval["start"]) - now) < timedelta(hours=1.1)
            assert sum(row["requests"] for row in interval["rows"]) == 300

    asyncio.run(scenario())


def test_a_scrape_tells_what_came_of_reports(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            good = report(store, 1, a_while_ago(5), FAST)
            await sent(proxy, good, good, msgspec.structs.replace(good, store="other"))
            async with api.session.get(f"{api.url}/metrics") as response:
                text = await response.text()
            for line in (
                'reports_total{result="counted"} 1.0',
                'reports_total{result="duplicate"} 1.0',
                'reports_total{result="refused"} 1.0',
                'reports_total{result="deferred"} 0.0',
                "report_requests_lost_total 100.0",
                "reports_pending 0.0",
            ):
                assert f"splitway_control_{line}\n" in text

    asyncio.run(scenario())


def test_users_are_told_once_however_many_proxies_they_came_to(tmp_path: Path) -> None:
    def seen(*users: int) -> Sample:
        return Sample(0, b"".join(user.to_bytes(8, "big") for user in users))

    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            start = a_while_ago(5)
            rows = [
                msgspec.structs.replace(SLOW, users=seen(*users), erring=seen(2))
                for users in ((1, 2), (2, 3, 4))
            ]
            deep = msgspec.structs.replace(FAST, users=Sample(10, bytes(8)), erring=seen())
            later = start + timedelta(seconds=10)
            acks = await sent(
                proxy,
                report(store, 1, start, rows[0], deep),
                report(store, 2, later, rows[1], deep),
                report(store, 3, start + timedelta(minutes=1), FAST),
            )
            assert [each.refused for each in acks] == [""] * 3
            before, (canary, stable) = (
                [(row["users"], row["erring_users"]) for row in each["rows"]]
                for each in (await api.get(PATH)).body["intervals"]
            )
            assert before == [(None, None)]
            assert (canary, stable) == ((4, 1), (1_024, 0))

    asyncio.run(scenario())
