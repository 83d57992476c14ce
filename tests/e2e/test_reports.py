"""Known requests through a real proxy: the control plane's figures are these and no others, while
its processes and the proxy's are killed."""

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.model.users import estimate, merged
from proxy.model.wire import Sample
from tests.support.road import TOKEN, Road, die, road, until, worker_pids

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

EVERY = "--report-every=1"


class Scene:
    def __init__(self, on: Road) -> None:
        self.on = on
        self.answered = Counter[str]()
        """Requests by the version that answered."""

    async def send(self, count: int) -> None:
        for user in range(count):
            self.answered[await self.on.version_of(f"user-{self.answered.total()}-{user}")] += 1

    async def asked(self, what: str, **query: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.on.control_port}/v1/services/shop/{what}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.on.client.get(url, params=query, headers=headers) as response:
            assert response.status == 200, await response.text()
            found: dict[str, Any] = await response.json()
            return found

    async def intervals(self, level: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            await self.asked("reports", level=level, limit="500", **query)
        )["intervals"]
        return found

    async def figures(self, level: str = "10s") -> Counter[str]:
        found = Counter[str]()
        for interval in await self.intervals(level):
            for row in interval["rows"]:
                assert sum(row["latency"].values()) == row["requests"]
                assert (row["segment"], row["errors"]) == ("", 0)
                found[row["version"]] += row["requests"]
        return found

    async def reports(self) -> int:
        return sum(interval["reports"] for interval in await self.intervals("1h"))

    async def told(self) -> None:
        """The figures become what is known, and stay that."""

        async def equal() -> bool:
            found = await self.figures()
            assert found <= self.answered, "something was counted twice"
            return found == self.answered

        await until(f"the figures are {self.answered}", equal)
        seen = await self.reports()

        async def two_more() -> bool:
            return await self.reports() >= seen + 2

        await until("two more reports came", two_more)
        for level in ("10s", "1m", "1h"):
            assert await self.figures(level) == self.answered


def test_figures_are_the_requests_whatever_is_killed(tmp_path: Path) -> None:
    async def test() -> None:
        async with road(tmp_path, "stable", "canary") as on:
            scene = Scene(on)
            control = await on.start_control(EVERY)
            proxy = await on.start_proxy(on.following(), workers=2)
            await asyncio.to_thread(on.control.put_config, on.traffic(stable=50, canary=50))
            await on.ready()
            await scene.send(50)
            await scene.told()
            assert set(scene.answered) == {"stable", "canary"}

            await scene.send(30)
            await on.metrics()  # what was pulled from a worker outlives it
            victim = worker_pids(proxy)[0]
            os.kill(victim, signal.SIGKILL)

            async def replaced() -> bool:
                pids = worker_pids(proxy)
                return victim not in pids and len(pids) == 2

            await until("there is another worker", replaced)
            await until("it serves", lambda: on.answers(on.admin + "/readyz"))
            await scene.send(20)
            await scene.told()

            await scene.send(20)
            await die(control)
            await scene.send(20)
            await on.start_control(EVERY)
            await scene.told()

            await scene.send(10)
            proxy.process.terminate()
            assert await asyncio.wait_for(proxy.process.wait(), 20) == 0
            assert await scene.figures() == scene.answered

    asyncio.run(test())


def test_what_the_first_attempt_brought_is_charged(tmp_path: Path) -> None:
    """One endpoint is dead: its requests are answered by the other, and are errors all the same."""

    async def test() -> None:
        async with road(tmp_path, "stable") as on:
            scene = Scene(on)
            await on.start_control(EVERY)
            await on.start_proxy(on.following())
            alive = on.samples["stable"]
            traffic = (
                f'services:\n  shop:\n    versions:\n      stable: {{endpoints: ["{alive}", '
                '"http://127.0.0.1:1"]}\n    segments:\n'
                "      country: {header: X-Country, values: [de]}\n"
                "routes:\n  - {service: shop}\n"
            )
            await asyncio.to_thread(on.control.put_config, traffic)
            await on.ready()
            await scene.send(20)

            async def rows() -> dict[str, tuple[int, int]]:
                found: dict[str, tuple[int, int]] = {}
                for interval in await scene.intervals("1h"):
                    for row in interval["rows"]:
                        requests, errors = found.get(row["segment"], (0, 0))
                        more = (requests + row["requests"], errors + row["errors"])
                        found[row["segment"]] = more
                return found

            async def all_there() -> bool:
                return (await rows()).get("", (0, 0))[0] == 20

            await until("all are counted", all_there)
            assert await rows() == {"": (20, 10), "country=other": (20, 10)}
            assert await on.metric("splitway_requests_total") == 20

    asyncio.run(test())


