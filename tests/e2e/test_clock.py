"""Row 16 of the design's table of faults: the wall clock is set by an hour and by a day, forward
and back, while proxy and control plane run. Nothing ends early, nothing waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from controlplane.audit import Chain
from controlplane.gate import DAYS
from tests.controlplane.support import SHOP_WEIGHTS, Answer, Api
from tests.support.clock import Clock
from tests.support.load import reconcile
from tests.support.raw_client import RawClient, get
from tests.support.road import TOKEN, Road, die, free_port, road, until
from tests.support.site import site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

HOUR, DAY = 3600, 86_400
PATIENCE_S = 30
STEPS = (HOUR, 0, -HOUR, 0, DAY, 0, -DAY, 0)
"""Offsets, one after the other: forward and back by each."""
CHECKED = "    health: {path: /healthz, interval_s: 0.1, timeout_s: 5}\n"


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(tmp_path, monkeypatch)


@asynccontextmanager
async def operator(of: Road) -> AsyncIterator[Api]:
    url = f"http://127.0.0.1:{of.control_port}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Api(url, session)


def test_streams_load_and_checks_feel_no_step(tmp_path: Path, clock: Clock) -> None:
    """Longer than a heartbeat and its answer may take, so that one of them lies in each step."""

    async def test() -> None:
        async with site(tmp_path) as here, operator(here.road) as api:
            for version in ("stable", "canary"):
                here.road.samples[version] = await here.backend(version)
            await here.road.start_control()
            await here.road.start_proxy(here.road.following())
            traffic = here.road.traffic(stable=90, canary=10)
            text = traffic.replace("    weights:", f"{CHECKED}    weights:")
            await asyncio.to_thread(here.road.control.put_config, text)
            await here.road.ready()
            (before,) = await api.proxies()

            async def step() -> None:
                clock.set(offset_s)
                weights = {"stable": 90, "canary": 10 + turn}
                revision = (await api.put(SHOP_WEIGHTS, {"weights": weights})).body["revision"]
                (note,) = (await api.get("/v1/revisions?limit=1")).body["revisions"]
                assert clock.shows(note["at"]), (note, clock.offset_s)

                async def is_in_force() -> bool:
                    told = (await api.get(f"/v1/convergence?revision={revision}")).body
                    return bool(told["done"] and told["connected"] == 1)

                await until("the change is in force", is_in_force)

            for turn, offset_s in enumerate(STEPS, 1):  # noqa: B007 - step looks at them
                load = here.load(prefix=f"step{turn}")
                await load.run(meanwhile=step)
                reconcile(load, here.journals, may_lose=frozenset())
                (now,) = await api.proxies()
                assert now["connected_since"] == before["connected_since"], "the stream was cut"
                assert await here.metric("splitway_control_connected") == 1
                assert await here.metric("splitway_endpoint_ejections_total") == 0
                assert [state["used"] for state in (await here.states()).values()] == [1, 1]

    asyncio.run(test())


class Backend:
    """An endpoint in this process, whose clock nobody sets: it answers when it is told to."""

    def __init__(self) -> None:
        self.port = free_port()
        self.answers = asyncio.Event()
        self.asked = asyncio.Semaphore(0)
        self.fails = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _slow(self, _request: web.Request) -> web.Response:
        self.asked.release()
        await self.answers.wait()
        return web.Response(text="late")

    async def _quick(self, _request: web.Request) -> web.Response:
        return web.Response(status=500 if self.fails else 200)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Backend"]:
        app = web.Application()
        app.add_routes([web.get("/slow", self._slow), web.get("/{any:.*}", self._quick)])
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield self
        finally:
            self.answers.set()
            await runner.cleanup()


@asynccontextmanager
async def before(folder: Path, backend: Backend, *others: Backend) -> AsyncIterator[Road]:
    """A proxy before these endpoints; what is below /hurry may take half a second."""
    endpoints = ", ".join(f'"{each.url}"' for each in (backend, *others))
    traffic = (
        f"services:\n  shop:\n    versions:\n      stable: {{endpoints: [{endpoints}]}}\n"
        "    outliers: {consecutive_5xx: 1, interval_s: 0.1, max_ejected_percent: 50}\n"
        "routes:\n"
        "  - {match: {path: {prefix: /hurry}}, service: shop, timeouts: {response_s: 0.5},"
        " rewrite: {path: /slow}}\n"
        "  - {service: shop}\n"
    )
    async with road(folder) as built, backend.serving():
        await built.start_proxy(built.config(traffic))
        await built.ready()
        yield built


def client_of(built: Road) -> RawClient:
    return RawClient(("127.0.0.1", built.port))


async def status(client: RawClient, path: str) -> int:
    async with asyncio.timeout(PATIENCE_S):
        return (await client.ask(get(path))).status


@pytest.mark.parametrize("offset_s", [HOUR, -HOUR, DAY, -DAY])
def test_a_request_may_take_as_long_as_before(tmp_path: Path, clock: Clock, offset_s: int) -> None:
    async def test() -> None:
        backend = Backend()
        async with (
            before(tmp_path, backend) as built,
            client_of(built) as idle,
            client_of(built) as slow,
            client_of(built) as hurried,
        ):
            assert await status(idle, "/") == 200
            waiting = asyncio.create_task(status(slow, "/slow"))
            await backend.asked.acquire()
            hurrying = asyncio.create_task(status(hurried, "/hurry"))
            await backend.asked.acquire()
            clock.set(offset_s)
            assert await hurrying == 504  # neither at once nor in a day
            assert not waiting.done()
            backend.answers.set()
            assert await waiting == 200
            assert await status(idle, "/") == 200, "the idle connection was closed"

    asyncio.run(test())


@pytest.mark.parametrize("offset_s", [DAY, -DAY])
def test_a_drain_finishes_what_is_in_hand(tmp_path: Path, clock: Clock, offset_s: int) -> None:
    async def test() -> None:
        backend = Backend()
        async with before(tmp_path, backend) as built, client_of(built) as slow:
            proxy = built.proxies[-1]
            waiting = asyncio.create_task(status(slow, "/slow"))
            await backend.asked.acquire()
            proxy.process.terminate()

            async def is_leaving() -> bool:
                async with built.client.get(built.admin + "/readyz") as response:
                    return response.status == 503

            await until("the proxy leaves", is_leaving)
            clock.set(offset_s)
            await asyncio.sleep(0.5)  # some of its looks at what is left to do
            assert proxy.process.returncode is None
            backend.answers.set()
            assert await waiting == 200
            assert await asyncio.wait_for(proxy.process.wait(), PATIENCE_S) == 0

    asyncio.run(test())


def test_an_ejection_is_not_over_with_the_day(tmp_path: Path, clock: Clock) -> None:
    async def test() -> None:
        good, bad = Backend(), Backend()
        bad.fails = True
        async with bad.serving(), before(tmp_path, good, bad) as built, client_of(built) as client:

            async def ejected() -> int:
                async with built.client.get(built.admin + "/endpoints") as response:
                    return sum(each["ejected"] for each in (await response.json())["endpoints"])

            while await ejected() == 0:
                await status(client, "/")
            clock.set(DAY)
            for _ in range(30):  # over several intervals
                assert await status(client, "/") == 200
                await asyncio.sleep(0.02)
            assert await ejected() == 1

    asyncio.run(test())


def test_a_proxy_comes_back_as_soon_whatever_the_clock_says(tmp_path: Path, clock: Clock) -> None:
    async def test() -> None:
        async with road(tmp_path, "stable", "canary") as built:
            control = await built.start_control()
            await built.start_proxy(built.following())
            await asyncio.to_thread(built.control.put_config, built.traffic(stable=90, canary=10))
            await built.ready()

            async def is_back() -> bool:
                return await built.metric("splitway_control_connected") == 1

            async def is_alone() -> bool:
                return not await is_back()

            for offset_s in (-DAY, DAY):
                await die(control)
                await until("the stream is gone", is_alone)
                clock.set(offset_s)
                control = await built.start_control()
                await until("the proxy is back", is_back)
            proxy = built.proxies[-1]
            proxy.process.terminate()
            assert await asyncio.wait_for(proxy.process.wait(), PATIENCE_S) == 0
            async with operator(built) as api:
                (gone,) = await api.until_proxies(False)
                clock.set(2 * DAY)
                assert await api.proxies() == [gone], "it is remembered for ten minutes"

    asyncio.run(test())


def test_what_is_of_the_wall_clock_goes_by_it(tmp_path: Path, clock: Clock) -> None:
    """Freezes, change windows and kept replies: other control planes and later lives of this one
    must read them alike, so they cannot go by a clock that begins with a machine."""

    async def test() -> None:
        async with road(tmp_path, "stable", "canary") as built, operator(built) as api:
            await built.start_control()
            await asyncio.to_thread(built.control.put_config, built.traffic(stable=90, canary=10))

            until_at = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
            await api.put("/v1/freeze", {"reason": "half an hour", "until": until_at})
            assert (await weights(api, 11)).status == 409
            clock.set(HOUR)
            assert (await api.get("/v1/freeze")).body["all"] is None
            assert (await weights(api, 12)).status == 200
            clock.set(0)
            assert (await weights(api, 13)).status == 409
            await api.change("DELETE", "/v1/freeze")

            first = await weights(api, 14, Idempotency_Key="k")
            for offset_s in (HOUR, -HOUR, -DAY, 0):
                clock.set(offset_s)
                again = await weights(api, 14, Idempotency_Key="k")
                assert (again.status, again.body) == (200, first.body)
                assert again.headers["Idempotent-Replay"] == "true"
            clock.set(DAY + HOUR)
            forgotten = await weights(api, 14, Idempotency_Key="k")
            assert forgotten.status == 200
            assert "Idempotent-Replay" not in forgotten.headers

            clock.set(0)
            today = DAYS[datetime.now(UTC).weekday()]
            yesterday = DAYS[datetime.now(UTC).weekday() - 1]
            open_now = {"days": [yesterday, today], "opens": "00:00", "closes": "00:00"}
            await api.put("/v1/change-windows", {"windows": [open_now]})
            assert (await weights(api, 15)).status == 200
            for offset_s in (2 * DAY, -2 * DAY):
                clock.set(offset_s)
                assert (await weights(api, 16)).status == 409
            clock.set(0)
            assert (await weights(api, 17)).status == 200

            await the_audit_holds(api)

    asyncio.run(test())


async def weights(api: Api, canary: int, **headers: str) -> Answer:
    body = {"weights": {"stable": 90, "canary": canary}, "reason": f"canary {canary}"}
    return await api.put(SHOP_WEIGHTS, body, **headers)


async def the_audit_holds(api: Api) -> None:
    """Times go back with the clock; numbers and seals do not."""
    async with api.session.get(f"{api.url}/v1/audit/export") as response:
        lines = (await response.read()).splitlines()
    chain = Chain()
    assert [chain.take(line) for line in lines] == [None] * len(lines)
    page = (await api.get("/v1/audit?limit=500")).body
    entries: list[dict[str, Any]] = page["entries"][::-1]
    assert [entry["number"] for entry in entries] == list(range(1, len(lines) + 1))
    assert page["head"] == chain.head
    times = [entry["at"] for entry in entries]
    assert times != sorted(times), "the clock was never set"
