"""Processes that die, hang or are told to leave at odd moments, as an operator would see it."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.road import die, road, until, worker_pids

pytestmark = pytest.mark.e2e


def test_workers_leave_with_a_killed_parent_and_free_the_port(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable") as built:
            config = built.config(built.traffic(stable=1))
            proxy = await built.start_proxy(config, workers=2)
            pids = worker_pids(proxy)
            assert len(pids) == 2
            await die(proxy)

            async def gone() -> bool:
                return not any(os.path.exists(f"/proc/{pid}") for pid in pids)  # noqa: PTH110, ASYNC240

            await until("the workers are gone", gone)
            assert not await built.answers(built.url)
            await built.start_proxy(config, workers=2)
            assert await built.version_of("u") == "stable"

    asyncio.run(run())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_storm_of_hang_ups_ends_nothing(tmp_path: Path, workers: int) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable") as built:
            config = built.config(built.traffic(stable=1))
            proxy = await built.start_proxy(config, workers=workers)
            for _ in range(50):
                proxy.process.send_signal(signal.SIGHUP)
            await built.ready()
            assert await built.version_of("u") == "stable"
            proxy.process.terminate()
            assert await asyncio.wait_for(proxy.process.wait(), 10) == 0
            assert "Traceback" not in proxy.log.read_text()

    asyncio.run(run())


def test_all_workers_killed_at_once_come_back_with_what_is_in_force(tmp_path: Path) -> None:
    async def run() -> None:
        async with road(tmp_path, "stable") as built:
            proxy = await built.start_proxy(built.config(built.traffic(stable=1)), workers=3)
            await built.ready()
            for _ in range(5):
                await built.version_of("u")
            counted = await built.metric("splitway_requests_total")
            pids = worker_pids(proxy)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            assert {await built.version_of(f"u{n}") for n in range(10)} == {"stable"}
            assert await built.metric("splitway_requests_total") >= counted + 10
            assert not set(pids) & set(worker_pids(proxy))
            assert "Traceback" not in proxy.log.read_text()

    asyncio.run(run())