def test_who_was_seen_is_counted_once_over_workers_and_intervals(tmp_path: Path) -> None:
    async def test() -> None:
        async with road(tmp_path, "stable", "canary") as on:
            scene = Scene(on)
            await on.start_control(EVERY)
            await on.start_proxy(on.following(), workers=2)
            await asyncio.to_thread(on.control.put_config, on.traffic(stable=50, canary=50))
            await on.ready()
            seen: dict[str, set[str]] = {"stable": set(), "canary": set()}

            async def visit(users: range) -> None:
                for user in users:
                    seen[await on.version_of(f"visitor-{user}")].add(f"visitor-{user}")

            async def is_looking() -> bool:
                await visit(range(2))
                rows = [row for each in await scene.intervals("1h") for row in each["rows"]]
                assert all(row["erring_users"] in (0, None) for row in rows)
                return any(row["users"] for row in rows)

            await until("users are looked at", is_looking)
            for _ in range(2):
                await visit(range(60))

            def kept() -> dict[str, int]:
                """Over all hours, as the test may see more than one."""
                store = f"file:{tmp_path / 'store.db'}?mode=ro"
                with contextlib.closing(sqlite3.connect(store, uri=True)) as database:
                    rows = database.execute(
                        "SELECT version, users FROM figures WHERE level_s = 3600 AND users NOTNULL"
                    ).fetchall()
                found: dict[str, Sample | None] = {}
                for version, users in rows:
                    sample = msgspec.msgpack.decode(users, type=Sample)
                    found[version] = merged(found.get(version), sample)
                return {version: estimate(users) for version, users in found.items() if users}

            async def all_there() -> bool:
                return kept() == {version: len(users) for version, users in seen.items()}

            await until("everybody is counted", all_there)

    asyncio.run(test())


def test_split_requests_are_told_by_user_and_by_endpoint_from_the_first_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with road(tmp_path, "stable", "canary") as on:
            scene = Scene(on)
            control = await on.start_control(EVERY)
            await on.start_proxy(on.following(), workers=2)
            await asyncio.to_thread(on.control.put_config, on.traffic(stable=100, canary=0))
            await on.ready()
            await scene.send(220)  # enough to choose edges by
            await scene.told()
            whole, scene.answered = scene.answered, Counter[str]()

            async def spread(by: str) -> tuple[Counter[str], set[tuple[float, ...]]]:
                found, edges = Counter[str](), set[tuple[float, ...]]()
                for interval in await scene.intervals("1m", by=by, spread="true"):
                    for row in interval["rows"]:
                        if row["spread"] is not None:
                            told = row["spread"]
                            assert sum(told["requests_by_bucket"]) == told["requests"]
                            assert told["errors"] == 0
                            found[row["version"]] += told["requests"]
                            edges.add(tuple(each["edge_s"] for each in told["slow"]))
                        if by == "endpoint":
                            assert row["endpoint"] == on.samples[row["version"]]
                            assert row["requests"] == row["spread"]["requests"]
                return found, edges

            assert await spread("segment") == (Counter(), set())
            assert await spread("endpoint") == (Counter(), set())
            half = {"stable": 50, "canary": 50}
            split = await asyncio.to_thread(on.control.put_weights, "shop", half, "a canary")

            async def is_split() -> bool:
                return await on.metric("splitway_config_revision") == split

            await until("users are split", is_split)
            await scene.send(60)
            await die(control)
            await scene.send(20)
            await on.start_control(EVERY)

            async def all_there() -> bool:
                return (
                    (await spread("segment"))[0]
                    == (await spread("endpoint"))[0]
                    == (scene.answered)
                )

            await until(f"the spread is of {scene.answered}", all_there)
            scene.answered += whole
            await scene.told()
            (edges,) = (await spread("segment"))[1] | (await spread("endpoint"))[1]
            assert edges
            assert edges == tuple(sorted(edges))
            met = {row["version"]: row for row in (await scene.asked("audience"))["audience"]}
            assert met["stable"]["requests"] + met["canary"]["requests"] == 300
            assert met["stable"]["users"] + met["canary"]["users"] == 80

    asyncio.run(test())
