import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.model.users import Sketch
from proxy.model.wire import ReportAck, ReportRow, Sample
from tests.controlplane.api.test_reports import a_while_ago, report, reporting, sent
from tests.controlplane.support import control

PATH = "/v1/services/shop/audience"


def met(*users: int) -> Sample:
    sketch = Sketch()
    for user in users:
        sketch.add(user)
    return sketch.sample()


def row(version: str, *users: int) -> ReportRow:
    return ReportRow("shop", version, "", 3, 1, {90: 3}, users=met(*users), erring=met(*users[:1]))


def test_it_tells_whom_versions_met_each_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api, reporting(api) as (proxy, store):
            starts = [a_while_ago(minutes) for minutes in (180, 40, 30)]
            reports = [
                report(store, 1, starts[0], row("stable", 1, 2)),
                report(store, 2, starts[1], row("stable", 1), row("canary", 3)),
                report(store, 3, starts[2], row("stable", 2, 5), row("canary", 2, 3, 4)),
            ]
            assert await sent(proxy, *reports) == [ReportAck(number) for number in (1, 2, 3)]
            answer = (await api.get(PATH)).body
            assert (answer["service"], answer["level"]) == ("shop", "1m")
            length = datetime.fromisoformat(answer["to"]) - datetime.fromisoformat(answer["from"])
            assert length == timedelta(hours=1)
            canary, stable = answer["audience"]
            assert (canary["version"], canary["segment"], canary["requests"]) == ("canary", "", 6)
            assert [canary[name] for name in ("users", "new_users", "erring_users")] == [3, 2, 2]
            assert [stable[name] for name in ("users", "new_users", "erring_users")] == [3, 1, 2]
            assert canary["p50_s"] == stable["p99_s"] == pytest.approx(0.0049, rel=0.01)
            since = (starts[0] - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            to = starts[2].strftime("%Y-%m-%dT%H:%M:%SZ")
            canary, stable = (await api.get(f"{PATH}?from={since}&to={to}")).body["audience"]
            assert (stable["requests"], stable["users"], stable["new_users"]) == (6, 2, 2)
            assert (canary["users"], canary["new_users"]) == (1, 1)

    asyncio.run(scenario())


def test_what_cannot_be_told_is_refused_with_the_field(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control(tmp_path) as api:
            assert (await api.get(PATH)).status == 404
            await api.push()
            assert (await api.get(PATH)).body["audience"] == []
            now = datetime.now(UTC)
            for days, level, good in ((1, "10s", True), (2, "10s", False), (399, "1h", True)):
                since = (now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
                answer = await api.get(f"{PATH}?from={since}&level={level}")
                assert answer.status == (200 if good else 422)
                assert good or answer.fields == ["from"]
            for query, field in (
                ("level=5s", "level"),
                ("to=noon", "to"),
                ("version=a", "version"),
            ):
                answer = await api.get(f"{PATH}?{query}")
                assert (answer.status, answer.fields) == (422, [field])
            future = "from=2099-01-01T00:00:00Z&to=9999-12-31T00:00:00Z"
            assert (await api.get(f"{PATH}?{future}")).body["audience"] == []

    asyncio.run(scenario())
